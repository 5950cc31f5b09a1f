//! Shared parts of the readers of all APIs: lenient values, lists and objects entry by entry, and the fields with the same meaning in
//! every API.
//!
//! No value of a field is an error. A clear value counts (`"256"` and `256.0` are 256), any other counts as absent, and the backend
//! judges it. Of a repeated field, in any case, every value counts, because a server could read any of them. This file names no
//! API.

use std::borrow::Cow;
use std::ops::Range;

use super::names::{folded, is_folded, is_setting};
use super::{Message, Request, Role, UsageSlot};
use crate::api::json::{Cursor, Kind, ParseError};

/// Reads the value of a key, or skips it.
pub(super) type Field<'f, 'a> = &'f mut dyn FnMut(&str, &mut Cursor<'a>) -> Result<(), ParseError>;

/// Reads the value of a key, which is decoded but not folded.
type WrittenField<'f, 'a> =
    &'f mut dyn FnMut(&Cow<'a, str>, &mut Cursor<'a>) -> Result<(), ParseError>;

/// Size of a list.
#[derive(Default)]
pub(super) struct List {
    pub(super) items: u32,
    pub(super) bytes: usize,
}

/// Fields with the same meaning in every API.
#[derive(Default)]
pub(super) struct BodyFields<'a> {
    /// The model for servers that distinguish case.
    model: Option<Cow<'a, str>>,
    /// The model for servers that ignore case.
    folded_model: Option<Cow<'a, str>>,
    /// Other models that one of them could read.
    other_models: Vec<Cow<'a, str>>,
    has_model: bool,
    model_spans: Vec<Range<usize>>,
    model_values: Vec<&'a str>,
    stream: Option<bool>,
    include_usage: Option<bool>,
    usage_slot: Option<UsageSlot>,
    users: Vec<Cow<'a, str>>,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Texts of fields that no API has.
    texts: Vec<Cow<'a, str>>,
}

impl<'a> BodyFields<'a> {
    /// Reads the value of `key`, or skips it if the key is unknown.
    pub(super) fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        match key {
            "model" => {
                let named = self.model(cursor)?;
                self.has_model = true;
                let before = named.and_then(|name| self.model.replace(name));
                self.other_models.extend(before);
            }
            "stream" => self.stream = flag(cursor)?.or(self.stream),
            "stream_options" => return self.stream_options(cursor),
            // `user` takes precedence over the newer name, in any order.
            "user" => {
                if let Some(user) = text(cursor)? {
                    self.users.insert(0, user);
                }
            }
            "safety_identifier" => self.users.extend(text(cursor)?),
            "metadata" => return self.metadata(cursor),
            _ if is_folded(key, "model") => self.folded_model(cursor)?,
            _ if is_setting(key) => cursor.skip_value()?,
            _ => return cursor.texts(&mut self.texts),
        }
        Ok(())
    }

    /// Reads a value of `model`. A truncated name does not count: it would be another model. A value that is not a name does not count
    /// either, but is replaced like one, because the backend must get the chosen model.
    fn model(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, str>>, ParseError> {
        let kind = cursor.kind()?;
        let start = cursor.offset();
        let named = match kind {
            Kind::String => Some(cursor.string()?),
            _ => cursor.skip_value().map(|()| None)?,
        };
        self.model_spans.push(start..cursor.offset());
        self.model_values.push(cursor.since(start));
        Ok(named)
    }

    /// Reads a value of `Model`, which is the model only for servers that ignore case.
    fn folded_model(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        let named = self.model(cursor)?;
        let before = named.and_then(|name| self.folded_model.replace(name));
        self.other_models.extend(before);
        Ok(())
    }

    fn stream_options(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        let kind = cursor.kind()?;
        let start = cursor.offset();
        self.include_usage = None;
        if kind != Kind::Object {
            cursor.skip_value()?;
            self.usage_slot = Some(match kind {
                Kind::Null => UsageSlot::NoOptions(start..cursor.offset()),
                _ => UsageSlot::Unknown,
            });
            return Ok(());
        }
        let (mut include, mut value, mut keys) = (None, None, 0);
        let end = object(cursor, &mut |key, cursor| {
            keys += 1;
            if key != "include_usage" {
                return cursor.skip_value();
            }
            cursor.peek()?;
            let start = cursor.offset();
            include = flag(cursor)?;
            value = Some(start..cursor.offset());
            Ok(())
        });
        self.include_usage = include;
        self.usage_slot = Some(match value {
            Some(value) => UsageSlot::Value(value),
            None => UsageSlot::Inside {
                at: start + 1,
                is_empty: keys == 0,
            },
        });
        end
    }

    fn metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        if cursor.kind()? != Kind::Object {
            return cursor.skip_value();
        }
        let metadata = &mut self.metadata;
        entries_of_object(cursor, &mut |key, cursor| {
            if let Some(value) = text(cursor)? {
                metadata.push((key.clone(), value));
            }
            Ok(())
        })
    }

    /// Takes the end user from the metadata's `key`, as Anthropic has it; that user takes precedence.
    pub(super) fn name_user(&mut self, key: &str) {
        let named = self.metadata.iter().filter(|(name, _)| name == key);
        for (_, user) in named {
            self.users.insert(0, user.clone());
        }
    }

    /// Writes the fields into `request`, and whether the document was complete.
    pub(super) fn finish(mut self, request: &mut Request<'a>, complete: bool) {
        request.model = match (self.model, self.folded_model) {
            (Some(model), folded) => {
                self.other_models.extend(folded);
                Some(model)
            }
            (None, folded) => folded,
        };
        let model = request.model.as_deref();
        self.other_models.retain(|other| Some(&**other) != model);
        request.other_models = self.other_models;
        request.has_model = self.has_model;
        request.model_spans = self.model_spans;
        request.model_values = self.model_values;
        request.stream = self.stream.unwrap_or(false);
        request.include_usage = self.include_usage.unwrap_or(false);
        request.usage_slot = self.usage_slot;
        let mut users = self.users.into_iter();
        request.user = users.next();
        request.other_users = users.collect();
        request.metadata = self.metadata;
        if !self.texts.is_empty() {
            request.asides.push(Message {
                role: Role::User,
                texts: self.texts,
            });
        }
        request.complete = complete;
    }
}

