//! Replays receipts under another policy: what the traffic that they are of would have cost, how fast and how good it would have
//! been, and which decisions change.
//!
//! The filter's own router decides, on what a receipt keeps of the request. What it does not keep is counted and named, not
//! guessed. Receipts come one by one and go into sums: memory does not grow with the log. docs/learning.md describes it.

mod changes;
mod figures;
pub mod html;
pub mod json;
mod mixture;
mod report;
mod side;
mod tables;
#[cfg(test)]
mod tests;
pub mod text;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use pointsman::analysis::classifier::{FINGERPRINT, Task};
use pointsman::fleet::{Estimate, ModelId};
use pointsman::policy::Policy;
use pointsman::routing::decision::Outcome;
use pointsman::state::receipt::{Receipt, name_key};

use changes::{ChangeKind, Changes, Example};
use figures::{Figures, Pair, Tenants, Timeline};
use report::unknown_of;
pub use report::{PolicyName, Report, Unknown};
use side::{Placement, Side, Tenant, is_able};

/// The most receipts between two copies of one for it to be recognised as a copy.
const REMEMBERED: usize = 1 << 17;
/// The most policies that receipts are counted by.
const MAX_POLICIES: usize = 64;
/// The most models and backends that only receipts name.
const MAX_STRANGERS: usize = 1000;

/// Counts of receipts, by what was done with them.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Lines without a receipt, and lines and receipts that cannot be read.
    pub lines: Lines,
    /// Receipts that were replayed.
    pub replayed: u64,
    /// Copies of receipts that were replayed.
    pub repeated: u64,
    /// Receipts of another version of the classifier, which are left out: their numbers mean something else.
    pub other_classifier: u64,
    /// Receipts that are answered on both sides. The figures are of these.
    pub compared: u64,
    /// Receipts that only the side before answers, because the new policy refuses the request or passes it by.
    pub not_answered: u64,
    /// Receipts that the old policy refuses or passes by.
    pub not_answered_before: u64,
    /// Receipts of a backend that the policy lacks which prices the answers.
    pub unknown_backend: u64,
}

/// Counts of lines of logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lines {
    /// All lines.
    pub all: u64,
    /// Lines without a receipt.
    pub without: u64,
    /// Lines and receipts that cannot be read.
    pub unreadable: u64,
}

/// How often a replay of the policy that decided comes to the backend that answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Agreement {
    /// Receipts of the policy.
    pub count: u64,
    /// Those that were answered by the backend of the replay.
    pub same: u64,
    /// The others: exploration chose,
    pub explored: u64,
    /// a fallback answered,
    pub fell_back: u64,
    /// or the request went on with a conversation.
    pub went_on: u64,
}

/// Figures of one model or backend.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    /// The answers that it gives before.
    pub before: Figures,
    /// The answers that it gives afterwards.
    pub after: Figures,
    /// All compared receipts, as if it answered each; of a model, by its cheapest backend. Only of the new policy's.
    pub alone: Figures,
    /// How many of these it cannot take, for its API, capabilities or context window.
    pub cannot: u64,
}

/// A replay under way.
pub struct Replay<'p> {
    new: Side<'p>,
    old: Option<Side<'p>>,
    names: Names,
    seen: Seen,
    report: Sums,
}

/// The sums of a replay.
#[derive(Debug, Default)]
struct Sums {
    counts: Counts,
    times: Option<(u32, u32)>,
    policies: BTreeMap<u32, u64>,
    agreement: Agreement,
    total: Pair,
    answered: Figures,
    tasks: BTreeMap<usize, Pair>,
    tenants: Tenants,
    models: BTreeMap<String, Shares>,
    backends: BTreeMap<String, Shares>,
    timeline: Timeline,
    changes: Changes,
    changed: u64,
}

/// Names by their keys.
#[derive(Debug, Default)]
struct Names {
    models: HashMap<u32, String>,
    tenants: HashMap<u32, String>,
}

impl Names {
    fn new(policies: &[&Policy]) -> Names {
        let mut names = Names::default();
        let keyed = |name: &String| (name_key(name), name.clone());
        for policy in policies {
            let models = policy.registry.models.iter().map(|model| &model.name);
            names.models.extend(models.map(keyed));
            let tenants = policy.traffic.named_tenants.iter();
            names.tenants.extend(tenants.map(keyed));
        }
        names
    }

