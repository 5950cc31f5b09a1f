//! What a worker knows of the judge: whether it answers, which share of the requests it was asked about, and what it cost. And the
//! record of its answers, which all workers share.
//!
//! One [`JudgeState`] per worker; a share, a budget and a breaker that each worker keeps hold for all of them. Time is an argument.

mod grading;

use super::codec::{Layout, Reader};
use crate::api::judge::Grade;
use crate::policy::Policy;
use crate::policy::judge::JudgeCache;
use grading::Grading;

/// Failures in a row after which the judge is left alone.
const MAX_FAILURES: u32 = 5;
/// How long it is left alone before one question tries it again, in nanoseconds; doubled by each failure of such a question.
const PAUSE_NS: u64 = 5_000_000_000;
/// The longest pause, in nanoseconds.
const MAX_PAUSE_NS: u64 = 60_000_000_000;
/// A trial that nobody has reported of after so long is forgotten, in nanoseconds: its worker's stream has gone.
const TRIAL_NS: u64 = 30_000_000_000;
/// The counts of requests are halved at so many.
const MAX_COUNT: f64 = 1024.0;
/// The most policies that are followed; beyond it, the one used longest ago is forgotten.
const MAX_POLICIES: usize = 8;
/// The part of a new duration in the mean.
const DURATION_WEIGHT: f64 = 0.05;
/// The least part of a new request in the mean of costs.
const COST_WEIGHT: f64 = 1.0 / 512.0;
/// The step of the threshold in logits of its share, at first and in the long run.
const STEPS: [f64; 2] = [1.0, 0.1];

/// The threshold falls no lower: the natural logarithm of a billionth of a USD.
const LEAST_LOG_GAIN: f64 = -20.7;

/// Why the judge is not asked about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAsked {
    /// The client named the model.
    Pinned,
    /// Only one model can take the request.
    OneCandidate,
    /// The request carries results of tools: the model is in the middle of its work.
    ToolLoop,
    /// There is no text of a user to ask about, or its tokens are only counted.
    NoPrompt,
    /// The body is longer than the part that is read, so it cannot be held.
    LongBody,
    /// Rules or the profile demand tags that the judge does not have, or a rule restricts sensitive text without tags.
    Sensitive,
    /// The evidence says that the judge is noise.
    Noise,
    /// No likely grade changes the choice.
    Unchanged,
    /// Asking costs more than it is worth.
    GainTooSmall,
    /// Other requests are worth more, and the share is limited.
    Share,
    /// The hour's budget is spent.
    Budget,
    /// The judge has failed several times in a row.
    BreakerOpen,
}

impl NotAsked {
    /// All reasons.
    pub const ALL: [NotAsked; 12] = [
        NotAsked::Pinned,
        NotAsked::OneCandidate,
        NotAsked::ToolLoop,
        NotAsked::NoPrompt,
        NotAsked::LongBody,
        NotAsked::Sensitive,
        NotAsked::Noise,
        NotAsked::Unchanged,
        NotAsked::GainTooSmall,
        NotAsked::Share,
        NotAsked::Budget,
        NotAsked::BreakerOpen,
    ];

    /// The name that metrics and explanations use.
    pub const fn name(self) -> &'static str {
        match self {
            NotAsked::Pinned => "pinned",
            NotAsked::OneCandidate => "one_candidate",
            NotAsked::ToolLoop => "tool_loop",
            NotAsked::NoPrompt => "no_prompt",
            NotAsked::LongBody => "long_body",
            NotAsked::Sensitive => "sensitive",
            NotAsked::Noise => "noise",
            NotAsked::Unchanged => "unchanged",
            NotAsked::GainTooSmall => "gain_too_small",
            NotAsked::Share => "share",
            NotAsked::Budget => "budget",
            NotAsked::BreakerOpen => "breaker_open",
        }
    }
}

