//! Looks for `model` behind the first part of a body that is too long to be read as a whole.
//!
//! Envoy holds the body; it is read here piece by piece, and nothing of a piece is kept but what [`TopLevelScanner`] keeps. How much
//! Envoy may hold is its own limit, beyond which it answers 413 itself: the policy's `max_scan_bytes` says how far to go.

use super::{Effect, Phase, Plan, Stream};
use crate::api::request::top_level::TopLevelScanner;
use crate::policy::Policy;

/// How many bytes are read at a time.
pub(super) const PIECE: usize = 1 << 20;

/// A body that is looked through.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) plan: Plan,
    scanner: TopLevelScanner,
    /// Bytes that are held by now.
    pub(super) held: usize,
    /// Nothing follows them.
    ended: bool,
}

/// Whether all of a body that is longer than `max_body_bytes` is looked through, as far as Envoy holds it: if its model is
/// not seen yet, and if a second one behind the first could escape a rule or a budget. Else it streams through from here.
fn looks_further(policy: &Policy, scanner: &TopLevelScanner) -> bool {
    !scanner.names_model() || !policy.rules.is_empty() || !policy.traffic.budgets.is_empty()
}

impl Plan {
    /// Whether a body of the stated length can be held to its end. Envoy answers 413 to what is longer than its limit while it
    /// is held, so what is known to be too long is let go in time.
    fn can_hold(&self, held: usize) -> bool {
        let most = self.policy.max_scan_bytes as u64;
        (held as u64) < most && self.content_length.is_none_or(|length| length <= most)
    }
}

impl Stream {
    /// Looks at the first part of a body whose end did not come. It is given back, to be decided on, if there is no use in
    /// looking further.
    pub(super) fn scan(
        &mut self,
        plan: Plan,
        (held, ended): (usize, bool),
        first: &[u8],
        effects: &mut Vec<Effect>,
    ) -> Option<Plan> {
        if !ended && !plan.can_hold(held) {
            return Some(plan);
        }
        let mut scanner = TopLevelScanner::default();
        scanner.feed(first);
        if !looks_further(&plan.policy, &scanner) {
            return Some(plan);
        }
        let scan = Scan {
            plan,
            scanner,
            held,
            ended,
        };
        self.scan_on(scan, effects);
        None
    }

    /// More of a body came that is looked through.
    pub(super) fn scan_more(
        &mut self,
        mut scan: Box<Scan>,
        held: usize,
        ended: bool,
        effects: &mut Vec<Effect>,
    ) {
        (scan.held, scan.ended) = (held, ended);
        self.scan_on(*scan, effects);
    }

    /// A piece of the body is here; `None` if it could not be read, which gives the plan back.
    pub(super) fn scan_piece(
        &mut self,
        mut scan: Box<Scan>,
        piece: Option<&[u8]>,
        effects: &mut Vec<Effect>,
    ) -> Option<Plan> {
        match piece {
            Some(piece) if !piece.is_empty() => scan.scanner.feed(piece),
            _ => return Some(scan.plan),
        }
        self.scan_on(*scan, effects);
        None
    }

    /// Reads the next piece that is held, waits for more, or goes back to the first part with what was found.
    fn scan_on(&mut self, scan: Scan, effects: &mut Vec<Effect>) {
        let fed = scan.scanner.fed();
        let is_done = scan.scanner.is_done();
        if fed < scan.held && !is_done {
            let size = (scan.held - fed).min(PIECE);
            effects.push(Effect::ReadBody { start: fed, size });
        } else if scan.ended || is_done || !scan.plan.can_hold(scan.held) {
            return self.scanned(scan, effects);
        } else {
            effects.push(Effect::Pause);
        }
        self.phase = Phase::Scanning(Box::new(scan));
    }

    fn scanned(&mut self, scan: Scan, effects: &mut Vec<Effect>) {
        let size = scan.held.min(scan.plan.policy.max_body_bytes);
        self.phase = Phase::Reading {
            plan: scan.plan,
            held: scan.held,
            ended: scan.ended,
            seen: Some(Box::new(scan.scanner.finish())),
        };
        effects.push(Effect::ReadBody { start: 0, size });
    }
}
