//! Searches a body that is too long to be parsed as a whole for `model` and other short fields.
//!
//! Envoy holds the body; it is read piece by piece, and only [`TopLevelScanner`] keeps anything of a piece. Envoy has a limit of its
//! own for what it holds, and answers 413 beyond it; the policy's `max_scan_bytes` says how far to go.

use super::{Effect, Phase, Plan, Question, Stream};
use crate::api::request::top_level::TopLevelScanner;
use crate::policy::Policy;

/// Number of bytes that are read at a time.
pub(super) const PIECE: usize = 1 << 20;

/// A body that is being searched.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) plan: Plan,
    scanner: TopLevelScanner,
    /// Bytes held so far.
    pub(super) held: usize,
    /// The body is complete.
    ended: bool,
}

/// Whether a body longer than `max_body_bytes` is searched as far as Envoy holds it: if its model is not seen yet, or if a
/// second one further on could escape a rule or a budget. Otherwise it streams from here.
fn looks_further(policy: &Policy, scanner: &TopLevelScanner) -> bool {
    !scanner.names_model() || !policy.rules.is_empty() || !policy.traffic.budgets.is_empty()
}

impl Plan {
    /// Whether a body of the stated length can be held to its end. Envoy answers 413 to a held body that is longer than its
    /// limit, so that a body known to be too long is let go in time.
    fn can_hold(&self, held: usize) -> bool {
        let most = self.policy.max_scan_bytes as u64;
        (held as u64) < most && self.content_length.is_none_or(|length| length <= most)
    }
}

impl Stream {
    /// Searches the first part of an incomplete body. Gives the plan back, to be decided, if a further search is of no use.
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

    /// More of the body has come.
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

    /// A piece of the body was read. Gives the plan back if it could not be read.
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

    /// Reads the next held piece, waits for more, or goes back to the first part with the fields that were found.
    fn scan_on(&mut self, scan: Scan, effects: &mut Vec<Effect>) {
        let fed = scan.scanner.fed();
        let is_done = scan.scanner.is_done();
        if fed < scan.held && !is_done {
            let size = (scan.held - fed).min(PIECE);
            effects.push(Effect::Ask(Question::RequestBody { start: fed, size }));
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
            fields: Some(Box::new(scan.scanner.finish())),
        };
        effects.push(Effect::Ask(Question::RequestBody { start: 0, size }));
    }
}
