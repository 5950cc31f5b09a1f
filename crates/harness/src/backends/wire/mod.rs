//! The words of each API: documents and events as its maker documents them.

mod embeddings;
mod messages;
mod openai;
mod responses;

use bytes::Bytes;
use pointsman::api::Api;
use serde_json::{Value, json};

use super::answer::Answer;
use super::request::Call;

/// The whole answer as one document.
pub fn whole(answer: &Answer) -> Value {
    let Call::Answer(api) = answer.call else {
        return json!({"input_tokens": answer.prompt_tokens});
    };
    match api {
        Api::OpenAiChat | Api::OpenAiCompletions => openai::whole(answer),
        Api::OpenAiResponses => responses::whole(answer),
        Api::OpenAiEmbeddings => embeddings::whole(answer),
        Api::AnthropicMessages => messages::whole(answer),
    }
}

/// The events of a stream as they are written.
#[derive(Debug, Default)]
pub struct Events {
    text: String,
    /// How many were written.
    count: u64,
}

impl Events {
    /// The events that open a stream.
    pub fn opening(&mut self, answer: &Answer) -> Bytes {
        match answer.call.api() {
            Api::OpenAiResponses => responses::opening(answer, self),
            Api::AnthropicMessages => messages::opening(answer, self),
            _ => openai::opening(answer, self),
        }
        self.take()
    }

    /// The events of some tokens that are ready together.
    pub fn part(&mut self, answer: &Answer, tokens: &[String]) -> Bytes {
        let text = tokens.concat();
        match answer.call.api() {
            Api::OpenAiResponses => responses::part(answer, &text, self),
            Api::AnthropicMessages => messages::part(answer, &text, self),
            _ => openai::part(answer, &text, self),
        }
        self.take()
    }

    /// The events that end a stream.
    pub fn closing(&mut self, answer: &Answer) -> Bytes {
        match answer.call.api() {
            Api::OpenAiResponses => responses::closing(answer, self),
            Api::AnthropicMessages => messages::closing(answer, self),
            _ => openai::closing(answer, self),
        }
        self.take()
    }

    /// An event without a name.
    fn data(&mut self, data: &Value) {
        self.text += &format!("data: {data}\n\n");
        self.count += 1;
    }

    /// An event with its name, which its data repeat as `type`.
    fn named(&mut self, name: &str, mut data: Value) {
        if let Some(members) = data.as_object_mut() {
            members.insert("type".into(), name.into());
        }
        self.text += &format!("event: {name}\n");
        self.data(&data);
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.text).into()
    }
}
