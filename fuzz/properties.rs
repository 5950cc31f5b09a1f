//! Properties of reading and rewriting that hold for any bytes. Used by the fuzz targets, by their replay on stable and by
//! the property tests. serde_json is the witness for what a body says.

#![allow(dead_code)] // each user takes what it needs

use std::collections::HashSet;

use pointsman::analysis::sensitivity;
use pointsman::analysis::steps::Counted;
use pointsman::api::Api;
use pointsman::api::request::top_level::TopLevelScanner;
use pointsman::api::request::{InvalidRequest, Request, UsageSlot, parse};
use pointsman::api::rewrite::{rewrite, set_model};
use pointsman::policy::pattern::Pattern;
use pointsman::policy::rules::words::WordMatcher;
use serde_json::Value;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads `body` whole and as a first part: no panic, JSON exactly where serde_json sees JSON, errors inside the body and
/// without its text, texts as serde_json decodes them, and information that only grows with the part that is seen.
pub fn check_reading(body: &[u8]) {
    check_fields(body);
    for api in Api::ALL {
        let read = parse(api, body, true);
        let _ = parse(api, body, false);
        match &read {
            Ok(request) => {
                check_request(body, request);
                check_parts(body, request);
            }
            Err(error) => check_error(body, error),
        }
    }
}

/// The most steps per byte that a scan for sensitive text may make, whatever the text.
pub const MOST_STEPS_SENSITIVE: u64 = 6;
/// The most steps per byte that a search for words may make, whatever the text and however many words there are.
pub const MOST_STEPS_WORDS: u64 = 4;

/// A thousand words and beginnings of words that share their first letters with each other and with ordinary text.
pub fn thousand_words() -> WordMatcher {
    let ends = ["", "s", "a*", "ing", "é", "ß*", "1", "т", "薬", "o*"];
    let words = (0..100).flat_map(|number: u32| {
        let letters = ["e", "t", "a", "1", "sk", "de", "é", "薬", "т", "ss"];
        let first = letters[number as usize % 10];
        let second = letters[number as usize / 10];
        ends.map(|end| Pattern::parse(&format!("{first}{second}{end}")).expect("a word"))
    });
    let words: Vec<Pattern> = words.collect();
    WordMatcher::compile([words.as_slice()]).0
}

/// Scans `text` and counts the steps: time grows with the text alone.
pub fn check_scanning(words: &WordMatcher, text: &str) {
    // Some steps are for the beginning and the end.
    let length = text.len() as u64 + 64;
    let mut steps = Counted::default();
    let found = sensitivity::find_counting(text, &mut steps);
    assert!(
        steps.0 <= MOST_STEPS_SENSITIVE * length,
        "{} steps for {} bytes",
        steps.0,
        text.len()
    );
    assert!(sensitivity::find_in_parts([text, "\n"]).contains(found));
    let mut steps = Counted::default();
    words.find_counting([text], &mut steps);
    assert!(
        steps.0 <= MOST_STEPS_WORDS * length,
        "{} steps for {} bytes",
        steps.0,
        text.len()
    );
}

/// The short fields of a body are the same however it is cut into pieces, and their places lie in it.
fn check_fields(body: &[u8]) {
    for api in Api::ALL {
        let found = |size: usize| {
            let mut scanner = TopLevelScanner::default();
            body.chunks(size).for_each(|piece| scanner.feed(piece));
            scanner.finish()
        };
        let tails = [1, 5, body.len().max(1)].map(found);
        let mut requests = tails.each_ref().map(|tail| {
            let mut request = parse(api, b"{}", true).expect("an object");
            let joined = request.join(tail);
            joined.map(|()| request)
        });
        let [first, rest @ ..] = &mut requests;
        rest.iter().for_each(|request| assert_eq!(request, &*first));
        let Ok(whole) = parse(api, body, true) else {
            continue;
        };
        // A `model` that comes too often is refused.
        let Ok(first) = first.as_ref() else { continue };
        assert_eq!(first.model_spans, whole.model_spans);
        if body.len() < 1000 {
            assert_eq!((&first.model, &first.user), (&whole.model, &whole.user));
            assert_eq!(
                (first.max_tokens, first.stream),
                (whole.max_tokens, whole.stream)
            );
            assert_eq!(first.usage_slot, whole.usage_slot);
        }
    }
}

