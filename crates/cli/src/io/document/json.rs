//! Changes one value of a JSON text and leaves every other byte as it is, so that a policy keeps its author's layout.
//!
//! The text has to be JSON. If the value, or an object on the way to it, is missing, it is added after the last member and
//! laid out as that one is.

use std::ops::Range;

use super::Step;

/// `text` with `value` (JSON) at `path`. `None` if the path leads through something that is not an object or list, or to an item
/// that there is not.
pub fn set(text: &str, path: &[Step<'_>], value: &str) -> Option<String> {
    let mut at = skip_space(text, 0);
    for (index, step) in path.iter().enumerate() {
        let parts = parts(text, at)?;
        let found = match step {
            Step::Item(number) => Some(parts.get(*number)?),
            Step::Key(key) => parts.iter().find(|part| part.name.as_deref() == Some(key)),
        };
        let Some(part) = found else {
            return insert(text, at, &parts, path.get(index..)?, value);
        };
        at = part.value.start;
    }
    let end = skip_value(text, at)?;
    Some(format!("{}{value}{}", text.get(..at)?, text.get(end..)?))
}

/// Adds the rest of a path as a new last member of the object at `at`.
fn insert(text: &str, at: usize, parts: &[Part], rest: &[Step<'_>], value: &str) -> Option<String> {
    if text.as_bytes().get(at) != Some(&b'{') {
        return None;
    }
    let mut written = value.to_owned();
    for (depth, step) in rest.iter().enumerate().rev() {
        let Step::Key(key) = step else { return None };
        let member = format!("{}: {written}", serde_json::to_string(key).ok()?);
        written = if depth > 0 {
            format!("{{{member}}}")
        } else {
            member
        };
    }
    let Some(last) = parts.last() else {
        return Some(format!(
            "{}{written}{}",
            text.get(..=at)?,
            text.get(at + 1..)?
        ));
    };
    // The new member gets the white space of the last one: a space, or a line's end and its indent.
    let before = text.get(..last.start)?;
    let space = before.get(before.trim_end().len()..)?;
    let space = if parts.len() == 1 && space.is_empty() {
        " "
    } else {
        space
    };
    let end = last.value.end;
    Some(format!(
        "{},{space}{written}{}",
        text.get(..end)?,
        text.get(end..)?
    ))
}

/// A member of an object or an item of a list.
struct Part {
    name: Option<String>,
    /// The offset at which it starts: that of its name, if it has one.
    start: usize,
    value: Range<usize>,
}

/// The members or items of the object or list at `at`.
fn parts(text: &str, at: usize) -> Option<Vec<Part>> {
    let named = match text.as_bytes().get(at)? {
        b'{' => true,
        b'[' => false,
        _ => return None,
    };
    let mut parts = Vec::new();
    let mut next = skip_space(text, at + 1);
    while !matches!(text.as_bytes().get(next)?, b'}' | b']') {
        let start = next;
        let mut name = None;
        if named {
            let end = skip_value(text, next)?;
            name = Some(serde_json::from_str(text.get(next..end)?).ok()?);
            // Behind the colon.
            next = skip_space(text, skip_space(text, end) + 1);
        }
        let end = skip_value(text, next)?;
        parts.push(Part {
            name,
            start,
            value: next..end,
        });
        next = skip_space(text, end);
        if text.as_bytes().get(next) == Some(&b',') {
            next = skip_space(text, next + 1);
        }
    }
    Some(parts)
}

fn skip_space(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or(&[]);
    at + rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// The end of the value that starts at `at`.
fn skip_value(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    Some(at + values.byte_offset())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use Step::{Item, Key};

    #[test]
    fn a_value_is_replaced_and_nothing_else() {
        let text = "{ \"a\" : [1, {\"b\":  -2.5e1 , \"c\":\"}\"}],\n\t\"d\": 0}\n";
        let path = [Key("a"), Item(1), Key("b")];
        assert_eq!(set(text, &path, "7").unwrap(), text.replace("-2.5e1", "7"));
        assert_eq!(
            set(text, &[Key("d")], "{}").unwrap(),
            text.replace(": 0", ": {}")
        );
    }

    #[test]
    fn what_is_missing_is_added_in_the_layout_of_its_neighbours() {
        let text = "{\n  \"a\": 1,\n  \"b\": 2\n}";
        assert_eq!(
            set(text, &[Key("c"), Key("d e")], "3").unwrap(),
            "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": {\"d e\": 3}\n}"
        );
        assert_eq!(
            set("{\"a\": {}}", &[Key("a"), Key("b")], "1").unwrap(),
            "{\"a\": {\"b\": 1}}"
        );
        assert_eq!(
            set("{\"a\": 1}", &[Key("b")], "1").unwrap(),
            "{\"a\": 1, \"b\": 1}"
        );
        assert_eq!(
            set("{\"a\": 1, \"b\": 2}", &[Key("c")], "3").unwrap(),
            "{\"a\": 1, \"b\": 2, \"c\": 3}"
        );
        assert_eq!(set(" {}", &[Key("\"")], "1").unwrap(), " {\"\\\"\": 1}");
    }

    #[test]
    fn a_path_that_leads_nowhere_is_none() {
        assert_eq!(set("[1]", &[Item(1)], "2"), None);
        assert_eq!(set("{\"a\": 1}", &[Key("a"), Key("b")], "2"), None);
        assert_eq!(set("[]", &[Key("a")], "2"), None);
    }

    #[test]
    fn names_are_compared_as_text() {
        assert_eq!(
            set("{\"\\u0061\": 1}", &[Key("a")], "2").unwrap(),
            "{\"\\u0061\": 2}"
        );
    }
}
