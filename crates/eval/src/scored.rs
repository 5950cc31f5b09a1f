//! Scores each row as the filter would: the classification of its prompt, how long that took and, if a policy is given, which
//! model every profile of it sends the prompt to. The classifier and the router are the core's own.

use std::collections::HashMap;
use std::time::Instant;

use pointsman::analysis::answer_length;
use pointsman::analysis::classifier::{self, Classification, Classifier};
use pointsman::analysis::prompt::Prompt;
use pointsman::api::Api;
use pointsman::api::judge::Grade;
use pointsman::api::request;
use pointsman::fleet::ModelId;
use pointsman::fleet::ability::published_scores::names::canonical;
use pointsman::policy::Policy;
use pointsman::policy::draw::{hash, mix};
use pointsman::policy::request_attributes::RequestAttributes;
use pointsman::routing::decision::Outcome as Decided;
use pointsman::routing::judge::{GradeSource, Judging};
use pointsman::routing::router::{Commit, RequestInfo, Router};
use serde_json::json;

use crate::grades::{NOISE, grade_of};
use crate::outcomes::{Outcome, Row};

/// A row without its text.
#[derive(Debug, Clone)]
pub struct ScoredPrompt {
    /// The file's label of the kind of task; empty if it has none.
    pub task: String,
    /// The file's label of the subject; empty if it has none.
    pub domain: String,
    /// The file's language, such as `en`; empty where it states none.
    pub lang: String,
    /// Whether the outcomes are ratings.
    pub is_rated: bool,
    /// The classification of the prompt.
    pub classification: Classification,
    /// Tokens of the prompt, as the filter estimates them.
    pub input_tokens: u32,
    /// Microseconds that tokens, features and model took.
    pub micros: f64,
    /// Outcomes of models, by name.
    pub outcomes: Vec<(String, Outcome)>,
    /// Which of two models was preferred.
    pub preference: Option<crate::outcomes::row::Preference>,
    /// For each profile of the policy the model that it chooses among those with an outcome; empty without a policy.
    pub routed: Vec<Option<ModelId>>,
    /// For each profile what it chooses with the policy's judge; empty without one.
    pub judged: Vec<JudgedChoice>,
    /// The judge's grade, if the row has one.
    pub recorded_grade: Option<Grade>,
    /// The mean log-odds of the ratings: the ease that a simulated judge sees; `None` if the row is not rated.
    pub rated_ease: Option<f64>,
    /// A number that stands for the prompt.
    pub prompt_hash: u64,
}

/// The choice of a profile with a judge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JudgedChoice {
    /// Whether the filter would ask the judge.
    pub asked: bool,
    /// For each draw of the judge's error the model that is chosen after its grade, whether or not it would be asked; empty if there
    /// is no grade.
    pub models: Vec<Option<ModelId>>,
}

impl ScoredPrompt {
    /// The judge's grade: as recorded, else simulated from the rating with so much noise, in logits, each draw with an error of its
    /// own. The second is `true` if it is simulated.
    pub fn grade(&self, noise: f64, draw: u64) -> Option<(Grade, bool)> {
        let seed = drawn(self.prompt_hash, draw);
        grade_of(self.recorded_grade, self.rated_ease, seed, noise)
    }
}

/// A name's model in a policy: by its name, by what a backend calls it, or by another spelling of either.
pub fn find_model(policy: &Policy, name: &str) -> Option<ModelId> {
    let registry = &policy.registry;
    let served = |same: &dyn Fn(&str) -> bool| {
        let backend = registry
            .backends
            .iter()
            .find(|backend| same(&backend.served_model));
        backend.map(|backend| backend.model)
    };
    let plain = canonical(name);
    let spelt = || {
        let at = registry
            .models
            .iter()
            .position(|model| canonical(&model.name) == plain);
        at.map(|at| ModelId(at as u32))
    };
    registry
        .find_model(name)
        .or_else(|| served(&|own| own == name))
        .or_else(spelt)
        .or_else(|| served(&|own| canonical(own) == plain))
}

/// Looks at rows, one after another. One a thread.
pub struct Examiner<'p> {
    classifier: Option<Classifier>,
    router: Router,
    policy: Option<&'p Policy>,
    /// The error of simulated grades, in logits.
    noise: f64,
    /// How many errors are drawn for each row.
    draws: u64,
    models: HashMap<String, Option<ModelId>>,
    /// The policy of a profile with only the backends of some models, by which models those are.
    narrowed: HashMap<(Vec<bool>, usize), Policy>,
}

impl<'p> Examiner<'p> {
    /// An examiner that also routes, if a policy is given.
    pub fn new(policy: Option<&'p Policy>) -> Examiner<'p> {
        Examiner {
            classifier: Classifier::embedded().ok(),
            router: Router::new().0,
            policy,
            noise: NOISE,
            draws: 1,
            models: HashMap::new(),
            narrowed: HashMap::new(),
        }
    }

    /// This examiner with another error of simulated grades, in logits, of which so many are drawn.
    pub fn with_noise(self, noise: f64, draws: u64) -> Examiner<'p> {
        Examiner {
            noise,
            draws,
            ..self
        }
    }

