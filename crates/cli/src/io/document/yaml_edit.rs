//! Changes one value of a YAML text and leaves every other byte as it is: comments, quotes and layout stay.
//!
//! Values are written in YAML's flow form, which is JSON. The places of values come from the parser; nothing is changed behind
//! an alias, since what it stands for is written elsewhere.

use std::ops::Range;

use saphyr_parser::{Event, Parser, Span};

use super::Step;

/// One value and its bytes in the text.
#[derive(Debug)]
struct Node {
    bytes: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Scalar { is_null: bool },
    Alias,
    List { items: Vec<Node> },
    Mapping { is_flow: bool, members: Vec<Member> },
}

#[derive(Debug)]
struct Member {
    name: String,
    name_bytes: Range<usize>,
    value: Node,
}

/// `text` with `value` (JSON) at `path`; see [`super::Document::set`].
pub fn set(text: &str, path: &[Step<'_>], value: &str) -> Option<String> {
    let root = read(text)?;
    let mut at = &root;
    // The start of a value that replaces a block: right behind its name, since a flow value must not stand under it.
    let mut behind_name = None;
    for (index, step) in path.iter().enumerate() {
        let rest = path.get(index..)?;
        let next = match (step, &at.kind) {
            (Step::Item(number), Kind::List { items, .. }) => {
                behind_name = None;
                items.get(*number)?
            }
            (Step::Key(key), Kind::Mapping { members, .. }) => {
                match members.iter().find(|member| member.name == *key) {
                    Some(member) => {
                        behind_name = Some(colon(text, member.name_bytes.end)?);
                        &member.value
                    }
                    None => return insert(text, at, rest, value),
                }
            }
            (Step::Key(_), Kind::Scalar { is_null: true }) => {
                let start = behind_name.unwrap_or(at.bytes.start);
                return replace(text, start..at.bytes.end.max(start), &nested(rest, value)?);
            }
            _ => return None,
        };
        at = next;
    }
    let start = match at.kind {
        Kind::Alias => return None,
        Kind::Scalar { is_null: false } => at.bytes.start,
        _ => behind_name.unwrap_or(at.bytes.start),
    };
    replace(text, start..at.bytes.end.max(start), value)
}

/// The byte behind the colon that follows a name.
fn colon(text: &str, name_end: usize) -> Option<usize> {
    let rest = text.get(name_end..)?;
    Some(name_end + rest.find(':')? + 1)
}

/// `text` with `value` in the place of `bytes`, a space before it where it would touch the colon.
fn replace(text: &str, bytes: Range<usize>, value: &str) -> Option<String> {
    let before = text.get(..bytes.start)?;
    let space = if before.ends_with(':') { " " } else { "" };
    Some(format!("{before}{space}{value}{}", text.get(bytes.end..)?))
}

/// The value of the first key of `rest`, as JSON.
fn nested(rest: &[Step<'_>], value: &str) -> Option<String> {
    let mut written = value.to_owned();
    for step in rest.iter().rev() {
        let Step::Key(key) = step else { return None };
        written = format!("{{{}: {written}}}", serde_json::to_string(key).ok()?);
    }
    Some(written)
}

/// Adds the member that `rest` begins with as the last one of a mapping.
fn insert(text: &str, mapping: &Node, rest: &[Step<'_>], value: &str) -> Option<String> {
    let Kind::Mapping { is_flow, members } = &mapping.kind else {
        return None;
    };
    let (Step::Key(key), inner) = rest.split_first()? else {
        return None;
    };
    let member = format!("{}: {}", name(key)?, nested(inner, value)?);
    let (at, lead) = match (is_flow, members.first(), members.last()) {
        (true, _, Some(last)) => (last.value.bytes.end, ", ".to_owned()),
        (true, _, None) => (mapping.bytes.start + 1, String::new()),
        (false, Some(first), Some(last)) => {
            let line = text.get(..first.name_bytes.start)?.rsplit('\n').next()?;
            let end = end_of_value(text, last);
            (end, format!("\n{}", " ".repeat(line.chars().count())))
        }
        _ => return None,
    };
    Some(format!(
        "{}{lead}{member}{}",
        text.get(..at)?,
        text.get(at..)?
    ))
}

/// The end of the line of a member's last byte, a comment on it included.
fn end_of_value(text: &str, member: &Member) -> usize {
    let end = member.value.bytes.end.max(member.name_bytes.end);
    // A block of text ends behind its line breaks.
    let end = text
        .get(..end)
        .map_or(end, |before| before.trim_end().len());
    let rest = text.get(end..).unwrap_or_default();
    end + rest.find('\n').unwrap_or(rest.len())
}

/// A name as YAML writes it: plain if that is safe.
fn name(key: &str) -> Option<String> {
    let is_plain = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !matches!(
            key,
            "true" | "false" | "null" | "on" | "off" | "yes" | "no" | "y" | "n"
        );
    match is_plain {
        true => Some(key.to_owned()),
        false => serde_json::to_string(key).ok(),
    }
}

fn read(text: &str) -> Option<Node> {
    // The parser counts characters.
    let mut offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    offsets.push(text.len());
    let mut events = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        events.push((event, bytes(span, &offsets)?));
    }
    let is_value = |event: &Event<'_>| {
        !matches!(
            event,
            Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing
        )
    };
    events.retain(|(event, _)| is_value(event));
    let mut events = events.into_iter();
    node(text, &mut events)
}

fn bytes(span: Span, offsets: &[usize]) -> Option<Range<usize>> {
    let start = *offsets.get(span.start.index())?;
    let end = *offsets.get(span.end.index())?;
    Some(start..end.max(start))
}

type Events<'t> = std::vec::IntoIter<(Event<'t>, Range<usize>)>;