    fn tenant(&self, key: Option<u32>) -> Tenant<'_> {
        let Some(key) = key else {
            return Tenant::None;
        };
        match self.tenants.get(&key) {
            Some(name) => Tenant::Named(name),
            None => Tenant::Unnamed(key),
        }
    }
}

/// The numbers of the last receipts.
#[derive(Debug, Default)]
struct Seen {
    numbers: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Seen {
    /// Whether a number is new; it is remembered.
    fn is_new(&mut self, number: u64) -> bool {
        if !self.numbers.insert(number) {
            return false;
        }
        self.order.push_back(number);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.numbers.remove(&oldest);
        }
        true
    }
}

/// Who answers on one side, and at what price.
struct Answer {
    backend: String,
    model: String,
    estimate: Option<Estimate>,
}

impl<'p> Replay<'p> {
    /// A replay under `new`. It is compared with the decisions of `old`, or without one with the backends that answered.
    pub fn new(new: &'p Policy, old: Option<&'p Policy>) -> Replay<'p> {
        let both: Vec<&Policy> = [new].into_iter().chain(old).collect();
        Replay {
            new: Side::new(new),
            old: old.map(Side::new),
            names: Names::new(&both),
            seen: Seen::default(),
            report: Sums::default(),
        }
    }

    /// Adds the counts of lines that were read.
    pub fn add_lines(&mut self, lines: Lines) {
        let own = &mut self.report.counts.lines;
        own.all += lines.all;
        own.without += lines.without;
        own.unreadable += lines.unreadable;
    }

    /// Replays a receipt.
    pub fn add(&mut self, receipt: &Receipt) {
        let report = &mut self.report;
        if receipt.classifier != FINGERPRINT {
            report.counts.other_classifier += 1;
            return;
        }
        if !self.seen.is_new(receipt.nonce) {
            report.counts.repeated += 1;
            return;
        }
        report.counts.replayed += 1;
        let time = receipt.time_s;
        let (first, last) = report.times.unwrap_or((time, time));
        report.times = Some((first.min(time), last.max(time)));
        if report.policies.len() < MAX_POLICIES || report.policies.contains_key(&receipt.policy) {
            *report.policies.entry(receipt.policy).or_default() += 1;
        }
        let tenant = self.names.tenant(receipt.tenant);
        let pinned = self.names.models.get(&receipt.model).map(String::as_str);
        let imposed = self.new.imposes(receipt, tenant)
            || self
                .old
                .as_ref()
                .is_some_and(|old| old.imposes(receipt, tenant));
        let new = self.new.place(receipt, tenant, pinned, imposed);
        let old = self
            .old
            .as_mut()
            .map(|old| old.place(receipt, tenant, pinned, imposed));
        let answered_by = answer_of_receipt(
            receipt,
            &self.names,
            self.old.as_ref().unwrap_or(&self.new),
            old.as_ref().unwrap_or(&new),
        );
        let before = match (&self.old, &old) {
            (Some(side), Some(placement)) => answer_of(side, placement),
            _ => Some(answered_by),
        };
        if let (Some(side), Some(placement)) = (&self.old, &old) {
            let actual = side.find_backend(receipt.backend);
            let estimate = actual.and_then(|id| placement.estimate(id));
            if let Some(estimate) = estimate {
                self.report.answered.add(estimate);
            }
        }
        self.agree(receipt, old.as_ref(), &new);
        self.compare(receipt, before.as_ref(), &new, old.as_ref());
    }

    /// Counts whether the policy that decided decides again as it did.
    fn agree(&mut self, receipt: &Receipt, old: Option<&Placement>, new: &Placement) {
        let sides = [(self.old.as_ref(), old), (Some(&self.new), Some(new))];
        let decided = sides.into_iter().find_map(|(side, placement)| {
            let side = side.filter(|side| side.policy.fingerprint32() == receipt.policy)?;
            Some((side, placement?))
        });
        let Some((side, placement)) = decided else {
            return;
        };
        let agreement = &mut self.report.agreement;
        agreement.count += 1;
        let actual = side.find_backend(receipt.backend);
        let replayed = placement.decision().map(|decision| decision.backend);
        if replayed.is_some() && replayed == actual {
            agreement.same += 1;
        } else if receipt.flags.is_explored {
            agreement.explored += 1;
        } else if receipt.flags.is_fallback {
            agreement.fell_back += 1;
        } else if !receipt.flags.begins {
            agreement.went_on += 1;
        }
    }

    /// Adds a receipt to the figures of both sides.
    fn compare(
        &mut self,
        receipt: &Receipt,
        before: Option<&Answer>,
        new: &Placement,
        old: Option<&Placement>,
    ) {
        let after = answer_of(&self.new, new);
        let changed = match (before, &after) {
            (Some(before), Some(after)) => before.backend != after.backend,
            (None, None) => false,
            _ => true,
        };
        if changed {
            self.change(receipt, before, after.as_ref(), new, old);
        }
        let counts = &mut self.report.counts;
        let estimate = |answer: &Answer| answer.estimate;
        match (before, after.as_ref()) {
            (None, _) => counts.not_answered_before += 1,
            (Some(_), None) => counts.not_answered += 1,
            (Some(before), Some(after)) => match (estimate(before), estimate(after)) {
                (Some(own), Some(other)) => {
                    counts.compared += 1;
                    self.add_pair(receipt, (before, &own), (after, &other), new);
                }
                _ => counts.unknown_backend += 1,
            },
        }
    }

    fn add_pair(
        &mut self,
        receipt: &Receipt,
        (before, own): (&Answer, &Estimate),
        (after, other): (&Answer, &Estimate),
        new: &Placement,
    ) {
        let report = &mut self.report;
        let changed = before.backend != after.backend;
        report.total.add(own, other, changed);
        let task = report
            .tasks
            .entry(receipt.classification.task as usize)
            .or_default();
        task.add(own, other, changed);
        let tenant = report.tenants.of(receipt.tenant.unwrap_or(0));
        tenant.add(own, other, changed);
        report
            .timeline
            .add(receipt.time_s, own.cost_usd, other.cost_usd);
        shares_of(&mut report.models, &before.model).before.add(own);
        shares_of(&mut report.models, &after.model).after.add(other);
        shares_of(&mut report.backends, &before.backend)
            .before
            .add(own);
        shares_of(&mut report.backends, &after.backend)
            .after
            .add(other);
        let registry = &self.new.policy.registry;
        for candidate in &new.candidates {
            let name = self.new.backend_name(candidate.backend);
            let shares = shares_of(&mut report.backends, name);
            shares.alone.add(&candidate.estimate);
            shares.cannot += u64::from(!is_able(candidate));
        }
        for (place, model) in registry.models.iter().enumerate() {
            let id = ModelId(place as u32);
            let own = new.candidates.iter().filter(|other| other.model == id);
            let cheapest = own.min_by(|left, right| {
                let able = is_able(right).cmp(&is_able(left));
                able.then(left.estimate.cost_usd.total_cmp(&right.estimate.cost_usd))
            });
            if let Some(cheapest) = cheapest {
                let shares = shares_of(&mut report.models, &model.name);
                shares.alone.add(&cheapest.estimate);
                shares.cannot += u64::from(!is_able(cheapest));
            }
        }
    }

    /// Adds a decision that changes.
    fn change(
        &mut self,
        receipt: &Receipt,
        before: Option<&Answer>,
        after: Option<&Answer>,
        new: &Placement,
        old: Option<&Placement>,
    ) {
        self.report.changed += 1;
        let refused = |placement: Option<&Placement>| match placement.map(|own| &own.outcome) {
            Some(Outcome::Rejected(_)) => "refused".to_owned(),
            _ => "passed by".to_owned(),
        };
        let (code, why) = match before {
            None => {
                let (code, why) = old.map_or(("", String::new()), |old| old.why_not(None));
                (code, format!("before: {why}"))
            }
            Some(_) if old.is_none() && receipt.flags.is_explored => {
                ("explored", "the answer was one of exploration".to_owned())
            }
            Some(_) if old.is_none() && receipt.flags.is_fallback => {
                let why = "the answer was one of a fallback, because the chosen backend failed";
                ("fallback", why.to_owned())
            }
            Some(before) => {
                let mut backends = self.new.policy.registry.backends.iter();
                let found = backends.position(|backend| backend.name == before.backend);
                new.why_not(found.map(|place| pointsman::fleet::BackendId(place as u32)))
            }
        };
        let kind = ChangeKind {
            from: before.map_or_else(|| refused(old), |answer| answer.backend.clone()),
            to: after.map_or_else(|| refused(Some(new)), |answer| answer.backend.clone()),
            why: code,
        };
        let estimates = [before, after].map(|answer| answer.and_then(|own| own.estimate));
        let tenant = self.names.tenant(receipt.tenant);
        let classification = &receipt.classification;
        let example = || Example {
            nonce: receipt.nonce,
            time_s: receipt.time_s,
            tenant: tenant.shown(),
            task: classification.task,
            difficulty: classification.difficulty,
            input_tokens: receipt.request.input_tokens,
            output_tokens: classification.output_tokens,
            why,
            quality: estimates.map(|own| Some(f64::from(own?.quality?))),
            cost_usd: estimates.map(|own| Some(own?.cost_usd)),
            latency_p50_ms: estimates.map(|own| Some(f64::from(own?.latency_p50_ms))),
        };
        self.report.changes.add(kind, example, receipt.nonce);
    }

    /// Ends the replay.
    pub fn finish(self) -> Report {
        let Sums {
            counts,
            times,
            policies,
            agreement,
            total,
            answered,
            tasks,
            tenants,
            models,
            backends,
            timeline,
            changes,
            changed,
        } = self.report;
        let task = |place: usize| Task::ALL.get(place).map_or("?", |task| task.name());
        let shown = |key: &u32| {
            let tenant = self.names.tenant((*key != 0).then_some(*key));
            tenant.shown().unwrap_or_else(|| "none".into())
        };
        let mut by_tenant: Vec<(String, Pair)> = tenants
            .known
            .iter()
            .map(|(key, pair)| (shown(key), pair.clone()))
            .collect();
        by_tenant.sort_by(|(_, left), (_, right)| {
            right.before.cost_usd.total_cmp(&left.before.cost_usd)
        });
        if tenants.others.before.count > 0 {
            by_tenant.push(("all others".into(), tenants.others));
        }
        let mut by_task: Vec<(String, Pair)> = tasks
            .into_iter()
            .map(|(place, pair)| (task(place).to_owned(), pair))
            .collect();
        by_task.sort_by_key(|(_, pair)| std::cmp::Reverse(pair.before.count));
        let old = self.old.as_ref();
        let unknown = unknown_of("new", &self.new)
            .chain(old.into_iter().flat_map(|side| unknown_of("old", side)));
        Report {
            unknown: unknown.collect(),
            new: PolicyName::new(self.new.policy),
            old: old.map(|side| PolicyName::new(side.policy)),
            counts,
            times,
            policies: policies.into_iter().collect(),
            agreement,
            total,
            answered: old.map(|_| answered),
            tasks: by_task,
            tenants: by_tenant,
            models: models.into_iter().collect(),
            backends: backends.into_iter().collect(),
            timeline,
            changes,
            changed,
        }
    }
}

