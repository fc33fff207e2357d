//! What a sandbox may use of this machine, and the control group that enforces it where the kernel lets us make one.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Bytes of memory of one sandbox, its private file system included (that lives in memory).
pub const MEMORY_BYTES_MAX: u64 = 6 * 1024 * 1024 * 1024;
/// Bytes of a sandbox's private file system: everything a session writes outside its synced files.
pub const DISK_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Files and folders of a sandbox's private file system; a large `node_modules` has 200,000.
pub const INODES_MAX: u64 = 1_000_000;
/// Processes and threads of one sandbox. Editors with language servers use a few hundred.
pub const PROCESSES_MAX: u64 = 4_096;
/// Open files of one process.
pub const OPEN_FILES_MAX: u64 = 65_536;
/// Sandboxes of one engine at once.
pub const SANDBOXES_MAX: u32 = 64;

const _: () = assert!(DISK_BYTES_MAX < MEMORY_BYTES_MAX);

/// Tells probes of one process apart.
static PROBES: AtomicU32 = AtomicU32::new(0);

/// Where control groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// One unified tree (cgroup v2).
    Unified(PathBuf),
    /// A tree per controller (cgroup v1): memory and pids.
    PerController(PathBuf),
}

/// One sandbox's control group; removed when dropped.
#[derive(Debug)]
pub struct ControlGroup {
    folders: Vec<PathBuf>,
}

/// Finds a hierarchy this process may write, or none.
pub fn find_hierarchy() -> Option<Hierarchy> {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let candidates = [
        controllers.contains("memory").then(|| own_unified_folder().map(Hierarchy::Unified)).flatten(),
        root.join("memory/memory.limit_in_bytes").exists().then(|| Hierarchy::PerController(root.to_owned())),
    ];
    candidates.into_iter().flatten().find(|hierarchy| {
        let probe = format!("{}-probe-{}", std::process::id(), PROBES.fetch_add(1, Ordering::Relaxed));
        ControlGroup::create(hierarchy, &probe).is_ok()
    })
}

/// The folder of this process, which a service manager may have delegated to it; the root's, for root.
fn own_unified_folder() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from("/sys/fs/cgroup"));
    }
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Path::new("/sys/fs/cgroup").join(path).parent().map(Path::to_owned)
}

/// Removes groups (`berth-<engine's pid>-<slot>`) whose engine is gone; one that is in use cannot be removed.
pub fn sweep(hierarchy: &Hierarchy) {
    let parents = match hierarchy {
        Hierarchy::Unified(parent) => vec![parent.clone()],
        Hierarchy::PerController(root) => vec![root.join("memory"), root.join("pids")],
    };
    for entry in parents.into_iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let engine = name.strip_prefix("berth-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        // A live engine's group may be empty because its sandbox is about to enter it.
        if engine.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

impl ControlGroup {
    /// Makes a group named `name` with every limit in force.
    pub fn create(hierarchy: &Hierarchy, name: &str) -> Result<Self> {
        let mut group = Self { folders: Vec::new() };
        match hierarchy {
            Hierarchy::Unified(parent) => {
                let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory +pids");
                let folder = group.folder(parent.join(format!("berth-{name}")))?;
                set(&folder, "memory.max", MEMORY_BYTES_MAX)?;
                set(&folder, "pids.max", PROCESSES_MAX)?;
                // Without swap the memory limit is the whole limit; kernels without swap accounting lack the file.
                let _ = set(&folder, "memory.swap.max", 0);
            }
            Hierarchy::PerController(root) => {
                let memory = group.folder(root.join("memory").join(format!("berth-{name}")))?;
                set(&memory, "memory.limit_in_bytes", MEMORY_BYTES_MAX)?;
                let pids = group.folder(root.join("pids").join(format!("berth-{name}")))?;
                set(&pids, "pids.max", PROCESSES_MAX)?;
            }
        }
        Ok(group)
    }

    /// Moves a process, and all it will start, into the group.
    pub fn add(&self, pid: u32) -> Result<()> {
        self.folders.iter().try_for_each(|folder| set(folder, "cgroup.procs", u64::from(pid)))
    }

    /// What the kernel says in a file of the group, from whichever controller has it.
    pub fn read(&self, file: &str) -> Option<String> {
        let text = self.folders.iter().find_map(|folder| fs::read_to_string(folder.join(file)).ok())?;
        Some(text.trim().to_owned())
    }

    fn folder(&mut self, folder: PathBuf) -> Result<PathBuf> {
        // A leftover of an engine that was killed: empty by now, since its sandboxes ended with it.
        let _ = fs::remove_dir(&folder);
        fs::create_dir(&folder).with_context(|| format!("make control group {}", folder.display()))?;
        self.folders.push(folder.clone());
        Ok(folder)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn set(folder: &Path, file: &str, value: u64) -> Result<()> {
    let path = folder.join(file);
    fs::write(&path, value.to_string()).with_context(|| format!("write {}", path.display()))
}
