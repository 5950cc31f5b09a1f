//! Starts children from a thread that never ends.
//!
//! Envoy asks Linux to be ended when its parent ends, and Linux takes the parent for the *thread* that started it. A test's
//! thread ends when no test is left for it; an Envoy that it started and others still use would be ended under their hands.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// What is to be started, and who waits for it.
type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command` as a child of this process, not of the thread that asks.
///
/// # Errors
/// As [`Command::spawn`], and where there is no thread to do it.
pub fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, waits) in taken {
                // Who no longer waits has no use for the child either.
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
        assert!(spawn(Command::new("no-such-program")).is_err());
    }
}