/// The figures of a model or backend; those of the last name if there are too many.
fn shares_of<'s>(all: &'s mut BTreeMap<String, Shares>, name: &str) -> &'s mut Shares {
    if !all.contains_key(name) {
        let name = match all.len() < MAX_STRANGERS {
            true => name,
            false => "all others",
        };
        return all.entry(name.to_owned()).or_default();
    }
    all.entry(name.to_owned()).or_default()
}

/// The answer that a policy's decision leads to; `None` if the request is refused or passed by.
fn answer_of(side: &Side<'_>, placement: &Placement) -> Option<Answer> {
    let decision = placement.decision()?;
    let model = side.policy.registry.model(decision.model);
    Some(Answer {
        backend: side.backend_name(decision.backend).to_owned(),
        model: model.map_or_else(String::new, |model| model.name.clone()),
        estimate: Some(decision.estimate),
    })
}

/// The answer that was given, as far as a policy knows its backend.
fn answer_of_receipt(
    receipt: &Receipt,
    names: &Names,
    side: &Side<'_>,
    placement: &Placement,
) -> Answer {
    let id = side.find_backend(receipt.backend);
    let model = names.models.get(&receipt.model);
    Answer {
        backend: id.map_or_else(
            || format!("key {:08x}", receipt.backend),
            |id| side.backend_name(id).to_owned(),
        ),
        model: model
            .cloned()
            .unwrap_or_else(|| format!("key {:08x}", receipt.model)),
        estimate: id.and_then(|id| placement.estimate(id)).copied(),
    }
}
