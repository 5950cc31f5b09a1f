//! Log lines of the core and of the filter, written to the host's log.

use std::cell::RefCell;

use log::{Level, LevelFilter, Log, Metadata, Record};
use pointsman::decimal::decimal;
use pointsman::exchange::LogRateLimiter;

use crate::hostcalls;

struct HostLog;

static LOG: HostLog = HostLog;

/// Sends log lines to the host from now on, at the level that the host writes. A later change of that level takes effect with
/// the next configuration.
pub fn install() {
    // A second root context finds the logger already set, which is fine.
    let _ = log::set_logger(&LOG);
    log::set_max_level(match hostcalls::log_level() {
        Ok(0) => LevelFilter::Trace,
        Ok(1) => LevelFilter::Debug,
        Ok(3) => LevelFilter::Warn,
        Ok(4) => LevelFilter::Error,
        Ok(5..) => LevelFilter::Off,
        Ok(2) | Err(_) => LevelFilter::Info,
    });
}

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = record.level();
        match record.args().as_str() {
            Some(text) => hostcalls::log(level, text),
            None => hostcalls::log(level, &record.args().to_string()),
        }
    }

    fn flush(&self) {}
}

/// Writes a line for the operator.
pub fn line(level: Level, text: &str) {
    if level <= log::max_level() {
        hostcalls::log(level, text);
    }
}

thread_local! {
    /// A module has one thread, so this is the VM's.
    static FAULTS: RefCell<LogRateLimiter> = const { RefCell::new(LogRateLimiter::new()) };
}

/// Logs a fault that any request may meet: at most one line a second, with the number of lines left out. The metrics count all.
pub fn fault(text: &str) {
    let now_ns = hostcalls::now_ns().unwrap_or_default();
    let left_out = FAULTS.with(|pace| pace.try_borrow_mut().ok()?.admit(now_ns));
    match left_out {
        None => {}
        Some(0) => line(Level::Warn, text),
        Some(count) => {
            let count = decimal(count);
            line(
                Level::Warn,
                &[text, " (left out before: ", &count, ")"].concat(),
            );
        }
    }
}
