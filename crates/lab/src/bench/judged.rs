//! `pointsman-lab bench-judge`: what a judge costs the requests that it is asked about, and those that it is not.
//!
//! The same policy without a judge, with one that answers at once, and with one that leaves every second question without an
//! answer, so that requests wait for their deadline and the breaker stays closed. Every request's prompt is new: one of the
//! demo's and a number, so that no grade is known. Whether a request was asked about says the filter's own header.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use pointsman::telemetry::header;
use pointsman_harness::judge::{Behaviour, Judge};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::upstream;
use crate::demo::fleet::Fleet;
use crate::demo::prompts;
use crate::envoy::{self, AccessLog, Envoy};
use pointsman_cli::failure::Failure;
use pointsman_cli::io::http::{Answer, Connection};
use pointsman_eval::progress::Progress;
use pointsman_eval::quantile::quantile;
use pointsman_eval::table::{Side, Table};

/// The judge's deadline in milliseconds, which the policy states.
const DEADLINE_MS: u32 = 150;
/// How long one arm is loaded before the other takes its turn.
const BLOCK: Duration = Duration::from_millis(500);
/// Requests that are sent before any is measured.
const WARM_UP: usize = 100;

/// Arguments of `pointsman-lab bench-judge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The Envoy binary
    #[arg(long, value_name = "FILE", default_value = "target/envoy/envoy-1.40.0")]
    envoy: PathBuf,
    /// The policy; it has a judge
    #[arg(long, value_name = "FILE", default_value = "envoy/policies/judge.json")]
    policy: PathBuf,
    /// The filter
    #[arg(long, value_name = "FILE", default_value = "target/pointsman.wasm")]
    module: PathBuf,
    /// The prompts, a JSON object a line
    #[arg(long, value_name = "FILE", default_value = "tests/data/prompts.jsonl")]
    prompts: PathBuf,
    /// The largest share of the requests that is asked about
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    share: f64,
    /// Requests of each arm on one connection
    #[arg(long, value_name = "COUNT", default_value_t = 4000)]
    requests: usize,
    /// Pairs of half a second each with all connections
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pairs: usize,
    /// How many connections send at the same time, for the throughput
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    connections: usize,
    /// Where the figures go as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench-judge.json")]
    output: PathBuf,
}

/// The measured figures.
#[derive(Debug, Serialize)]
struct Figures {
    /// On one connection, a request to each arm in turn.
    one_connection: Vec<Comparison>,
    /// Latency of the requests that were asked about, half of them in vain, in milliseconds: count, median and 99th percentile.
    late: (usize, f64, f64),
    /// The deadline in milliseconds.
    deadline_ms: u32,
    /// Connections in use at the same time.
    connections: usize,
    /// Requests a second without and with the judge, medians over all blocks.
    per_second: (f64, f64),
    /// Throughput with the judge over throughput without, the median over pairs of neighbouring blocks.
    throughput_ratio: f64,
    /// The share of the requests that was asked about under that load.
    asked_share: f64,
}

/// One kind of requests with and without the judge, milliseconds.
#[derive(Debug, Serialize)]
struct Comparison {
    what: &'static str,
    requests: usize,
    /// Medians without and with the judge.
    p50_ms: (f64, f64),
    /// 99th percentiles without and with it.
    p99_ms: (f64, f64),
    /// Median of the difference between the two arms, request by request.
    added_p50_ms: f64,
}

/// Bodies that never repeat.
struct Bodies {
    texts: Vec<String>,
    next: AtomicUsize,
}

impl Bodies {
    fn read(path: &Path) -> Result<Bodies, Failure> {
        let texts = prompts::read(path)?;
        Ok(Bodies {
            texts: texts.iter().map(prompts::Prompt::text).collect(),
            next: AtomicUsize::new(0),
        })
    }

    fn next(&self) -> Bytes {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let text = self.texts.iter().cycle().nth(number % self.texts.len());
        let text = format!("{} (Question {number}.)", text.map_or("", String::as_str));
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
        Bytes::from(body.to_string())
    }
}

/// Measures, prints and writes the JSON.
///
/// # Errors
/// [`Failure::Input`] if Envoy, the module or the policy is missing; [`Failure::Failed`] if Envoy does not start, a request is
/// not answered with 200, or the JSON cannot be written. Never because of a figure.
pub fn run(args: &Args) -> Result<(), Failure> {
    envoy::require(&args.envoy, "make setup")?;
    envoy::require(&args.module, "make wasm")?;
    let figures = pointsman_cli::runtime()?.block_on(measure(args))?;
    print!("{}", text(&figures));
    let json = format!("{:#}\n", json!(figures));
    std::fs::write(&args.output, json).map_err(|error| {
        Failure::Failed(format!("cannot write `{}`: {error}", args.output.display()))
    })?;
    println!("\nwritten to {}", args.output.display());
    Ok(())
}

