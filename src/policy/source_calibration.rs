//! `calibration` of a model, as it is written: what its fields are and mean. See `ability::calibration`.

use super::source::TASKS;
use crate::schema::shape::{Kind, Shape, optional};

/// Logits beyond these say that a model is always or never right.
const LOGITS: Kind = Kind::Number {
    min: -10.0,
    max: 10.0,
};

/// `calibration` of a model.
pub const CALIBRATION: Shape = Shape {
    name: "calibration",
    doc: "P(correct) = σ(`scale` · logit + `offset` + the task's own offset), where the logit is what benchmark scores and classifier say.",
    fields: &[
        optional(
            "scale",
            Kind::Number {
                min: 0.0,
                max: 10.0,
            },
            "`1`",
            "Factor on the logit: less than 1 where the estimates are too sure of themselves.",
        ),
        optional(
            "offset",
            LOGITS,
            "`0`",
            "Added for every prompt, in logits.",
        ),
        optional(
            "tasks",
            Kind::Map {
                of: &LOGITS,
                keys: TASKS,
            },
            "none",
            "Added for prompts of one task, in logits.",
        ),
    ],
};
