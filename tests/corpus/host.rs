//! A host for the state machine: holds one request, carries out effects on it, answers what it is asked.
//!
//! The host keeps state and nothing else; no order of calls is expected. A real Envoy does more, which is not shown here.

use std::collections::BTreeSet;
use std::rc::Rc;

use pointsman::api::edit::Splice;
use pointsman::exchange::{
    Answer, Effect, Event, Header, KnownGrades, Question, ReceiptAuthority, Reply, Stream, Worker,
};
use pointsman::policy::Policy;
use pointsman::routing::router::Router;

use crate::loader::Case;

/// How the body arrives.
#[derive(Debug, Clone, Copy)]
pub enum Delivery {
    /// In one piece, the end of the stream with it.
    Whole,
    /// In pieces of so many bytes, the end of the stream after the last one.
    Pieces(usize),
    /// In one piece, trailers after it.
    WithTrailers,
}

/// The request as it stands, and what was done about it.
pub struct Host {
    stream: Stream,
    policy: Rc<Policy>,
    router: Router,
    /// The request's headers.
    pub request_headers: Vec<(String, Vec<u8>)>,
    /// The bytes that arrived and were not let go yet, then those that went upstream.
    pub body: Vec<u8>,
    /// Whether it is held back.
    pub held: bool,
    /// The reply that was sent in the upstream's stead.
    pub reply: Option<Reply>,
    /// Headers set on the response.
    pub response_headers: Vec<(&'static str, String)>,
    /// Counters that were added to, less those that tell of the classifier.
    pub counted: BTreeSet<String>,
}

impl Host {
    /// Runs a case to its end.
    pub fn run(case: &Case, delivery: Delivery) -> Host {
        let policy = Policy::compile(&case.policy.to_string());
        let policy = policy.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let body = case.request.body();
        let mut host = Host {
            stream: Stream::new(),
            policy: Rc::new(policy),
            router: Router::new().0,
            request_headers: Vec::new(),
            body: Vec::new(),
            held: false,
            reply: None,
            response_headers: Vec::new(),
            counted: BTreeSet::new(),
        };
        host.set(":method", &case.request.method);
        host.set(":path", &case.request.path);
        for (name, value) in &case.request.headers {
            host.request_headers
                .push((name.clone(), value.clone().into()));
        }
        if let Some(body) = &body {
            host.set("content-length", &body.len().to_string());
        }
        host.send_headers(body.is_none());
        if let Some(body) = body {
            host.send_body(&body, delivery);
        }
        if host.reply.is_none() {
            host.tell(Event::ResponseHeaders);
        }
        host
    }

    /// A request header as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self
            .request_headers
            .iter()
            .find(|(other, _)| other == name)?;
        String::from_utf8(found.1.clone()).ok()
    }

    fn send_headers(&mut self, end_of_stream: bool) {
        let headers = self.request_headers.clone();
        let headers: Vec<Header<'_>> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_slice()))
            .collect();
        self.tell(Event::RequestHeaders {
            headers: &headers,
            end_of_stream,
        });
    }

    /// After a reply no more comes; what comes after the request was let go passes by.
    fn send_body(&mut self, body: &[u8], delivery: Delivery) {
        let size = match delivery {
            Delivery::Pieces(size) => size,
            _ => body.len().max(1),
        };
        for piece in body.chunks(size) {
            self.arrive(piece, false);
        }
        match delivery {
            Delivery::WithTrailers if self.reply.is_none() => self.tell(Event::RequestTrailers),
            _ => self.arrive(b"", true),
        }
    }

    fn arrive(&mut self, piece: &[u8], end_of_stream: bool) {
        if self.reply.is_some() {
            return;
        }
        self.body.extend_from_slice(piece);
        let held = if self.held {
            self.body.len()
        } else {
            piece.len()
        };
        self.tell(Event::RequestBody {
            held,
            end_of_stream,
        });
    }

    fn tell(&mut self, event: Event<'_>) {
        let mut worker = Worker {
            cluster_header: "x-pointsman-cluster",
            failover: pointsman::fleet::clusters::Failover::Off,
            plugin: 0,
            filter_state: pointsman::telemetry::state::FilterState::All,
            policy: Some(&self.policy),
            router: Some(&mut self.router),
            stats: None,
            find_maker: &|_| None,
            receipts: ReceiptAuthority::NONE,
            grades: KnownGrades::NONE,
        };
        let effects = self.stream.on(event, &mut worker);
        let questions: Vec<Question> = effects
            .into_iter()
            .filter_map(|effect| self.apply(effect))
            .collect();
        for question in questions {
            self.answer(question);
        }
    }

    fn answer(&mut self, question: Question) {
        let body = self.body.clone();
        let answer = match question {
            Question::RequestBody { start, size } => Answer::RequestBody {
                bytes: Some(&body[start..start + size]),
                now_ns: 1_000,
            },
            Question::Clock => Answer::Clock(42_000),
            Question::ResponseHeaders => Answer::ResponseHeaders(&[]),
            Question::AttemptCount => Answer::AttemptCount(Some(1)),
            // The corpus has requests only, each at one backend.
            Question::ResponseBody { .. } | Question::ResponseDetails | Question::UpstreamHost => {
                panic!("nobody asks for this here: {question:?}")
            }
        };
        self.tell(Event::Answer(answer));
    }

    /// Carries out an effect; gives the question that it asks.
    fn apply(&mut self, effect: Effect) -> Option<Question> {
        match effect {
            Effect::Ask(question) => return Some(question),
            Effect::Pause => self.held = true,
            Effect::Continue => self.held = false,
            Effect::RemoveRequestHeader(name) => {
                self.request_headers
                    .retain(|(other, _)| other.as_bytes() != name);
            }
            Effect::SetRequestHeader { name, value } => self.set(&name, &value),
            Effect::SetCredentials {
                header,
                prefix,
                env,
            } => self.set(&header, &format!("{prefix}value-of-{env}")),
            Effect::RewriteBody {
                edit,
                content_length,
            } => {
                self.body.splice(..edit.replace, edit.with);
                self.request_headers
                    .retain(|(name, _)| name != "content-length");
                if let Some(length) = content_length {
                    self.set("content-length", &length.to_string());
                }
            }
            Effect::SpliceBody {
                splices,
                held,
                content_length,
            } => {
                assert_eq!(held, self.body.len());
                for Splice { span, with } in splices.into_iter().rev() {
                    self.body.splice(span, with);
                }
                self.request_headers
                    .retain(|(name, _)| name != "content-length");
                if let Some(length) = content_length {
                    self.set("content-length", &length.to_string());
                }
            }
            Effect::Reply(reply) => self.reply = Some(reply),
            Effect::SetResponseHeader { name, value } => {
                self.response_headers.push((name, value.into()))
            }
            Effect::Count(metric) if metric.name != "pointsman.classifier_errors" => {
                assert!(
                    self.counted.insert(metric.name.to_string()),
                    "{} counted twice",
                    metric.name
                );
            }
            _ => {}
        }
        None
    }

    fn set(&mut self, name: &str, value: &str) {
        self.request_headers.retain(|(other, _)| other != name);
        self.request_headers.push((name.into(), value.into()));
    }
}
