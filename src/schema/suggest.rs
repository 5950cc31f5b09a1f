//! "Did you mean": the known name nearest to a misspelt one, and the quoting of what a user wrote.

use crate::sort;

/// The name of `known` that `written` was probably meant to be: at most a third of its letters differ, or else the two
/// begin alike to the end of the shorter one, such as `max_p50` for `max_p50_ms`.
pub(crate) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> Option<&'a str> {
    let known = known.into_iter();
    let allowed = (written.chars().count() / 3).max(1);
    let near = known
        .clone()
        .map(|name| (distance(written, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance);
    let written = written.to_ascii_lowercase();
    let begun = known
        .filter(|name| name.len().min(written.len()) >= LEAST_BEGINNING)
        .filter(|name| name.starts_with(&written) || written.starts_with(name))
        .min_by_key(|name| name.len());
    near.map(|(_, name)| name).or(begun)
}

/// The names of `known` nearest to one of the spellings in `written`, at most `most` of them, the nearest first.
pub(crate) fn nearest_few<'a>(
    written: &[&str],
    known: impl Iterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    const LONGEST: usize = 96;
    let far = |name: &str| {
        let spellings = written.iter().filter(|spelling| spelling.len() <= LONGEST);
        let distances = spellings.filter_map(|spelling| {
            let allowed = (spelling.chars().count() / 3).max(1);
            let distance = distance(spelling, name);
            let (spelling, name) = (spelling.to_ascii_lowercase(), name.to_ascii_lowercase());
            let begun = spelling.len().min(name.len()) >= LEAST_BEGINNING
                && (name.starts_with(&spelling) || spelling.starts_with(&name));
            (begun || distance <= allowed).then_some(distance)
        });
        distances.min()
    };
    let mut near: Vec<(usize, &str)> = known.filter_map(|name| Some((far(name)?, name))).collect();
    sort::sort(&mut near);
    near.dedup();
    near.into_iter().take(most).map(|(_, name)| name).collect()
}

/// How many letters two names have in common at least if one is the beginning of the other.
const LEAST_BEGINNING: usize = 4;

/// The suffix for "unknown x": the nearest known name, else all of them if they are few.
pub(crate) fn hint(written: &str, known: &[&str]) -> String {
    const FEW: usize = 24;
    match nearest(written, known.iter().copied()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() || known.len() > FEW => String::new(),
        None => format!("; known: {}", known.join(", ")),
    }
}

/// A user's text for use in a message: in backticks, without control characters, cut if it is long.
pub(crate) fn quote(written: &str) -> String {
    const LONGEST: usize = 64;
    let mut quoted = String::from("`");
    for (index, letter) in written.chars().enumerate() {
        if index == LONGEST {
            quoted.push('…');
            break;
        }
        quoted.push(if letter.is_control() || letter == '`' {
            '\u{fffd}'
        } else {
            letter
        });
    }
    quoted.push('`');
    quoted
}

/// Edit distance with transposition of neighbours (optimal string alignment), case ignored.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().flat_map(char::to_lowercase).collect();
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    let width = right.len() + 1;
    let mut before_last: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (row, here) in left.iter().enumerate() {
        let mut now = Vec::with_capacity(width);
        now.push(row + 1);
        for (column, there) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let mut cost = (at(&last, column) + usize::from(here != there))
                .min(at(&last, column + 1) + 1)
                .min(at(&now, column) + 1);
            let swapped = row > 0
                && column > 0
                && left.get(row - 1) == Some(there)
                && right.get(column - 1) == Some(here);
            if swapped {
                cost = cost.min(at(&before_last, column - 1) + 1);
            }
            now.push(cost);
        }
        before_last = std::mem::replace(&mut last, now);
    }
    last.last().copied().unwrap_or(0)
}

pub(crate) fn unknown(what: &str, written: &str, known: &[&str]) -> String {
    format!("unknown {what} {}{}", quote(written), hint(written, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["accelerator", "model", "name", "price"];
        assert_eq!(nearest("acelerator", known), Some("accelerator"));
        assert_eq!(nearest("modle", known), Some("model"));
        assert_eq!(nearest("Price", known), Some("price"));
        assert_eq!(nearest("latency", known), None);
        let limits = ["max_p50_ms", "max_p50_first_token_ms", "tag"];
        assert_eq!(nearest("max_p50", limits), Some("max_p50_ms"));
        assert_eq!(nearest("max_p50_ms_or_less", limits), Some("max_p50_ms"));
        assert_eq!(
            nearest("tag_of_it", limits),
            None,
            "three letters say little"
        );
    }

    #[test]
    fn quotes_without_control_characters_and_cuts() {
        assert_eq!(quote("a\nb`"), "`a\u{fffd}b\u{fffd}`");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), 64 + 3);
    }
}
