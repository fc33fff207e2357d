//! What a program inside can see, reach and use up. Each question is a shell script; its exit code is the answer.

use berth_engine::{
    egress::gate::{self, Rules},
    limits::{self, DISK_BYTES_MAX},
    sandbox::{Launcher, Listeners, Process, Sandbox, Spec},
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

/// Slots that no engine under test uses at the same time.
static NEXT_SLOT: AtomicU32 = AtomicU32::new(100);

pub(crate) fn launcher() -> Launcher {
    Launcher {
        init: PathBuf::from(env!("CARGO_BIN_EXE_berth-engine")),
        agent: PathBuf::from("/bin/sh"),
        hierarchy: limits::find_hierarchy(),
    }
}

fn spec(script: &str) -> Spec {
    let env = [("HOME", "/home/berth"), ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), ("FOO", "bar")];
    let env = env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Spec { args: vec!["-c".into(), script.into()], env, host_id: None, probe: false }
}

fn start(script: &str) -> (Sandbox, Process, Listeners) {
    let slot = NEXT_SLOT.fetch_add(1, Ordering::Relaxed);
    Sandbox::start(&launcher(), slot, spec(script)).expect("this machine can isolate sandboxes")
}

/// Runs a script inside, without any way out, and returns its exit code.
fn ask(script: &str) -> i32 {
    let (_sandbox, process, _listeners) = start(script);
    process.wait()
}

/// Runs a script inside whose way out is the real gate, with internet on.
fn ask_online(script: &str) -> i32 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let (_sandbox, process, listeners) = start(script);
    let rules = Arc::new(Rules { internet: AtomicBool::new(true), allow_lan: false });
    tokio::spawn(gate::carry_tcp(tokio::net::TcpListener::from_std(listeners.tcp).unwrap(), Arc::clone(&rules)));
    tokio::spawn(gate::carry_dns(tokio::net::UdpSocket::from_std(listeners.dns).unwrap(), rules));
    process.wait()
}

/// A line of Python that tells the test "I am ready", by a datagram that arrives at the gate's DNS listener.
const KNOCK: &str = "__import__(\"socket\").socket(2,2).sendto(b\"ready\",(\"10.88.0.1\",53))";

fn wait_for_knock(listeners: Listeners) {
    listeners.dns.set_nonblocking(false).unwrap();
    listeners.dns.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [0; 16];
    let length = listeners.dns.recv(&mut bytes).expect("the program inside is ready within 20 s");
    assert_eq!(&bytes[..length], b"ready");
}

#[test]
fn the_exit_code_and_environment_are_the_programs_own() {
    assert_eq!(ask("test \"$FOO\" = bar && exit 7"), 7);
    assert_eq!(ask("kill -TERM $$"), 143);
    assert_eq!(ask("test \"$(env | wc -l)\" -le 5"), 0, "nothing of the host's environment comes along");
}

#[test]
fn the_user_is_ordinary_and_has_no_privileges() {
    assert_eq!(ask("test \"$(id -un):$(id -u)\" = berth:1000"), 0);
    assert_eq!(ask("grep -qE 'CapEff:\\s0+$' /proc/self/status && grep -qE 'CapAmb:\\s0+$' /proc/self/status"), 0);
    assert_eq!(ask("grep -qE 'NoNewPrivs:\\s1' /proc/self/status"), 0);
    assert_ne!(ask("mount -t tmpfs x /mnt 2>/dev/null"), 0);
    assert_ne!(ask("ls /proc/1/fd/ >/dev/null 2>&1"), 0, "PID 1 cannot be inspected");
    assert_ne!(ask("unshare -Ur true 2>/dev/null"), 0, "no capabilities in a namespace of one's own either");
    assert_eq!(ask("tr '\\0' ' ' </proc/1/cmdline | grep -qx 'berth-init init '"), 0, "no path of the host shows");
    assert_eq!(ask("test \"$(grep -c . /proc/keys)\" -le 2"), 0, "no key of the host's user is in reach");
}

#[test]
fn processes_of_the_host_are_invisible() {
    assert_eq!(ask("test \"$(ls -d /proc/[0-9]* | wc -l)\" -le 5"), 0);
    assert_eq!(ask("test $$ -le 5"), 0);
}

