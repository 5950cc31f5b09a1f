//! Reads bodies of OpenAI's `POST /v1/completions` and `POST /v1/embeddings`: one or many inputs, as texts or as token ids.

use std::borrow::Cow;

use super::fields::{BodyFields, count, document, entries};
use super::{Api, Message, Request, Role, answer_bounds};
use crate::api::json::{Cursor, Kind, ParseError};

/// Fields read so far.
#[derive(Default)]
struct Completions<'a> {
    fields: BodyFields<'a>,
    inputs: Inputs<'a>,
    suffix: Vec<Cow<'a, str>>,
    max_tokens: Option<u32>,
    choices: Option<u32>,
    best_of: Option<u32>,
}

#[derive(Default)]
struct Inputs<'a> {
    texts: Vec<Cow<'a, str>>,
    count: u32,
    token_ids: u32,
    longest_token_ids: u32,
}

/// Reads the document at offset `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(
    api: Api,
    text: &str,
    start: usize,
    complete: bool,
) -> Result<Request<'_>, ParseError> {
    let mut completions = Completions::default();
    let mut cursor = Cursor::new(text, start);
    let whole = document(&mut cursor, complete, &mut |key, cursor| {
        completions.field(api, key, cursor)
    })?;
    Ok(completions.finish(api, whole))
}

impl<'a> Completions<'a> {
    fn field(&mut self, api: Api, key: &str, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        let embeds = api == Api::OpenAiEmbeddings;
        match key {
            "input" if embeds => self.inputs.read(cursor),
            "prompt" if !embeds => self.inputs.read(cursor),
            "suffix" if !embeds => cursor.texts(&mut self.suffix),
            "max_tokens" if !embeds => count(cursor, &mut self.max_tokens),
            "n" if !embeds => count(cursor, &mut self.choices),
            "best_of" if !embeds => count(cursor, &mut self.best_of),
            _ => self.fields.field(key, cursor),
        }
    }

    fn finish(self, api: Api, complete: bool) -> Request<'a> {
        let mut request = Request::empty(api);
        let inputs = self.inputs;
        let turn = |text| Message {
            role: Role::User,
            texts: vec![text],
        };
        request.messages = inputs.texts.into_iter().map(turn).collect();
        if !self.suffix.is_empty() {
            request.messages.push(Message {
                role: Role::Tool,
                texts: self.suffix,
            });
        }
        request.inputs = inputs.count.max(1);
        request.token_ids = inputs.token_ids;
        request.longest_token_ids = inputs.longest_token_ids;
        // Embeddings write nothing.
        request.max_tokens = match api {
            Api::OpenAiEmbeddings => Some(0),
            _ => self.max_tokens,
        };
        request.choices = answer_bounds::answers(self.choices, self.best_of, request.inputs);
        self.fields.finish(&mut request, complete);
        request
    }
}

impl<'a> Inputs<'a> {
    /// Reads a text, token ids, or a list of these.
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        if cursor.kind()? != Kind::Array {
            return self.scalar(cursor);
        }
        let mut ids = 0_u32;
        let end = entries(cursor, &mut |cursor| match cursor.kind()? {
            Kind::Number => {
                cursor.number()?;
                ids = ids.saturating_add(1);
                Ok(())
            }
            Kind::Array => self.list(cursor),
            _ => self.scalar(cursor),
        });
        if ids > 0 {
            self.add_ids(ids);
        }
        end
    }

    /// Reads one input that is not a list: a text, or an object with texts, such as parts with images, which some servers embed.
    fn scalar(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        match cursor.kind()? {
            Kind::Null => return cursor.skip_value(),
            Kind::Number => self.texts.push(Cow::Borrowed(cursor.number()?)),
            Kind::String => {
                let (text, end) = cursor.string_so_far();
                self.texts.push(text);
                self.count = self.count.saturating_add(1);
                return end;
            }
            _ => {
                self.count = self.count.saturating_add(1);
                return cursor.texts(&mut self.texts);
            }
        }
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Reads one input that is a list: token ids, or values with texts.
    fn list(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        let mut ids = 0_u32;
        let end = entries(cursor, &mut |cursor| match cursor.kind()? {
            Kind::Number => {
                ids = ids.saturating_add(1);
                cursor.skip_value()
            }
            _ => cursor.texts(&mut self.texts),
        });
        self.add_ids(ids);
        end
    }

    fn add_ids(&mut self, ids: u32) {
        self.count = self.count.saturating_add(1);
        self.token_ids = self.token_ids.saturating_add(ids);
        self.longest_token_ids = self.longest_token_ids.max(ids);
    }
}