async fn measure(args: &Args) -> Result<Figures, Failure> {
    let fleet = Fleet::read(None, Some(&args.policy))?;
    let bodies: &'static Bodies = Box::leak(Box::new(Bodies::read(&args.prompts)?));
    let backends = upstream::start()?;
    let at_once = start_judge(false)?;
    let half_late = start_judge(true)?;
    let start = |judge| start_envoy(args, &fleet, backends, judge);
    let without = start(None)?;
    let with = start(Some(at_once.address()))?;
    let late = start(Some(half_late.address()))?;

    let one_connection = compare(args, bodies, &without, &with).await?;
    let late_ms = wait_for_late(args, bodies, &late).await?;
    let load = Load {
        connections: args.connections,
        bodies,
    };
    let (mut rates, mut ratios, mut asked) = ([Vec::new(), Vec::new()], Vec::new(), Vec::new());
    let mut progress = Progress::new("throughput", args.pairs as u64);
    for pair in 0..args.pairs {
        // A B, B A, A B: neither arm always comes first.
        let (first, second) = if pair % 2 == 0 {
            (&without, &with)
        } else {
            (&with, &without)
        };
        let (first, second) = (load.run(first).await?, load.run(second).await?);
        let (bare, judged) = if pair % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        ratios.push(judged.per_second / bare.per_second);
        asked.push(judged.asked_share);
        let [of_bare, of_judged] = &mut rates;
        of_bare.push(bare.per_second);
        of_judged.push(judged.per_second);
        progress.step();
    }
    progress.finish();
    for envoy in [without, with, late] {
        envoy.stop();
    }
    let [mut bare, mut judged] = rates;
    Ok(Figures {
        one_connection,
        late: late_ms,
        deadline_ms: DEADLINE_MS,
        connections: args.connections,
        per_second: (quantile(&mut bare, 0.5), quantile(&mut judged, 0.5)),
        throughput_ratio: quantile(&mut ratios, 0.5),
        asked_share: quantile(&mut asked, 0.5),
    })
}

/// A judge that answers at once, or leaves every second question without an answer.
fn start_judge(is_late: bool) -> Result<Judge, Failure> {
    let asked = AtomicUsize::new(0);
    let judge = Judge::start_with(move |_| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        match is_late && number % 2 == 1 {
            true => Behaviour::Silence,
            false => Behaviour::Grade(5),
        }
    });
    judge.map_err(|error| Failure::Failed(format!("cannot start the judge: {error}")))
}

/// Envoy as `pointsman render` configures it, with one worker, all backends at this address and this judge.
fn start_envoy(
    args: &Args,
    fleet: &Fleet,
    backends: SocketAddr,
    judge: Option<SocketAddr>,
) -> Result<Envoy, Failure> {
    let mut policy = fleet.source.clone();
    let all = policy.get_mut("backends").and_then(Value::as_array_mut);
    for backend in all.into_iter().flatten().filter_map(Value::as_object_mut) {
        backend.insert("endpoint".to_owned(), format!("http://{backends}").into());
        backend.remove("credentials");
        backend.remove("health");
    }
    let fields = policy.as_object_mut();
    let fields = fields.ok_or_else(|| Failure::Input("the policy is no object".into()))?;
    match (
        judge,
        fields.get_mut("judge").and_then(Value::as_object_mut),
    ) {
        (None, _) => drop(fields.remove("judge")),
        (Some(_), None) => return Err(Failure::Input("the policy has no `judge`".into())),
        (Some(address), Some(judge)) => {
            judge.insert("endpoint".to_owned(), format!("http://{address}").into());
            judge.insert("max_share".to_owned(), args.share.into());
            judge.insert("deadline_ms".to_owned(), DEADLINE_MS.into());
        }
    }
    let version = envoy::version(&args.envoy)?;
    let config = envoy::rendered(&policy, &version, &args.module, false, AccessLog::None)?;
    envoy::start(&args.envoy, &config, 1)
}

/// Whether a question was sent for this request.
fn is_asked(answer: &Answer) -> bool {
    let judge = answer.header(header::JUDGE).unwrap_or_default();
    !judge.is_empty() && !judge.starts_with("not_asked") && !judge.ends_with("cached")
}

fn milliseconds(answer: &Answer) -> f64 {
    answer.took.as_secs_f64() * 1e3
}

/// Every request goes to both arms in turn, on one connection each.
async fn compare(
    args: &Args,
    bodies: &Bodies,
    without: &Envoy,
    with: &Envoy,
) -> Result<Vec<Comparison>, Failure> {
    let mut bare = Connection::to_envoy(without.address()).await?;
    let mut judged = Connection::to_envoy(with.address()).await?;
    let (mut asked, mut not_asked) = (Vec::new(), Vec::new());
    let mut progress = Progress::new("one connection", args.requests as u64);
    for number in 0..args.requests + WARM_UP {
        let body = bodies.next();
        // The second of the two finds warm caches: each arm is it in turn.
        let (of_bare, of_judged) = if number % 2 == 0 {
            let first = bare.chat(body.clone()).await?;
            (first, judged.chat(body).await?)
        } else {
            let first = judged.chat(body.clone()).await?;
            (bare.chat(body).await?, first)
        };
        if number < WARM_UP {
            continue;
        }
        let pair = (milliseconds(&of_bare), milliseconds(&of_judged));
        match is_asked(&of_judged) {
            true => asked.push(pair),
            false => not_asked.push(pair),
        }
        progress.step();
    }
    progress.finish();
    Ok(vec![
        summarise("not asked about", &not_asked),
        summarise("asked about", &asked),
    ])
}

