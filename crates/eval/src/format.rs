//! Numbers as both reports for people write them; a dash stands for a number that cannot be computed.

use crate::figures::Figure;

/// A share in percent.
pub fn percent(value: f64) -> String {
    if value.is_finite() {
        format!("{:.1} %", 100.0 * value)
    } else {
        "–".into()
    }
}

/// A score.
pub fn plain(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.3}")
    } else {
        "–".into()
    }
}

/// A figure with its interval.
pub fn shown(figure: Figure) -> String {
    let [low, high] = figure.interval;
    if figure.value.is_finite() {
        format!("{:.3} [{low:.3}, {high:.3}]", figure.value)
    } else {
        "–".into()
    }
}

/// A share in percent with its interval.
pub fn shown_percent(figure: Figure) -> String {
    let [low, high] = figure.interval;
    if figure.value.is_finite() {
        format!(
            "{:.1} % [{:.1}, {:.1}]",
            100.0 * figure.value,
            100.0 * low,
            100.0 * high
        )
    } else {
        "–".into()
    }
}
