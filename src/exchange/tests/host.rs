//! A host that does what it is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::super::*;
use crate::api::judge::Grade;
use crate::decimal::decimal;
use crate::fleet::clusters::Failover;
use crate::state::judge::PromptSecret;
use crate::state::receipt::Keys;

/// The number of the next receipt.
static NONCES: AtomicU64 = AtomicU64::new(1);

/// A host: carries out effects on a request that it holds, and answers what it is asked.
pub(super) struct Host {
    pub(super) stream: Stream,
    pub(super) policy: Option<Rc<Policy>>,
    pub(super) failover: Failover,
    pub(super) filter_state: FilterState,
    pub(super) router: Option<Router>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) unreadable: bool,
    /// Envoy's response code details, asked for if an answer is cut off.
    pub(super) details: Option<&'static str>,
    pub(super) stats: Option<BackendStats>,
    /// The keys of receipts.
    pub(super) keys: Keys,
    /// Grades that are known, by the hash of the prompt.
    pub(super) grades: BTreeMap<u64, Grade>,
    /// The numbers of receipts that feedback was given for.
    pub(super) claimed: RefCell<BTreeSet<u64>>,
    pub(super) held: bool,
    pub(super) clock_ns: u64,
    pub(super) response_headers: Vec<(&'static str, String)>,
    /// Bytes of the response that came last, and what became of them.
    pub(super) chunk: Vec<u8>,
    pub(super) effects: Vec<Effect>,
}

impl Host {
    pub(super) fn new(policy: &str) -> Host {
        Host {
            policy: Some(Rc::new(Policy::compile(policy).unwrap())),
            ..Host::without_policy()
        }
    }

