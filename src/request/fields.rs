//! What the readers of all APIs share: values that may be absent, lists and objects walked entry by entry, and the fields
//! that mean the same in every API.
//!
//! `null` counts as absent wherever a field may be absent; of a key that comes twice the last counts. No API is known here
//! by name.

use std::borrow::Cow;
use std::ops::Range;

use super::json::{Cursor, Kind, Stop};
use super::{Request, UsageSlot};

/// Reads the value of one key, or steps over it.
pub(super) type Field<'f, 'a> =
    &'f mut dyn FnMut(&Cow<'a, str>, &mut Cursor<'a>) -> Result<(), Stop>;

/// A list of which only the size counts.
#[derive(Default)]
pub(super) struct List {
    pub(super) items: u32,
    pub(super) bytes: usize,
}

/// The fields that mean the same in every API.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    model: Option<Cow<'a, str>>,
    model_spans: Vec<Range<usize>>,
    stream: Option<bool>,
    include_usage: Option<bool>,
    usage_slot: Option<UsageSlot>,
    user: Option<Cow<'a, str>>,
    safety_identifier: Option<Cow<'a, str>>,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Envelope<'a> {
    /// Reads the value of `key`, or steps over it where the key is none of these.
    pub(super) fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match key {
            "model" => self.model(cursor)?,
            "stream" => self.stream = optional_bool(cursor)?,
            "stream_options" => return self.stream_options(cursor),
            "user" => self.user = optional_string(cursor)?,
            "safety_identifier" => self.safety_identifier = optional_string(cursor)?,
            "metadata" => return self.metadata(cursor),
            _ if key.eq_ignore_ascii_case("model") => self.model_in_another_case(cursor)?,
            _ => cursor.skip_value()?,
        }
        Ok(())
    }

    /// A name that is cut off is none: it would ask for another model.
    fn model(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        cursor.expect(Kind::String, "a string")?;
        let start = cursor.offset();
        self.model = Some(cursor.string()?);
        self.model_spans.push(start..cursor.offset());
        Ok(())
    }

    /// `Model` is no field of the API, but servers written in Go take it for `model` (`encoding/json` ignores case): it
    /// says nothing to us, yet must not say something else to them.
    fn model_in_another_case(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let is_string = cursor.kind()? == Kind::String;
        let start = cursor.offset();
        cursor.skip_value()?;
        if is_string {
            self.model_spans.push(start..cursor.offset());
        }
        Ok(())
    }

    fn stream_options(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.include_usage = None;
        self.usage_slot = None;
        cursor.peek()?;
        let start = cursor.offset();
        if cursor.null()? {
            self.usage_slot = Some(UsageSlot::NoOptions(start..cursor.offset()));
            return Ok(());
        }
        let (mut said, mut value, mut keys) = (None, None, 0);
        let end = object(cursor, &mut |key, cursor| {
            keys += 1;
            if key != "include_usage" {
                return cursor.skip_value();
            }
            cursor.peek()?;
            let start = cursor.offset();
            said = optional_bool(cursor)?;
            value = Some(start..cursor.offset());
            Ok(())
        });
        self.include_usage = said;
        self.usage_slot = Some(match value {
            Some(value) => UsageSlot::Value(value),
            None => UsageSlot::Inside {
                at: start + 1,
                is_empty: keys == 0,
            },
        });
        end
    }

    fn metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.metadata.clear();
        let metadata = &mut self.metadata;
        optional_object(cursor, &mut |key, cursor| {
            if cursor.kind()? == Kind::String {
                metadata.push((key.clone(), cursor.string()?));
                return Ok(());
            }
            cursor.skip_value()
        })
    }

    /// Takes the end user from the metadata's `key`, where Anthropic has it.
    pub(super) fn name_user(&mut self, key: &str) {
        let mut named = self.metadata.iter().rev();
        let user = named.find(|(name, _)| name == key);
        self.user = user.map(|(_, user)| user.clone());
    }

    /// Writes what was read into `request`, and that it was seen to its end, or not.
    pub(super) fn finish(self, request: &mut Request<'a>, complete: bool) {
        request.model = self.model;
        request.model_spans = self.model_spans;
        request.stream = self.stream.unwrap_or(false);
        request.include_usage = self.include_usage.unwrap_or(false);
        request.usage_slot = self.usage_slot;
        request.user = self.user.or(self.safety_identifier);
        request.metadata = self.metadata;
        request.complete = complete;
    }
}

/// Reads the document that starts at the cursor, key by key, and says whether it was seen to its end: with `complete`
/// false that may be missing.
pub(super) fn document<'a>(
    cursor: &mut Cursor<'a>,
    complete: bool,
    field: Field<'_, 'a>,
) -> Result<bool, Stop> {
    let read = cursor
        .expect(Kind::Object, "an object")
        .map_err(|stop| stop.under("body"))
        // Only fields that are known can be of the wrong shape, so the path never quotes the body.
        .and_then(|()| object(cursor, field))
        .and_then(|()| cursor.end());
    match read {
        Ok(()) => Ok(true),
        Err(Stop::Cut) if !complete => Ok(false),
        Err(stop) => Err(stop),
    }
}

