//! JSON Schemas and reference pages made from tables of fields.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::schema::shape::{Field, Kind, Shape};

/// The JSON Schema (draft 2020-12) of documents of this shape.
pub(crate) fn json_schema(shape: &Shape, title: &str) -> Value {
    let mut schema = schema_of_object(shape);
    if let Some(fields) = schema.as_object_mut() {
        let draft = "https://json-schema.org/draft/2020-12/schema";
        fields.insert("$schema".into(), draft.into());
        fields.insert("title".into(), title.into());
    }
    schema
}

/// The schema of an object of this shape.
pub(crate) fn schema_of_object(shape: &Shape) -> Value {
    let mut properties = Map::new();
    for field in shape.fields {
        let mut schema = schema_of(&field.kind);
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("description".into(), described(field).into());
        }
        properties.insert(field.name.into(), schema);
    }
    let required = shape.fields.iter().filter(|field| field.default.is_none());
    json!({
        "type": "object",
        "description": shape.doc,
        "properties": properties,
        "required": required.map(|field| field.name).collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

fn schema_of(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string", "minLength": 1}),
        Kind::Choice(known) => json!({"enum": known}),
        Kind::Number { min, max } => range("number", *min, *max),
        Kind::Integer { min, max } => range("integer", *min, *max),
        Kind::List { of, min } => json!({"type": "array", "items": schema_of(of), "minItems": min}),
        Kind::Object(shape) | Kind::Document(shape) => schema_of_object(shape),
        Kind::Map { of, keys: [] } => {
            json!({"type": "object", "additionalProperties": schema_of(of)})
        }
        Kind::Map { of, keys } => json!({
            "type": "object",
            "additionalProperties": schema_of(of),
            "propertyNames": {"enum": keys},
        }),
    }
}

fn range(kind: &str, min: f64, max: f64) -> Value {
    let mut schema = json!({"type": kind, "minimum": min});
    if let (Some(fields), true) = (schema.as_object_mut(), max.is_finite()) {
        fields.insert("maximum".into(), max.into());
    }
    schema
}

fn described(field: &Field) -> String {
    match field.default {
        None => field.doc.to_owned(),
        Some(default) => format!("{} Default: {}.", field.doc, default.replace('`', "")),
    }
}

/// The shape itself and every shape inside it, each once, in the order in which a reader meets them.
pub(crate) fn shapes(root: &'static Shape) -> Vec<&'static Shape> {
    fn collect(shape: &'static Shape, found: &mut Vec<&'static Shape>) {
        if found.iter().any(|known| std::ptr::eq(*known, shape)) {
            return;
        }
        found.push(shape);
        for field in shape.fields {
            let mut kind = &field.kind;
            while let Kind::List { of, .. } | Kind::Map { of, .. } = kind {
                kind = of;
            }
            if let Kind::Object(inner) = kind {
                collect(inner, found);
            }
        }
    }
    let mut found = Vec::new();
    collect(root, &mut found);
    found
}

/// One Markdown table of fields for each shape.
pub(crate) fn tables(shapes: &[&Shape]) -> String {
    let mut page = String::new();
    for shape in shapes {
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## {}\n\n{}\n\n", shape.name, shape.doc);
        page.push_str("| field | what | meaning | without it |\n|---|---|---|---|\n");
        for field in shape.fields {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                field.name,
                kind_in_words(&field.kind),
                field.doc,
                field.default.unwrap_or("an error"),
            );
        }
    }
    page
}

fn kind_in_words(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Choice(known) => {
            let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            quoted.join(", ")
        }
        Kind::Number { min, max } => range_in_words("number", *min, *max),
        Kind::Integer { min, max } => range_in_words("whole number", *min, *max),
        Kind::List { of, min: 0 } => format!("list of {}", kind_in_words(of)),
        Kind::List { of, .. } => format!("list, not empty, of {}", kind_in_words(of)),
        Kind::Object(shape) | Kind::Document(shape) => {
            format!("[{}](#{})", shape.name, shape.name.replace(' ', "-"))
        }
        Kind::Map { of, keys: [] } => format!("object of {}, by name", kind_in_words(of)),
        Kind::Map { of, keys } => {
            let quoted: Vec<String> = keys.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "object of {} under {}",
                kind_in_words(of),
                quoted.join(", ")
            )
        }
    }
}

fn range_in_words(kind: &str, min: f64, max: f64) -> String {
    if max.is_finite() {
        format!("{kind}, {min} to {max}")
    } else {
        format!("{kind}, {min} or more")
    }
}
