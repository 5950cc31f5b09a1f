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
}

impl Progress {
    /// Begins a piece of work of `total` steps.
    pub fn new(what: &str, total: u64) -> Progress {
        let progress = Progress {
            what: what.to_owned(),
            done: 0,
            total,
            in_place: stderr().is_terminal(),
        };
        progress.draw();
        progress
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
            eprint!("\r{what} {bar} {done}/{total}");
            let _ = stderr().flush();
        } else if done * 10 / (*total).max(1) != done.saturating_sub(1) * 10 / (*total).max(1) {
            eprintln!("{what} {done}/{total}");
        }
    }
}