/// Reads the document at the cursor key by key; returns whether it was complete. With `complete` false its end may be missing.
pub(super) fn document<'a>(
    cursor: &mut Cursor<'a>,
    complete: bool,
    field: Field<'_, 'a>,
) -> Result<bool, ParseError> {
    match read_document(cursor, field) {
        Ok(()) => Ok(true),
        Err(ParseError::Cut) if !complete => Ok(false),
        Err(stop) => Err(stop),
    }
}

fn read_document<'a>(cursor: &mut Cursor<'a>, field: Field<'_, 'a>) -> Result<(), ParseError> {
    let found = cursor.kind()?;
    if found != Kind::Object {
        let offset = cursor.offset();
        return Err(ParseError::NotAnObject { offset, found });
    }
    object(cursor, field)?;
    cursor.end()
}

/// Reads the next value, an object, key by key, each key as the field that a server could take it for.
pub(super) fn object<'a>(cursor: &mut Cursor<'a>, field: Field<'_, 'a>) -> Result<(), ParseError> {
    entries_of_object(cursor, &mut |key, cursor| {
        field(folded(key).unwrap_or(key), cursor)
    })
}

/// Reads the next value, an object, key by key, each key as written.
fn entries_of_object<'a>(
    cursor: &mut Cursor<'a>,
    field: WrittenField<'_, 'a>,
) -> Result<(), ParseError> {
    cursor.enter()?;
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        field(&key, cursor)?;
    }
    Ok(())
}

/// Reads the next value if it is an object; any other value is skipped.
pub(super) fn object_or_nothing<'a>(
    cursor: &mut Cursor<'a>,
    field: Field<'_, 'a>,
) -> Result<(), ParseError> {
    match cursor.kind()? {
        Kind::Object => object(cursor, field),
        _ => cursor.skip_value(),
    }
}

/// Reads the next value, a list, entry by entry.
pub(super) fn entries<'a>(
    cursor: &mut Cursor<'a>,
    entry: &mut dyn FnMut(&mut Cursor<'a>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    cursor.enter()?;
    let mut first = true;
    while cursor.next_item(&mut first)? {
        entry(cursor)?;
    }
    Ok(())
}

/// Reads a short text: a string, or a number as written; any other value gives none.
pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, str>>, ParseError> {
    match cursor.kind()? {
        Kind::String => cursor.string().map(Some),
        Kind::Number => cursor.number().map(|number| Some(Cow::Borrowed(number))),
        _ => cursor.skip_value().map(|()| None),
    }
}

