//! Learning from outcomes: fields and compilation.

use crate::schema::document::Node;
use crate::schema::shape::{FRACTION, Field, Kind, Shape, optional};

pub(crate) const LEARNING_FIELD: Field = optional(
    "learning",
    Kind::Object(&LEARNING),
    "nothing is learned",
    "Whether and how Pointsman learns from the outcomes of its decisions how good the models are.",
);

const COUNT: Kind = Kind::Integer {
    min: 0.0,
    max: 10_000_000.0,
};

/// `learning` of the policy.
pub const LEARNING: Shape = Shape {
    name: "learning",
    doc: "Outcomes come as feedback on receipts, and from checks of answers that need no opinion. They move the expected quality of models, and nothing else: rules, required tags, capabilities, windows and budgets stay as they are, and a candidate keeps `min_quality` only if it does so by its benchmark scores too. Errors and time-outs are none: they teach which backends are available. See [learning](learning.md).",
    fields: &[
        optional(
            "mode",
            Kind::Choice(&["off", "observe", "apply"]),
            "`off`",
            "`observe` learns and reports what it would change; `apply` decides by what was learned. Begin with `observe`.",
        ),
        optional(
            "half_life",
            COUNT,
            "`500`",
            "After so many outcomes of a model, an earlier outcome of it counts half; 0 never forgets.",
        ),
        optional(
            "prior_mass",
            Kind::Number {
                min: 0.1,
                max: 10_000.0,
            },
            "`14`",
            "The number of outcomes of a model that its benchmark scores count as much as. More makes learning slower and safer.",
        ),
        optional(
            "max_per_tenant_hour",
            COUNT,
            "`100`",
            "The maximum number of outcomes of one tenant that count within an hour in each worker; 0 is no maximum. Requests without a tenant are one tenant.",
        ),
        optional(
            "max_per_hour",
            COUNT,
            "`10000`",
            "The maximum number of outcomes of all tenants that count within an hour in each worker; 0 is no maximum.",
        ),
        optional(
            "outcomes",
            Kind::Object(&OUTCOMES),
            "each counts a quarter of one piece of feedback",
            "The weights of the checks that look at every answer as it passes.",
        ),
    ],
};

/// The weight of a check that the policy does not state.
const DEFAULT_WEIGHT: f32 = 0.25;

/// `outcomes` of `learning`.
pub const OUTCOMES: Shape = Shape {
    name: "outcomes",
    doc: "How much the result of each check counts beside one piece of feedback, from 0 (not at all) to 1. An answer counts once by the checks: as the first of these that is wrong with it, or as one with which nothing is wrong. A judge's grade counts besides.",
    fields: &[
        optional(
            "empty",
            FRACTION,
            "`0.25`",
            "The answer has no text and no tool call, and no filter or limit is to blame.",
        ),
        optional(
            "truncated",
            FRACTION,
            "`0.25`",
            "The model cut its answer off although the client's limit, if any, allowed more.",
        ),
        optional(
            "invalid_json",
            FRACTION,
            "`0.25`",
            "The text is not JSON, or lacks a required member, although `response_format` asked for it.",
        ),
        optional(
            "invalid_tool_arguments",
            FRACTION,
            "`0.25`",
            "The arguments of a tool call are not JSON.",
        ),
        optional(
            "judge",
            FRACTION,
            "`0.25`",
            "The grade that the policy's judge gives the answer (`grade_share` of `judge`); it counts besides the checks.",
        ),
    ],
};

/// The use that is made of learned quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LearningMode {
    /// Nothing is learned.
    #[default]
    Off,
    /// It is reported.
    Observe,
    /// Decisions are made by it.
    Apply,
}

/// The settings of learning.
#[derive(Debug, Clone, PartialEq)]
pub struct Learning {
    /// The use that is made of learned quality.
    pub mode: LearningMode,
    /// Outcomes of a model after which an earlier one counts half; 0 never forgets.
    pub half_life: u32,
    /// Outcomes of a model that its benchmark scores count as much as.
    pub prior_mass: f64,
    /// Outcomes of one tenant that count within an hour in each worker; 0 is no maximum.
    pub max_per_tenant_hour: u32,
    /// Outcomes of all tenants that count within an hour in each worker; 0 is no maximum.
    pub max_per_hour: u32,
    /// The weights of the checks of answers.
    pub weights: CheckWeights,
}

/// How much the result of each check counts beside one piece of feedback, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CheckWeights {
    /// Of an answer without content.
    pub empty: f32,
    /// Of an answer that the model cut off.
    pub truncated: f32,
    /// Of text that should be JSON.
    pub invalid_json: f32,
    /// Of arguments of tool calls.
    pub invalid_tool_arguments: f32,
    /// Of a judge's grade.
    pub judge: f32,
}

impl Default for CheckWeights {
    fn default() -> CheckWeights {
        CheckWeights {
            empty: DEFAULT_WEIGHT,
            truncated: DEFAULT_WEIGHT,
            invalid_json: DEFAULT_WEIGHT,
            invalid_tool_arguments: DEFAULT_WEIGHT,
            judge: DEFAULT_WEIGHT,
        }
    }
}

impl Default for Learning {
    fn default() -> Learning {
        Learning {
            mode: LearningMode::Off,
            half_life: 500,
            prior_mass: 14.0,
            max_per_tenant_hour: 100,
            max_per_hour: 10_000,
            weights: CheckWeights::default(),
        }
    }
}

impl Learning {
    /// Whether anything is learned.
    pub fn is_on(&self) -> bool {
        self.mode != LearningMode::Off
    }
}

pub(crate) fn compile_learning(root: &Node) -> Learning {
    let Some(node) = root.get("learning") else {
        return Learning::default();
    };
    let outcomes = node.get("outcomes");
    let weight = |name: &str| {
        let stated = outcomes.and_then(|outcomes| outcomes.number_of(name));
        stated.map_or(DEFAULT_WEIGHT, |number| number as f32)
    };
    let default = Learning::default();
    let count = |name, without| node.number_of(name).map_or(without, |number| number as u32);
    Learning {
        half_life: count("half_life", default.half_life),
        prior_mass: node.number_of("prior_mass").unwrap_or(default.prior_mass),
        max_per_tenant_hour: count("max_per_tenant_hour", default.max_per_tenant_hour),
        max_per_hour: count("max_per_hour", default.max_per_hour),
        mode: match node.text_of("mode") {
            Some("observe") => LearningMode::Observe,
            Some("apply") => LearningMode::Apply,
            _ => LearningMode::Off,
        },
        weights: CheckWeights {
            empty: weight("empty"),
            truncated: weight("truncated"),
            invalid_json: weight("invalid_json"),
            invalid_tool_arguments: weight("invalid_tool_arguments"),
            judge: weight("judge"),
        },
    }
}
