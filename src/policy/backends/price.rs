//! Prices of backends: fields, compilation, and warnings about prices that are probably wrong (another unit, swapped, far from
//! those of the same model elsewhere).
//!
//! No catalogue is consulted. The bounds come from the market: the lowest price of a million tokens of a language model is
//! about 0.005 USD of input and 0.01 of output, the highest 150 and 600. A price per token is below a thousandth of a USD for
//! every model there is.

use crate::fleet::{Accelerator, Backend, Price};
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{AT_LEAST_ZERO, Shape, optional, required};
use crate::schema::suggest::quote;

/// `price` of a backend.
pub const PRICE: Shape = Shape {
    name: "price",
    doc: "Prices in USD per 1,000,000 tokens. For your own hardware: its cost per hour divided by the tokens that it serves in that time.",
    fields: &[
        required("input", AT_LEAST_ZERO, "Tokens of the request."),
        optional(
            "cached_input",
            AT_LEAST_ZERO,
            "the price of `input`",
            "Tokens of the request that were in the backend's prompt cache.",
        ),
        optional(
            "cache_write",
            AT_LEAST_ZERO,
            "the price of `input`",
            "Tokens of the request that the backend wrote to its cache, if it reports them.",
        ),
        optional(
            "cache_write_1h",
            AT_LEAST_ZERO,
            "the price of `cache_write`",
            "Those of them that it keeps for an hour, if it reports them separately, as Anthropic does.",
        ),
        required("output", AT_LEAST_ZERO, "Tokens of the answer."),
    ],
};

/// Below this a price per million tokens, in USD, is one of fewer tokens.
const LEAST: f64 = 0.001;

/// The most that anybody takes for a token, but for a few.
const MOST_PER_TOKEN: f64 = 0.0001;

/// Below these a price of somebody else's hardware is one per thousand tokens.
const LEAST_HOSTED_INPUT: f64 = 0.005;

const LEAST_HOSTED_OUTPUT: f64 = 0.01;

/// Beyond this it is one per billion.
pub(crate) const MOST: f64 = 1000.0;

/// How far prices of one model may be apart.
const MOST_RATIO: f64 = 100.0;

#[inline(never)]
pub(crate) fn compile_price(node: Option<&Node>) -> Price {
    let number = |name| node.and_then(|node| node.number_of(name));
    let input = number("input").unwrap_or_default();
    let cache_write = number("cache_write").unwrap_or(input);
    Price {
        input,
        cached_input: number("cached_input").unwrap_or(input),
        cache_write,
        cache_write_1h: number("cache_write_1h").unwrap_or(cache_write),
        output: number("output").unwrap_or_default(),
    }
}

/// Adds every warning about prices.
pub(crate) fn lint_prices(backends: &[Backend], root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("backends").map_or(&[][..], Node::items);
    for (index, (backend, node)) in backends.iter().zip(nodes).enumerate() {
        let Some(price) = node.get("price") else {
            continue;
        };
        let mut warn = |field: &str, message: String| {
            let at = price.get(field).map_or(price.at, |value| value.at);
            warnings.add(at, format!("backends[{index}].price.{field}"), message);
        };
        if let Some((field, message)) = find_unit(backend) {
            warn(field, message);
            continue;
        }
        if backend.price.output > 0.0 && backend.price.output < backend.price.input / 2.0 {
            let message = format!(
                "`{}` is less than half of `input`: are the two swapped?",
                backend.price.output
            );
            warn("output", message);
        }
        if backend.price.cached_input > backend.price.input {
            let message = format!(
                "`{}` is more than `input`: a cache makes tokens cheaper",
                backend.price.cached_input
            );
            warn("cached_input", message);
        }
        if let Some((field, message)) = find_outlier(backend, backends) {
            warn(field, message);
        }
    }
}

/// The price of `backend` that is in another unit, and what unit that may be.
fn find_unit(backend: &Backend) -> Option<(&'static str, String)> {
    let (input, output) = (backend.price.input, backend.price.output);
    let prices = [("output", output), ("input", input)];
    let is_hosted = matches!(
        backend.accelerator,
        Accelerator::Serverless | Accelerator::Lpu
    );
    let stated = prices.iter().filter(|(_, usd)| *usd > 0.0);
    let (least_field, least) = stated.min_by(|left, right| left.1.total_cmp(&right.1))?;
    let (most_field, most) = prices
        .iter()
        .max_by(|left, right| left.1.total_cmp(&right.1))?;
    let message = |usd: f64, unit: &str| {
        format!("`{usd}` USD per 1,000,000 tokens: this looks like a price per {unit}")
    };
    if *most < LEAST {
        let unit = if *most < MOST_PER_TOKEN {
            "token"
        } else {
            "1,000 tokens"
        };
        return Some((least_field, message(*least, unit)));
    }
    if is_hosted && output > 0.0 && output <= LEAST_HOSTED_OUTPUT && input < LEAST_HOSTED_INPUT {
        return Some(("output", message(output, "1,000 tokens")));
    }
    (*most > MOST).then(|| (*most_field, message(*most, "1,000,000,000 tokens")))
}

