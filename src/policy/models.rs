//! Models: their fields, compilation and warnings. Benchmark scores place a model among the others: the policy's own, else
//! those published for its name.

use std::collections::BTreeMap;

use crate::analysis::classifier::{self, Task};
use crate::api::Capabilities;
use crate::fleet::ability::published_scores::PublishedModel;
use crate::fleet::ability::siblings::{family, is_smaller_sibling};
use crate::fleet::ability::{Ability, BENCHMARKS, Calibration};
use crate::fleet::{Model, ModelId, Registry};
use crate::policy::labels::TASKS;
use crate::policy::names::ALIASES_FIELD;
use crate::policy::traffic::shares::{MAX_SHARE_FIELD, MIN_SHARE_FIELD};
use crate::schema::document::{Member, Node};
use crate::schema::problems::{Problems, check_unique};
use crate::schema::shape::{FRACTION, Kind, Shape, optional, required};
use crate::schema::suggest::quote;

const POSITIVE_TOKENS: Kind = Kind::Integer {
    min: 1.0,
    max: 100_000_000.0,
};

/// A model that thinks writes some times its answer, never less than it.
const REASONING_TOKENS_FACTOR: Kind = Kind::Number {
    min: 1.0,
    max: 100.0,
};

/// The names of [`crate::api::Capabilities`].
const CAPABILITIES: &[&str] = &[
    "tools",
    "vision",
    "audio",
    "json_mode",
    "json_schema",
    "reasoning",
    "files",
];

const DEFAULT_CONTEXT_WINDOW: u32 = 8192;

/// The abilities of a text model with any current serving engine (constrained decoding, tool-call templates).
const DEFAULT_CAPABILITIES: Capabilities = Capabilities::TOOLS
    .union(Capabilities::JSON_MODE)
    .union(Capabilities::JSON_SCHEMA);

/// One of `models`.
pub const MODEL: Shape = Shape {
    name: "model",
    doc: "A logical LLM.",
    fields: &[
        required(
            "name",
            Kind::Text,
            "The name by which clients ask for exactly this model.",
        ),
        optional(
            "context_window",
            POSITIVE_TOKENS,
            "`8192`",
            "The maximum number of input and output tokens together.",
        ),
        optional(
            "max_output_tokens",
            POSITIVE_TOKENS,
            "the context window",
            "The maximum number of tokens in one answer.",
        ),
        optional(
            "reasoning_tokens_factor",
            REASONING_TOKENS_FACTOR,
            "`1`",
            "Output tokens that the model writes per token of the answer that the client sees: above 1 for a model that reasons in hidden tokens. They are paid for, take time and count towards `max_tokens`.",
        ),
        optional(
            "capabilities",
            Kind::List {
                of: &Kind::Choice(CAPABILITIES),
                min: 0,
            },
            "`[\"tools\", \"json_mode\", \"json_schema\"]`",
            "Abilities of the model besides text in and text out.",
        ),
        optional(
            "benchmarks",
            Kind::Map {
                of: &FRACTION,
                keys: BENCHMARKS,
            },
            "those of `models/benchmarks.json` if it has the model's name, else those of an average model",
            "Public benchmark scores, 0 to 1. They place the model among the others; missing scores are inferred.",
        ),
        optional(
            "calibration",
            Kind::Object(&CALIBRATION),
            "none",
            "A correction of the benchmark scores by your own labelled prompts. `pointsman calibrate` writes it.",
        ),
        ALIASES_FIELD,
        MAX_SHARE_FIELD,
        MIN_SHARE_FIELD,
    ],
};

/// Logits beyond these say that a model is always or never right.
const LOGITS: Kind = Kind::Number {
    min: -10.0,
    max: 10.0,
};

