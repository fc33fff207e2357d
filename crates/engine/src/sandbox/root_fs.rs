//! A sandbox's file system: a copy-on-write view of an allow-list of the host, everything else empty and private.

use super::{AGENT_PATH, HOME, USER_ID, USER_NAME};
use crate::{
    egress::gate::GATEWAY,
    limits::{DISK_BYTES_MAX, INODES_MAX},
};
use anyhow::{Context, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, pivot_root},
};
use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// Where the new root is put together; every machine has this folder, and the mount on it is private.
const BASE: &str = "/tmp";
/// Top-level folders seen copy-on-write. `/bin` and the libraries are often links into `/usr`; then they are links inside too.
const SHARED: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// What is copied of `/etc`: configuration of programs, certificates, languages. No host names, no users, no `profile.d` or
/// `environment` (they hold proxies with passwords), nothing that only some users may read.
const ETC: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "bash_completion.d",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "gai.conf",
    "host.conf",
    "inputrc",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "lsb-release",
    "magic",
    "mime.types",
    "nanorc",
    "os-release",
    "perl",
    "pki",
    "profile",
    "protocols",
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "redhat-release",
    "services",
    "shells",
    "skel",
    "ssl",
    "terminfo",
    "timezone",
    "vim",
    "vimrc",
    "xattr.conf",
];
/// Folders of private keys inside the allow-list.
const ETC_NEVER: &[&str] = &["private"];
/// Bytes copied of `/etc` at most; certificates and the linker's cache are about one MiB.
const ETC_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Device nodes bound from the host.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Builds the root and makes it `/`. Called in fresh mount and PID namespaces by the sandbox's first process.
pub(super) fn set_up(agent: &mut File) -> Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("make the sandbox's mounts private")?;
    let options = format!("mode=0755,size={DISK_BYTES_MAX},nr_inodes={INODES_MAX}");
    mount(Some("berth"), BASE, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))
        .context("mount the sandbox's private file system")?;
    let root = Path::new(BASE).join("root");
    folder(&root, 0o755)?;
    let root_text = root.to_string_lossy().into_owned();
    mount(Some(root_text.as_str()), root_text.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .context("make the new root a mount")?;

    for name in SHARED {
        share(&root, name)?;
    }
    etc(&root)?;
    devices(&root)?;
    for (path, mode) in [
        ("tmp", 0o1777),
        ("var", 0o755),
        ("var/tmp", 0o1777),
        ("var/log", 0o755),
        ("var/lib", 0o755),
        ("var/cache", 0o755),
        ("run", 0o755),
        ("run/lock", 0o1777),
        ("home", 0o755),
        ("opt", 0o755),
        ("opt/berth", 0o755),
        ("proc", 0o555),
        ("sys", 0o555),
        ("mnt", 0o755),
        ("srv", 0o755),
    ] {
        folder(&root.join(path), mode)?;
    }
    symlink("/run", root.join("var/run")).context("link /var/run")?;
    home(&root)?;
    put_agent(&root, agent)?;
    mount(
        Some("proc"),
        &root.join("proc"),
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
    .context("mount /proc (inside another container it must not be masked)")?;

    chdir(&root).context("enter the new root")?;
    pivot_root(".", ".").context("switch to the new root")?;
    umount2(".", MntFlags::MNT_DETACH).context("let go of the host's root")?;
    chdir("/").context("enter /")
}

fn share(root: &Path, name: &str) -> Result<()> {
    let host = Path::new("/").join(name);
    let Ok(metadata) = fs::symlink_metadata(&host) else { return Ok(()) };
    let inside = root.join(name);
    if metadata.is_symlink() {
        return symlink(fs::read_link(&host)?, &inside).with_context(|| format!("link {}", inside.display()));
    }
    let layers = Path::new(BASE).join("layers").join(name);
    let (upper, work) = (layers.join("upper"), layers.join("work"));
    for path in [&upper, &work, &inside] {
        DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    }
    let options =
        format!("lowerdir={},upperdir={},workdir={},userxattr", host.display(), upper.display(), work.display());
    mount(Some("berth"), &inside, Some("overlay"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))
        .with_context(|| format!("show {} copy-on-write", host.display()))
}

fn etc(root: &Path) -> Result<()> {
    let inside = root.join("etc");
    folder(&inside, 0o755)?;
    let mut left = ETC_BYTES_MAX;
    for name in ETC {
        copy(&Path::new("/etc").join(name), &inside.join(name), &mut left)?;
    }
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let files = [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/usr/sbin/nologin\n{USER_NAME}:x:{USER_ID}:{USER_ID}:Berth:{HOME}:{shell}\n\
                 nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            ),
        ),
        ("group", format!("root:x:0:\n{USER_NAME}:x:{USER_ID}:\nnogroup:x:65534:\n")),
        ("hosts", "127.0.0.1 localhost berth\n".to_owned()),
        ("hostname", "berth\n".to_owned()),
        ("resolv.conf", format!("nameserver {GATEWAY}\n")),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n".to_owned(),
        ),
    ];
    for (name, text) in files {
        fs::write(inside.join(name), text).with_context(|| format!("write /etc/{name}"))?;
    }
    Ok(())
}

