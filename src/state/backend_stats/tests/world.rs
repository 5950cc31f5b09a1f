//! Two backends and the workers that decide between them, on simulated time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::*;

pub const A: u32 = 1;
pub const B: u32 = 2;
pub const SECOND: u64 = 1_000_000_000;
/// Between two merges of a worker.
const PERIOD: u64 = SECOND / 2;

/// The fate of a request at the first backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fate {
    /// The request is answered; first token and tokens each take a multiple of the declared time.
    Answer { first: f32, token: f32 },
    /// The request fails at once.
    Fail,
    /// The backend is silent until the client leaves, after so many seconds.
    Hang { leaves_s: u64 },
    /// The answer begins and breaks off.
    Break,
}

pub const WELL: Fate = Fate::Answer {
    first: 1.0,
    token: 1.0,
};

enum Step {
    First,
    End(AttemptOutcome),
}

/// One simulation. What is stated: first token after 50 ms, at most 150, then 1,000 tokens a second.
pub struct World {
    pub workers: Vec<BackendStats>,
    record: Vec<u8>,
    merged: Vec<u64>,
    pub now: u64,
    events: BinaryHeap<Reverse<(u64, usize)>>,
    steps: HashMap<usize, (usize, InFlightId, Expected, Step)>,
    decisions: usize,
    next: usize,
    noise: u32,
    /// Which backend each decision chose, and whether its request met a fault.
    pub chosen: Vec<(u32, bool)>,
}

pub const STATED: Latency = Latency {
    first_token_p50_ms: 50.0,
    first_token_p99_ms: 150.0,
    tokens_per_second: 1000.0,
};

pub fn expected(delivery: Delivery) -> Expected {
    let size = RequestSize {
        input_tokens: 100,
        max_output_tokens: 100_000,
        reasons: false,
        length: None,
    };
    Expected::new(delivery, &STATED, 0.0, size)
}

impl World {
    pub fn new(workers: usize) -> World {
        World {
            workers: (0..workers).map(|_| BackendStats::new()).collect(),
            record: Vec::new(),
            merged: vec![0; workers],
            now: 1_700_000_000 * SECOND,
            events: BinaryHeap::new(),
            steps: HashMap::new(),
            decisions: 0,
            next: 0,
            noise: 12345,
            chosen: Vec::new(),
        }
    }

    /// 0 to 1, the same in every run.
    pub fn draw(&mut self) -> f32 {
        self.noise = self
            .noise
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        (self.noise >> 8) as f32 / (1 << 24) as f32
    }

    /// So many requests, so many a second, `fate` saying what becomes of each at the first backend; the other one is well and
    /// a little dearer.
    pub fn run(
        &mut self,
        count: usize,
        per_second: f64,
        delivery: Delivery,
        fate: impl Fn(Delivery) -> Fate,
    ) {
        for _ in 0..count {
            self.pass((SECOND as f64 / per_second) as u64);
            let tokens = 1 + (self.draw().powi(3) * 4000.0) as u64;
            self.ask(delivery, tokens, &fate);
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, ns: u64) {
        self.now += ns;
        while let Some(Reverse((at, id))) = self.events.peek().copied() {
            if at > self.now {
                break;
            }
            self.events.pop();
            let (worker, in_flight, expected, step) = self.steps.remove(&id).unwrap();
            match step {
                Step::First => self.workers[worker].on_first_byte(in_flight, expected.delivery),
                Step::End(ending) => {
                    self.workers[worker].on_end(in_flight, &expected, ending, at);
                }
            }
        }
    }

    /// One request for an answer of so many tokens.
    pub fn ask(&mut self, delivery: Delivery, tokens: u64, fate: &impl Fn(Delivery) -> Fate) {
        let worker = self.decisions % self.workers.len();
        self.decisions += 1;
        let live = &mut self.workers[worker];
        if self.now - self.merged[worker] >= PERIOD {
            self.merged[worker] = self.now;
            let news = live.has_news();
            let record = live.merge(&self.record);
            if news {
                self.record = record;
                live.on_merged();
            }
        }
        let view = live.observe_for_decision([A, B].into_iter(), delivery, true, self.now);
        let cost = |observed: &Observed, ms: f32| {
            ms * observed.latency_ratio() + if observed.down { 1e9 } else { 0.0 }
        };
        let key = match cost(&view[0], 500.0) <= cost(&view[1], 600.0) {
            true => A,
            false => B,
        };
        let fate = if key == A { fate(delivery) } else { WELL };
        self.chosen.push((key, fate != WELL));
        let expected = expected(delivery);
        let in_flight = self.workers[worker]
            .on_sent(key, self.now, &expected)
            .unwrap();
        let ms = |ms: f32| (f64::from(ms) * 1e6) as u64;
        let mut follow = |after: u64, step: Step| {
            self.next += 1;
            let id = self.next;
            self.events.push(Reverse((self.now + after, id)));
            self.steps.insert(id, (worker, in_flight, expected, step));
        };
        match fate {
            Fate::Fail => follow(ms(20.0), Step::End(AttemptOutcome::Failed)),
            Fate::Break => {
                follow(ms(60.0), Step::First);
                follow(ms(90.0), Step::End(AttemptOutcome::Failed));
            }
            Fate::Hang { leaves_s } => {
                let ending = AttemptOutcome::Left {
                    after_ms: leaves_s as f32 * 1e3,
                };
                follow(leaves_s * SECOND, Step::End(ending));
            }
            Fate::Answer { first, token } => {
                let first_ms = 50.0 * first;
                let last_ms = first_ms + tokens as f32 * token;
                let streams = delivery == Delivery::Streamed;
                if streams {
                    follow(ms(first_ms), Step::First);
                }
                let ending = AttemptOutcome::Answered(AnswerTimes {
                    first_token_ms: streams.then_some(first_ms),
                    last_ms,
                    output_tokens: Some(tokens),
                });
                follow(ms(last_ms), Step::End(ending));
            }
        }
    }

    /// The share of the first backend among the last decisions.
    pub fn share(&self, last: usize) -> f64 {
        let from = self.chosen.len() - last;
        let hits = self.chosen[from..].iter().filter(|(key, _)| *key == A);
        hits.count() as f64 / last as f64
    }

    /// How many of the last decisions led to a fault.
    pub fn faults(&self, last: usize) -> usize {
        let from = self.chosen.len() - last;
        self.chosen[from..]
            .iter()
            .filter(|(_, fault)| *fault)
            .count()
    }

    /// How often the backend of most decisions changed, of those that lie in blocks of 25.
    pub fn turns(&self) -> usize {
        let blocks = self.chosen.chunks(25);
        let mostly: Vec<bool> = blocks
            .map(|block| block.iter().filter(|(key, _)| *key == A).count() * 2 > block.len())
            .collect();
        mostly.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}
