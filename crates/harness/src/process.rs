//! A child process that ends when its handle is dropped, and when this process ends in any other way.
//!
//! The child is started from a thread that never ends: Envoy asks Linux to be ended with its parent, and Linux takes the parent for
//! the *thread* that started it. A test's thread ends when no test is left for it; an Envoy that it started and others still
//! use would be ended under their hands.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    guard: Child,
}

impl Process {
    /// Starts `command` in a process group of its own: Ctrl-C on a terminal reaches only this process, which ends the child in
    /// order.
    ///
    /// # Errors
    /// As [`Command::spawn`], and if there is no thread to do it.
    pub fn start(mut command: Command) -> io::Result<Process> {
        command.process_group(0);
        let mut child = spawn(command)?;
        match guard(&child) {
            Ok(guard) => Ok(Process { child, guard }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, once it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its resident memory in bytes; `None` where the system does not tell (only Linux does).
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Asks it to end by SIGTERM, and kills it if it has not ended within `timeout`.
    pub fn stop(mut self, deadline: Duration) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.exit_status().is_none()) {
            // An error means that it has ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + deadline;
        while self.exit_status().is_none() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard first: it must not outlive the id that it would end.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends `child` when this process ends without dropping it: then the guard's standard input closes.
fn guard(child: &Child) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _; kill -9 \"$0\" 2>/dev/null"])
        .arg(child.id().to_string())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// A command to be started, and the channel on which its child is awaited.
type Order = (Command, Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, waits) in taken {
                // A child that nobody waits for any longer is of no use.
                if let Err(unwanted) = waits.send(command.spawn())
                    && let Ok(mut child) = unwanted.0
                {
                    let _ = child.kill();
                }
            }
        });
        orders
    });
    let (waits, started) = channel();
    let gone = || io::Error::other("the thread that starts children has ended");
    orders.send((command, waits)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_started_and_a_program_that_is_not_there_is_an_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        let status = spawn(command).and_then(|mut child| child.wait());
        assert_eq!(status.ok().and_then(|status| status.code()), Some(7));
        assert!(Process::start(Command::new("no-such-program")).is_err());
    }

    #[test]
    fn a_child_that_ignores_the_signal_is_killed() {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; while :; do sleep 1; done"]);
        let Ok(process) = Process::start(command) else {
            panic!("sh does not start")
        };
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        process.stop(Duration::from_millis(100));
        assert!(pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_err()));
    }
}
