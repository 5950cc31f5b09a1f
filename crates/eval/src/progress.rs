//! A progress bar on standard error: drawn in place on a terminal, a line at every tenth elsewhere.

use std::io::{IsTerminal, Write, stderr};

const WIDTH: u64 = 30;

/// The progress of one piece of work.
#[derive(Debug)]
pub struct Progress {
    what: String,
    done: u64,
    total: u64,
    in_place: bool,
    /// `done` and `total` count bytes: shown as a share, and on terminals alone.
    bytes: bool,
}

impl Progress {
    /// Begins a piece of work of `total` steps.
    pub fn new(what: &str, total: u64) -> Progress {
        let progress = Progress {
            what: what.to_owned(),
            done: 0,
            total,
            in_place: stderr().is_terminal(),
            bytes: false,
        };
        progress.draw();
        progress
    }

    /// Begins the reading of `total` bytes. Nothing is shown if standard error is not a terminal.
    pub fn for_bytes(what: &str, total: u64) -> Progress {
        let progress = Progress {
            what: what.to_owned(),
            done: 0,
            total,
            in_place: stderr().is_terminal(),
            bytes: true,
        };
        progress.draw();
        progress
    }

    /// The first `done` steps are done.
    pub fn reach(&mut self, done: u64) {
        let percent = |done: u64| done * 100 / self.total.max(1);
        let moved = percent(done) != percent(self.done);
        self.done = done;
        if moved {
            self.draw();
        }
    }

    /// One more step is done.
    pub fn step(&mut self) {
        self.done += 1;
        self.draw();
    }

    /// Ends the bar's line, so that what follows begins on its own.
    pub fn finish(self) {
        if self.in_place {
            eprintln!();
        }
    }

    fn draw(&self) {
        let Progress {
            what, done, total, ..
        } = self;
        if self.in_place {
            let filled = done * WIDTH / (*total).max(1);
            let bar: String = (0..WIDTH)
                .map(|at| if at < filled { '█' } else { '░' })
                .collect();
            if self.bytes {
                eprint!("\r{what} {bar} {:3} %", done * 100 / (*total).max(1));
            } else {
                eprint!("\r{what} {bar} {done}/{total}");
            }
            let _ = stderr().flush();
        } else if self.bytes {
            // A line at every tenth would only be noise in a log.
        } else if done * 10 / (*total).max(1) != done.saturating_sub(1) * 10 / (*total).max(1) {
            eprintln!("{what} {done}/{total}");
        }
    }
}