/// Reads the object that must stand here, key by key.
pub(super) fn object<'a>(cursor: &mut Cursor<'a>, field: Field<'_, 'a>) -> Result<(), Stop> {
    cursor.expect(Kind::Object, "an object")?;
    cursor.enter()?;
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        field(&key, cursor).map_err(|stop| stop.under(&key))?;
    }
    Ok(())
}

/// The same where `null` may stand.
pub(super) fn optional_object<'a>(
    cursor: &mut Cursor<'a>,
    field: Field<'_, 'a>,
) -> Result<(), Stop> {
    if cursor.null()? {
        return Ok(());
    }
    object(cursor, field)
}

/// Reads the list that must stand here, entry by entry, and says how many there are.
pub(super) fn entries<'a>(
    cursor: &mut Cursor<'a>,
    entry: &mut dyn FnMut(&mut Cursor<'a>) -> Result<(), Stop>,
) -> Result<u32, Stop> {
    cursor.expect(Kind::Array, "an array")?;
    cursor.enter()?;
    let mut index = 0;
    let mut first = true;
    while cursor.next_item(&mut first)? {
        entry(cursor).map_err(|stop| stop.under_index(index))?;
        index += 1;
    }
    Ok(index)
}

pub(super) fn required_string<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Stop> {
    cursor.expect(Kind::String, "a string")?;
    cursor.string()
}

pub(super) fn optional_string<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, str>>, Stop> {
    if cursor.null()? {
        return Ok(None);
    }
    required_string(cursor).map(Some)
}

/// Reads a string that counts up to the cut, where it is cut off.
pub(super) fn optional_text<'a>(
    cursor: &mut Cursor<'a>,
    text: &mut Option<Cow<'a, str>>,
) -> Result<(), Stop> {
    *text = None;
    if cursor.null()? {
        return Ok(());
    }
    cursor.expect(Kind::String, "a string")?;
    let (so_far, end) = cursor.string_so_far();
    *text = Some(so_far);
    end
}

pub(super) fn optional_bool(cursor: &mut Cursor<'_>) -> Result<Option<bool>, Stop> {
    if cursor.null()? {
        return Ok(None);
    }
    cursor.expect(Kind::Bool, "a boolean")?;
    cursor.boolean().map(Some)
}

/// Reads a whole number. A negative one means "no limit", as it does to llama.cpp; one that is too large is `u32::MAX`.
pub(super) fn optional_count(cursor: &mut Cursor<'_>) -> Result<Option<u32>, Stop> {
    if cursor.null()? {
        return Ok(None);
    }
    cursor.expect(Kind::Number, "a whole number")?;
    let offset = cursor.offset();
    let number = cursor.number()?;
    if number.contains(['.', 'e', 'E']) {
        return Err(Stop::wrong_shape(
            offset,
            "expected a whole number, found one with a fraction or exponent",
        ));
    }
    if number.starts_with('-') {
        return Ok(None);
    }
    // The grammar left nothing but digits: the only error is that they are too many.
    Ok(Some(number.parse().unwrap_or(u32::MAX)))
}

/// Counts the items of an array and its bytes, up to the cut where it is cut off; an empty one and `null` count nothing.
pub(super) fn list(cursor: &mut Cursor<'_>, list: &mut List) -> Result<(), Stop> {
    *list = List::default();
    if cursor.null()? {
        return Ok(());
    }
    let List { items, bytes } = list;
    let end = measured(cursor, bytes, |cursor| {
        entries(cursor, &mut |cursor| {
            *items = items.saturating_add(1);
            cursor.skip_value()
        })
        .map(|_| ())
    });
    if *items == 0 {
        *bytes = 0;
    }
    end
}

/// Steps over a value and adds its bytes to `bytes`, up to the cut where it is cut off; `null` counts nothing.
pub(super) fn count_bytes(cursor: &mut Cursor<'_>, bytes: &mut usize) -> Result<(), Stop> {
    *bytes = 0;
    if cursor.null()? {
        return Ok(());
    }
    measured(cursor, bytes, Cursor::skip_value)
}

/// Reads with `read` and keeps the value as it stands in the body, up to the cut where it is cut off.
pub(super) fn kept<'a>(
    cursor: &mut Cursor<'a>,
    values: &mut Vec<&'a str>,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    cursor.peek()?;
    let start = cursor.offset();
    let end = read(cursor);
    values.push(cursor.since(start));
    end
}

/// Reads with `read` and sets `bytes` to how far that came, also where it was cut off.
pub(super) fn measured<'a>(
    cursor: &mut Cursor<'a>,
    bytes: &mut usize,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    cursor.peek()?;
    let start = cursor.offset();
    let end = read(cursor);
    *bytes = cursor.offset() - start;
    end
}
