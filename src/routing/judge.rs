//! What a grade of the judge is worth before it comes, and what it changes once it has.
//!
//! Pure functions of a decision. Whether the judge may be asked (share, budget, breaker) is for [`crate::state::judge`]; asking is
//! for `exchange`.

use crate::analysis::classifier::Classification;
use crate::analysis::prompt::Prompt;
use crate::api::judge::Grade;
use crate::fleet::{BackendId, Estimate};
use crate::policy::judge::Evidence;
use crate::policy::profiles::{QUALITY_SCALE, Weights};
pub use crate::state::judge::NotAsked;
use crate::state::judge::{PromptSecret, prompt_key};

/// Variance of the classifier's error in a prompt's difficulty, in squared logits: of everyday prompts, and of prompts like
/// measured exams. Measured on validation prompts: docs/judge.md.
const CLASSIFIER_VARIANCE: [f64; 2] = [1.24, 1.6];

/// Grades are kept this far from 0 and 1: a judge that is quite sure is still not a thousand times surer than one that is not.
const LEAST_GRADE: f64 = 0.02;

/// The most that a grade moves a prompt's difficulty, in logits.
const MOST_SHIFT: f64 = 4.0;

/// The variance of the error in a classification's difficulty, in squared logits.
pub fn classifier_variance(classification: &Classification) -> f64 {
    let [everyday, measured] = CLASSIFIER_VARIANCE;
    let share = f64::from(classification.measured).clamp(0.0, 1.0);
    everyday + share * (measured - everyday)
}

/// The log-odds of a grade, which evidence is linear in.
pub fn log_odds(grade: Grade) -> f64 {
    let mean = f64::from(grade.mean).clamp(LEAST_GRADE, 1.0 - LEAST_GRADE);
    (mean / (1.0 - mean)).ln()
}

impl Evidence {
    /// The ease (negative difficulty) of a prompt by its grade alone, in logits.
    pub fn ease(&self, grade: Grade) -> f64 {
        self.slope * log_odds(grade) + self.intercept
    }

    /// The weight of the judge against the classifier, 0 to 1: the precision of one over that of both.
    fn weight(&self, classifier: f64) -> f64 {
        match self.slope > 0.0 {
            true => classifier / (classifier + self.variance),
            false => 0.0,
        }
    }

    /// By how much a grade makes the prompt easier, in logits.
    pub fn ease_gained(&self, classification: &Classification, grade: Grade) -> f64 {
        let weight = self.weight(classifier_variance(classification));
        let gained = weight * (self.ease(grade) + f64::from(classification.difficulty));
        match gained.is_finite() {
            true => gained.clamp(-MOST_SHIFT, MOST_SHIFT),
            false => 0.0,
        }
    }

    /// The classification after the grade: its difficulty is the mean of both, weighted by their precision. Everything else stays.
    pub fn shift(&self, classification: &Classification, grade: Grade) -> Classification {
        made_easier(classification, self.ease_gained(classification, grade))
    }

    /// The standard deviation of the shift before the grade is known, in logits: of the mean of both, around the classifier's.
    pub fn expected_shift(&self, classification: &Classification) -> f64 {
        let classifier = classifier_variance(classification);
        (classifier * self.weight(classifier)).sqrt()
    }
}

/// The classification of a prompt that is easier by so many logits.
pub fn made_easier(classification: &Classification, logits: f64) -> Classification {
    Classification {
        difficulty: classification.difficulty - logits as f32,
        ..classification.clone()
    }
}

/// The middles of six equally probable parts of a normal distribution, in standard deviations: those above 0.
const NODES: [f64; 3] = [1.383, 0.674, 0.210];

/// The expected gain of asking: the mean, over what the judge may answer, of how much better the choice after the answer is than the
/// choice before it, both valued after the answer.
///
/// `deviation` is that of the shift ([`Evidence::expected_shift`]). `gain` gives the gain of choosing again for a prompt that is
/// easier by so many logits, in any unit, such as USD ([`ShadowPrices`]); less than 0 counts as 0. If neither an easy nor a hard
/// answer (each of one in twelve) changes anything, the others are not looked at, and the value is 0.
///
/// ```
/// use pointsman::routing::judge::value_of_asking;
///
/// // Another choice is better by the shift, if the prompt turns out to be easier than expected.
/// let value = value_of_asking(1.0, |easier| f64::max(easier, 0.0));
/// assert!((value - 0.38).abs() < 0.02);
/// assert_eq!(value_of_asking(1.0, |easier| f64::max(easier - 2.0, 0.0)), 0.0);
/// ```
pub fn value_of_asking(deviation: f64, mut gain: impl FnMut(f64) -> f64) -> f64 {
    let [outer, inner @ ..] = NODES;
    let mut both = |node: f64| gain(node * deviation).max(0.0) + gain(-node * deviation).max(0.0);
    let mut sum = both(outer);
    if sum > 0.0 {
        sum += inner.into_iter().map(&mut both).sum::<f64>();
    }
    let value = sum / (2 * NODES.len()) as f64;
    if value.is_finite() { value } else { 0.0 }
}