impl std::fmt::Display for NotAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NotAsked::Pinned => "the client named the model",
            NotAsked::OneCandidate => "only one model can take the request",
            NotAsked::ToolLoop => "the request carries results of tools",
            NotAsked::NoPrompt => "there is no prompt to ask about",
            NotAsked::LongBody => "the body is longer than the part that is read",
            NotAsked::Sensitive => "rules keep the prompt from the judge",
            NotAsked::Noise => "the evidence says that the judge is noise",
            NotAsked::Unchanged => "no likely grade changes the choice",
            NotAsked::GainTooSmall => "asking costs more than it is worth",
            NotAsked::Share => "other requests are worth more, and the share is limited",
            NotAsked::Budget => "the budget of the hour is spent",
            NotAsked::BreakerOpen => "the judge has failed several times in a row",
        })
    }
}

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answered {
    /// A grade came in time.
    Graded {
        /// How long it took, in milliseconds.
        ms: f64,
    },
    /// No grade came, or none that can be read.
    Failed,
    /// Nobody waits for it any more, so it says nothing of the judge.
    Abandoned,
}

/// What one worker knows of the judges of its policies.
#[derive(Debug, Default)]
pub struct JudgeState {
    /// The judge of the policy that was used last.
    present: Tracked,
    /// Those of other policies, the latest first.
    others: Vec<Tracked>,
}

impl JudgeState {
    /// What is known of the judge of `policy`, brought to the front.
    fn tracked(&mut self, policy: &Policy) -> &mut Tracked {
        let fingerprint = policy.traffic.fingerprint;
        if self.present.policy != fingerprint {
            let place = self.others.iter().position(|one| one.policy == fingerprint);
            let found = place.map_or_else(
                || Tracked::new(fingerprint),
                |place| self.others.remove(place),
            );
            let before = std::mem::replace(&mut self.present, found);
            self.others.insert(0, before);
            self.others.truncate(MAX_POLICIES - 1);
        }
        &mut self.present
    }

    /// What is known of the judge of `policy`, if anything is.
    fn find(&self, policy: &Policy) -> Option<&Tracked> {
        let fingerprint = policy.traffic.fingerprint;
        let mut all = std::iter::once(&self.present).chain(&self.others);
        all.find(|one| one.policy == fingerprint)
    }

    /// How long the judge of `policy` takes to answer, in milliseconds; half its deadline before the first answer.
    pub fn expected_ms(&self, policy: &Policy) -> f64 {
        let deadline = policy.judge.as_ref().map_or(0, |judge| judge.deadline_ms);
        self.find(policy)
            .and_then(|tracked| tracked.mean_ms)
            .unwrap_or(f64::from(deadline) / 2.0)
    }

    /// The scale of what this worker's requests cost under `policy`, in USD: the mean of [`JudgeState::count_cost`]. `None` before the
    /// first.
    pub fn cost_scale(&self, policy: &Policy) -> Option<f64> {
        self.find(policy)?.costs.mean
    }

    /// Counts the scale of what a request costs, in USD.
    pub fn count_cost(&mut self, policy: &Policy, scale_usd: f64) {
        if policy.judge.is_some() && scale_usd.is_finite() {
            self.tracked(policy).costs.count(scale_usd);
        }
    }

    /// Counts a decided request for which no grade is wanted: none is worth its price, or it is known already.
    pub fn pass_by(&mut self, policy: &Policy) {
        if let Some(judge) = &policy.judge {
            self.tracked(policy).share.count(0.0, judge.max_share);
        }
    }

