//! Receipts of decisions: fields and compilation.

use crate::schema::document::Node;
use crate::schema::shape::{Field, Kind, Shape, optional};

/// The default of `max_age_s`: thirty days.
const DEFAULT_MAX_AGE_S: u32 = 2_592_000;

pub(crate) const RECEIPTS_FIELD: Field = optional(
    "receipts",
    Kind::Object(&RECEIPTS),
    "no receipts, and no feedback",
    "Whether answers carry receipts, with which `POST /v1/feedback` says how good they were.",
);

/// `receipts` of the policy.
pub const RECEIPTS: Shape = Shape {
    name: "receipts",
    doc: "A receipt is a decision as a short signed text without the prompt. It needs a key: `receipt_keys` of the plugin configuration. See [learning](learning.md).",
    fields: &[
        optional(
            "mode",
            Kind::Choice(&["off", "log", "on"]),
            "`off`",
            "`on` puts the receipt of each decided answer into the response header `x-pointsman-receipt` and into access logs, `log` into access logs alone. Both answer `POST /v1/feedback`, and both classify prompts of clients that name a model. `off` does none of it.",
        ),
        optional(
            "max_age_s",
            Kind::Integer {
                min: 1.0,
                max: 315_360_000.0,
            },
            "`2592000`, thirty days",
            "Seconds after the decision for which feedback is taken.",
        ),
    ],
};

/// Who gets receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReceiptMode {
    /// Nobody.
    #[default]
    Off,
    /// Access logs.
    Log,
    /// Clients and access logs.
    On,
}

/// The settings of receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptSettings {
    /// Who gets them.
    pub mode: ReceiptMode,
    /// Seconds after the decision for which feedback is taken.
    pub max_age_s: u32,
}

impl Default for ReceiptSettings {
    fn default() -> ReceiptSettings {
        ReceiptSettings {
            mode: ReceiptMode::Off,
            max_age_s: DEFAULT_MAX_AGE_S,
        }
    }
}

impl ReceiptSettings {
    /// Whether anybody gets receipts, and feedback is taken.
    pub fn is_on(&self) -> bool {
        self.mode != ReceiptMode::Off
    }
}

pub(crate) fn compile_receipts(root: &Node) -> ReceiptSettings {
    let Some(node) = root.get("receipts") else {
        return ReceiptSettings::default();
    };
    ReceiptSettings {
        mode: match node.text_of("mode") {
            Some("log") => ReceiptMode::Log,
            Some("on") => ReceiptMode::On,
            _ => ReceiptMode::Off,
        },
        max_age_s: node
            .number_of("max_age_s")
            .map_or(DEFAULT_MAX_AGE_S, |number| number as u32),
    }
}
