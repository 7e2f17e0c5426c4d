//! A Postgres server of the tests' own: one for a test program, a fresh database for each test. It keeps its data
//! in a temporary folder and ends with the test program.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::wait_until;

/// A user and group without rights: Postgres refuses to run as root. (Debian's `nobody` and `nogroup`.)
const NOBODY: u32 = 65_534;

struct Server {
    bin: PathBuf,
    port: u16,
}

/// The address of an empty database.
pub fn postgres() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(start);
    let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let made = server.tool("createdb").arg(&name).output().expect("createdb runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    format!("postgres://puerto@127.0.0.1:{}/{name}", server.port)
}

impl Server {
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.args(["-h", "127.0.0.1", "-U", "puerto", "-p", &self.port.to_string()]);
        command
    }
}

/// Where the newest server's programs are.
fn programs() -> PathBuf {
    let all = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = all.map(|entry| entry.path().join("bin")).collect();
    found.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    // What lies in the path may be a link to one of them.
    found.retain(|bin| {
        ["initdb", "postgres", "createdb", "pg_isready"].iter().all(|name| bin.join(name).exists())
    });
    found.sort();
    found.pop().expect("no Postgres: run peers/install, or install it")
}

fn start() -> Server {
    let bin = programs();
    let dir = folder();
    let made = nobody(Command::new(bin.join("initdb")).current_dir("/"))
        .args(["--no-sync", "--auth=trust", "--username=puerto", "--encoding=UTF8", "--pgdata"])
        .arg(&dir)
        .output()
        .expect("initdb runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // A free port may be taken by somebody else before the server has it: then another one.
    let (to, from) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut child, port) = (0..5).find_map(|_| listen(&bin, &dir)).expect("Postgres starts");
        to.send(Server { bin, port }).expect("somebody asked");
        // The server is told of the end of the thread that has started it.
        let _ = child.wait();
    });
    from.recv().expect("Postgres starts")
}

fn listen(bin: &Path, dir: &Path) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let mut command = Command::new("setpriv");
    // QUIT ends it at once, with its processes and its shared memory.
    command.args(["--pdeathsig", "QUIT", "--"]).arg(bin.join("postgres")).arg("-D").arg(dir);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"] {
        command.args(["-c", setting]);
    }
    let log = std::fs::File::create(dir.with_extension("log")).ok()?;
    let command =
        command.args(["-p", &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = nobody(command.current_dir("/")).spawn().expect("setpriv runs");
    let ready = wait_until("Postgres is ready", || {
        let ended = child.try_wait().ok().flatten().map(|_| false);
        let asked =
            Command::new(bin.join("pg_isready")).args(["-h", "127.0.0.1", "-p", &port.to_string()]).output();
        ended.or_else(|| asked.is_ok_and(|asked| asked.status.success()).then_some(true))
    });
    ready.then_some((child, port))
}

fn nobody(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// A folder for this program's server; those of programs that have ended go.
fn folder() -> PathBuf {
    let prefix = "puerto-test-postgres-";
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix(prefix) else { continue };
        if !Path::new("/proc").join(process.trim_end_matches(".log")).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
            let _ = std::fs::remove_file(entry.path());
        }
    }
    let dir = std::env::temp_dir().join(format!("{prefix}{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the temporary folder can be written");
    if is_root() {
        std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).expect("root may do so");
    }
    dir
}