/// The value that begins with the next event.
fn node(text: &str, events: &mut Events<'_>) -> Option<Node> {
    let (event, bytes) = events.next()?;
    value(text, event, bytes, events)
}

fn value(
    text: &str,
    event: Event<'_>,
    bytes: Range<usize>,
    events: &mut Events<'_>,
) -> Option<Node> {
    let is_flow = matches!(text.as_bytes().get(bytes.start), Some(b'{' | b'['));
    let start = bytes.start;
    let (end, kind) = match event {
        Event::Alias(_) => (bytes.end, Kind::Alias),
        Event::Scalar(written, ..) => {
            let is_null = text.get(bytes.clone())?.is_empty() || matches!(&*written, "~" | "null");
            (bytes.end, Kind::Scalar { is_null })
        }
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            let mut last = start;
            let end = loop {
                let (event, bytes) = events.next()?;
                if event == Event::SequenceEnd {
                    break if is_flow { bytes.end } else { last };
                }
                let item = value(text, event, bytes, events)?;
                last = item.bytes.end;
                items.push(item);
            };
            (end, Kind::List { items })
        }
        Event::MappingStart(..) => {
            let mut members = Vec::new();
            let mut last = start;
            let end = loop {
                let (event, name_bytes) = events.next()?;
                if event == Event::MappingEnd {
                    break if is_flow { name_bytes.end } else { last };
                }
                let Event::Scalar(name, ..) = event else {
                    return None;
                };
                let value = node(text, events)?;
                last = value.bytes.end.max(name_bytes.end);
                members.push(Member {
                    name: name.into_owned(),
                    name_bytes,
                    value,
                });
            };
            (end, Kind::Mapping { is_flow, members })
        }
        _ => return None,
    };
    Some(Node {
        bytes: start..end,
        kind,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use Step::{Item, Key};

    const TEXT: &str = "# fleet\nmodels: # all\n  - name: a # first\n    benchmarks: {mmlu: 0.5}\n    # next\n  - name: ü\n    note: |\n      two\n      lines\nprofiles:\n  save:\n    weights: {cost: 1}\ntags:\n- x\n- y\nnone:\nempty: {}\n";

    fn changed(path: &[Step<'_>], value: &str) -> String {
        set(TEXT, path, value).unwrap()
    }

    #[test]
    fn a_value_is_replaced_and_nothing_else() {
        let path = [Key("models"), Item(0), Key("name")];
        assert_eq!(
            changed(&path, "\"b\""),
            TEXT.replace("name: a", "name: \"b\"")
        );
        let path = [Key("models"), Item(0), Key("benchmarks")];
        assert_eq!(changed(&path, "{}"), TEXT.replace(" {mmlu: 0.5}", " {}"));
        assert_eq!(
            changed(&[Key("tags")], "[1]"),
            TEXT.replace("tags:\n- x\n- y\n", "tags: [1]\n")
        );
        assert_eq!(
            changed(&[Key("none")], "1"),
            TEXT.replace("none:\n", "none: 1\n")
        );
    }

    #[test]
    fn what_is_missing_is_added_in_the_layout_of_its_neighbours() {
        let path = [Key("models"), Item(0), Key("calibration")];
        assert_eq!(
            changed(&path, "{\"offset\":1}"),
            TEXT.replace(
                "{mmlu: 0.5}\n",
                "{mmlu: 0.5}\n    calibration: {\"offset\":1}\n"
            )
        );
        let path = [Key("models"), Item(1), Key("k"), Key("d e")];
        assert_eq!(
            changed(&path, "3"),
            TEXT.replace("      lines\n", "      lines\n    k: {\"d e\": 3}\n")
        );
        let path = [
            Key("profiles"),
            Key("save"),
            Key("limits"),
            Key("min_quality"),
        ];
        assert_eq!(
            changed(&path, "0.5"),
            TEXT.replace(
                "{cost: 1}\n",
                "{cost: 1}\n    limits: {\"min_quality\": 0.5}\n"
            )
        );
        let path = [Key("models"), Item(0), Key("benchmarks"), Key("gpqa")];
        assert_eq!(
            changed(&path, "1"),
            TEXT.replace("mmlu: 0.5", "mmlu: 0.5, gpqa: 1")
        );
        assert_eq!(
            changed(&[Key("empty"), Key("a")], "1"),
            TEXT.replace("empty: {}", "empty: {a: 1}")
        );
        assert_eq!(
            changed(&[Key("none"), Key("a")], "1"),
            TEXT.replace("none:\n", "none: {\"a\": 1}\n")
        );
        assert_eq!(changed(&[Key("last")], "1"), format!("{TEXT}last: 1\n"));
        assert_eq!(set("a: 1 # x", &[Key("b")], "2").unwrap(), "a: 1 # x\nb: 2");
        assert_eq!(
            set("- a: 1\n", &[Item(0), Key("b")], "2").unwrap(),
            "- a: 1\n  b: 2\n"
        );
    }

    #[test]
    fn a_path_that_leads_nowhere_or_behind_an_alias_is_none() {
        assert_eq!(set("- 1", &[Item(1)], "2"), None);
        assert_eq!(set("a: 1", &[Key("a"), Key("b")], "2"), None);
        assert_eq!(set("a: &x {b: 1}\nc: *x", &[Key("c"), Key("b")], "2"), None);
        assert_eq!(set("a: &x {b: 1}\nc: *x", &[Key("c")], "2"), None);
    }
}
