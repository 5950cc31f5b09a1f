//! Reads a body of OpenAI's `POST /v1/chat/completions`.
//!
//! Rejects only what is not a JSON object. Everything else (unknown fields, roles and part types, values of other types, numbers
//! out of range, missing messages) passes and is the backend's to judge.

use super::content::Conversation;
use super::fields::{
    BodyFields, List, count, count_bytes, document, entries, kept, list, object, text,
};
use super::{Api, Request, answer_bounds, messages};
use crate::api::Capabilities;
use crate::api::json::{Cursor, Kind, ParseError};
use crate::api::usage::MAX_REQUIRED;
use crate::fnv;

/// Fields read so far.
#[derive(Default)]
struct Chat<'a> {
    fields: BodyFields<'a>,
    conversation: Conversation<'a>,
    tools: List,
    functions: List,
    response_format: ResponseFormat,
    max_tokens: Option<u32>,
    choices: Option<u32>,
    reasons: bool,
    speaks: bool,
    /// Predicted output, and documents to answer from.
    raw_values: Vec<&'a str>,
}

/// Required format of the answer.
#[derive(Default)]
pub(super) struct ResponseFormat {
    pub(super) needs: Capabilities,
    pub(super) schema_bytes: usize,
    /// See [`Request::required_members`].
    pub(super) required: Vec<u32>,
}

/// Reads the document at offset `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(text: &str, start: usize, complete: bool) -> Result<Request<'_>, ParseError> {
    let mut chat = Chat::default();
    let mut cursor = Cursor::new(text, start);
    let whole = document(&mut cursor, complete, &mut |key, cursor| {
        chat.field(key, cursor)
    })?;
    Ok(chat.finish(whole))
}

impl<'a> Chat<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        match key {
            "messages" => messages::read(cursor, &mut self.conversation),
            "tools" => list(cursor, &mut self.tools),
            "functions" => list(cursor, &mut self.functions),
            "response_format" => self.response_format.read(cursor, "json_schema"),
            // Servers know one of the two or both: the larger one is the limit.
            "max_tokens" | "max_completion_tokens" => count(cursor, &mut self.max_tokens),
            "n" => count(cursor, &mut self.choices),
            "reasoning_effort" => {
                self.reasons |= asks_to_reason(cursor)?;
                Ok(())
            }
            "modalities" => self.modalities(cursor),
            "prediction" | "documents" => kept(cursor, &mut self.raw_values, Cursor::skip_value),
            _ => self.fields.field(key, cursor),
        }
    }

    fn modalities(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        let speaks = &mut self.speaks;
        let mut modality = |cursor: &mut Cursor<'a>| {
            *speaks |= text(cursor)?.is_some_and(|name| name == "audio");
            Ok(())
        };
        match cursor.kind()? {
            Kind::Array => entries(cursor, &mut modality),
            _ => modality(cursor),
        }
    }

    fn finish(self, complete: bool) -> Request<'a> {
        let mut conversation = self.conversation;
        conversation.raw_values.extend(self.raw_values);
        let mut request = Request::empty(Api::OpenAiChat);
        let schema_bytes =
            self.tools.bytes + self.functions.bytes + self.response_format.schema_bytes;
        request.tools = self.tools.items.saturating_add(self.functions.items);
        request.may_carry_state = conversation.may_carry_state;
        request.take(conversation, schema_bytes);
        request.need(true, self.response_format.needs);
        request.required_members = self.response_format.required;
        request.need(self.reasons, Capabilities::REASONING);
        request.need(self.speaks, Capabilities::AUDIO);
        request.max_tokens = self.max_tokens;
        request.choices = answer_bounds::answers(self.choices, None, 1);
        self.fields.finish(&mut request, complete);
        request
    }
}

/// Whether the requested effort is not `none`.
pub(super) fn asks_to_reason(cursor: &mut Cursor<'_>) -> Result<bool, ParseError> {
    Ok(text(cursor)?.is_some_and(|effort| effort != "none"))
}

/// Reads what the outermost object of a JSON Schema requires, or of the schema in the next value, `deeper` levels down at most.
fn required_members(
    cursor: &mut Cursor<'_>,
    deeper: u32,
    required: &mut Vec<u32>,
) -> Result<(), ParseError> {
    if cursor.kind()? != Kind::Object {
        return cursor.skip_value();
    }
    object(cursor, &mut |key, cursor| match (key, cursor.kind()?) {
        ("schema", _) if deeper > 0 => required_members(cursor, deeper - 1, required),
        ("required", Kind::Array) => entries(cursor, &mut |cursor| {
            // Names of other letters may come with escapes, by which nobody would recognise them.
            if let Some(name) = text(cursor)?
                && name.is_ascii()
                && required.len() < MAX_REQUIRED
            {
                required.push(fnv::hash32(name.as_bytes()));
            }
            Ok(())
        }),
        _ => cursor.skip_value(),
    })
}

impl ResponseFormat {
    /// Reads an object with a `type` and an optional schema under the key `schema`; or the type alone.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, schema: &str) -> Result<(), ParseError> {
        if cursor.kind()? != Kind::Object {
            let named = text(cursor)?;
            self.need(named.as_deref().unwrap_or_default());
            return Ok(());
        }
        object(cursor, &mut |key, cursor| match key {
            "type" => {
                let named = text(cursor)?;
                self.need(named.as_deref().unwrap_or_default());
                Ok(())
            }
            key if key == schema => {
                cursor.peek()?;
                let mut again = cursor.again_at(cursor.offset());
                // The required members of a schema that is cut off count up to the cut.
                let _cut = required_members(&mut again, 1, &mut self.required);
                count_bytes(cursor, &mut self.schema_bytes)
            }
            _ => cursor.skip_value(),
        })
    }

    fn need(&mut self, named: &str) {
        self.needs = self.needs.union(match named {
            "json_object" => Capabilities::JSON_MODE,
            "json_schema" => Capabilities::JSON_SCHEMA,
            _ => Capabilities::NONE,
        });
    }
}
