//! Proxies in front of the providers, and what they do with a request until it is answered.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use serde_json::Value;

use super::super::super::attempt::{Attempt, AttemptContext, AttemptEvent};
use super::super::super::*;
use super::providers::{Answered, Api, Conversation, Providers, wire};
use crate::fleet::Backend;
use crate::fleet::clusters::backend_key;
use crate::routing::fallback_chain::FallbackChain;
use crate::state::makers;
use crate::telemetry::state;

/// How often an attempt fails for no fault of the request, in 1,000.
const FAILURES: u64 = 30;
/// The most attempts of a request, as `pointsman render` has them.
const ATTEMPTS: u64 = 6;

/// One proxy.
struct Proxy {
    router: Router,
    stats: BackendStats,
    /// The records of makers in shared data.
    records: HashMap<u64, Vec<u8>>,
}

impl Proxy {
    fn new() -> Proxy {
        Proxy {
            router: Router::with_features_only(),
            stats: BackendStats::new(),
            records: HashMap::new(),
        }
    }
}

/// Some proxies, what is behind them, and what came of the conversations.
pub struct Fleet {
    policy: Rc<Policy>,
    proxies: Vec<Proxy>,
    providers: Providers,
    random: u64,
    now_ns: u64,
    /// Nothing is remembered.
    pub forgets: bool,
    /// Envoy tries again what the filter asks it to.
    pub retries_refusals: bool,
    /// All backends of one scope are down for a while, not only one.
    pub whole_scopes_fail: bool,
    /// A proxy forgets everything after so many turns.
    pub restart_every: usize,
    /// The backends that are down now.
    down: Vec<String>,
    /// Answers to clients other than 200.
    pub errors: Vec<String>,
    pub failed_attempts: usize,
    /// Attempts that were refused for their state.
    pub foreign_attempts: usize,
    /// Conversations that could not leave a provider that was down as a whole.
    pub stuck: usize,
    /// How often a conversation was answered by another scope than before.
    pub moved: usize,
    scopes: BTreeSet<String>,
}

/// A request under way.
struct Exchange {
    stream: Stream,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// As it stands in Envoy's filter state.
    chain: Vec<u8>,
    reply: Option<u16>,
}

impl Fleet {
    pub fn new(policy: &str, proxies: usize) -> Fleet {
        Fleet {
            policy: Rc::new(Policy::compile(policy).unwrap()),
            proxies: (0..proxies).map(|_| Proxy::new()).collect(),
            providers: Providers::default(),
            random: 0x1234_5678_9abc_def1,
            now_ns: 1_700_000_000_000_000_000,
            forgets: false,
            retries_refusals: true,
            whole_scopes_fail: false,
            restart_every: usize::MAX,
            down: Vec::new(),
            errors: Vec::new(),
            failed_attempts: 0,
            foreign_attempts: 0,
            stuck: 0,
            moved: 0,
            scopes: BTreeSet::new(),
        }
    }