    /// Whether the judge may be asked now, given what a grade is worth and what the question costs. Counts the request either
    /// way. If it may, the question counts for the share and the budget; its end has to be reported to [`JudgeState::finish`].
    ///
    /// # Errors
    /// The reason if it may not.
    pub fn admit(
        &mut self,
        policy: &Policy,
        gain_usd: f64,
        cost_usd: f64,
        now_ns: u64,
    ) -> Result<(), NotAsked> {
        let Some(judge) = &policy.judge else {
            return Err(NotAsked::Noise);
        };
        let tracked = self.tracked(policy);
        let within = tracked.share.check(gain_usd, judge.max_share);
        tracked.share.count(gain_usd, judge.max_share);
        within?;
        tracked
            .spending
            .check(judge.max_usd_per_hour, cost_usd, now_ns)?;
        tracked.breaker.check(now_ns)?;
        tracked.share.asked += 1.0;
        tracked.spending.add(cost_usd, now_ns);
        Ok(())
    }

    /// A question has ended. `difference_usd` is its true cost less the one that it was admitted with.
    pub fn finish(
        &mut self,
        policy: &Policy,
        answered: Answered,
        difference_usd: f64,
        now_ns: u64,
    ) {
        let tracked = self.tracked(policy);
        if difference_usd.is_finite() {
            tracked.spending.add(difference_usd, now_ns);
        }
        tracked.breaker.finish(answered, now_ns);
        if let Answered::Graded { ms } = answered {
            let ms = ms.max(0.0);
            let mean = tracked.mean_ms.unwrap_or(ms);
            tracked.mean_ms = Some(mean + DURATION_WEIGHT * (ms - mean));
        }
    }

    /// Whether the judge of `policy` is left alone because it failed.
    pub fn is_open(&self, policy: &Policy, now_ns: u64) -> bool {
        let tracked = self.find(policy);
        tracked.is_some_and(|tracked| now_ns < tracked.breaker.open_until)
    }

    /// The cost of the judge of `policy` in the present hour, in USD.
    pub fn spent_usd(&mut self, policy: &Policy, now_ns: u64) -> f64 {
        self.tracked(policy).spending.present(now_ns)
    }
}

/// What is known of the judge of one policy.
#[derive(Debug, Default)]
struct Tracked {
    policy: u64,
    breaker: Breaker,
    share: AskedShare,
    spending: Spending,
    mean_ms: Option<f64>,
    costs: MeanCost,
    grading: Grading,
}

/// The mean of what requests cost; the latest hundreds count most.
#[derive(Debug, Default)]
struct MeanCost {
    mean: Option<f64>,
    counted: u32,
}

impl MeanCost {
    fn count(&mut self, usd: f64) {
        self.counted = self.counted.saturating_add(1);
        let weight = (1.0 / f64::from(self.counted)).max(COST_WEIGHT);
        let mean = self.mean.unwrap_or(usd);
        self.mean = Some(mean + weight * (usd - mean));
    }
}

impl Tracked {
    fn new(policy: u64) -> Tracked {
        Tracked {
            policy,
            ..Tracked::default()
        }
    }
}

/// Keeps questions from a judge that does not answer.
#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    open_until: u64,
    pause_ns: u64,
    /// When the one question was let through that tries the judge after a pause.
    trial_since: Option<u64>,
}

impl Breaker {
    fn check(&mut self, now_ns: u64) -> Result<(), NotAsked> {
        if self.failures < MAX_FAILURES {
            return Ok(());
        }
        let is_trying = self
            .trial_since
            .is_some_and(|since| now_ns < since.saturating_add(TRIAL_NS));
        if now_ns < self.open_until || is_trying {
            return Err(NotAsked::BreakerOpen);
        }
        self.trial_since = Some(now_ns);
        Ok(())
    }

    /// A question that was let through has ended.
    fn finish(&mut self, answered: Answered, now_ns: u64) {
        match answered {
            Answered::Graded { .. } => *self = Breaker::default(),
            Answered::Failed => self.on_failure(now_ns),
            Answered::Abandoned => self.trial_since = None,
        }
    }

    fn on_failure(&mut self, now_ns: u64) {
        self.failures = self.failures.saturating_add(1);
        if self.failures < MAX_FAILURES {
            return;
        }
        // Questions that were on their way when it opened do not prolong the pause.
        if self.failures == MAX_FAILURES || self.trial_since.take().is_some() {
            self.pause_ns = (self.pause_ns * 2).clamp(PAUSE_NS, MAX_PAUSE_NS);
            self.open_until = now_ns.saturating_add(self.pause_ns);
        }
    }
}

