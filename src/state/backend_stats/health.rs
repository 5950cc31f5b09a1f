//! Whether a backend answers: what makes it down and up again, and how often one that was passed over is tried.

use super::PROBE_EVERY;
use crate::state::codec::{Reader, Writer};

/// Failures in a row after which a backend counts as down.
pub const DOWN_AFTER: u8 = 3;
/// Answers in a row after which one that was down counts as up.
const UP_AFTER: u8 = 2;
/// The longest time between two tries, in seconds, unless there are too few decisions.
const MOST_SPACING_S: u32 = 30;
/// However few decisions there are, it is tried again after so many seconds.
const LONGEST_WAIT_S: u32 = 300;
/// The same of one that answers, though slowly: who meets that waits, and no more.
const MOST_SPACING_SLOW_S: u32 = 4;
/// How often the number of decisions between two tries doubles.
const MOST_DOUBLINGS: u8 = 2;
/// The same of one that answers.
const MOST_DOUBLINGS_SLOW: u8 = 1;
/// The fewest decisions between two tries of a backend that does well again.
const FEWEST_DECISIONS: u32 = 4;

/// How a backend does with requests of one kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Health {
    /// The share of attempts that fail, 0 to 1.
    pub(super) error_rate: f32,
    /// Failures in a row.
    pub(super) failures: u8,
    answers: u8,
    /// Answers in a row that were as stated.
    well: u8,
    /// Tries since it was well.
    probes: u8,
    pub(super) down: bool,
    /// When it answered last, in seconds.
    pub(super) answered_s: u32,
    /// Before this second it is not tried.
    probe_s: u32,
}

/// Bytes of one in the shared record.
pub(super) const HEALTH_BYTES: usize = 4 + 5 + 2 * 4;

impl Health {
    pub(super) fn failed(&mut self, now_s: u32) {
        self.error_rate += (1.0 - self.error_rate) / 16.0;
        self.failures = self.failures.saturating_add(1);
        self.answers = 0;
        self.well = 0;
        if self.failures >= DOWN_AFTER || self.error_rate > 0.5 {
            self.fall(now_s);
        }
    }

    /// Nothing was heard of it for too long.
    pub(super) fn silent(&mut self, now_s: u32) {
        self.failures = self.failures.max(DOWN_AFTER);
        self.answers = 0;
        self.well = 0;
        self.fall(now_s);
    }

    fn fall(&mut self, now_s: u32) {
        if !self.down {
            self.down = true;
            self.probes = 0;
            self.probe_s = self.probe_s.max(now_s.saturating_add(1));
        }
    }

    /// It answered: as stated, or slower, or so that nobody can tell.
    pub(super) fn answered(&mut self, now_s: u32, as_stated: Option<bool>) {
        // Of one that was down an answer is all that is wanted.
        let well = if self.down { Some(true) } else { as_stated };
        self.error_rate -= self.error_rate / 16.0;
        self.failures = 0;
        self.answers = self.answers.saturating_add(1);
        self.answered_s = self.answered_s.max(now_s);
        if self.down && self.answers >= UP_AFTER {
            self.down = false;
            self.error_rate = self.error_rate.min(0.25);
        }
        match well {
            Some(true) => {
                self.well = self.well.saturating_add(1);
                self.probes = 0;
                self.probe_s = self.probe_s.min(now_s);
            }
            Some(false) => self.late(now_s),
            None => {}
        }
    }

    /// It is slower than stated.
    fn late(&mut self, now_s: u32) {
        self.well = 0;
        self.probe_s = self.probe_s.max(now_s);
    }

    /// A request tries whether it is well again. Workers that try at the same time have tried once.
    pub(super) fn probed(&mut self, now_s: u32) {
        if now_s >= self.probe_s {
            self.probes = self.probes.saturating_add(1);
            let spacing = 1_u32.checked_shl(self.probes.into()).unwrap_or(u32::MAX);
            let most = match self.down {
                true => MOST_SPACING_S,
                false => MOST_SPACING_SLOW_S,
            };
            self.probe_s = now_s.saturating_add(spacing.min(most));
        }
    }

    /// Whether it is to be tried again, after so many decisions that passed it over: the longer the fault lasts the more seldom,
    /// because each time somebody meets it; and often once it does well.
    pub(super) fn is_due(&self, decisions: u32, now_s: u32) -> bool {
        let doublings = match self.down {
            true => MOST_DOUBLINGS,
            false => MOST_DOUBLINGS_SLOW,
        };
        let wanted = match self.well {
            0 => PROBE_EVERY << self.probes.min(doublings),
            well => (PROBE_EVERY >> well.min(5)).max(FEWEST_DECISIONS),
        };
        let since = now_s.checked_sub(self.probe_s);
        since.is_some_and(|since| decisions >= wanted || since >= LONGEST_WAIT_S)
    }

    /// Whether others have tried it since `before`.
    pub(super) const fn was_probed_since(&self, before: &Health) -> bool {
        self.probe_s > before.probe_s
    }

    pub(super) fn write(&self, record: &mut Writer) {
        record.f32(self.error_rate);
        for number in [self.failures, self.answers, self.well, self.probes] {
            record.u8(number);
        }
        record.u8(u8::from(self.down));
        record.u32(self.answered_s);
        record.u32(self.probe_s);
    }

    /// Reads what [`Health::write`] wrote; `None` if a number is impossible.
    pub(super) fn read(entry: &mut Reader<'_>) -> Option<Health> {
        Some(Health {
            error_rate: entry.f32()?.clamp(0.0, 1.0),
            failures: entry.u8()?,
            answers: entry.u8()?,
            well: entry.u8()?,
            probes: entry.u8()?,
            down: entry.u8()? != 0,
            answered_s: entry.u32()?,
            probe_s: entry.u32()?,
        })
    }
}