/// `calibration` of a model.
pub const CALIBRATION: Shape = Shape {
    name: "calibration",
    doc: "P(correct) = σ(`scale` · logit + `offset` + the task's own offset); the logit follows from benchmark scores and classifier.",
    fields: &[
        optional(
            "scale",
            Kind::Number {
                min: 0.0,
                max: 10.0,
            },
            "`1`",
            "Factor on the logit; less than 1 if the estimates are too confident.",
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
        optional(
            "factors",
            Kind::List {
                of: &LOGITS,
                min: 1,
            },
            "none",
            "Weights of the 16 latent factors of a prompt, in logits per quarter. Only `pointsman learn` and `pointsman calibrate` can know them.",
        ),
        optional(
            "classifier",
            Kind::Text,
            "none: `factors` are then ignored",
            "The classifier that `factors` are for, in eight hexadecimal digits. Under another one they mean nothing and are ignored.",
        ),
    ],
};

#[inline(never)]
pub(crate) fn compile_models(root: &Node, problems: &mut Problems<'_>) -> Vec<Model> {
    let nodes = root.items_of("models");
    check_unique(nodes, "models", problems);
    let siblings = smaller_siblings(nodes);
    let models = nodes
        .iter()
        .zip(siblings)
        .enumerate()
        .map(|(index, (node, smaller_siblings))| {
            let context_window = node
                .number_of("context_window")
                .map_or(DEFAULT_CONTEXT_WINDOW, |number| number as u32);
            let max_output_tokens = node
                .number_of("max_output_tokens")
                .map_or(context_window, |number| number as u32);
            if max_output_tokens > context_window {
                problems.add(
                node.offset_of("max_output_tokens"),
                format!("models[{index}].max_output_tokens"),
                format!(
                    "`{max_output_tokens}` is more than the context window of `{context_window}`"
                ),
            );
            }
            let capabilities = node
                .get("capabilities")
                .map_or(DEFAULT_CAPABILITIES, |list| {
                    list.items()
                        .iter()
                        .filter_map(|item| Capabilities::find(item.text()?))
                        .fold(Capabilities::NONE, Capabilities::union)
                });
            Model {
                name: node.text_of("name").unwrap_or_default().to_owned(),
                capabilities,
                context_window,
                max_output_tokens,
                reasoning_tokens_factor: node
                    .number_of("reasoning_tokens_factor")
                    .map_or(1.0, |number| number as f32),
                ability: compile_ability(node),
                smaller_siblings,
            }
        });
    models.collect()
}

/// The smaller siblings of each model. Where an operator's own labels moved either of two, those say which is better. Only models
/// of one family are compared, so that large fleets compile fast.
fn smaller_siblings(nodes: &[Node]) -> Vec<Vec<ModelId>> {
    let mut families: BTreeMap<String, Vec<Relative<'_>>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let name = node.text_of("name").unwrap_or_default();
        let family = family(name).to_ascii_lowercase();
        if !family.is_empty() && node.get("calibration").is_none() {
            let member = (index, name, published_scores(node));
            families.entry(family).or_default().push(member);
        }
    }
    let mut siblings = vec![Vec::new(); nodes.len()];
    for members in families.values() {
        for (index, name, scores) in members {
            let smaller = members
                .iter()
                .filter(|(_, other, theirs)| is_smaller_sibling((other, theirs), (name, scores)));
            if let Some(slot) = siblings.get_mut(*index) {
                *slot = smaller.map(|(index, ..)| ModelId(*index as u32)).collect();
            }
        }
    }
    siblings
}

/// A model of a family: its index, its name and its scores.
type Relative<'a> = (usize, &'a str, Vec<(String, f32)>);

/// The scores that place the model that `node` describes: its own, or the published ones.
fn published_scores(node: &Node) -> Vec<(String, f32)> {
    if let Some(known) = find_published(node) {
        return known
            .scores()
            .map(|(name, score)| (name.to_owned(), score))
            .collect();
    }
    let written = node.get("benchmarks").map_or(&[][..], Node::members);
    let scores = written
        .iter()
        .filter_map(|score| Some((score.name.clone(), score.value.number()? as f32)));
    scores.collect()
}

/// The ability of the model that `node` describes.
#[inline(never)]
pub(crate) fn compile_ability(node: &Node) -> Ability {
    let scores = node.get("benchmarks").map_or(&[][..], Node::members);
    let scores = scores
        .iter()
        .filter_map(|score| Some((score.name.as_str(), score.value.number()? as f32)));
    let mut ability = match find_published(node).or_else(|| restated(node)) {
        Some(known) => known.ability(),
        None => Ability::from_benchmarks(scores),
    };
    if let Some(node) = node.get("calibration") {
        ability.calibration = compile_calibration(node);
    }
    ability
}

/// The model of `models/benchmarks.json` whose scores count because the policy states none at all (an empty object states that
/// there are none).
pub(crate) fn find_published(node: &Node) -> Option<PublishedModel> {
    match node.get("benchmarks") {
        Some(_) => None,
        None => PublishedModel::find(node.get("name")?.text()?),
    }
}

/// The published model whose scores the policy writes down once more: the same decisions follow as if it left them out.
fn restated(node: &Node) -> Option<PublishedModel> {
    let known = PublishedModel::find(node.get("name")?.text()?)?;
    let written = node.get("benchmarks")?.members();
    let same = |score: &Member| {
        let value = score.value.number().unwrap_or(f64::NAN);
        let mut published = known.scores();
        published.any(|(name, own)| name == score.name && (f64::from(own) - value).abs() < 5e-4)
    };
    (!written.is_empty() && written.iter().all(same)).then_some(known)
}

