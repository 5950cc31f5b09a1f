//! Latency and throughput of both arms under one kind of load: blocks of keep-alive requests in a closed loop, the arms in turn.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde::Serialize;
use tokio::task::JoinSet;

use super::{Arm, body};
use pointsman_cli::failure::Failure;
use pointsman_cli::io::http::Connection;
use pointsman_eval::progress::Progress;
use pointsman_eval::quantile::quantile;

/// The addresses of the two Envoys.
#[derive(Debug, Clone, Copy)]
pub struct Arms {
    /// The one without the filter.
    pub bare: SocketAddr,
    /// The one with it.
    pub filter: SocketAddr,
}

/// One arm's figures.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Requests answered.
    pub requests: usize,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
    /// Requests a second, the median over all blocks.
    pub per_second: f64,
}

/// Both arms under one kind of load.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Load {
    /// Size of the request body.
    pub bytes: usize,
    /// Connections in use at the same time.
    pub connections: usize,
    /// Without the filter.
    pub bare: Latency,
    /// With it.
    pub filter: Latency,
    /// The filter's addition to the median, in milliseconds: the median over pairs of neighbouring blocks.
    pub added_p50_ms: f64,
    /// Its addition to the 99th percentile, in milliseconds: the median over the same pairs.
    pub added_p99_ms: f64,
    /// The difference between neighbouring blocks of the bare arm alone: noise.
    pub noise_p50_ms: f64,
    /// The noise of the 99th percentile.
    pub noise_p99_ms: f64,
    /// Throughput with the filter over throughput without, the median over pairs of neighbouring blocks.
    pub throughput_ratio: f64,
}

/// One arm's turn.
struct Block {
    /// Milliseconds of each request.
    latencies: Vec<f64>,
    per_second: f64,
}

/// Loads both arms in `pairs` pairs of blocks of this length.
///
/// # Errors
/// [`Failure::Failed`] if a request is not answered with 200.
pub async fn measure(
    arms: Arms,
    bytes: usize,
    connections: usize,
    pairs: u64,
    block: Duration,
    progress: &mut Progress,
) -> Result<Load, Failure> {
    let body = Bytes::from(body::with_size("auto", bytes));
    let mut bare = open(arms.bare, connections).await?;
    let mut filter = open(arms.filter, connections).await?;
    // The first requests pay for buffers and upstream connections.
    run(&mut bare, &body, block / 4).await?;
    run(&mut filter, &body, block / 4).await?;

    let (mut of_bare, mut of_filter) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // A B, B A, A B: neither arm always comes first.
        let order = if pair % 2 == 0 {
            [Arm::Bare, Arm::Filter]
        } else {
            [Arm::Filter, Arm::Bare]
        };
        for arm in order {
            match arm {
                Arm::Bare => of_bare.push(run(&mut bare, &body, block).await?),
                Arm::Filter => of_filter.push(run(&mut filter, &body, block).await?),
            }
        }
        progress.step();
    }
    Ok(compare(bytes, connections, &of_bare, &of_filter))
}

async fn open(address: SocketAddr, connections: usize) -> Result<Vec<Connection>, Failure> {
    let mut all = Vec::new();
    for _ in 0..connections {
        all.push(Connection::to_envoy(address).await?);
    }
    Ok(all)
}

/// Every connection sends one request after the other until the time is over.
async fn run(
    connections: &mut Vec<Connection>,
    body: &Bytes,
    time: Duration,
) -> Result<Block, Failure> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections.drain(..) {
        let body = body.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < time {
                let answer = connection.chat(body.clone()).await?;
                latencies.push(answer.took.as_secs_f64() * 1e3);
            }
            Ok::<_, Failure>((connection, latencies))
        });
    }
    let mut latencies = Vec::new();
    for done in tasks.join_all().await {
        let (connection, of_one) = done?;
        connections.push(connection);
        latencies.extend(of_one);
    }
    let per_second = latencies.len() as f64 / start.elapsed().as_secs_f64();
    Ok(Block {
        latencies,
        per_second,
    })
}

fn compare(bytes: usize, connections: usize, bare: &[Block], filter: &[Block]) -> Load {
    // The bare arm against itself: its even blocks with the odd ones that follow.
    let even: Vec<&Block> = bare.iter().step_by(2).collect();
    let odd: Vec<&Block> = bare.iter().skip(1).step_by(2).collect();
    let pairs: Vec<(&Block, &Block)> = bare.iter().zip(filter).collect();
    let chance: Vec<(&Block, &Block)> = even.into_iter().zip(odd).collect();
    let mut ratios: Vec<f64> = pairs
        .iter()
        .map(|(bare, filter)| filter.per_second / bare.per_second)
        .collect();
    Load {
        bytes,
        connections,
        bare: summarise(bare),
        filter: summarise(filter),
        added_p50_ms: difference(&pairs, 0.5),
        added_p99_ms: difference(&pairs, 0.99),
        noise_p50_ms: difference(&chance, 0.5).abs(),
        noise_p99_ms: difference(&chance, 0.99).abs(),
        throughput_ratio: quantile(&mut ratios, 0.5),
    }
}

/// By how much the second block's quantile exceeds the first's: the median over all pairs, so that a burst of other work
/// on the machine spoils a pair and not the figure.
fn difference(pairs: &[(&Block, &Block)], q: f64) -> f64 {
    let mut differences: Vec<f64> = pairs
        .iter()
        .map(|(first, second)| {
            quantile(&mut second.latencies.clone(), q) - quantile(&mut first.latencies.clone(), q)
        })
        .collect();
    quantile(&mut differences, 0.5)
}

fn summarise(blocks: &[Block]) -> Latency {
    let mut latencies: Vec<f64> = blocks
        .iter()
        .flat_map(|block| block.latencies.iter().copied())
        .collect();
    let mut rates: Vec<f64> = blocks.iter().map(|block| block.per_second).collect();
    Latency {
        requests: latencies.len(),
        p50_ms: quantile(&mut latencies, 0.5),
        p99_ms: quantile(&mut latencies, 0.99),
        per_second: quantile(&mut rates, 0.5),
    }
}