/// Which share of the requests is asked about, and from which gain on.
///
/// INVARIANT: of the last requests (512 to 1024 count, older ones less and less) at most the share and one more are asked about.
/// The threshold rises and falls so that about this share of the requests has a greater gain: the share goes to those that are
/// worth most.
#[derive(Debug, Default)]
struct AskedShare {
    total: f64,
    asked: f64,
    counted: u32,
    /// Natural logarithm of the gain from which on requests are asked about; `None` before the first request with a gain.
    log_threshold: Option<f64>,
}

impl AskedShare {
    fn count(&mut self, gain_usd: f64, most: f64) {
        self.total += 1.0;
        self.counted = self.counted.saturating_add(1);
        if self.total >= MAX_COUNT {
            self.total /= 2.0;
            self.asked /= 2.0;
        }
        let log_gain = (gain_usd > 0.0).then(|| gain_usd.ln());
        let Some(threshold) = self.log_threshold.or(log_gain) else {
            return;
        };
        let [first, last] = STEPS;
        let step = (first / f64::from(self.counted).sqrt()).max(last);
        let is_above = log_gain.is_some_and(|log_gain| log_gain >= threshold);
        // In balance, as often above as the share says: a step up is worth so many steps down.
        let moved = if is_above {
            step * (1.0 - most)
        } else {
            -step * most
        };
        self.log_threshold = Some((threshold + moved).max(LEAST_LOG_GAIN));
    }

    fn check(&self, gain_usd: f64, most: f64) -> Result<(), NotAsked> {
        let over = most < 1.0 && self.asked >= most * (self.total + 1.0);
        let below = self
            .log_threshold
            .is_some_and(|threshold| most < 1.0 && gain_usd.max(0.0).ln() < threshold);
        match over || below || most <= 0.0 {
            true => Err(NotAsked::Share),
            false => Ok(()),
        }
    }
}

/// What the judge cost in the present hour.
#[derive(Debug, Default)]
struct Spending {
    hour: u64,
    usd: f64,
}

impl Spending {
    fn present(&mut self, now_ns: u64) -> f64 {
        let hour = now_ns / 3_600_000_000_000;
        if self.hour != hour {
            *self = Spending { hour, usd: 0.0 };
        }
        self.usd
    }

    fn check(&mut self, most_usd: f64, cost_usd: f64, now_ns: u64) -> Result<(), NotAsked> {
        match self.present(now_ns) + cost_usd > most_usd {
            true => Err(NotAsked::Budget),
            false => Ok(()),
        }
    }

    fn add(&mut self, usd: f64, now_ns: u64) {
        self.usd = (self.present(now_ns) + usd).max(0.0);
    }
}

/// The number of records of answers.
pub const BUCKETS: u64 = 256;
/// The most answers of one record.
const MAX_ANSWERS: usize = 256;
/// An entry: the key of the prompt, when it ends in seconds since 1970, mean and spread of the grade.
const LAYOUT: Layout = Layout::new(0x61, 8 + 4 + 2 + 1, MAX_ANSWERS);

/// An answer of a record.
#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u64,
    ends_s: u32,
    mean: u16,
    spread: u8,
}

impl Entry {
    fn read(mut entry: Reader<'_>) -> Option<Entry> {
        Some(Entry {
            key: entry.u64()?,
            ends_s: entry.u32()?,
            mean: entry.u16()?,
            spread: entry.u8()?,
        })
    }
}

/// The bucket of the prompt `key`.
pub const fn bucket_of(key: u64) -> u64 {
    (key ^ (key >> 32)) % BUCKETS
}

