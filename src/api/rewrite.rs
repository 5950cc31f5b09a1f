//! Replaces the value of `model` in a body and asks for the usage of a stream. Every other byte stays.
//!
//! Every top-level `model` is replaced, not only the one that this module reads: servers differ in which of two they take, and a
//! client must not evade the decision by writing the key twice or in another case. The new body is JSON if the old one was.

use crate::api::edit::{PrefixEdit, Splice};
use crate::api::request::{Request, UsageSlot, answer_bounds};
use crate::sort;

/// The edit that makes `model` the model of `body`, from which `request` was read; `None` if it already is.
///
/// A body without `model` gets one as its first field, even if it has a `Model`. If `request` is not complete and no `model` was
/// seen, there is no edit: a later `model` would undo it.
///
/// ```
/// use pointsman::api::{Api, request::parse, rewrite::set_model};
///
/// let body = br#"{"model": "auto", "messages": []}"#;
/// let request = parse(Api::OpenAiChat, body, true)?;
/// let edit = set_model(body, &request, "llama-3.1-8b").unwrap();
/// assert_eq!(edit.with, br#"{"model": "llama-3.1-8b""#);
/// assert_eq!(&body[edit.replace..], br#", "messages": []}"#);
/// # Ok::<(), pointsman::api::request::InvalidRequest>(())
/// ```
pub fn set_model(body: &[u8], request: &Request<'_>, model: &str) -> Option<PrefixEdit> {
    rewrite(body, request, model, false)
}

/// The edit of [`set_model`] that also sets `stream_options.include_usage` if `ask_usage`. That field stays if `request` is not
/// complete, because it may follow.
pub fn rewrite(
    body: &[u8],
    request: &Request<'_>,
    model: &str,
    ask_usage: bool,
) -> Option<PrefixEdit> {
    PrefixEdit::from_splices(body, &splices(body, request, model, ask_usage))
}

/// The changes of [`rewrite`] to a body that begins with `start`; `request` may know fields beyond that.
pub fn splices(start: &[u8], request: &Request<'_>, model: &str, ask_usage: bool) -> Vec<Splice> {
    let mut splices = Vec::new();
    let Ok(value) = serde_json::to_string(model) else {
        return splices;
    };
    let named = request.has_model;
    if !named && !request.complete {
        return splices;
    }
    let mut first = String::new();
    if !named {
        first.push_str("\"model\":");
        first.push_str(&value);
    }
    if ask_usage && request.complete && !request.include_usage {
        ask(request.usage_slot.as_ref(), &mut first, &mut splices);
    }
    if !first.is_empty() {
        let Some(at) = after_brace(start) else {
            return Vec::new();
        };
        if !is_empty_object(start.get(at..).unwrap_or_default()) {
            first.push(',');
        }
        splices.push(Splice {
            span: at..at,
            with: first.into_bytes(),
        });
    }
    if !named
        || request
            .model_values
            .iter()
            .any(|written| **written != value)
    {
        splices.extend(request.model_spans.iter().map(|span| Splice {
            span: span.clone(),
            with: value.clone().into_bytes(),
        }));
    }
    sort::sort_by_key(&mut splices, |splice| splice.span.start);
    splices
}

/// Adds to `splices` the changes that lower every bound of the answer to at most `most` tokens, as far as bounds are in `start`, or
/// `request` knows them beyond that.
pub fn cut_down(start: &[u8], request: &Request<'_>, most: u32, splices: &mut Vec<Splice>) {
    let mut bounds = request.written_bounds.clone();
    if let Some(inside) = after_brace(start) {
        for bound in answer_bounds::find(start, inside - 1) {
            // Of a number that the end of `start` cuts, the whole is known.
            if !bounds
                .iter()
                .any(|known| known.span.start == bound.span.start)
            {
                bounds.push(bound);
            }
        }
    }
    let over = bounds
        .into_iter()
        .filter(|bound| bound.number > f64::from(most));
    splices.extend(over.map(|bound| Splice {
        span: bound.span,
        with: most.to_string().into_bytes(),
    }));
    sort::sort_by_key(splices, |splice| splice.span.start);
}

/// Asks for usage in `slot`, or, if there is none, in `first`, which goes before all fields.
fn ask(slot: Option<&UsageSlot>, first: &mut String, splices: &mut Vec<Splice>) {
    let (span, with) = match slot {
        None => {
            if !first.is_empty() {
                first.push(',');
            }
            first.push_str("\"stream_options\":{\"include_usage\":true}");
            return;
        }
        Some(UsageSlot::Unknown) => return,
        Some(UsageSlot::NoOptions(null)) => (null.clone(), "{\"include_usage\":true}".to_owned()),
        Some(UsageSlot::Value(value)) => (value.clone(), "true".to_owned()),
        Some(UsageSlot::Inside { at, is_empty }) => {
            let comma = if *is_empty { "" } else { "," };
            (*at..*at, format!("\"include_usage\":true{comma}"))
        }
    };
    let with = with.into_bytes();
    splices.push(Splice { span, with });
}

/// Offset after the document's opening brace.
fn after_brace(body: &[u8]) -> Option<usize> {
    body.iter().position(|&byte| byte == b'{').map(|at| at + 1)
}

/// Whether only white space precedes the closing brace.
fn is_empty_object(inside: &[u8]) -> bool {
    inside.trim_ascii_start().first() == Some(&b'}')
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice
)]
mod tests;
