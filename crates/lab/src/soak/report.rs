//! The samples as lines, a table and JSON, and whether they keep their bounds.

use std::time::Duration;

use serde::Serialize;

use crate::envoy::Envoy;
use pointsman_cli::failure::Failure;
use pointsman_cli::io::http::Connection;

/// The most bytes of the record that workers share.
const MOST_RECORD_BYTES: u64 = 1_000_000;
/// The most by which the module's memory may grow after the first quarter of the run, in bytes: one of these per worker is what
/// a heap takes that is a little fragmented.
const MOST_GROWTH_BYTES: u64 = 2 * 1024 * 1024;

/// One sample.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    /// Seconds since the first request.
    seconds: f64,
    /// Requests answered by then.
    requests: u64,
    /// Receipts that were taken as feedback by then.
    feedback: u64,
    /// Receipts that were refused by then, in lists of which others were taken.
    feedback_refused: u64,
    /// Envoy's resident memory, in bytes; 0 if the system does not tell.
    resident_bytes: u64,
    /// Memory of the module's virtual machines, in bytes.
    linear_memory_bytes: u64,
    /// The record by which workers share what they observe, in bytes.
    record_bytes: u64,
    /// Requests of ours that kept backends warm.
    prewarms: u64,
    /// Counts that had no metric left.
    metrics_dropped: u64,
}

impl Sample {
    /// Looks at Envoy.
    ///
    /// # Errors
    /// [`Failure::Failed`] if its statistics cannot be read.
    pub async fn take(
        envoy: &Envoy,
        passed: Duration,
        [requests, feedback, feedback_refused]: [u64; 3],
    ) -> Result<Sample, Failure> {
        let failed = |error| Failure::Failed(format!("envoy's statistics cannot be read: {error}"));
        let mut admin = Connection::open(envoy.admin_address())
            .await
            .map_err(failed)?;
        let path =
            "/stats?filter=pointsman.(shared_stats|linear_memory|prewarms%5C.|metrics_dropped)";
        let answer = admin.get(path).await.map_err(failed)?;
        let text = String::from_utf8_lossy(&answer.body);
        let sum = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(": "));
            let of_name = lines.filter(|(one, _)| one.contains(name));
            of_name
                .filter_map(|(_, value)| value.parse::<u64>().ok())
                .sum()
        };
        Ok(Sample {
            seconds: passed.as_secs_f64(),
            requests,
            feedback,
            feedback_refused,
            resident_bytes: envoy.resident_bytes().unwrap_or_default(),
            linear_memory_bytes: sum("pointsman.linear_memory_bytes"),
            record_bytes: sum("pointsman.shared_stats_bytes"),
            prewarms: sum("pointsman.prewarms."),
            metrics_dropped: sum("pointsman.metrics_dropped"),
        })
    }

    /// One line of the table.
    pub fn line(&self) -> String {
        let megabytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        format!(
            "{:>7.0} s {:>9} requests {:>7.1} MB resident {:>6.2} MB in the module {:>7} bytes of record {:>5} kept warm",
            self.seconds,
            self.requests,
            megabytes(self.resident_bytes),
            megabytes(self.linear_memory_bytes),
            self.record_bytes,
            self.prewarms,
        )
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Backends of the policy.
    pub backends: u32,
    /// Requests that were to be sent.
    pub wanted: u64,
    /// In their order.
    pub samples: Vec<Sample>,
}

impl Report {
    /// For people.
    pub fn table(&self) -> String {
        let mut out = format!("\n{} backends, two workers\n\n", self.backends);
        for sample in &self.samples {
            out.push_str(&sample.line());
            out.push('\n');
        }
        if let (Some(last), Some(from)) = (self.samples.last(), self.settled()) {
            let rate = last.requests as f64 / last.seconds.max(1.0);
            out.push_str(&format!(
                "\n{} of {} requests in {:.1} min, {rate:.0} a second\n",
                last.requests,
                self.wanted,
                last.seconds / 60.0
            ));
            if last.feedback > 0 {
                let rate = last.feedback as f64 / last.seconds.max(1.0);
                out.push_str(&format!(
                    "{} receipts taken as feedback, {rate:.0} a second; {} refused\n",
                    last.feedback, last.feedback_refused
                ));
            }
            let (resident, linear) = (
                last.resident_bytes as i64 - from.resident_bytes as i64,
                last.linear_memory_bytes as i64 - from.linear_memory_bytes as i64,
            );
            out.push_str(&format!(
                "since the first quarter: resident {:+.2} MB, in the module {:+.2} MB\n",
                resident as f64 / 1024.0 / 1024.0,
                linear as f64 / 1024.0 / 1024.0
            ));
        }
        out
    }

    /// For machines.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Whether the bounds are kept.
    ///
    /// # Errors
    /// [`Failure::Failed`] that names the one which is not, or what could not be seen.
    pub fn verdict(&self) -> Result<(), Failure> {
        let (Some(last), Some(from)) = (self.samples.last(), self.settled()) else {
            return Err(Failure::Failed("nothing was sampled".into()));
        };
        if last.linear_memory_bytes == 0 || last.record_bytes == 0 {
            return Err(Failure::Failed(
                "the module did not say what memory it has".into(),
            ));
        }
        if last.record_bytes >= MOST_RECORD_BYTES {
            return Err(Failure::Failed(format!(
                "the shared record has {} bytes",
                last.record_bytes
            )));
        }
        let grown = last
            .linear_memory_bytes
            .saturating_sub(from.linear_memory_bytes);
        if grown > MOST_GROWTH_BYTES {
            return Err(Failure::Failed(format!(
                "the module's memory grew by {grown} bytes after the first quarter"
            )));
        }
        Ok(())
    }

    /// The sample at the end of the first quarter, when every backend was met.
    fn settled(&self) -> Option<&Sample> {
        self.samples.get(self.samples.len() / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(memory: &[u64], record: u64) -> Report {
        let samples = memory.iter().zip(1_u32..).map(|(bytes, at)| Sample {
            seconds: f64::from(at),
            requests: 10,
            feedback: 0,
            feedback_refused: 0,
            resident_bytes: 0,
            linear_memory_bytes: bytes * 1024 * 1024,
            record_bytes: record,
            prewarms: 0,
            metrics_dropped: 0,
        });
        Report {
            backends: 1,
            wanted: 10,
            samples: samples.collect(),
        }
    }

    #[test]
    fn what_grows_is_not_met() {
        assert!(
            report(&[1, 20, 30, 30, 30, 30, 30, 32], 255_000)
                .verdict()
                .is_ok()
        );
        assert!(
            report(&[1, 20, 30, 31, 32, 33, 34, 35], 255_000)
                .verdict()
                .is_err()
        );
        assert!(report(&[30, 30], 1_000_000).verdict().is_err());
        assert!(report(&[30, 30], 0).verdict().is_err());
        assert!(report(&[0, 0], 5).verdict().is_err());
        assert!(report(&[], 5).verdict().is_err());
    }
}
