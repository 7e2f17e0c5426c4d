//! A process that was started for a test: its output is kept, and it ends with the value.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use crate::{PATIENCE, wait_until};

/// A process that was started for a test.
pub struct Process {
    child: Child,
    lines: Mutex<Receiver<String>>,
    errors: Arc<Mutex<String>>,
}

impl Process {
    /// Starts one; its standard output is read line by line, its standard error is kept.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("could not start {command:?}: {e}"));
        let (to, lines) = channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let (kept, mut stderr) = (errors.clone(), child.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut chunk) {
                let text = String::from_utf8_lossy(&chunk[..length]);
                kept.lock().expect("nobody panics here").push_str(&text);
            }
        });
        Self { child, lines: Mutex::new(lines), errors }
    }

    /// The next line of standard output.
    pub fn line(&self) -> String {
        self.lines
            .lock()
            .expect("nobody panics here")
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|e| panic!("no line came ({e}); standard error:\n{}", self.errors()))
    }

    /// What came on standard error so far.
    pub fn errors(&self) -> String {
        self.errors.lock().expect("nobody panics here").clone()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input.
    pub fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().expect("stdin is piped")
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        // The command is everywhere that tests run, and spares a dependency.
        let _ = Command::new("kill").arg(self.pid().to_string()).status();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        wait_until("the process has ended", || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            let ended = (0..200).any(|_| {
                #[allow(
                    clippy::disallowed_methods,
                    reason = "waits for the end of a process, with an end of its own"
                )]
                std::thread::sleep(std::time::Duration::from_millis(20));
                matches!(self.child.try_wait(), Ok(Some(_)))
            });
            if !ended {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if std::thread::panicking() {
            std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("--- standard error of process {}:\n{}\n", self.pid(), self.errors()).as_bytes(),
            )
            .ok();
        }
    }
}

/// Processes of a process group that still live.
pub fn alive_in_group(group: u32) -> usize {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name in parentheses: state, parent, group.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let state = fields.next().unwrap_or_default();
        fields.nth(1).and_then(|g| g.parse::<u32>().ok()) == Some(group) && state != "Z"
    })
    .count()
}
