//! Members of Envoy's configuration as JSON.

use serde_json::Value;

/// The items of a list in `value`; none if there is no list.
pub fn list<'d>(value: &'d Value, pointer: &str) -> impl Iterator<Item = &'d Value> + use<'d> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// A member that is text.
pub fn text_of<'d>(value: &'d Value, name: &str) -> Option<&'d str> {
    value.get(name).and_then(Value::as_str)
}
