//! Sets one value in the text of a JSON document and leaves every other byte as it is.
//!
//! The document has been read by a real parser before: this one only finds places in it.

use std::ops::Range;

use serde_json::Value;

/// Sets the value at `path`, member by member and index by index, where all but the last are there. Says what changed, as
/// `OLD -> NEW`; `None` where nothing did.
pub fn set(text: &mut String, path: &[&str], value: &Value) -> Option<String> {
    let (last, parents) = path.split_last()?;
    let mut place = value_at(text, 0)?;
    for part in parents {
        place = child(text, &place, part)?.1;
    }
    let written = value.to_string();
    if let Some((_, old)) = child(text, &place, last) {
        let before = text.get(old.clone())?.to_owned();
        let same = serde_json::from_str::<Value>(&before).is_ok_and(|old| equal(&old, value));
        if same {
            return None;
        }
        text.replace_range(old, &written);
        return Some(format!(
            "{} -> {written}",
            before.split_whitespace().collect::<Vec<_>>().join(" ")
        ));
    }
    insert(text, &place, last, &written)?;
    Some(format!("- -> {written}"))
}

/// Numbers are the same however they are written; lists, whatever their order.
fn equal(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Number(old), Value::Number(new)) => old.as_f64() == new.as_f64(),
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().all(|one| new.contains(one))
        }
        _ => old == new,
    }
}

/// Adds a member at the end of the object at `place`, on a line of its own where the last one has one.
fn insert(text: &mut String, place: &Range<usize>, name: &str, written: &str) -> Option<()> {
    let members = children(text, place)?;
    let (at, lead) = match members.last() {
        Some((name, value)) => {
            let before = text.get(..name.start)?;
            let line = before.rsplit('\n').next()?;
            let own_line = before.contains('\n') && line.chars().all(char::is_whitespace);
            let lead = if own_line {
                format!(",\n{line}")
            } else {
                ", ".into()
            };
            (value.end, lead)
        }
        None => (place.start + 1, String::new()),
    };
    text.insert_str(at, &format!("{lead}\"{name}\": {written}"));
    Some(())
}

/// Name (or nothing, in a list) and value of the member called `part`, or of the item with that index.
fn child(text: &str, place: &Range<usize>, part: &str) -> Option<(Range<usize>, Range<usize>)> {
    let children = children(text, place)?;
    if text.get(place.clone())?.starts_with('[') {
        return children.into_iter().nth(part.parse().ok()?);
    }
    children.into_iter().find(|(name, _)| {
        let name = text.get(name.clone()).unwrap_or_default();
        serde_json::from_str::<String>(name).is_ok_and(|name| name == part)
    })
}

/// Every member or item of the value at `place`.
fn children(text: &str, place: &Range<usize>) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let is_object = match text.as_bytes().get(place.start)? {
        b'{' => true,
        b'[' => false,
        _ => return None,
    };
    let mut found = Vec::new();
    let mut at = skip(text, place.start + 1, b"");
    while !matches!(text.as_bytes().get(at)?, b'}' | b']') {
        let name = match is_object {
            true => value_at(text, at)?,
            false => at..at,
        };
        let value = value_at(text, skip(text, name.end, b":"))?;
        at = skip(text, value.end, b",");
        found.push((name, value));
    }
    Some(found)
}

/// The place behind white space and bytes of `also`.
fn skip(text: &str, at: usize, also: &[u8]) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let count = rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace() || also.contains(byte));
    at + count.count()
}

/// Where the value that begins behind white space at `at` stands.
fn value_at(text: &str, at: usize) -> Option<Range<usize>> {
    let start = skip(text, at, b"");
    let bytes = text.as_bytes();
    let (mut depth, mut quoted, mut end) = (0_usize, false, start);
    loop {
        let byte = *bytes.get(end)?;
        end += 1;
        match (quoted, byte) {
            (true, b'\\') => end += 1,
            (true, b'"') => quoted = false,
            (true, _) => continue,
            (false, b'"') => quoted = true,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.checked_sub(1)?,
            (false, _) => {}
        }
        let next = bytes.get(end);
        let is_word = !matches!(bytes.get(start)?, b'{' | b'[' | b'"');
        let ends = match is_word {
            true => next.is_none_or(|next| b",]}: \t\r\n".contains(next)),
            false => depth == 0 && !quoted,
        };
        if ends {
            return Some(start..end);
        }
    }
}