    pub fn scopes_seen(&self) -> usize {
        self.scopes.len()
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// So many turns of many conversations at a time.
    pub fn run(&mut self, turns: usize, apis: &[Api]) {
        let mut conversations: Vec<Conversation> = Vec::new();
        for turn in 0..turns {
            if turn.is_multiple_of(150) {
                self.break_something();
            }
            if turn > 0 && turn.is_multiple_of(self.restart_every) {
                let place = self.draw(self.proxies.len() as u64) as usize;
                self.proxies[place] = Proxy::new();
            }
            let place = self.draw(60) as usize;
            if place >= conversations.len() || conversations[place].turns > 7 {
                let number = self.draw(1 << 20);
                let api = apis[self.draw(apis.len() as u64) as usize];
                let fresh = Conversation::new(api, number);
                match conversations.get_mut(place) {
                    Some(old) => *old = fresh,
                    None => conversations.push(fresh),
                }
            }
            let at = place.min(conversations.len() - 1);
            self.turn(&mut conversations[at]);
        }
    }

    /// Another backend, or another scope, is down from now on.
    fn break_something(&mut self) {
        let backends = self.policy.registry.backends.clone();
        let broken = &backends[self.draw(backends.len() as u64) as usize];
        let goes = |other: &&Backend| match self.whole_scopes_fail {
            true => other.state_scope == broken.state_scope,
            false => other.name == broken.name,
        };
        self.down = backends
            .iter()
            .filter(goes)
            .map(|backend| backend.name.clone())
            .collect();
    }

    fn turn(&mut self, conversation: &mut Conversation) {
        self.now_ns += 700_000_000;
        let number = self.draw(1000);
        let body = conversation.ask(number);
        let place = self.draw(self.proxies.len() as u64) as usize;
        let mut exchange = Exchange {
            stream: Stream::new(),
            headers: vec![
                (":method".into(), b"POST".to_vec()),
                (":path".into(), conversation.api.path().into()),
                ("content-length".into(), body.len().to_string().into()),
            ],
            body: body.clone(),
            chain: Vec::new(),
            reply: None,
        };
        self.request(place, &mut exchange);
        let answered = match exchange.reply {
            Some(status) => Err(format!("refused with {status}")),
            None => self.attempts(place, &mut exchange, conversation),
        };
        match answered {
            Ok((value, scope)) => {
                self.moved += usize::from(
                    conversation
                        .scope
                        .as_ref()
                        .is_some_and(|before| *before != scope),
                );
                self.scopes.insert(scope.clone());
                conversation.scope = Some(scope);
                conversation.take(&value);
            }
            Err(problem) => {
                match problem.starts_with("503") && conversation.is_bound() {
                    true => self.stuck += 1,
                    false => {
                        let text = String::from_utf8_lossy(&body).into_owned();
                        self.errors.push(format!("{problem}: {text}"));
                    }
                }
                *conversation = Conversation::new(conversation.api, number);
            }
        }
    }

    fn tell(&mut self, place: usize, exchange: &mut Exchange, event: Event<'_>) -> Vec<Effect> {
        let proxy = &mut self.proxies[place];
        let records = &proxy.records;
        let mut worker = Worker {
            cluster_header: "x-to",
            failover: Failover::PerAttempt,
            plugin: 7,
            filter_state: state::FilterState::All,
            policy: Some(&self.policy),
            router: Some(&mut proxy.router),
            stats: Some(&mut proxy.stats),
            find_maker: &|mark| makers::find(records.get(&makers::bucket_of(mark))?, mark),
            receipts: ReceiptAuthority::NONE,
            grades: KnownGrades::NONE,
        };
        let effects = exchange.stream.on(event, &mut worker);
        for effect in &effects {
            match effect {
                Effect::SetRequestHeader { name, value } => set(&mut exchange.headers, name, value),
                Effect::RemoveRequestHeader(gone) => {
                    exchange.headers.retain(|(name, _)| name.as_bytes() != gone);
                }
                Effect::RewriteBody {
                    edit,
                    content_length,
                } => {
                    exchange.body.splice(..edit.replace, edit.with.clone());
                    let length = exchange.body.len();
                    assert_eq!(*content_length, Some(length as u64));
                    set(&mut exchange.headers, "content-length", &length.to_string());
                }
                Effect::SetState { key, value } if *key == state::CHAIN => {
                    exchange.chain = value.as_bytes().to_vec();
                }
                Effect::Reply(reply) => exchange.reply = Some(reply.status),
                Effect::Remember { scope, marks } if !self.forgets => {
                    for mark in marks {
                        let record = proxy.records.entry(makers::bucket_of(*mark)).or_default();
                        if let Some(after) = makers::put(record, *mark, *scope) {
                            *record = after;
                        }
                    }
                }
                _ => {}
            }
        }
        effects
    }

    fn request(&mut self, place: usize, exchange: &mut Exchange) {
        let headers = exchange.headers.clone();
        let pairs: Vec<Header<'_>> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_slice()))
            .collect();
        self.tell(
            place,
            exchange,
            Event::RequestHeaders {
                headers: &pairs,
                end_of_stream: false,
            },
        );
        let held = exchange.body.len();
        self.tell(
            place,
            exchange,
            Event::RequestBody {
                held,
                end_of_stream: true,
            },
        );
        let body = exchange.body.clone();
        let now_ns = self.now_ns;
        self.tell(
            place,
            exchange,
            Event::Answer(Answer::RequestBody {
                bytes: Some(&body),
                now_ns,
            }),
        );
        self.tell(place, exchange, Event::Answer(Answer::Clock(now_ns)));
    }

    /// Tries the chain as Envoy does, and brings the answer to the client.
    fn attempts(
        &mut self,
        place: usize,
        exchange: &mut Exchange,
        conversation: &Conversation,
    ) -> Result<(Value, String), String> {
        let policy = Rc::clone(&self.policy);
        let find = |headers: &[(String, Vec<u8>)], name: &str| {
            headers
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, value)| value.clone())
        };
        let refusals = find(&exchange.headers, "x-envoy-retriable-status-codes");
        let calls = self.draw(3) == 0;
        let mut last = (
            Answered {
                status: 0,
                value: Value::Null,
            },
            String::new(),
        );
        let mut made = 0;
        while made < ATTEMPTS {
            made += 1;
            let first = FallbackChain::parse(&exchange.chain).unwrap().backends[0];
            let mut backends = policy.registry.backends.iter();
            let backend = backends
                .find(|backend| backend_key(&backend.name) == first)
                .unwrap();
            let body = attempt(&policy, exchange);
            let fails = self.down.contains(&backend.name) || self.draw(1000) < FAILURES;
            let scope = backend.state_scope.name.clone();
            let answered = match fails {
                true => Answered {
                    status: 503,
                    value: serde_json::json!({"error": "down"}),
                },
                false => self
                    .providers
                    .answer(&scope, conversation.api, &body, calls),
            };
            let is_refusal = matches!(answered.status, 400 | 404);
            self.failed_attempts += usize::from(fails);
            self.foreign_attempts += usize::from(is_refusal);
            let again = fails || (is_refusal && refusals.is_some() && self.retries_refusals);
            last = (answered, scope);
            if !again {
                break;
            }
        }
        self.respond(place, exchange, conversation, &last.0, made);
        match last.0.status {
            200 => Ok((last.0.value, last.1)),
            status => Err(format!(
                "{status} {} of {} after {made} attempts, down {:?}",
                last.0.value, last.1, self.down
            )),
        }
    }

    fn respond(
        &mut self,
        place: usize,
        exchange: &mut Exchange,
        conversation: &Conversation,
        answered: &Answered,
        made: u64,
    ) {
        let streams = conversation.streams && answered.status == 200;
        let bytes = wire(conversation.api, &answered.value, streams);
        let kind: &[u8] = if streams {
            b"text/event-stream"
        } else {
            b"application/json"
        };
        let status = answered.status.to_string();
        let mut effects = self.tell(place, exchange, Event::ResponseHeaders);
        while let Some(question) = asked(&effects) {
            let head: [Header<'_>; 2] = [(b":status", status.as_bytes()), (b"content-type", kind)];
            let answer = match question {
                Question::ResponseHeaders => Answer::ResponseHeaders(&head),
                Question::AttemptCount => Answer::AttemptCount(Some(made)),
                Question::UpstreamHost => Answer::UpstreamHost(None),
                Question::RequestBody { .. }
                | Question::Clock
                | Question::ResponseBody { .. }
                | Question::ResponseDetails => panic!("out of turn: {question:?}"),
            };
            effects = self.tell(place, exchange, Event::Answer(answer));
        }
        let size = 1 + self.draw(400) as usize;
        let now_ns = self.now_ns + 300_000_000;
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        for (index, piece) in pieces.iter().enumerate() {
            let end_of_stream = index + 1 == pieces.len();
            self.tell(
                place,
                exchange,
                Event::ResponseBody {
                    size: piece.len(),
                    end_of_stream,
                },
            );
            self.tell(
                place,
                exchange,
                Event::Answer(Answer::ResponseBody {
                    bytes: Some(piece),
                    now_ns,
                }),
            );
        }
        self.tell(place, exchange, Event::Done(now_ns));
    }
}

