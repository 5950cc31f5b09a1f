//! The settings of the judge as they are compiled, their defaults, and what follows from them.

use crate::api::judge::JudgeApi;
use crate::fleet::{Credentials, Endpoint};

/// The use of the judge's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JudgeMode {
    /// Nothing is asked.
    #[default]
    Off,
    /// It is asked and reported; decisions do not wait for it.
    Shadow,
    /// Decisions wait for it and follow it.
    Enforce,
}

impl JudgeMode {
    /// The name that policies use.
    pub const fn name(self) -> &'static str {
        match self {
            JudgeMode::Off => "off",
            JudgeMode::Shadow => "shadow",
            JudgeMode::Enforce => "enforce",
        }
    }
}

/// The settings of the judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    /// The use of its answers; never [`JudgeMode::Off`] in a compiled policy.
    pub mode: JudgeMode,
    /// The cluster that is called.
    pub cluster: String,
    /// Its address, if the policy states it.
    pub endpoint: Option<Endpoint>,
    /// The credentials that its cluster adds to questions, for `pointsman render`.
    pub credentials: Option<Credentials>,
    /// The `:authority` of the call.
    pub authority: String,
    /// The path of the call.
    pub path: String,
    /// The dialect.
    pub api: JudgeApi,
    /// The model's name in the call; empty if none is named.
    pub model: String,
    /// Instructions in place of our own.
    pub ask: Option<String>,
    /// The longest time that a request waits, in milliseconds.
    pub deadline_ms: u32,
    /// The largest share of requests that is asked about, 0 to 1.
    pub max_share: f64,
    /// The most that it may cost within an hour in each worker, in USD; infinite without a limit.
    pub max_usd_per_hour: f64,
    /// The least expected gain of asking above its price, in USD.
    pub min_gain_usd: f64,
    /// The price of its tokens.
    pub price: JudgePrice,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// The share of the answers that it grades, 0 to 1.
    pub grade_share: f64,
    /// Instructions for grading answers in place of our own.
    pub grade_ask: Option<String>,
    /// The model's name in calls that grade answers, if it is not [`Judge::model`].
    pub grade_model: Option<String>,
    /// The answers that are kept.
    pub cache: JudgeCache,
    /// The evidence that a grade is.
    pub evidence: Evidence,
}

/// Prices of the judge's tokens, in USD per 1,000,000 tokens.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JudgePrice {
    /// Tokens of the question.
    pub input: f64,
    /// Tokens of the answer.
    pub output: f64,
}

impl JudgePrice {
    /// The cost of a call with so many tokens, in USD.
    pub fn cost_usd(&self, input_tokens: u32, output_tokens: u32) -> f64 {
        (f64::from(input_tokens) * self.input + f64::from(output_tokens) * self.output) / 1e6
    }
}

/// The bounds of kept answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgeCache {
    /// The most answers.
    pub entries: u32,
    /// Seconds for which an answer is used.
    pub ttl_s: u32,
}

/// The evidence of a grade g for a prompt's ease (the negative difficulty, in logits): `slope · logit(g) + intercept`, give or take the
/// square root of `variance`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Logits of ease per logit of the grade; 0 if the judge is noise.
    pub slope: f64,
    /// Ease at the grade 0.5, in logits.
    pub intercept: f64,
    /// The variance of the error, in squared logits.
    pub variance: f64,
}

impl Default for Evidence {
    fn default() -> Evidence {
        Evidence {
            slope: 0.9,
            intercept: 0.2,
            variance: 0.75,
        }
    }
}

impl Default for JudgeCache {
    fn default() -> JudgeCache {
        JudgeCache {
            entries: 4096,
            ttl_s: 3600,
        }
    }
}

/// A free judge without an address, with the defaults of everything else.
impl Default for Judge {
    fn default() -> Judge {
        Judge {
            mode: JudgeMode::Enforce,
            cluster: String::new(),
            endpoint: None,
            credentials: None,
            authority: String::new(),
            path: JudgeApi::Chat.default_path().to_owned(),
            api: JudgeApi::Chat,
            model: String::new(),
            ask: None,
            deadline_ms: 150,
            max_share: 0.3,
            max_usd_per_hour: f64::INFINITY,
            min_gain_usd: 0.0,
            price: JudgePrice::default(),
            tags: Vec::new(),
            grade_share: 0.0,
            grade_ask: None,
            grade_model: None,
            cache: JudgeCache::default(),
            evidence: Evidence::default(),
        }
    }
}

impl Judge {
    /// Whether the prompt may be sent to the judge although rules or a profile demand these tags.
    pub fn carries<'t>(&self, mut demanded: impl Iterator<Item = &'t str>) -> bool {
        demanded.all(|tag| self.tags.iter().any(|own| own == tag))
    }

    /// Whether an answer can change anything.
    pub fn is_evidence(&self) -> bool {
        self.evidence.slope > 0.0
    }

    /// Whether it is ever asked how hard a prompt is.
    pub fn asks_about_prompts(&self) -> bool {
        self.is_evidence() && self.max_share > 0.0
    }

    /// The model's name in calls that grade answers.
    pub fn grading_model(&self) -> &str {
        self.grade_model.as_deref().unwrap_or(&self.model)
    }

    /// The most that grading answers may cost within an hour in each worker, in USD: half of all, so that it leaves the rest to
    /// questions about prompts, if there are any.
    pub fn grading_usd_per_hour(&self) -> f64 {
        match self.asks_about_prompts() {
            true => self.max_usd_per_hour / 2.0,
            false => self.max_usd_per_hour,
        }
    }
}