/// The judge's answer about the prompt `key` in a bucket's record, if there is one that still counts. `now_s` is in seconds since
/// 1970.
pub fn find_answer(record: &[u8], key: u64, now_s: u64) -> Option<Grade> {
    let mut entries = LAYOUT.entries(record).filter_map(Entry::read);
    let found = entries.find(|entry| entry.key == key && u64::from(entry.ends_s) > now_s)?;
    Some(Grade {
        mean: f32::from(found.mean) / f32::from(u16::MAX),
        spread: f32::from(found.spread) / f32::from(u8::MAX),
    })
}

/// `record` with an answer as its newest entry. Entries that have ended, and the oldest beyond the bound, are dropped; `None` if no
/// answers are kept.
pub fn keep_answer(
    record: &[u8],
    key: u64,
    grade: Grade,
    now_s: u64,
    cache: JudgeCache,
) -> Option<Vec<u8>> {
    let most = (cache.entries as usize).div_ceil(BUCKETS as usize);
    if most == 0 {
        return None;
    }
    let steps = |value: f32, most: f32| (value.clamp(0.0, 1.0) * most).round();
    let newest = Entry {
        key,
        ends_s: u32::try_from(now_s.saturating_add(cache.ttl_s.into())).unwrap_or(u32::MAX),
        mean: steps(grade.mean, f32::from(u16::MAX)) as u16,
        spread: steps(grade.spread, f32::from(u8::MAX)) as u8,
    };
    let others = LAYOUT.entries(record).filter_map(Entry::read);
    let others = others.filter(|entry| entry.key != key && u64::from(entry.ends_s) > now_s);
    let kept: Vec<Entry> = std::iter::once(newest)
        .chain(others)
        .take(most.min(MAX_ANSWERS))
        .collect();
    let mut after = LAYOUT.writer(kept.len());
    for entry in kept {
        after.u64(entry.key);
        after.u32(entry.ends_s);
        after.u16(entry.mean);
        after.u8(entry.spread);
    }
    Some(after.finish())
}

/// A secret under which prompts are hashed, so that nobody can tell from outside which prompts were asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PromptSecret(pub [u64; 2]);

/// The key of a prompt: SipHash-2-4 of the turn and of what came before it, each as one text without upper case and with single
/// spaces.
pub fn prompt_key(secret: PromptSecret, turn: &str, before: &str) -> u64 {
    let mut hash = SipHash::new(secret);
    for text in [turn, before] {
        for (index, word) in text.split_whitespace().enumerate() {
            if index > 0 {
                hash.write(b' ');
            }
            for letter in word.chars().flat_map(char::to_lowercase) {
                let mut buffer = [0; 4];
                letter
                    .encode_utf8(&mut buffer)
                    .bytes()
                    .for_each(|byte| hash.write(byte));
            }
        }
        hash.write(0xff);
    }
    hash.finish()
}

/// SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed hash of short texts.
struct SipHash {
    state: [u64; 4],
    block: u64,
    length: u64,
}

impl SipHash {
    const fn new(PromptSecret([k0, k1]): PromptSecret) -> SipHash {
        SipHash {
            state: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            block: 0,
            length: 0,
        }
    }

    fn round(&mut self) {
        let [mut v0, mut v1, mut v2, mut v3] = self.state;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        self.state = [v0, v1, v2, v3];
    }

    fn absorb(&mut self, block: u64) {
        self.state[3] ^= block;
        self.round();
        self.round();
        self.state[0] ^= block;
    }

    fn write(&mut self, byte: u8) {
        self.block |= u64::from(byte) << (8 * (self.length % 8));
        self.length += 1;
        if self.length.is_multiple_of(8) {
            self.absorb(self.block);
            self.block = 0;
        }
    }

    fn finish(mut self) -> u64 {
        self.absorb(self.block | (self.length << 56));
        self.state[2] ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        let [v0, v1, v2, v3] = self.state;
        v0 ^ v1 ^ v2 ^ v3
    }
}

#[cfg(test)]
mod tests;