#[test]
fn files_of_the_host_are_empty_or_copies() {
    let canary = std::env::current_dir().unwrap().join("../../target/berth-canary");
    std::fs::write(&canary, "host").unwrap();
    assert_ne!(ask(&format!("test -e {}", canary.display())), 0, "the host's checkout is not there");
    for hidden in
        ["/root", "/etc/shadow", "/etc/environment", "/etc/profile.d", "/etc/ssl/private", "/var/lib/dpkg", "/boot"]
    {
        assert_ne!(ask(&format!("test -e {hidden}")), 0, "{hidden}");
    }
    assert_eq!(
        ask("test -z \"$(find /tmp /run/lock /mnt /home/berth/work -mindepth 1)\" && test \"$(ls /home)\" = berth"),
        0
    );
    assert_eq!(ask("test \"$(stat -f -c %T /)\" = tmpfs && test \"$(stat -f -c %T /usr)\" = overlayfs"), 0);
    let before = std::fs::metadata("/usr/bin/env").unwrap().modified().unwrap();
    assert_eq!(ask("touch /usr/written && echo x > /etc/written && test -e /usr/written"), 0, "a session may write");
    assert!(!std::path::Path::new("/usr/written").exists() && !std::path::Path::new("/etc/written").exists());
    // The root is proven to be an overlay above; what follows destroys it, and only it.
    ask("test \"$(stat -f -c %T /usr)\" = overlayfs && rm -rf --no-preserve-root / 2>/dev/null");
    assert_eq!(std::fs::metadata("/usr/bin/env").unwrap().modified().unwrap(), before);
    assert_eq!(std::fs::read_to_string(&canary).unwrap(), "host");
    std::fs::remove_file(canary).unwrap();
}

#[test]
fn two_sandboxes_listen_on_the_same_port_and_only_the_engine_reaches_them() {
    let script = |answer: &str| {
        format!(
            "printf 'import socket\\ns=socket.create_server((\"127.0.0.1\",8080))\\n{KNOCK}\\nwhile 1:\\n c,_=s.accept();c.sendall(b\"{answer}\");c.close()' >/tmp/s; exec python3 /tmp/s"
        )
    };
    let (first, _p1, l1) = start(&script("one"));
    let (second, _p2, l2) = start(&script("two"));
    for (sandbox, listeners, expected) in [(&first, l1, "one"), (&second, l2, "two")] {
        wait_for_knock(listeners);
        let mut connection = sandbox.dial(8080).unwrap().expect("the program listens");
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }
    assert!(first.dial(8081).unwrap().is_none(), "nothing listens there");
    assert!(std::net::TcpStream::connect(("127.0.0.1", 8080)).is_err(), "the host's loopback is another one");
}

/// A program inside that tries to connect and exits 0 when bytes came back.
fn connects_to(host: &str, port: u16) -> String {
    format!(
        "python3 -c 'import socket,sys\ntry:\n s=socket.create_connection((\"{host}\",{port}),5)\n s.sendall(b\"x\")\n sys.exit(0 if s.recv(1) else 9)\nexcept OSError: sys.exit(9)'"
    )
}

#[test]
fn the_hosts_loopback_cannot_be_reached_under_any_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|mut c| drop(c.write_all(b"secret"))));
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "the canary listens");
    for name in ["127.0.0.1", "127.0.0.2", "0.0.0.0", "10.88.0.1", "10.88.0.2", "::ffff:127.0.0.1", "localhost"] {
        assert_eq!(ask_online(&connects_to(name, port)), 9, "{name}");
    }
    for own in host_addresses() {
        assert_eq!(ask_online(&connects_to(&own, port)), 9, "{own}");
    }
}

fn host_addresses() -> Vec<String> {
    let interfaces = nix::ifaddrs::getifaddrs().unwrap();
    interfaces.filter_map(|i| Some(i.address?.as_sockaddr_in()?.ip().to_string())).collect()
}

#[test]
fn metadata_and_private_networks_cannot_be_reached() {
    for name in ["169.254.169.254", "192.168.0.1", "10.0.0.1", "172.16.0.1", "100.64.0.1"] {
        assert_eq!(ask_online(&connects_to(name, 80)), 9, "{name}");
    }
}