fn summarise(what: &'static str, pairs: &[(f64, f64)]) -> Comparison {
    let both = |q| {
        let mut without: Vec<f64> = pairs.iter().map(|(without, _)| *without).collect();
        let mut with: Vec<f64> = pairs.iter().map(|(_, with)| *with).collect();
        (quantile(&mut without, q), quantile(&mut with, q))
    };
    let mut added: Vec<f64> = pairs.iter().map(|(without, with)| with - without).collect();
    Comparison {
        what,
        requests: pairs.len(),
        p50_ms: both(0.5),
        p99_ms: both(0.99),
        added_p50_ms: quantile(&mut added, 0.5),
    }
}

/// Count, median and 99th percentile of the requests that were asked about while half of the questions get no answer.
async fn wait_for_late(
    args: &Args,
    bodies: &'static Bodies,
    envoy: &Envoy,
) -> Result<(usize, f64, f64), Failure> {
    let each = (args.requests / 5).div_ceil(args.connections.max(1));
    let mut tasks = JoinSet::new();
    for _ in 0..args.connections {
        let mut connection = Connection::to_envoy(envoy.address()).await?;
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for _ in 0..each {
                let answer = connection.chat(bodies.next()).await?;
                if is_asked(&answer) {
                    latencies.push(milliseconds(&answer));
                }
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut latencies = Vec::new();
    for of_one in tasks.join_all().await {
        latencies.extend(of_one?);
    }
    let (p50, p99) = (
        quantile(&mut latencies, 0.5),
        quantile(&mut latencies, 0.99),
    );
    Ok((latencies.len(), p50, p99))
}

/// A closed loop on some connections.
struct Load {
    connections: usize,
    bodies: &'static Bodies,
}

/// One arm's turn.
struct Block {
    per_second: f64,
    asked_share: f64,
}

impl Load {
    async fn run(&self, envoy: &Envoy) -> Result<Block, Failure> {
        let bodies = self.bodies;
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::to_envoy(envoy.address()).await?);
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut connection in connections {
            tasks.spawn(async move {
                let (mut sent, mut asked) = (0_usize, 0_usize);
                while start.elapsed() < BLOCK {
                    let answer = connection.chat(bodies.next()).await?;
                    sent += 1;
                    asked += usize::from(is_asked(&answer));
                }
                Ok::<_, Failure>((sent, asked))
            });
        }
        let (mut sent, mut asked) = (0, 0);
        for of_one in tasks.join_all().await {
            let of_one = of_one?;
            sent += of_one.0;
            asked += of_one.1;
        }
        Ok(Block {
            per_second: sent as f64 / start.elapsed().as_secs_f64(),
            asked_share: asked as f64 / sent.max(1) as f64,
        })
    }
}

fn text(figures: &Figures) -> String {
    let head = [
        "requests",
        "count",
        "p50 without",
        "with judge",
        "added",
        "p99 without",
        "with judge, ms",
    ];
    let sides = [Side::Left].into_iter().chain([Side::Right; 6]);
    let columns: Vec<(&str, Side)> = head.into_iter().zip(sides).collect();
    let mut table = Table::new(&columns);
    for row in &figures.one_connection {
        table.push(vec![
            row.what.to_owned(),
            row.requests.to_string(),
            format!("{:.3}", row.p50_ms.0),
            format!("{:.3}", row.p50_ms.1),
            format!("{:+.3}", row.added_p50_ms),
            format!("{:.3}", row.p99_ms.0),
            format!("{:.3}", row.p99_ms.1),
        ]);
    }
    let (count, p50, p99) = figures.late;
    let (bare, judged) = figures.per_second;
    format!(
        "\nOne connection, a judge that answers at once\n\n{}\nHalf of the questions get no answer, deadline {} ms: {count} requests asked about, p50 {p50:.1} ms, p99 {p99:.1} ms\n\
         {} connections, {:.0} % asked about: {judged:.0} requests a second, {bare:.0} without the judge: {:.0} % kept\n",
        table.render(),
        figures.deadline_ms,
        figures.connections,
        figures.asked_share * 100.0,
        figures.throughput_ratio * 100.0
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_body_comes_twice() {
        let bodies = Bodies {
            texts: vec!["a".to_owned(), "b".to_owned()],
            next: AtomicUsize::new(0),
        };
        let all: std::collections::BTreeSet<Bytes> = (0..5).map(|_| bodies.next()).collect();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn the_difference_is_taken_request_by_request() {
        let row = summarise("x", &[(1.0, 1.5), (3.0, 3.1), (2.0, 2.2)]);
        assert_eq!((row.p50_ms, row.requests), ((2.0, 2.2), 3));
        assert!((row.added_p50_ms - 0.2).abs() < 1e-9);
    }
}
