//! Backends that get slow, fail and recover, simulated: where decisions go, and how often they change their mind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BinaryHeap;

use super::*;

const A: u32 = 1;
const B: u32 = 2;
/// Nanoseconds between two decisions.
const STEP: u64 = 50_000_000;

/// Two backends of which the first is the better one; each worker decides in turn and knows what it saw itself.
struct World {
    workers: Vec<Live>,
    record: Vec<u8>,
    now: u64,
    /// When it ends (negative), at which worker, with what.
    under_way: BinaryHeap<(i64, usize, u64, u32, u32)>,
    tickets: std::collections::HashMap<(usize, u64), (Ticket, Ending)>,
    decisions: usize,
    noise: u32,
    chosen: Vec<u32>,
}

impl World {
    fn new(workers: usize) -> World {
        World {
            workers: (0..workers).map(|_| Live::new()).collect(),
            record: Vec::new(),
            now: 1,
            under_way: BinaryHeap::new(),
            tickets: std::collections::HashMap::new(),
            decisions: 0,
            noise: 12345,
            chosen: Vec::new(),
        }
    }

    /// 0.7 to 1.4, the same in every run.
    fn jitter(&mut self) -> f32 {
        self.noise = self
            .noise
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        0.7 + 0.7 * ((self.noise >> 8) as f32 / (1 << 24) as f32)
    }

    /// So many decisions while the first backend takes `slow` times what is stated, or fails.
    fn run(&mut self, count: usize, slow: f32, fails: bool) {
        for _ in 0..count {
            self.now += STEP;
            self.land();
            let worker = self.decisions % self.workers.len();
            self.decisions += 1;
            if self.decisions.is_multiple_of(10) {
                let live = &mut self.workers[worker];
                self.record = live.merge(&self.record);
                live.merged();
            }
            let view = self.workers[worker].view([A, B].into_iter(), self.now);
            // Stated: 500 ms and 600 ms.
            let cost = |observed: &Observed, ms: f32| {
                ms * observed.slowdown + if observed.down { 1e9 } else { 0.0 }
            };
            let link = if cost(&view[0], 500.0) <= cost(&view[1], 600.0) {
                A
            } else {
                B
            };
            let stated = if link == A { 500.0 } else { 600.0 };
            let factor = if link == A { slow } else { 1.0 } * self.jitter();
            let failed = link == A && fails;
            let took = if failed { 20.0 } else { stated * factor };
            let ending = if failed {
                Ending::Failed
            } else {
                Ending::Answered {
                    first_token_ms: Some(took / 4.0),
                    total_ms: took,
                }
            };
            let live = &mut self.workers[worker];
            let ticket = live.sent(link, self.now, stated).unwrap();
            let end = self.now + (took * 1e6) as u64;
            self.tickets.insert((worker, ticket.id), (ticket, ending));
            self.under_way
                .push((-(end as i64), worker, ticket.id, link, stated as u32));
            self.chosen.push(link);
        }
    }

    fn land(&mut self) {
        while let Some((end, worker, id, _, stated)) = self.under_way.peek().copied() {
            if (-end) as u64 > self.now {
                break;
            }
            self.under_way.pop();
            let (ticket, ending) = self.tickets.remove(&(worker, id)).unwrap();
            self.workers[worker].ended(ticket, stated as f32, ending);
        }
    }

    /// The share of the first backend among the last decisions.
    fn share(&self, last: usize) -> f64 {
        let from = self.chosen.len() - last;
        let hits = self.chosen[from..]
            .iter()
            .filter(|link| **link == A)
            .count();
        hits as f64 / last as f64
    }

    /// How often the backend of most decisions changed, of those that lie in blocks of 25.
    fn turns(&self) -> usize {
        let blocks = self.chosen.chunks(25);
        let mostly: Vec<bool> = blocks
            .map(|block| block.iter().filter(|link| **link == A).count() * 2 > block.len())
            .collect();
        mostly.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

fn slow_and_back(workers: usize, fails: bool) {
    let mut world = World::new(workers);
    world.run(300, 1.0, false);
    assert!(world.share(300) > 0.99, "{}", world.share(300));
    world.run(200, 10.0, fails);
    world.run(300, 10.0, fails);
    assert!(world.share(300) < 0.05, "{}", world.share(300));
    world.run(500, 1.0, false);
    world.run(300, 1.0, false);
    assert!(world.share(300) > 0.95, "{}", world.share(300));
    assert_eq!(world.turns(), 2);
}

#[test]
fn ten_times_slower_loses_its_traffic_and_gets_it_back() {
    slow_and_back(1, false);
    slow_and_back(2, false);
}

#[test]
fn failing_loses_its_traffic_and_gets_it_back() {
    slow_and_back(1, true);
    slow_and_back(2, true);
}

#[test]
fn usual_noise_changes_nothing() {
    let mut world = World::new(2);
    world.run(5_000, 1.2, false);
    assert!(world.share(5_000) > 0.99);
}

#[test]
fn three_failures_are_down_and_two_answers_up() {
    let mut live = Live::new();
    for _ in 0..DOWN_AFTER {
        assert!(!live.look(A).down);
        live.attempted(A, true);
    }
    assert!(live.look(A).down);
    live.attempted(A, false);
    assert!(live.look(A).down);
    live.attempted(A, false);
    assert!(!live.look(A).down);
}

#[test]
fn what_one_worker_saw_the_other_knows_after_a_merge() {
    let (mut one, mut other) = (Live::new(), Live::new());
    for _ in 0..DOWN_AFTER {
        one.attempted(A, true);
    }
    assert!(one.has_news());
    let record = one.merge(&[]);
    one.merged();
    assert!(!one.has_news());
    let record = other.merge(&record);
    assert!(other.look(A).down);
    // Merged twice because the write failed: the same.
    let again = other.merge(&record);
    assert_eq!(again, record);
}

#[test]
fn everything_is_bounded() {
    let mut live = Live::new();
    for request in 0..20_000_u64 {
        let link = (request % 1_500) as u32;
        let ticket = live.sent(link, request, 100.0);
        if let Some(ticket) = ticket
            && request % 3 == 0
        {
            live.ended(ticket, 100.0, Ending::Failed);
        }
    }
    assert_eq!(live.backends.len(), MOST_BACKENDS);
    for backend in &live.backends {
        assert!(backend.flights.len() <= MOST_FLIGHTS && backend.pending.len() <= MOST_PENDING);
    }
    let record = live.merge(&[]);
    assert_eq!(record.len(), MOST_BACKENDS * RECORD_BYTES);
    assert!(record.len() < 1 << 20);
}

#[test]
fn damaged_records_are_read_as_far_as_they_go() {
    let mut live = Live::new();
    live.attempted(A, true);
    let record = live.merge(&[]);
    assert_eq!(decode(&record).len(), 1);
    for end in 0..record.len() {
        assert!(decode(&record[..end]).is_empty());
    }
    let _ = decode(&vec![0xff; RECORD_BYTES * 3]);
}