/// Makes `model` the model of `body`: the new body reads the same but for the model, and needs no further edit.
pub fn check_rewriting(body: &[u8], model: &str) {
    for api in Api::ALL {
        check_model(api, body, model);
        check_usage(api, body, model);
    }
}

fn check_model(api: Api, body: &[u8], model: &str) {
    let Ok(request) = parse(api, body, true) else {
        return;
    };
    let after = apply(body, &request, model, false);
    let again = parse(api, &after, true).expect("the new body reads");
    assert_eq!(again.model.as_deref(), Some(model));
    assert_eq!(set_model(&after, &again, model), None, "a second edit");
    let expected = Request {
        model: again.model.clone(),
        other_models: again.other_models.clone(),
        has_model: true,
        model_spans: again.model_spans.clone(),
        model_values: again.model_values.clone(),
        usage_slot: again.usage_slot.clone(),
        ..request.clone()
    };
    assert_eq!(again, expected);

    let (Some(mut before), Some(after)) = (value(body), value(&after)) else {
        return;
    };
    let fields = before.as_object_mut().expect("an object");
    fields.insert("model".into(), model.into());
    for (key, value) in fields {
        if is_model(key) {
            *value = model.into();
        }
    }
    assert_eq!(after, before);
}

/// Whether some server could take the key for `model`.
fn is_model(key: &str) -> bool {
    fold(key) == "model"
}

/// A key as the most lenient server reads it; one in lower case is read as it is.
fn fold(key: &str) -> String {
    if key
        .chars()
        .all(|letter| letter.is_ascii_lowercase() || letter == '_')
    {
        return key.to_owned();
    }
    let letters = key.chars().filter(|letter| *letter != '_');
    letters
        .map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Asks for usage besides the model: nothing but that changes, and it needs no further edit.
fn check_usage(api: Api, body: &[u8], model: &str) {
    let Ok(request) = parse(api, body, true) else {
        return;
    };
    let after = apply(body, &request, model, true);
    let again = parse(api, &after, true).expect("the new body reads");
    assert!(again.include_usage || request.usage_slot == Some(UsageSlot::Unknown));
    assert_eq!(rewrite(&after, &again, model, true), None, "a second edit");
    let (Some(mut before), Some(mut after)) = (value(body), value(&after)) else {
        return;
    };
    for value in [&mut before, &mut after] {
        let fields = value.as_object_mut().expect("an object");
        fields.retain(|key, _| !is_model(key));
        if let Some(Value::Object(mut options)) = fields.remove("stream_options") {
            options.remove("include_usage");
            if !options.is_empty() {
                fields.insert("stream_options".into(), options.into());
            }
        }
    }
    assert_eq!(after, before);
}

fn apply(body: &[u8], request: &Request<'_>, model: &str, ask_usage: bool) -> Vec<u8> {
    match rewrite(body, request, model, ask_usage) {
        None => body.to_vec(),
        Some(edit) => {
            let mut after = edit.with.clone();
            after.extend_from_slice(&body[edit.replace..]);
            assert_eq!(after.len() as i64, body.len() as i64 + edit.growth());
            after
        }
    }
}

/// The body as serde_json sees it; `None` where it decodes less than we do (lone surrogates, numbers beyond `f64`).
fn value(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body.strip_prefix(MARK).unwrap_or(body)).ok()
}