fn compile_calibration(node: &Node) -> Calibration {
    let number = |name, without| node.number_of(name).map_or(without, |number| number as f32);
    let mut tasks = Calibration::NEUTRAL.tasks;
    for member in node.get("tasks").into_iter().flat_map(Node::members) {
        let task = Task::find(&member.name);
        if let Some(place) = task.and_then(|task| tasks.get_mut(task as usize))
            && let Some(offset) = member.value.number()
        {
            *place = offset as f32;
        }
    }
    let mut factors = Calibration::NEUTRAL.factors;
    if node.text_of("classifier") == Some(classifier::identity().as_str()) {
        for (place, weight) in factors.iter_mut().zip(node.items_of("factors")) {
            *place = weight.number().unwrap_or_default() as f32;
        }
    }
    Calibration {
        scale: number("scale", 1.0),
        offset: number("offset", 0.0),
        tasks,
        factors,
    }
}

/// Warns of factors that are for another classifier.
fn lint_factors(node: &Node, path: &str, warnings: &mut Problems<'_>) {
    let Some(calibration) = node.get("calibration") else {
        return;
    };
    let of = calibration.text_of("classifier").unwrap_or_default();
    if calibration.get("factors").is_some() && of != classifier::identity() {
        warnings.add(
            calibration.offset_of("factors"),
            format!("{path}.calibration.factors"),
            format!(
                "they are for the classifier {}, this one is `{}`: ignored; run `pointsman learn` or `calibrate` again",
                quote(of),
                classifier::identity()
            ),
        );
    }
}

pub(crate) fn lint_models(registry: &Registry, root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("models").map_or(&[][..], Node::items);
    for (index, (model, node)) in registry.models.iter().zip(nodes).enumerate() {
        let path = format!("models[{index}]");
        lint_factors(node, &path, warnings);
        let id = ModelId(index as u32);
        if registry.backends.iter().all(|backend| backend.model != id) {
            let message = format!(
                "no backend serves {}: it can never be chosen",
                quote(&model.name)
            );
            warnings.add(node.at, path.as_str(), message);
        }
        if node
            .get("benchmarks")
            .is_none_or(|scores| scores.members().is_empty())
        {
            let name = quote(&model.name);
            let message = match find_published(node) {
                Some(known) => format!(
                    "{name} has no benchmark scores: the published ones of `{}` are used (models/benchmarks.json)",
                    known.name
                ),
                None => format!(
                    "{name} has no benchmark scores, and none are published for that name: it counts as an average model"
                ),
            };
            warnings.add(node.at, path, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_types() {
        let capabilities: Vec<&str> = Capabilities::NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(CAPABILITIES, capabilities);
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn siblings_are_found_within_families_and_move_all_models_alike() {
        let models = [
            (r#""llama-3.1-8b""#, 0.7, ""),
            (r#""qwen2.5-72b""#, 0.86, ""),
            (r#""meta-llama/Llama-3.3-70B""#, 0.85, ""),
            (r#""llama-3.1-405b""#, 0.88, ""),
            (r#""llama-2-7b""#, 0.5, r#","calibration":{"offset":1}"#),
            (r#""70b""#, 0.6, ""),
        ];
        let models = models.map(|(name, mmlu, more)| {
            format!(r#"{{"name":{name},"benchmarks":{{"mmlu":{mmlu}}}{more}}}"#)
        });
        let backend = r#"{"name":"b","model":"70b","endpoint":"http://127.0.0.1:1","price":{"input":1,"output":1},
            "latency":{"first_token_ms":{"p50":1},"tokens_per_second":1}}"#;
        let text = format!(
            r#"{{"models":[{}],"backends":[{backend}]}}"#,
            models.join(",")
        );
        let registry = crate::policy::Policy::compile(&text).unwrap().registry;
        let siblings = registry.models.iter().map(|model| {
            let smaller = model.smaller_siblings.iter();
            smaller.map(|id| id.0).collect::<Vec<u32>>()
        });
        let siblings: Vec<Vec<u32>> = siblings.collect();
        assert_eq!(
            siblings,
            [vec![], vec![], vec![0], vec![0, 2], vec![], vec![]]
        );
        for difficulty in [-3.0, 0.0, 3.0] {
            let classification = classifier::Classification {
                difficulty,
                skill_weights: [0.5; classifier::SKILL_COUNT],
                ..Default::default()
            };
            let alone = (0..6).map(|id| registry.p_correct(ModelId(id), &classification));
            let alone: Vec<f32> = alone.collect();
            assert_eq!(registry.p_correct_by_model(&classification), alone);
        }
    }
}