/// The least weight of cost by which a profile's goals are priced: a profile to which cost is nothing would pay any price.
const LEAST_COST_WEIGHT: f64 = 0.01;

/// What a profile pays for quality and for speed, in USD.
///
/// The profile's objective adds logarithms: it says what a request may cost relative to itself. That decides one request. Of many
/// requests the judge is asked about those few that gain most, so their gains have to be of one kind: an answer that turns out right
/// is worth as much on a short prompt as on a long one, and a USD is a USD. So the weights are turned into prices once, at the scale
/// of what requests cost ([`cost_scale`]), and costs count as they are.
///
/// ```
/// use pointsman::policy::profiles::Weights;
/// use pointsman::routing::judge::{Expected, ShadowPrices};
///
/// let weights = Weights { cost: 0.2, latency: 0.0, quality: 0.8 };
/// let prices = ShadowPrices::new(&weights, 0.0003);
/// let small = Expected { cost_usd: 0.0001, latency_ms: 900.0, quality: 0.7 };
/// let large = Expected { cost_usd: 0.001, latency_ms: 900.0, quality: 0.9 };
/// assert!(prices.gain_usd(&small, &large) > 0.0);
/// assert_eq!(prices.gain_usd(&small, &large), -prices.gain_usd(&large, &small));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShadowPrices {
    /// USD for ten times the probability of a correct answer.
    quality: f64,
    /// USD for a tenth of the latency.
    latency: f64,
}

impl ShadowPrices {
    /// The prices of a profile with these weights where requests cost about `scale_usd`.
    pub fn new(weights: &Weights, scale_usd: f64) -> ShadowPrices {
        let tenfold = std::f64::consts::LN_10 * scale_usd / weights.cost.max(LEAST_COST_WEIGHT);
        ShadowPrices {
            quality: tenfold * weights.quality * QUALITY_SCALE,
            latency: tenfold * weights.latency,
        }
    }

    /// By how much the choice `second` is better than `first`, in USD; negative if it is worse.
    pub fn gain_usd(&self, first: &Expected, second: &Expected) -> f64 {
        let quality = |own: &Expected| own.quality.max(LEAST_QUALITY).log10();
        let latency = |own: &Expected| own.latency_ms.max(1.0).log10();
        self.quality * (quality(second) - quality(first))
            + self.latency * (latency(first) - latency(second))
            + (first.cost_usd - second.cost_usd)
    }

    /// The price of a wait, for a request that takes `latency_ms` without it.
    pub fn wait_usd(&self, wait_ms: f64, latency_ms: f64) -> f64 {
        let latency = latency_ms.max(1.0);
        self.latency * ((latency + wait_ms.max(0.0)) / latency).log10()
    }
}

/// Probabilities of a correct answer below this count as it.
const LEAST_QUALITY: f64 = 1e-6;

/// What is expected of one choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// What the request costs.
    pub cost_usd: f64,
    /// Median time to the end of the answer.
    pub latency_ms: f64,
    /// The probability of a correct answer.
    pub quality: f64,
}

impl From<&Estimate> for Expected {
    /// Of unknown quality, 1 is expected, as the objective does.
    fn from(estimate: &Estimate) -> Expected {
        Expected {
            cost_usd: estimate.cost_usd,
            latency_ms: estimate.latency_p50_ms.into(),
            quality: estimate.quality.unwrap_or(1.0).into(),
        }
    }
}

/// The scale of what a request costs, of the costs of those that can take it: the mean price at which a logarithm of cost is
/// exchanged for USD between the cheapest and the dearest, their logarithmic mean. `None` if nothing can take it or it costs nothing.
///
/// ```
/// use pointsman::routing::judge::cost_scale;
///
/// let scale = cost_scale([0.001, 0.0001].into_iter()).unwrap();
/// assert!((scale - 0.0009 / 10_f64.ln()).abs() < 1e-9);
/// ```
pub fn cost_scale(costs_usd: impl Iterator<Item = f64>) -> Option<f64> {
    let (least, most) = costs_usd
        .filter(|cost| *cost > 0.0 && cost.is_finite())
        .fold((f64::INFINITY, 0.0_f64), |(least, most), cost| {
            (least.min(cost), most.max(cost))
        });
    let logarithm = (most / least).ln();
    match most > 0.0 {
        false => None,
        // Of nearly equal costs the quotient would be one of rounding errors.
        true if logarithm < 1e-6 => Some(most),
        true => Some((most - least) / logarithm),
    }
}