    /// Scores `row` as the filter would.
    pub fn examine(&mut self, row: Row) -> ScoredPrompt {
        let body = json!({"messages": row.messages()}).to_string();
        // The body is a request, so reading it cannot fail; if it does, nothing is known of its tokens.
        let input_tokens = request::parse(Api::OpenAiChat, body.as_bytes(), true)
            .map_or(0, |request| Prompt::new(&request).input_tokens);
        let turn = row.turn();
        let start = Instant::now();
        let mut classification = self
            .classifier
            .as_mut()
            .and_then(|classifier| classifier.classify(&turn).ok())
            .unwrap_or_else(|| classifier::from_features(&turn));
        answer_length::refine(&mut classification, &turn);
        let micros = start.elapsed().as_secs_f64() * 1e6;
        let rated_ease = rated_ease(&row);
        let prompt_hash = hash([row.system.as_str(), row.prompt.as_str()]);
        let grade = |draw| grade_of(row.grade, rated_ease, drawn(prompt_hash, draw), self.noise);
        // Recorded grades have no error to draw.
        let draws = if row.grade.is_some() { 1 } else { self.draws };
        let grades: Vec<Grade> = (0..draws).filter_map(grade).map(|(own, _)| own).collect();
        let (routed, judged) = self.route(&row, &grades);
        ScoredPrompt {
            task: row.task,
            domain: row.domain,
            lang: row.lang,
            is_rated: row.is_rated,
            classification,
            input_tokens,
            micros,
            outcomes: row.outcomes,
            preference: row.preference,
            routed,
            judged,
            recorded_grade: row.grade,
            rated_ease,
            prompt_hash,
        }
    }

    /// The choice of each profile among the models that have an outcome for `row`, without the judge and with it.
    fn route(&mut self, row: &Row, grades: &[Grade]) -> (Vec<Option<ModelId>>, Vec<JudgedChoice>) {
        let Some(policy) = self.policy else {
            return Default::default();
        };
        let mut present = vec![false; policy.registry.models.len()];
        for (name, _) in &row.outcomes {
            let found = match self.models.get(name) {
                Some(found) => *found,
                None => {
                    let found = find_model(policy, name);
                    self.models.insert(name.clone(), found);
                    found
                }
            };
            if let Some(place) = found.and_then(|id| present.get_mut(id.0 as usize)) {
                *place = true;
            }
        }
        if !present.contains(&true) {
            return (vec![None; policy.profiles.len()], Vec::new());
        }
        let mut routed = Vec::with_capacity(policy.profiles.len());
        let mut judged = Vec::new();
        for (index, profile) in policy.profiles.iter().enumerate() {
            let narrowed = self
                .narrowed
                .entry((present.clone(), index))
                .or_insert_with_key(|(present, index)| narrow(policy, present, *index));
            let body = json!({"model": profile.name, "messages": row.messages()});
            let body = body.to_string();
            let (first, second) = decide(&mut self.router, narrowed, body.as_bytes(), grades);
            routed.push(first);
            if policy.judge.is_some() {
                judged.push(second);
            }
        }
        (routed, judged)
    }
}

/// The choice for a body without the judge; and whether the filter would ask it, and what is chosen after each of `grades`.
fn decide(
    router: &mut Router,
    policy: &Policy,
    body: &[u8],
    grades: &[Grade],
) -> (Option<ModelId>, JudgedChoice) {
    let Ok(request) = request::parse(Api::OpenAiChat, body, true) else {
        return Default::default();
    };
    let attributes = RequestAttributes::default();
    let info = RequestInfo::new(&attributes, 0);
    let Decided::Routed(decision) = router.decide(policy, &request, &info, Commit::DryRun) else {
        return Default::default();
    };
    router.record(policy, &decision);
    let first = Some(decision.model);
    if policy.judge.is_none() || grades.is_empty() {
        return (first, JudgedChoice::default());
    }
    let asked = match &decision.judging {
        Some(Judging::Ask(question)) => {
            let (gain_usd, cost_usd) = (question.gain_usd, question.cost_usd);
            let admitted = router.judge_state().admit(policy, gain_usd, cost_usd, 0);
            admitted.is_ok()
        }
        _ => false,
    };
    let after = |grade: &Grade| {
        let graded = RequestInfo {
            grades: GradeSource {
                reply: Some(*grade),
                ..GradeSource::NONE
            },
            ..info
        };
        match router.decide(policy, &request, &graded, Commit::DryRun) {
            Decided::Routed(decision) => Some(decision.model),
            _ => first,
        }
    };
    let models = grades.iter().map(after).collect();
    (first, JudgedChoice { asked, models })
}

/// The seed of a row's error in a draw; the first is the row's own number.
const fn drawn(prompt_hash: u64, draw: u64) -> u64 {
    match draw {
        0 => prompt_hash,
        _ => mix(prompt_hash ^ mix(draw)),
    }
}

/// The mean log-odds of a row's ratings; `None` if it is not rated.
fn rated_ease(row: &Row) -> Option<f64> {
    let logit = |p: f64| {
        let p = p.clamp(LEAST_RATING, 1.0 - LEAST_RATING);
        (p / (1.0 - p)).ln()
    };
    let count = row.outcomes.len();
    let sum: f64 = row.outcomes.iter().map(|(_, own)| logit(own.score)).sum();
    (row.is_rated && count > 0).then(|| sum / count as f64)
}

/// Ratings are kept this far from 0 and 1.
const LEAST_RATING: f64 = 0.02;

/// The policy with the backends of these models only. Each profile has a number of its own, so that its questions are counted
/// apart.
fn narrow(policy: &Policy, present: &[bool], profile: usize) -> Policy {
    let mut narrowed = policy.clone();
    narrowed.traffic.fingerprint ^= profile as u64 + 1;
    narrowed
        .registry
        .backends
        .retain(|backend| present.get(backend.model.0 as usize) == Some(&true));
    narrowed
}
