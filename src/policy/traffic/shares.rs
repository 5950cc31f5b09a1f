//! Shares of models: fields, compilation and warnings.

use crate::decimal::shortest;
use crate::fleet::{Model, ModelId};
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{FRACTION, Field, optional};

pub(crate) const MAX_SHARE_FIELD: Field = optional(
    "max_share",
    FRACTION,
    "`1`",
    "The largest share of decisions that may choose this model if another one can take the request. Each worker counts its last thousand or so decisions. Clients that name the model always get it.",
);

pub(crate) const MIN_SHARE_FIELD: Field = optional(
    "min_share",
    FRACTION,
    "`0`",
    "The smallest share of decisions that should choose this model if it keeps every limit, counted as for `max_share`. It gets new conversations only.",
);

/// How much of the decisions may or shall choose a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelShare {
    /// The model.
    pub model: ModelId,
    /// The most, 0 to 1.
    pub most: f64,
    /// The least, 0 to 1.
    pub least: f64,
}

#[inline(never)]
pub(crate) fn compile_shares(root: &Node, problems: &mut Problems<'_>) -> Vec<ModelShare> {
    let mut shares = Vec::new();
    let mut least_of_all = 0.0;
    for (index, node) in root.items_of("models").iter().enumerate() {
        let most = node.number_of("max_share");
        let least = node.number_of("min_share");
        let Some(written) = least.or(most) else {
            continue;
        };
        let share = ModelShare {
            model: ModelId(index as u32),
            most: most.unwrap_or(1.0),
            least: least.unwrap_or(0.0),
        };
        least_of_all += share.least;
        let at = node.get("min_share").map_or(node.at, |value| value.at);
        let path = format!("models[{index}].min_share");
        if share.least > share.most {
            let (written, most) = (shortest(written), shortest(share.most));
            let message = format!("`{written}` is more than `max_share` of `{most}`");
            problems.add(at, path, message);
        } else if least_of_all > 1.0 + 1e-9 && share.least > 0.0 {
            problems.add(
                at,
                path,
                "the least shares of all models together are more than 1",
            );
        }
        shares.push(share);
    }
    shares
}

/// Warns if the models may not take all requests between them.
pub(crate) fn lint_shares(
    shares: &[ModelShare],
    models: &[Model],
    root: &Node,
    warnings: &mut Problems<'_>,
) {
    let most: f64 = shares.iter().map(|share| share.most).sum();
    if shares.len() == models.len() && most < 1.0 {
        let at = root.get("models").map_or(root.at, |models| models.at);
        let message = format!(
            "the most shares of all models together are `{}`: the rest of the requests goes over them",
            shortest(most)
        );
        warnings.add(at, "models", message);
    }
}
