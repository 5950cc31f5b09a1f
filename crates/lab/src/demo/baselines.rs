//! The demo without a router: everything to one model, and the cheapest mix of two models that is expected to be as good as `auto`.
//!
//! Nothing of this is run. Costs are the tokens that the biggest model's backend counted, at each model's lowest price; expected
//! correct is the router's own estimate.

use pointsman::fleet::ModelId;
use pointsman_eval::table::{Side, Table};

use super::exchange::Exchange;
use super::fleet::Fleet;
use super::native::Native;

/// Every prompt to one model.
#[derive(Debug, Clone, PartialEq)]
struct SingleModel {
    name: String,
    /// In USD, for all prompts.
    cost: f64,
    /// Mean probability of a correct answer, 0 to 1.
    quality: f64,
}

/// The cost in USD of all prompts, and the mean probability of a correct answer, 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Auto {
    /// See the type.
    pub cost: f64,
    /// See the type.
    pub quality: f64,
}

/// One row for each model, one for the mix and one for `auto`; empty if the router estimated no quality. `big` holds the results
/// of the biggest model.
pub fn table(fleet: &Fleet, big: &[Exchange], native: &[Option<Native>], auto: Auto) -> String {
    let models = single_models(fleet, big, native);
    if models.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("without a router (computed, not run)", Side::Left),
        ("cost", Side::Right),
        ("expected correct", Side::Right),
    ]);
    let mut row = |name: String, cost: f64, quality: f64| {
        let quality = format!("{:.1} %", quality * 100.0);
        table.push(vec![name, format!("${cost:.5}"), quality]);
    };
    for model in &models {
        row(format!("all to {}", model.name), model.cost, model.quality);
    }
    if let Some((name, cost)) = cheapest_mix(&models, auto.quality) {
        row(format!("as good as auto: {name}"), cost, auto.quality);
    }
    row("auto".into(), auto.cost, auto.quality);
    table.render()
}

fn single_models(fleet: &Fleet, big: &[Exchange], native: &[Option<Native>]) -> Vec<SingleModel> {
    let registry = &fleet.policy.registry;
    let mut found = Vec::new();
    for (index, model) in registry.models.iter().enumerate() {
        let backends = registry.backends.iter();
        let served = backends.filter(|backend| backend.model == ModelId(index as u32));
        let cost = |backend: &str| {
            let usages = big.iter().filter_map(|exchange| exchange.usage);
            usages
                .filter_map(|usage| fleet.cost(backend, usage))
                .sum::<f64>()
        };
        let Some(cost) = served.map(|backend| cost(&backend.name)).reduce(f64::min) else {
            continue;
        };
        let natives = native.iter().flatten();
        let qualities: Vec<f64> = natives
            .filter_map(|native| native.qualities.get(index).copied().flatten())
            .collect();
        if !qualities.is_empty() {
            found.push(SingleModel {
                name: model.name.clone(),
                cost,
                quality: qualities.iter().sum::<f64>() / qualities.len() as f64,
            });
        }
    }
    found
}

/// The cheapest random mix of two models (or a model alone) whose mean quality is at least `quality`: its name and cost.
fn cheapest_mix(models: &[SingleModel], quality: f64) -> Option<(String, f64)> {
    let alone = models
        .iter()
        .filter(|model| model.quality >= quality)
        .map(|model| (format!("all to {}", model.name), model.cost));
    let pairs = models.iter().flat_map(|weak| {
        let stronger = models
            .iter()
            .filter(|strong| strong.quality > quality && weak.quality < quality);
        stronger.map(move |strong| {
            let share = (quality - weak.quality) / (strong.quality - weak.quality);
            let name = format!(
                "{:.0} % to {}, the rest to {}",
                share * 100.0,
                strong.name,
                weak.name
            );
            (name, share * strong.cost + (1.0 - share) * weak.cost)
        })
    });
    alone.chain(pairs).min_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, cost: f64, quality: f64) -> SingleModel {
        SingleModel {
            name: name.into(),
            cost,
            quality,
        }
    }

    #[test]
    fn the_cheapest_mix_is_on_the_line_between_two_models() {
        let models = [
            model("small", 1.0, 0.5),
            model("middle", 2.0, 0.8),
            model("big", 10.0, 0.9),
        ];
        let (name, cost) = cheapest_mix(&models, 0.85).unwrap();
        assert_eq!(name, "50 % to big, the rest to middle");
        assert!((cost - 6.0).abs() < 1e-9, "{cost}");
        // A model alone is better than any mix that is no better.
        assert_eq!(
            cheapest_mix(&models, 0.8).unwrap(),
            ("all to middle".into(), 2.0)
        );
        assert_eq!(cheapest_mix(&models, 0.95), None);
    }
}
