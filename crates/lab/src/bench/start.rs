//! Time to the first answer and resident memory of both arms.

use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde::Serialize;

use super::{Arm, Setup, body};
use crate::envoy::Envoy;
use pointsman_cli::failure::Failure;
use pointsman_cli::io::http::{Connection, Error};
use pointsman_eval::progress::Progress;
use pointsman_eval::quantile::quantile;

/// Requests sent before memory is read, so that every worker has served some.
const WARM_UP: usize = 200;
/// Memory is read when it has changed by less than this between two looks, or after [`SETTLE`].
const STEADY_BYTES: u64 = 256 * 1024;
/// How long to wait for steady memory: V8 compiles in the background, and Envoy gives back what that took bit by bit.
const SETTLE: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(500);

/// Both arms with one number of workers, medians over all starts.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Start {
    /// Worker threads.
    pub workers: usize,
    /// From the start of the process to the first answer, in seconds, without the filter.
    pub bare_ready_s: f64,
    /// With the filter.
    pub filter_ready_s: f64,
    /// Resident bytes after some requests, without the filter.
    pub bare_resident: f64,
    /// With the filter.
    pub filter_resident: f64,
}

/// Starts each arm `starts` times, in turn.
///
/// # Errors
/// [`Failure::Failed`] if Envoy does not start or does not answer with 200.
pub async fn measure(
    setup: &Setup,
    workers: usize,
    starts: u32,
    progress: &mut Progress,
) -> Result<Start, Failure> {
    let mut ready = [Vec::new(), Vec::new()];
    let mut resident = [Vec::new(), Vec::new()];
    for _ in 0..starts {
        for (arm, (ready, resident)) in [Arm::Bare, Arm::Filter]
            .into_iter()
            .zip(ready.iter_mut().zip(resident.iter_mut()))
        {
            let envoy = setup.start(arm, workers)?;
            let outcome = first_answer_then_some(&envoy).await;
            ready.push(
                outcome.map_err(|error| Failure::Failed(format!("a request failed: {error}")))?,
            );
            resident.push(steady_resident(&envoy).await);
            envoy.stop();
            progress.step();
        }
    }
    let [mut bare_ready, mut filter_ready] = ready;
    let [mut bare_resident, mut filter_resident] = resident;
    Ok(Start {
        workers,
        bare_ready_s: quantile(&mut bare_ready, 0.5),
        filter_ready_s: quantile(&mut filter_ready, 0.5),
        bare_resident: quantile(&mut bare_resident, 0.5),
        filter_resident: quantile(&mut filter_resident, 0.5),
    })
}

/// Seconds from the start of the process to the first answer; more requests follow, over several connections.
async fn first_answer_then_some(envoy: &Envoy) -> Result<f64, Error> {
    let body = Bytes::from(body::with_size("auto", 1_000));
    let mut first = None;
    for _ in 0..8 {
        let mut connection = Connection::open(envoy.address()).await?;
        for _ in 0..WARM_UP / 8 {
            let status = connection
                .post("/v1/chat/completions", body.clone())
                .await?
                .status;
            if status != 200 {
                return Err(format!("it was answered with {status}").into());
            }
            first.get_or_insert_with(|| envoy.spawned().elapsed().as_secs_f64());
        }
    }
    first.ok_or_else(|| "nothing was sent".into())
}

async fn steady_resident(envoy: &Envoy) -> f64 {
    let start = Instant::now();
    let mut last = envoy.resident_bytes().unwrap_or(0);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = envoy.resident_bytes().unwrap_or(0);
        if now.abs_diff(last) < STEADY_BYTES || start.elapsed() > SETTLE {
            return now as f64;
        }
        last = now;
    }
}