/// The question that stands among `effects`.
fn asked(effects: &[Effect]) -> Option<Question> {
    effects.iter().find_map(|effect| match effect {
        Effect::Ask(question) => Some(*question),
        _ => None,
    })
}

fn set(headers: &mut Vec<(String, Vec<u8>)>, name: &str, value: &str) {
    headers.retain(|(other, _)| other != name);
    headers.push((name.into(), value.into()));
}

/// One attempt: what stays of it in the headers, and the body that arrives.
fn attempt(policy: &Policy, exchange: &mut Exchange) -> Vec<u8> {
    let context = AttemptContext {
        failover: Failover::PerAttempt,
        policy,
    };
    let mut attempt = Attempt::new();
    let chain = FallbackChain::parse(&exchange.chain).unwrap();
    let headers = exchange.headers.clone();
    let pairs: Vec<Header<'_>> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_slice()))
        .collect();
    let event = AttemptEvent::Headers {
        headers: &pairs,
        end_of_stream: false,
        host: None,
        chain: &chain,
        withheld: None,
        now_ns: 0,
    };
    let mut body = exchange.body.clone();
    let mut effects = attempt.on(event, &context);
    let held = body.len();
    effects.extend(attempt.on(
        AttemptEvent::Body {
            held,
            end_of_stream: true,
        },
        &context,
    ));
    if let Some(question) = asked(&effects) {
        let whole = Question::RequestBody {
            start: 0,
            size: held,
        };
        assert_eq!(question, whole);
        let before = body.clone();
        let answer = Answer::RequestBody {
            bytes: Some(&before),
            now_ns: 0,
        };
        effects.extend(attempt.on(AttemptEvent::Answer(answer), &context));
    }
    for effect in effects {
        match effect {
            Effect::SetRequestHeader { name, value } => set(&mut exchange.headers, &name, &value),
            Effect::SetState { key, value } if key == state::CHAIN => {
                exchange.chain = value.as_bytes().to_vec();
            }
            Effect::RewriteBody {
                edit,
                content_length,
            } => {
                body.splice(..edit.replace, edit.with);
                let length = content_length.unwrap();
                assert_eq!(length, body.len() as u64);
                set(&mut exchange.headers, "content-length", &length.to_string());
            }
            _ => {}
        }
    }
    let stated = exchange
        .headers
        .iter()
        .find(|(name, _)| name == "content-length");
    assert_eq!(stated.unwrap().1, body.len().to_string().as_bytes());
    body
}