    pub(super) fn without_policy() -> Host {
        Host {
            stream: Stream::new(),
            policy: None,
            failover: Failover::Off,
            filter_state: FilterState::All,
            router: Some(Router::with_features_only()),
            headers: Vec::new(),
            body: Vec::new(),
            unreadable: false,
            details: None,
            stats: None,
            keys: Keys::NONE,
            grades: BTreeMap::new(),
            claimed: RefCell::default(),
            held: false,
            clock_ns: 5_000_000,
            response_headers: Vec::new(),
            chunk: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// As the filter does it: all effects first, then the answer to what was asked.
    pub(super) fn tell(&mut self, event: Event<'_>) {
        let mut worker = Worker {
            cluster_header: "x-to",
            failover: self.failover,
            plugin: 7,
            filter_state: self.filter_state,
            policy: self.policy.as_ref(),
            router: self.router.as_mut(),
            stats: self.stats.as_mut(),
            find_maker: &|_| None,
            receipts: ReceiptAuthority {
                keys: &self.keys,
                nonce: &|| NONCES.fetch_add(1, Ordering::Relaxed),
                claim: &|number| self.claimed.borrow_mut().insert(number),
            },
            grades: KnownGrades {
                secret: &|| PromptSecret([3, 4]),
                find: &|prompt, _| self.grades.get(&prompt).copied(),
            },
        };
        let effects = self.stream.on(event, &mut worker);
        self.effects.extend(effects.iter().cloned());
        let questions: Vec<Question> = effects
            .into_iter()
            .filter_map(|effect| self.apply(effect))
            .collect();
        assert!(questions.len() <= 1, "{questions:?}");
        for question in questions {
            self.answer(question);
        }
    }

    fn answer(&mut self, question: Question) {
        let (is_readable, now_ns) = (!self.unreadable, self.clock_ns);
        let (body, chunk, pairs) = (
            self.body.clone(),
            self.chunk.clone(),
            self.response_headers.clone(),
        );
        let headers: Vec<Header<'_>> = pairs
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        let answer = match question {
            Question::RequestBody { start, size } => Answer::RequestBody {
                bytes: is_readable.then_some(&body[start..start + size]),
                now_ns,
            },
            Question::Clock => Answer::Clock(now_ns + 41_500),
            Question::ResponseHeaders => Answer::ResponseHeaders(&headers),
            Question::ResponseBody { size } => {
                assert_eq!(chunk.len(), size);
                Answer::ResponseBody {
                    bytes: is_readable.then_some(&chunk),
                    now_ns,
                }
            }
            Question::ResponseDetails => Answer::ResponseDetails {
                text: self.details.map(str::as_bytes),
                now_ns,
            },
            Question::AttemptCount => Answer::AttemptCount(Some(2)),
            Question::UpstreamHost => Answer::UpstreamHost(Some("lpu-1")),
        };
        self.tell(Event::Answer(answer));
    }

    /// Carries out an effect; gives the question that it asks.
    pub(super) fn apply(&mut self, effect: Effect) -> Option<Question> {
        match effect {
            Effect::Pause => self.held = true,
            Effect::Continue => self.held = false,
            Effect::Ask(question) => return Some(question),
            Effect::KeepGrade(kept) => {
                self.grades.insert(kept.prompt, kept.grade);
            }
            Effect::ReplaceChunk(bytes) => self.chunk = bytes,
            Effect::RemoveResponseHeader(gone) => {
                self.response_headers.retain(|(name, _)| *name != gone);
            }
            Effect::RemoveRequestHeader(name) => {
                self.headers.retain(|(other, _)| other.as_bytes() != name);
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
                self.headers.retain(|(name, _)| name != "content-length");
                if let Some(length) = content_length {
                    self.set("content-length", &decimal(length));
                }
            }
            Effect::SpliceBody {
                splices,
                held,
                content_length,
            } => {
                assert_eq!(held, self.body.len());
                for splice in splices.into_iter().rev() {
                    self.body.splice(splice.span, splice.with);
                }
                self.headers.retain(|(name, _)| name != "content-length");
                if let Some(length) = content_length {
                    self.set("content-length", &decimal(length));
                }
            }
            _ => {}
        }
        None
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.into(), value.into()));
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name)?;
        std::str::from_utf8(&found.1).ok()
    }

    /// Sends the headers that are set.
    pub(super) fn send_headers(&mut self, end_of_stream: bool) {
        let headers = self.headers.clone();
        let headers: Vec<Header<'_>> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_slice()))
            .collect();
        self.tell(Event::RequestHeaders {
            headers: &headers,
            end_of_stream,
        });
    }

    pub(super) fn send_chunk(&mut self, chunk: &[u8], end_of_stream: bool) {
        self.body.extend_from_slice(chunk);
        self.tell(Event::RequestBody {
            held: self.body.len(),
            end_of_stream,
        });
    }

    pub(super) fn begin(&mut self, method: &str, path: &str) {
        self.set(":method", method);
        self.set(":path", path);
    }

    /// A chat request in one chunk, its length stated.
    pub(super) fn chat(policy: &str, body: &str) -> Host {
        let mut host = Host::new(policy);
        host.begin("POST", "/v1/chat/completions");
        host.set("content-length", &body.len().to_string());
        host.send_headers(false);
        host.send_chunk(body.as_bytes(), true);
        host
    }

    pub(super) fn reply(&self) -> Option<&Reply> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Reply(reply) => Some(reply),
            _ => None,
        })
    }

    pub(super) fn reply_json(&self) -> Value {
        serde_json::from_slice(&self.reply().unwrap().body).unwrap()
    }

    pub(super) fn counts(&self) -> Vec<&str> {
        let counts = self.effects.iter().filter_map(|effect| match effect {
            Effect::Count(metric) => Some(metric.name.as_ref()),
            _ => None,
        });
        counts.collect()
    }

    pub(super) fn state(&self, key: &str) -> Option<&str> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::SetState { key: other, value } if *other == key => Some(value.as_str()),
            _ => None,
        })
    }

    /// The response's headers of ours, in their order.
    pub(super) fn response(&mut self) -> Vec<(&'static str, String)> {
        self.effects.clear();
        self.tell(Event::ResponseHeaders);
        let headers = self.effects.iter().filter_map(|effect| match effect {
            Effect::SetResponseHeader { name, value } => Some((*name, value.to_string())),
            _ => None,
        });
        headers.collect()
    }
}
