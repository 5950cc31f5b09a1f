//! What places a model: the policy's benchmark scores, else those that are published for its name; and its calibration.

use super::compile::number_of;
use crate::analysis::classifier::Task;
use crate::fleet::ability::Ability;
use crate::fleet::ability::Calibration;
use crate::fleet::ability::published_scores::PublishedModel;
use crate::schema::document::Node;

/// The ability of the model that `node` describes.
pub(super) fn compile_ability(node: &Node) -> Ability {
    let scores = node.get("benchmarks").map_or(&[][..], Node::members);
    let scores = scores
        .iter()
        .filter_map(|score| Some((score.name.as_str(), score.value.number()? as f32)));
    let mut ability = match find_published(node) {
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
pub(super) fn find_published(node: &Node) -> Option<PublishedModel> {
    match node.get("benchmarks") {
        Some(_) => None,
        None => PublishedModel::find(node.get("name")?.text()?),
    }
}

fn compile_calibration(node: &Node) -> Calibration {
    let number = |name, without| number_of(node, name).map_or(without, |number| number as f32);
    let mut tasks = Calibration::NEUTRAL.tasks;
    for member in node.get("tasks").into_iter().flat_map(Node::members) {
        let task = Task::find(&member.name);
        if let Some(place) = task.and_then(|task| tasks.get_mut(task as usize))
            && let Some(offset) = member.value.number()
        {
            *place = offset as f32;
        }
    }
    Calibration {
        scale: number("scale", 1.0),
        offset: number("offset", 0.0),
        tasks,
    }
}