#[test]
fn the_gate_is_invisible_and_answers_dns() {
    // Offline, every query is refused at once by the gate: it answers, and nothing of it can be seen or dialled.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let script = "test -z \"$(grep -v sl /proc/net/tcp)\" && test -z \"$(grep -v sl /proc/net/udp)\" && test \"$(grep -c / /proc/net/unix)\" = 0 && \
        python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.settimeout(5)\ns.sendto(bytes([1,2,1,0,0,1,0,0,0,0,0,0,1,97,0,0,1,0,1]),(\"8.8.8.8\",53))\nd=s.recv(512)\nassert d[:2]==bytes([1,2]) and d[3]&15==5,d'";
    let (_sandbox, process, listeners) = start(script);
    tokio::spawn(gate::carry_dns(tokio::net::UdpSocket::from_std(listeners.dns).unwrap(), Arc::default()));
    assert_eq!(process.wait(), 0);
}

#[test]
fn unix_sockets_of_the_host_cannot_be_reached() {
    let folder = std::env::temp_dir().join(format!("berth-unix-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("canary.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let script = format!(
        "python3 -c 'import socket,sys\nfor a in (\"{0}\",\"\\0berth-canary\"):\n try:\n  socket.socket(socket.AF_UNIX).connect(a)\n  sys.exit(0)\n except OSError: pass\nsys.exit(9)'",
        path.display()
    );
    assert_eq!(ask(&script), 9);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn other_udp_is_refused() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let script = format!(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.sendto(b\"x\",(\"127.0.0.1\",{port}))\ns.sendto(b\"x\",(\"8.8.8.8\",123))'"
    );
    ask_online(&script);
    assert!(socket.recv(&mut [0; 8]).is_err(), "nothing arrived on the host");
}

#[test]
fn disk_processes_and_memory_are_limited() {
    let kib = DISK_BYTES_MAX / 1024;
    let script = format!("test \"$(df -k / | awk 'END{{print $2}}')\" = {kib} && test \"$(ulimit -c)\" = 0");
    assert_eq!(ask(&script), 0, "the private file system has its size");
    assert_eq!(
        ask(&format!(
            "ulimit -u 2>/dev/null | grep -qx {0} || grep -qE 'Max processes +{0}' /proc/self/limits",
            limits::PROCESSES_MAX
        )),
        0
    );
    if limits::find_hierarchy().is_none() {
        eprintln!("no control group may be made here: the memory limit is not in force, and the engine says so");
        return;
    }
    let (sandbox, process, _listeners) = start("exec sleep 1000");
    let group = process.group().expect("a hierarchy was found");
    assert_eq!(
        group.read("memory.max").or(group.read("memory.limit_in_bytes")),
        Some(limits::MEMORY_BYTES_MAX.to_string())
    );
    assert_eq!(group.read("pids.max"), Some(limits::PROCESSES_MAX.to_string()));
    assert!(group.read("cgroup.procs").is_some_and(|pids| pids.lines().count() >= 2), "the sandbox is inside");
    drop(sandbox);
    process.wait();
}

#[test]
fn everything_inside_ends_with_the_engines_end_of_the_channel() {
    let (sandbox, process, _listeners) = start("sh -c 'trap \"\" TERM HUP; sleep 1000' & sleep 1000");
    drop(sandbox);
    assert_eq!(process.wait(), 137);
}

#[test]
fn a_signal_reaches_the_agent() {
    let script = format!("trap 'exit 5' TERM; printf '{KNOCK}' | python3 -; while :; do sleep 0.02; done");
    let (sandbox, process, listeners) = start(&script);
    wait_for_knock(listeners);
    sandbox.signal(15).unwrap();
    assert_eq!(process.wait(), 5);
}

/// The engine's binary where every user may run it.
fn shared_engine() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("berth-shared-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("berth-engine");
    if !path.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_berth-engine"), &path).unwrap();
    }
    path
}

#[test]
fn an_ordinary_user_can_isolate_sandboxes_too() {
    let mut command = std::process::Command::new("setpriv");
    if nix::unistd::geteuid().is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    let output = command.arg(shared_engine()).args(["probe", "--agent", "/bin/sh"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("sandboxes are isolated"), "{text}");
}

#[test]
fn where_namespaces_are_refused_the_ways_out_are_named() {
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec {} probe --agent /bin/sh",
        shared_engine().display()
    );
    let output = std::process::Command::new("unshare").args(["-Ur", "sh", "-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "nothing starts without isolation");
    for way_out in ["max_user_namespaces", "--engine docker", "--unisolated"] {
        assert!(text.contains(way_out), "{text}");
    }
}
