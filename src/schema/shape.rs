//! Tables of fields: the permitted form of a document as data. One table checks documents, documents them and makes their
//! JSON Schema.
//!
//! Checking reports every problem of form at once. Whether names refer to something is for the room that compiles the document.

use crate::decimal::shortest;
use crate::schema::document::{Node, Value};
use crate::schema::problems::{Problems, join};
use crate::schema::suggest::{hint, quote};

/// An object with named fields.
#[derive(Debug)]
pub struct Shape {
    /// The name of one such object, such as `backend`.
    pub name: &'static str,
    /// Its meaning.
    pub doc: &'static str,
    /// Its fields, in the order in which people should read them.
    pub fields: &'static [Field],
}

/// One field of a [`Shape`].
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its permitted values.
    pub kind: Kind,
    /// The effect of leaving it out, in words; `None` if it is required.
    pub default: Option<&'static str>,
    /// Its meaning.
    pub doc: &'static str,
    /// Its earlier names, for the error that meets documents which still use them.
    pub former_names: &'static [&'static str],
    /// Earlier values and their present names.
    pub former_values: &'static [(&'static str, &'static str)],
}

/// A field that every object of its shape must have.
pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field {
        name,
        kind,
        default: None,
        doc,
        former_names: &[],
        former_values: &[],
    }
}

/// A field that may be left out; `default` says in words what holds then.
pub const fn optional(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Field {
    Field {
        default: Some(default),
        ..required(name, kind, doc)
    }
}

impl Field {
    /// This field with its earlier names.
    pub const fn formerly(self, names: &'static [&'static str]) -> Field {
        Field {
            former_names: names,
            ..self
        }
    }

    /// This field with its earlier values, each with its present name.
    pub const fn formerly_with(self, values: &'static [(&'static str, &'static str)]) -> Field {
        Field {
            former_values: values,
            ..self
        }
    }
}

