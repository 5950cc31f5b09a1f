//! The figures themselves, on plain slices. Every definition with its source: docs/eval.md.

pub mod bootstrap;
pub mod curve;
pub mod pair;
pub mod probability;

/// The mean; NaN of nothing.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values
        .into_iter()
        .fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}
