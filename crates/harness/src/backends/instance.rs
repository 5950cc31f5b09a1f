//! A value that keeps a JSON Schema, for answers to requests that demand one: the smallest that says that it is synthetic.
//!
//! Supports the schemas that clients' libraries (Pydantic, Zod) write: types, `required`, `enum`, `const`, `$ref`,
//! unions, bounds, common formats. Of `pattern`, `not` and conditions it knows nothing.

use serde_json::{Map, Value, json};

/// Deeper schemas, those that hold themselves among them, end with `null`.
const DEEPEST: usize = 24;
/// The most items that are written of a list, whatever its schema demands.
const MOST_ITEMS: u64 = 64;

/// A value that keeps `schema`.
pub fn instance(schema: &Value) -> Value {
    of(schema, schema, "synthetic", 0)
}

/// `root` is the document that references lead into; `name` is the name of the value in it.
fn of(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|path| root.pointer(path));
        return target.map_or(Value::Null, |target| of(target, root, name, depth + 1));
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema.pointer("/enum/0") {
        return value.clone();
    }
    for union in ["anyOf", "oneOf"] {
        let choices = schema.get(union).and_then(Value::as_array);
        if let Some(first) = choices.and_then(|choices| choices.first()) {
            return of(first, root, name, depth + 1);
        }
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        return all_of(schema, parts, root, depth);
    }
    match kind(schema) {
        "object" => object(schema, root, depth),
        "array" => array(schema, root, name, depth),
        "integer" => json!(number(schema).ceil() as i64),
        "number" => json!(number(schema)),
        "boolean" => Value::Bool(true),
        "null" => Value::Null,
        _ => text(schema, name),
    }
}

/// The type of a schema; the first of several.
fn kind(schema: &Value) -> &str {
    let stated = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        other => other.and_then(Value::as_str),
    };
    stated.unwrap_or(match schema {
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    })
}

/// Members of every part together, as classes that extend others are written.
fn all_of(schema: &Value, parts: &[Value], root: &Value, depth: usize) -> Value {
    let mut members = Map::new();
    for part in parts {
        match of(part, root, "synthetic", depth + 1) {
            Value::Object(more) => members.extend(more),
            other => return other,
        }
    }
    if let Value::Object(own) = object(schema, root, depth) {
        members.extend(own);
    }
    Value::Object(members)
}

/// Every member that the schema names, required or not.
fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let named = schema.get("properties").and_then(Value::as_object);
    let members = named.into_iter().flatten().map(|(name, schema)| {
        let value = of(schema, root, name, depth + 1);
        (name.clone(), value)
    });
    Value::Object(members.collect())
}

fn array(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
        return items
            .iter()
            .map(|item| of(item, root, name, depth + 1))
            .collect();
    }
    let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1);
    let most = schema.get("maxItems").and_then(Value::as_u64);
    let count = least.max(1).min(most.unwrap_or(u64::MAX)).min(MOST_ITEMS);
    let any = json!({});
    let item = schema.get("items").unwrap_or(&any);
    (0..count)
        .map(|_| of(item, root, name, depth + 1))
        .collect()
}

/// A number within the bounds, 1 if it may be.
fn number(schema: &Value) -> f64 {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let above = bound("exclusiveMinimum").map(|least| least + 1.0);
    let below = bound("exclusiveMaximum").map(|most| most - 1.0);
    let least = bound("minimum").or(above).unwrap_or(f64::NEG_INFINITY);
    let most = bound("maximum").or(below).unwrap_or(f64::INFINITY);
    let step = bound("multipleOf").filter(|step| *step > 0.0);
    let value = 1.0_f64.min(most).max(least);
    step.map_or(value, |step| (value / step).ceil() * step)
}

fn text(schema: &Value, name: &str) -> Value {
    let known = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => Some("2026-01-01T00:00:00Z"),
        Some("date") => Some("2026-01-01"),
        Some("time") => Some("00:00:00Z"),
        Some("duration") => Some("P1D"),
        Some("email") => Some("synthetic@example.com"),
        Some("uri" | "url") => Some("https://example.com/"),
        Some("uuid") => Some("00000000-0000-4000-8000-000000000000"),
        Some("ipv4") => Some("127.0.0.1"),
        Some("ipv6") => Some("::1"),
        _ => None,
    };
    let mut text = known.map_or_else(|| format!("synthetic {name}"), str::to_owned);
    let bound = |name: &str| {
        schema
            .get(name)
            .and_then(Value::as_u64)
            .map(|most| most as usize)
    };
    if let Some(least) = bound("minLength") {
        let missing = least.min(10_000).saturating_sub(text.chars().count());
        text.extend(std::iter::repeat_n('.', missing));
    }
    if let Some(most) = bound("maxLength") {
        text = text.chars().take(most).collect();
    }
    Value::String(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_schema() {
        let schema = json!({
            "$defs": {
                "Step": {"type": "object", "properties": {"explanation": {"type": "string"}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Step"}]}}},
                "Loop": {"type": "object", "properties": {"again": {"$ref": "#/$defs/Loop"}}},
            },
            "type": "object",
            "properties": {
                "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}, "minItems": 2},
                "mood": {"enum": ["calm", "angry"]}, "kind": {"const": 7},
                "age": {"type": "integer", "minimum": 18}, "share": {"type": "number", "exclusiveMaximum": 1, "minimum": 0},
                "on": {"type": "date", "format": "date"}, "short": {"type": "string", "maxLength": 3},
                "maybe": {"type": ["string", "null"]}, "flag": {"type": "boolean"}, "none": {"type": "array", "maxItems": 0},
            },
        });
        assert_eq!(
            instance(&schema),
            json!({
                "steps": [{"explanation": "synthetic explanation", "next": null}, {"explanation": "synthetic explanation", "next": null}],
                "mood": "calm", "kind": 7, "age": 18, "share": 0.0, "on": "2026-01-01", "short": "syn",
                "maybe": "synthetic maybe", "flag": true, "none": [],
            })
        );
        let parts = json!({"allOf": [{"properties": {"a": {"type": "boolean"}}}], "properties": {"b": {"const": 1}}});
        assert_eq!(instance(&parts), json!({"a": true, "b": 1}));
        // A schema that holds itself ends.
        instance(&json!({"$ref": "#/$defs/Loop", "$defs": schema["$defs"]}));
        instance(&json!({"$ref": "#"}));
    }
}
