//! Reads bodies of OpenAI's `POST /v1/completions` and `POST /v1/embeddings`: one or many inputs, as texts or as token ids.

use std::borrow::Cow;

use super::fields::{Envelope, document, entries, kept, optional_count, optional_text};
use super::json::{Cursor, Kind, Stop};
use super::{Format, Message, Request, Role};

/// What the fields said so far, each apart, so that a later one of the same name can replace it.
#[derive(Default)]
struct Completions<'a> {
    envelope: Envelope<'a>,
    inputs: Inputs<'a>,
    suffix: Option<Cow<'a, str>>,
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
    raw_values: Vec<&'a str>,
}

/// Reads the document that starts at `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(
    format: Format,
    text: &str,
    start: usize,
    complete: bool,
) -> Result<Request<'_>, Stop> {
    let mut completions = Completions::default();
    let mut cursor = Cursor::new(text, start);
    let whole = document(&mut cursor, complete, &mut |key, cursor| {
        completions.field(format, key, cursor)
    })?;
    Ok(completions.finish(format, whole))
}

impl<'a> Completions<'a> {
    fn field(&mut self, format: Format, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let embeds = format == Format::OpenAiEmbeddings;
        match key {
            "input" if embeds => return self.inputs.read(cursor),
            "prompt" if !embeds => return self.inputs.read(cursor),
            "suffix" if !embeds => return optional_text(cursor, &mut self.suffix),
            "max_tokens" if !embeds => self.max_tokens = optional_count(cursor)?,
            "n" if !embeds => self.choices = optional_count(cursor)?,
            "best_of" if !embeds => self.best_of = optional_count(cursor)?,
            _ => return self.envelope.field(key, cursor),
        }
        Ok(())
    }

    fn finish(self, format: Format, complete: bool) -> Request<'a> {
        let mut request = Request::empty(format);
        let inputs = self.inputs;
        let turn = |text| Message {
            role: Role::User,
            texts: vec![text],
        };
        request.messages = inputs.texts.into_iter().map(turn).collect();
        request.messages.extend(self.suffix.map(|suffix| Message {
            role: Role::Tool,
            texts: vec![suffix],
        }));
        request.raw_values = inputs.raw_values;
        request.inputs = inputs.count.max(1);
        request.token_ids = inputs.token_ids;
        request.longest_token_ids = inputs.longest_token_ids;
        // Nothing is written where texts are embedded.
        request.max_tokens = match format {
            Format::OpenAiEmbeddings => Some(0),
            _ => self.max_tokens,
        };
        let written = self.choices.unwrap_or(1).max(self.best_of.unwrap_or(1));
        request.choices = written.max(1).saturating_mul(request.inputs);
        self.envelope.finish(&mut request, complete);
        request
    }
}

impl<'a> Inputs<'a> {
    /// Reads a text, token ids, or a list of either.
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        *self = Inputs::default();
        match cursor.kind()? {
            Kind::Null => cursor.null().map(|_| ()),
            Kind::String => self.text(cursor),
            Kind::Array => {
                let mut ids = 0_u32;
                let end = entries(cursor, &mut |cursor| match cursor.kind()? {
                    Kind::String => self.text(cursor),
                    Kind::Number => {
                        cursor.number()?;
                        ids = ids.saturating_add(1);
                        Ok(())
                    }
                    Kind::Array => self.ids(cursor),
                    // Parts with images, which some servers embed: theirs to judge.
                    Kind::Object => {
                        self.count = self.count.saturating_add(1);
                        kept(cursor, &mut self.raw_values, Cursor::skip_value)
                    }
                    found => cursor.wrong("a string or token ids", found),
                });
                if ids > 0 {
                    self.add_ids(ids);
                }
                end.map(|_| ())
            }
            found => cursor.wrong("a string or an array", found),
        }
    }

    fn text(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let (text, end) = cursor.string_so_far();
        self.texts.push(text);
        self.count = self.count.saturating_add(1);
        end
    }

    fn ids(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let mut ids = 0_u32;
        let end = entries(cursor, &mut |cursor| {
            ids = ids.saturating_add(1);
            cursor.skip_value()
        });
        self.add_ids(ids);
        end.map(|_| ())
    }

    fn add_ids(&mut self, ids: u32) {
        self.count = self.count.saturating_add(1);
        self.token_ids = self.token_ids.saturating_add(ids);
        self.longest_token_ids = self.longest_token_ids.max(ids);
    }
}