/// Copies what this unprivileged user can read; what it cannot is left out, as is all beyond the budget.
fn copy(from: &Path, to: &Path, left: &mut u64) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(from) else { return Ok(()) };
    if metadata.is_symlink() {
        if let Ok(target) = fs::read_link(from) {
            symlink(target, to).with_context(|| format!("link {}", to.display()))?;
        }
    } else if metadata.is_dir() {
        let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
        folder(to, 0o755)?;
        for entry in entries.flatten() {
            if !ETC_NEVER.iter().any(|never| entry.file_name() == *never) {
                copy(&entry.path(), &to.join(entry.file_name()), left)?;
            }
        }
    } else if metadata.is_file() && metadata.mode() & 0o004 != 0 && metadata.len() <= *left {
        let Ok(bytes) = fs::read(from) else { return Ok(()) };
        *left = left.saturating_sub(bytes.len() as u64);
        fs::write(to, bytes).with_context(|| format!("copy {}", from.display()))?;
        fs::set_permissions(to, Permissions::from_mode(metadata.mode() & 0o755))?;
    }
    Ok(())
}

fn devices(root: &Path) -> Result<()> {
    let dev = root.join("dev");
    for path in [dev.clone(), dev.join("pts"), dev.join("mqueue")] {
        folder(&path, 0o755)?;
    }
    folder(&dev.join("shm"), 0o1777)?;
    for name in DEVICES {
        let (host, inside) = (Path::new("/dev").join(name), dev.join(name));
        File::create(&inside)?;
        mount(Some(&host), &inside, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("bind {}", host.display()))?;
    }
    let pts: PathBuf = dev.join("pts");
    mount(
        Some("devpts"),
        &pts,
        Some("devpts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )
    .context("mount /dev/pts")?;
    for (target, name) in [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ] {
        symlink(target, dev.join(name)).with_context(|| format!("link /dev/{name}"))?;
    }
    Ok(())
}

fn home(root: &Path) -> Result<()> {
    let home = root.join(HOME.trim_start_matches('/'));
    folder(&home, 0o755)?;
    folder(&home.join("work"), 0o755)?;
    let mut left = ETC_BYTES_MAX;
    if let Ok(entries) = fs::read_dir("/etc/skel") {
        for entry in entries.flatten() {
            copy(&entry.path(), &home.join(entry.file_name()), &mut left)?;
        }
    }
    Ok(())
}

fn put_agent(root: &Path, agent: &mut File) -> Result<()> {
    let path = root.join(AGENT_PATH.trim_start_matches('/'));
    let mut bytes = Vec::new();
    agent.read_to_end(&mut bytes).context("read the agent")?;
    let mut file = File::create(&path).context("write the agent")?;
    file.write_all(&bytes)?;
    file.set_permissions(Permissions::from_mode(0o755)).context("make the agent executable")
}

fn folder(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new().mode(mode).create(path).with_context(|| format!("make {}", path.display()))?;
    // The mode given to mkdir is narrowed by the umask; this one is not.
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("set the mode of {}", path.display()))
}
