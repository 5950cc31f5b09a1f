//! Whether a backend answers: when it goes down and up again, and how often it is probed while decisions pass it over.

use super::PROBE_EVERY;
use crate::state::codec::{Reader, Writer};

/// A backend goes down after so many failures in a row.
pub const DOWN_AFTER: u8 = 3;
/// A backend comes up again after so many answers in a row.
const UP_AFTER: u8 = 2;
/// The longest time between two probes, in seconds, if there are enough decisions.
const MAX_SPACING_S: u32 = 30;
/// The longest time between two probes if there are few decisions, in seconds.
const MAX_WAIT_S: u32 = 300;
/// The longest time between two probes of a backend that answers slowly: a request that meets it waits, and no more.
const MAX_SPACING_SLOW_S: u32 = 4;
/// How often the number of decisions between two probes doubles.
const MAX_DOUBLINGS: u8 = 2;
/// How often it doubles for a backend that answers slowly.
const MAX_DOUBLINGS_SLOW: u8 = 1;
/// The fewest decisions between two probes of a backend that recovers.
const MIN_DECISIONS: u32 = 4;

/// The health of a backend for one kind of request.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Health {
    /// The share of attempts that fail, 0 to 1.
    pub(super) error_rate: f32,
    /// Failures in a row.
    pub(super) failures: u8,
    answers: u8,
    /// Answers in a row that were as fast as declared.
    well: u8,
    /// Probes since it was well.
    probes: u8,
    pub(super) down: bool,
    /// The second of the last answer.
    pub(super) answered_s: u32,
    /// No probe before this second.
    probe_s: u32,
}

/// Bytes of one in the shared record.
pub(super) const HEALTH_BYTES: usize = 4 + 5 + 2 * 4;

impl Health {
    pub(super) fn on_failure(&mut self, now_s: u32) {
        self.error_rate += (1.0 - self.error_rate) / 16.0;
        self.failures = self.failures.saturating_add(1);
        self.answers = 0;
        self.well = 0;
        if self.failures >= DOWN_AFTER || self.error_rate > 0.5 {
            self.go_down(now_s);
        }
    }

    /// Records that nothing was heard for too long.
    pub(super) fn on_silence(&mut self, now_s: u32) {
        self.failures = self.failures.max(DOWN_AFTER);
        self.answers = 0;
        self.well = 0;
        self.go_down(now_s);
    }

    fn go_down(&mut self, now_s: u32) {
        if !self.down {
            self.down = true;
            self.probes = 0;
            self.probe_s = self.probe_s.max(now_s.saturating_add(1));
        }
    }

    /// Records an answer. `as_declared` is whether it was as fast as declared, if that is known.
    pub(super) fn on_answer(&mut self, now_s: u32, as_declared: Option<bool>) {
        // Of a backend that was down, any answer is a good one.
        let well = if self.down { Some(true) } else { as_declared };
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
            Some(false) => {
                self.well = 0;
                self.probe_s = self.probe_s.max(now_s);
            }
            None => {}
        }
    }

    /// Records a probe. Probes of several workers at the same time count as one.
    pub(super) fn on_probe(&mut self, now_s: u32) {
        if now_s >= self.probe_s {
            self.probes = self.probes.saturating_add(1);
            let spacing = 1_u32.checked_shl(self.probes.into()).unwrap_or(u32::MAX);
            let most = match self.down {
                true => MAX_SPACING_S,
                false => MAX_SPACING_SLOW_S,
            };
            self.probe_s = now_s.saturating_add(spacing.min(most));
        }
    }

    /// Whether a probe is due after so many decisions that passed the backend over. Probes get rarer the longer the fault lasts,
    /// because each is a request that may meet it; they get frequent once the backend recovers.
    pub(super) fn is_due(&self, decisions: u32, now_s: u32) -> bool {
        let doublings = match self.down {
            true => MAX_DOUBLINGS,
            false => MAX_DOUBLINGS_SLOW,
        };
        let wanted = match self.well {
            0 => PROBE_EVERY << self.probes.min(doublings),
            well => (PROBE_EVERY >> well.min(5)).max(MIN_DECISIONS),
        };
        let since = now_s.checked_sub(self.probe_s);
        since.is_some_and(|since| decisions >= wanted || since >= MAX_WAIT_S)
    }

    /// Whether other workers have probed since `before`.
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

    /// Reads one that [`Health::write`] wrote; `None` if a number is impossible.
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