fn is_json(body: &[u8]) -> bool {
    let text = body.strip_prefix(MARK).unwrap_or(body);
    std::str::from_utf8(body).is_ok()
        && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

fn check_error(body: &[u8], error: &InvalidRequest) {
    let (offset, text) = match error {
        InvalidRequest::NotJson { offset, problem } => {
            assert!(!is_json(body), "serde_json reads it: {problem} at {offset}");
            (*offset, problem)
        }
        InvalidRequest::WrongShape { at, offset, .. } => (*offset, at),
    };
    assert!(offset <= body.len());
    let plain = |c: char| c.is_ascii_alphanumeric() || " .,:[]{}`_-\\".contains(c);
    assert!(text.chars().all(plain), "{text}");
    assert!(!error.to_string().contains('\n'));
}

fn check_request(body: &[u8], request: &Request<'_>) {
    assert!(is_json(body), "serde_json does not read it");
    assert!(request.complete);
    for span in &request.model_spans {
        let value = body.get(span.clone()).expect("a span inside the body");
        assert!(is_json(value));
    }
    let Some(value) = value(body) else { return };
    if let Some(model) = value.get("model").and_then(Value::as_str) {
        assert_eq!(request.model.as_deref(), Some(model));
    }
    let texts = request.messages.iter().chain(&request.asides);
    let texts: HashSet<&str> = texts
        .flat_map(|message| &message.texts)
        .map(AsRef::as_ref)
        .collect();
    let mut strings = HashSet::new();
    collect(&value, &mut strings);
    for text in &texts {
        let is_number = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        // Of a key that comes twice serde_json keeps the last.
        let is_seen = strings.contains(text) || is_number || has_repeated_keys(body);
        assert!(is_seen, "a text that is not in the body");
    }
    if request.api != Api::OpenAiEmbeddings {
        check_contents(&value, &texts);
    }
}

fn collect<'v>(value: &'v Value, strings: &mut HashSet<&'v str>) {
    match value {
        Value::String(text) => drop(strings.insert(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, strings)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, strings)),
        _ => {}
    }
}

/// Every text of a content of a message is found, in whatever form it stands there.
fn check_contents(value: &Value, texts: &HashSet<&str>) {
    let Some(messages) = value["messages"].as_array() else {
        return;
    };
    for message in messages {
        let content = &message["content"];
        let parts = content.as_array().into_iter().flatten();
        for holder in [content].into_iter().chain(parts) {
            for text in [holder, &holder["text"], &holder["refusal"]] {
                if let Some(text) = text.as_str() {
                    assert!(texts.contains(text), "a text that is not found");
                }
            }
        }
    }
}

/// Cuts the body at up to 200 places: never an error, and what is seen only grows.
fn check_parts(body: &[u8], whole: &Request<'_>) {
    if has_repeated_keys(body) {
        return; // the last one counts, so a later one may take back what was seen
    }
    let step = body.len().div_ceil(200).max(1);
    // A text that turns out to be encoded data is not read: by what it says, or by the `type` next to the `data` of a document,
    // which may stand behind it.
    let has_data = body.len() > 1_000 || body.windows(4).any(|window| window == b"data");
    let mut read = 0;
    for end in (0..body.len()).step_by(step) {
        let part = parse(whole.api, &body[..end], false).expect("a part of a request reads");
        assert!(part.model.is_none() || part.model == whole.model);
        assert!(whole.needs.contains(part.needs));
        assert!(part.tools <= whole.tools && part.images <= whole.images);
        let bytes = |request: &Request<'_>| -> usize {
            let texts = request.messages.iter().chain(&request.asides);
            let texts = texts.flat_map(|message| &message.texts);
            texts.map(|text| text.len()).sum::<usize>() + request.schema_bytes as usize
        };
        let now = bytes(&part);
        assert!(
            has_data || (now >= read && now <= bytes(whole)),
            "{read} {now}"
        );
        read = now;
    }
}

/// Whether an object says a key twice, in whatever case, which its length betrays once it is read and written again.
fn has_repeated_keys(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else {
        return true;
    };
    let keys = |value: &Value| count_keys(value);
    value(body).is_none_or(|value| keys(&value) != count_colons(text))
}

fn count_keys(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            let keys: HashSet<String> = fields.keys().map(|key| fold(key)).collect();
            keys.len() + fields.values().map(count_keys).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(count_keys).sum(),
        _ => 0,
    }
}

/// The colons of a JSON text that stand outside strings.
fn count_colons(text: &str) -> usize {
    let (mut colons, mut inside, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match (inside, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, _, b'"') => inside = !inside,
            (false, _, b':') => colons += 1,
            _ => {}
        }
    }
    colons
}