/// The price of `backend` that is far from that of another backend of its model; said of the later one.
fn find_outlier(backend: &Backend, all: &[Backend]) -> Option<(&'static str, String)> {
    let earlier = all.iter().take_while(|other| other.name != backend.name);
    let mut same =
        earlier.filter(|other| other.model == backend.model && find_unit(other).is_none());
    same.find_map(|other| {
        [
            ("input", backend.price.input, other.price.input),
            ("output", backend.price.output, other.price.output),
        ]
        .into_iter()
        .find(|(_, own, its)| *own > 0.0 && *its > 0.0 && (own / its).max(its / own) >= MOST_RATIO)
        .map(|(field, own, its)| {
            let name = quote(&other.name);
            let message = format!("`{own}`, but {name} serves the same model at `{its}`");
            (field, message)
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use crate::policy::Policy;

    /// The warnings about prices of two backends of one model, written as `input`, `output` and more.
    fn warnings(first: &str, second: &str) -> Vec<String> {
        let text = format!(
            r#"{{"models": [{{"name": "m"}}], "backends": [
                {{"name": "a", "model": "m", "accelerator": "serverless", "price": {{{first}}}}},
                {{"name": "b", "model": "m", "accelerator": "gpu", "price": {{{second}}}}}]}}"#
        );
        let (_, problems) = Policy::check(&text).unwrap();
        let prices = problems
            .iter()
            .filter(|problem| problem.at.contains("price"));
        prices.map(ToString::to_string).collect()
    }

    #[test]
    fn prices_in_another_unit_are_found() {
        for (price, expected) in [
            (r#""input": 2.5e-6, "output": 1e-5"#, "per token"),
            (r#""input": 0.00000015, "output": 0.0000006"#, "per token"),
            (r#""input": 2e-8, "output": 0"#, "per token"),
            (r#""input": 0.0025, "output": 0.01"#, "per 1,000 tokens"),
            (r#""input": 0.00015, "output": 0.0006"#, "per 1,000 tokens"),
            (
                r#""input": 2500, "output": 10000"#,
                "per 1,000,000,000 tokens",
            ),
        ] {
            let found = warnings(price, r#""input": 2.5, "output": 10"#);
            let [one] = found.as_slice() else {
                panic!("{price}: {found:?}");
            };
            assert!(one.contains(expected), "{one}");
            assert!(one.starts_with("backends[0].price."), "{one}");
        }
    }

    #[test]
    fn prices_that_are_meant_are_passed_over() {
        for price in [
            r#""input": 2.5, "output": 10, "cached_input": 1.25"#,
            r#""input": 0.02, "output": 0"#,
            r#""input": 0, "output": 0"#,
            r#""input": 0.005, "output": 0.01"#,
            r#""input": 150, "output": 600"#,
            r#""input": 0.3, "output": 0.3"#,
        ] {
            assert_eq!(warnings(price, price), [""; 0], "{price}");
        }
        // Hardware of one's own can be cheap.
        assert_eq!(
            warnings(
                r#""input": 0.02, "output": 0.05"#,
                r#""input": 0.002, "output": 0.004"#
            ),
            [""; 0]
        );
    }

    #[test]
    fn prices_that_contradict_each_other_are_found() {
        let usual = r#""input": 2.5, "output": 10"#;
        assert_eq!(
            warnings(usual, r#""input": 0.0025, "output": 0.01"#),
            ["backends[1].price.input: `0.0025`, but `a` serves the same model at `2.5`"]
        );
        assert_eq!(
            warnings(usual, r#""input": 10, "output": 2.5"#),
            ["backends[1].price.output: `2.5` is less than half of `input`: are the two swapped?"]
        );
        assert_eq!(
            warnings(usual, r#""input": 2.5, "output": 10, "cached_input": 25"#),
            [
                "backends[1].price.cached_input: `25` is more than `input`: a cache makes tokens cheaper"
            ]
        );
    }
}