/// The circumstances of a decision that keep a request from the judge, whatever a grade is worth.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances {
    /// The client named the model.
    pub is_pinned: bool,
    /// The request carries results of tools.
    pub is_tool_loop: bool,
    /// There is a user's turn that was classified, and an answer is wanted.
    pub has_prompt: bool,
    /// More than one model can take the request.
    pub has_alternatives: bool,
    /// The judge has every tag that rules and profile demand, and no rule restricts the prompt as sensitive otherwise.
    pub may_see: bool,
}

/// Whether a request may be asked about at all.
///
/// # Errors
/// The first reason if it may not.
pub fn should_ask(circumstances: &Circumstances, evidence: &Evidence) -> Result<(), NotAsked> {
    let reasons = [
        (circumstances.is_pinned, NotAsked::Pinned),
        (!circumstances.has_prompt, NotAsked::NoPrompt),
        (circumstances.is_tool_loop, NotAsked::ToolLoop),
        (!circumstances.has_alternatives, NotAsked::OneCandidate),
        (!circumstances.may_see, NotAsked::Sensitive),
        (evidence.slope <= 0.0, NotAsked::Noise),
    ];
    match reasons.into_iter().find(|(holds, _)| *holds) {
        Some((_, reason)) => Err(reason),
        None => Ok(()),
    }
}

/// The most bytes of a turn, and of what came before it, that a question holds: twice, the start and the end.
const MOST_BYTES: usize = 8192;

/// A question to the judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The user's turn; of a long one the start and the end.
    pub turn: String,
    /// What came before it: the application's instructions, what was asked and answered.
    pub before: String,
    /// The key of the prompt, under which answers are kept.
    pub key: u64,
    /// What a grade is worth above its price and the wait, in USD; not negative.
    pub gain_usd: f64,
    /// What the question is expected to cost, in USD.
    pub cost_usd: f64,
}

/// The texts of a question: a turn, and what came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionText {
    /// The user's turn.
    pub turn: String,
    /// What came before it, the earliest first.
    pub before: String,
}

impl QuestionText {
    /// The texts about the user's turn `index` of a prompt; `None` if there is no such turn.
    pub fn new(prompt: &Prompt<'_>, index: usize) -> Option<QuestionText> {
        let turn = prompt.turns.get(index)?;
        let context = &turn.context;
        // The conversation's texts come newest first.
        let earlier = context.conversation.iter().rev();
        let before: Vec<&str> = context
            .instructions
            .iter()
            .chain(earlier)
            .map(|text| text.trim())
            .collect();
        Some(QuestionText {
            turn: bounded(turn.question().text.trim()),
            before: bounded(&before.join("\n")),
        })
    }

    /// The key under which answers are kept.
    pub fn key(&self, secret: PromptSecret) -> u64 {
        prompt_key(secret, &self.turn, &self.before)
    }
}

/// The start and the end of a text, if it is long.
fn bounded(text: &str) -> String {
    if text.len() <= 2 * MOST_BYTES {
        return text.to_owned();
    }
    let start = text.get(..text.floor_char_boundary(MOST_BYTES));
    let end = text.get(text.ceil_char_boundary(text.len() - MOST_BYTES)..);
    [start.unwrap_or_default(), end.unwrap_or_default()].concat()
}

/// What the judge has to do with a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Judging {
    /// A grade is worth its price: the judge may be asked, if share, budget and breaker allow it.
    Ask(Box<Question>),
    /// It is not asked.
    NotAsked(NotAsked),
    /// Its grade is known, and counts in the decision.
    Graded(Graded),
}

/// A grade that counted in a decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Graded {
    /// The grade.
    pub grade: Grade,
    /// Whether an earlier answer was used.
    pub is_kept: bool,
    /// The difficulty without the grade, in logits.
    pub difficulty_before: f32,
    /// The difficulty with it, in logits.
    pub difficulty_after: f32,
    /// The backend that is chosen without the grade.
    pub without: BackendId,
    /// The backend that is chosen with it.
    pub with: BackendId,
}

impl Graded {
    /// Whether the grade changes the choice.
    pub fn changes(&self) -> bool {
        self.without != self.with
    }
}

/// What is known of grades when a request is decided.
#[derive(Clone, Copy, Default)]
pub struct GradeSource<'a> {
    /// The judge's answer about the request's last turn.
    pub reply: Option<Grade>,
    /// Finds a kept answer by the key of its prompt.
    pub find: Option<&'a dyn Fn(u64) -> Option<Grade>>,
    /// The secret under which prompts are hashed.
    pub secret: PromptSecret,
}

impl GradeSource<'_> {
    /// Nothing is known.
    pub const NONE: GradeSource<'static> = GradeSource {
        reply: None,
        find: None,
        secret: PromptSecret([0; 2]),
    };

    /// The kept answer about the prompt `key`.
    pub fn kept(&self, key: u64) -> Option<Grade> {
        self.find.and_then(|find| find(key))
    }
}

impl std::fmt::Debug for GradeSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GradeSource")
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