/// The permitted values of a place.
#[derive(Debug)]
pub enum Kind {
    /// A string that is not empty.
    Text,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A number from `min` to `max`.
    Number {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A number without a fraction from `min` to `max`.
    Integer {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A list with at least `min` items.
    List {
        /// The kind of each item.
        of: &'static Kind,
        /// The fewest items.
        min: usize,
    },
    /// An object with named fields.
    Object(&'static Shape),
    /// An object that is a document of its own: checked here is only that it is an object.
    Document(&'static Shape),
    /// An object whose names are chosen by the operator, or are among `keys` if that is not empty.
    Map {
        /// The kind of each value.
        of: &'static Kind,
        /// The names allowed; any if empty.
        keys: &'static [&'static str],
    },
}

impl Kind {
    fn expected(&self) -> &'static str {
        match self {
            Kind::Text | Kind::Choice(_) => "a string",
            Kind::Number { .. } => "a number",
            Kind::Integer { .. } => "a whole number",
            Kind::List { .. } => "a list",
            Kind::Object(_) | Kind::Document(_) | Kind::Map { .. } => "an object",
        }
    }
}

pub(crate) const FRACTION: Kind = Kind::Number { min: 0.0, max: 1.0 };

pub(crate) const AT_LEAST_ZERO: Kind = Kind::Number {
    min: 0.0,
    max: f64::INFINITY,
};

/// Up to 24 hours: beyond it a limit is surely in the wrong unit.
pub(crate) const MILLISECONDS: Kind = Kind::Number {
    min: 0.0,
    max: 86_400_000.0,
};

/// The problem of a field that `shape` does not have.
pub(crate) fn unknown_field(shape: &Shape, name: &str) -> String {
    let mut fields = shape.fields.iter();
    if let Some(field) = fields.find(|field| field.former_names.contains(&name)) {
        return format!("`{name}` is called `{}` now", field.name);
    }
    let known: Vec<&str> = shape.fields.iter().map(|field| field.name).collect();
    format!("unknown field {}{}", quote(name), hint(name, &known))
}

/// Checks `node`, which stands at `path`, and adds what is wrong with its form.
pub(crate) fn check(kind: &Kind, node: &Node, path: &str, problems: &mut Problems<'_>) {
    check_value(kind, &[], node, path, problems);
}

fn check_value(
    kind: &Kind,
    former_values: &[(&str, &str)],
    node: &Node,
    path: &str,
    problems: &mut Problems<'_>,
) {
    match (kind, &node.value) {
        (Kind::Text, Value::Text(text)) => {
            if text.is_empty() {
                problems.add(node.at, path, "is empty");
            }
        }
        (Kind::Choice(known), Value::Text(text)) => {
            if !known.contains(&text.as_str()) {
                let mut former = former_values.iter();
                let message = match former.find(|(old, _)| old == text) {
                    Some((old, new)) => format!("`{old}` is called `{new}` now"),
                    None => format!("unknown value {}{}", quote(text), hint(text, known)),
                };
                problems.add(node.at, path, message);
            }
        }
        (Kind::Number { min, max }, Value::Number(number)) => {
            check_range(*number, *min, *max, node, path, problems);
        }
        (Kind::Integer { min, max }, Value::Number(number)) => {
            if number.fract() == 0.0 {
                check_range(*number, *min, *max, node, path, problems);
            } else {
                let message = format!("expected a whole number, found `{}`", shortest(*number));
                problems.add(node.at, path, message);
            }
        }
        (Kind::List { of, min }, Value::List(items)) => {
            if items.len() < *min {
                problems.add(node.at, path, "is empty: at least one is needed");
            }
            for (index, item) in items.iter().enumerate() {
                check_value(
                    of,
                    former_values,
                    item,
                    &format!("{path}[{index}]"),
                    problems,
                );
            }
        }
        (Kind::Object(shape), Value::Object(_)) => check_object(shape, node, path, problems),
        (Kind::Document(_), Value::Object(_)) => {}
        (Kind::Map { of, keys }, Value::Object(_)) => check_map(of, keys, node, path, problems),
        _ => {
            let message = format!("expected {}, found {}", kind.expected(), node.kind());
            problems.add(node.at, path, message);
        }
    }
}

fn check_range(
    number: f64,
    min: f64,
    max: f64,
    node: &Node,
    path: &str,
    problems: &mut Problems<'_>,
) {
    if (min..=max).contains(&number) {
        return;
    }
    let range = if max == f64::INFINITY {
        format!("{} or more", shortest(min))
    } else {
        format!("{} to {}", shortest(min), shortest(max))
    };
    // Scores and probabilities are often written as percentages.
    let percent = if max == 1.0 && number > 1.0 && number <= 100.0 {
        format!("; did you mean `{}`?", shortest(number / 100.0))
    } else {
        String::new()
    };
    problems.add(
        node.at,
        path,
        format!(
            "`{}` is out of range: expected {range}{percent}",
            shortest(number)
        ),
    );
}

fn check_object(shape: &Shape, node: &Node, path: &str, problems: &mut Problems<'_>) {
    for (index, member) in node.members().iter().enumerate() {
        let at = join(path, &member.name);
        let Some(field) = shape.fields.iter().find(|field| field.name == member.name) else {
            let message = unknown_field(shape, &member.name);
            problems.add(member.at, at, message);
            continue;
        };
        check_once(node, index, &at, problems);
        check_value(
            &field.kind,
            field.former_values,
            &member.value,
            &at,
            problems,
        );
    }
    for field in shape.fields {
        if field.default.is_none() && node.get(field.name).is_none() {
            problems.add(node.at, path, format!("missing field `{}`", field.name));
        }
    }
}

fn check_map(of: &Kind, keys: &[&str], node: &Node, path: &str, problems: &mut Problems<'_>) {
    for (index, member) in node.members().iter().enumerate() {
        let at = join(path, &member.name);
        check_once(node, index, &at, problems);
        if member.name.is_empty() {
            problems.add(member.at, path, "a name is empty");
        }
        if !keys.is_empty() && !keys.contains(&member.name.as_str()) {
            let message = format!(
                "unknown name {}{}",
                quote(&member.name),
                hint(&member.name, keys)
            );
            problems.add(member.at, at.as_str(), message);
        }
        check(of, &member.value, &at, problems);
    }
}

/// Adds a problem where the member at `index` repeats an earlier name.
fn check_once(node: &Node, index: usize, at: &str, problems: &mut Problems<'_>) {
    let members = node.members();
    let Some(member) = members.get(index) else {
        return;
    };
    if members
        .iter()
        .take(index)
        .any(|earlier| earlier.name == member.name)
    {
        problems.add(member.at, at, "appears twice");
    }
}