/// Reads a boolean, or a number or word that servers take for one.
pub(super) fn flag(cursor: &mut Cursor<'_>) -> Result<Option<bool>, ParseError> {
    if cursor.kind()? == Kind::Bool {
        return cursor.boolean().map(Some);
    }
    let written = text(cursor)?.unwrap_or_default();
    let is_one_of = |words: &[&str]| words.iter().any(|word| written.eq_ignore_ascii_case(word));
    Ok(if is_one_of(&["true", "1", "1.0", "yes", "on", "t", "y"]) {
        Some(true)
    } else if is_one_of(&["false", "0", "0.0", "no", "off", "f", "n"]) {
        Some(false)
    } else {
        None
    })
}

/// Reads a number into `most` if it is larger. A negative number means no limit, as in llama.cpp; one too large is `u32::MAX`; a
/// fraction is rounded up.
pub(super) fn count(cursor: &mut Cursor<'_>, most: &mut Option<u32>) -> Result<(), ParseError> {
    let written = text(cursor)?;
    let number = written.as_deref().and_then(value_of);
    *most = (*most).max(number);
    Ok(())
}

/// The value of a number as written, in a string or not.
fn value_of(written: &str) -> Option<u32> {
    let written = written.trim_ascii();
    if written.is_empty() {
        return None;
    }
    if written.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(written.parse().unwrap_or(u32::MAX));
    }
    // Rust reads `inf` and `nan` as well.
    let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let number: f64 = written
        .bytes()
        .all(is_number)
        .then(|| written.parse().ok())??;
    // A float too large for u32 saturates.
    (number >= 0.0 && !written.starts_with('-')).then_some(number.ceil() as u32)
}

/// Counts the entries of a list and its bytes, of a truncated one up to the cut. An object is one entry; other and empty values
/// count nothing.
pub(super) fn list(cursor: &mut Cursor<'_>, list: &mut List) -> Result<(), ParseError> {
    let (mut items, mut bytes) = (0_u32, 0);
    let kind = cursor.kind()?;
    let end = measured(cursor, &mut bytes, |cursor| match kind {
        Kind::Array => entries(cursor, &mut |cursor| {
            items = items.saturating_add(1);
            cursor.skip_value()
        }),
        Kind::Object => object(cursor, &mut |_, cursor| {
            items = 1;
            cursor.skip_value()
        }),
        _ => cursor.skip_value(),
    });
    if items > 0 {
        list.items = list.items.saturating_add(items);
        list.bytes += bytes;
    }
    end
}

/// Skips a value and adds its length to `bytes`, of a truncated one up to the cut; `null` counts nothing.
pub(super) fn count_bytes(cursor: &mut Cursor<'_>, bytes: &mut usize) -> Result<(), ParseError> {
    if cursor.null()? {
        return Ok(());
    }
    measured(cursor, bytes, Cursor::skip_value)
}

/// Reads a value with `read` and keeps its text, of a truncated one up to the cut.
pub(super) fn kept<'a>(
    cursor: &mut Cursor<'a>,
    values: &mut Vec<&'a str>,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    cursor.peek()?;
    let start = cursor.offset();
    let end = read(cursor);
    values.push(cursor.since(start));
    end
}

/// Reads a value with `read` and adds the length read to `bytes`, even if the value is truncated.
fn measured<'a>(
    cursor: &mut Cursor<'a>,
    bytes: &mut usize,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    cursor.peek()?;
    let start = cursor.offset();
    let end = read(cursor);
    *bytes += cursor.offset() - start;
    end
}

#[cfg(test)]
mod tests {
    use super::value_of;

    #[test]
    fn numbers_count_by_their_value() {
        for (written, value) in [
            ("256", Some(256)),
            (" 256\n", Some(256)),
            ("4096.0", Some(4096)),
            ("1e3", Some(1000)),
            ("1.5", Some(2)),
            ("+7", Some(7)),
            ("0", Some(0)),
            ("-1", None),
            ("-0.0", None),
            ("99999999999999999999", Some(u32::MAX)),
            ("1e300", Some(u32::MAX)),
            ("1e999", Some(u32::MAX)),
            ("", None),
            ("inf", None),
            ("NaN", None),
            ("1k", None),
            ("0x10", None),
            ("1e", None),
            ("--1", None),
        ] {
            assert_eq!(value_of(written), value, "{written}");
        }
    }
}
