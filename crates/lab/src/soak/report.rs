//! The samples as lines, a table and JSON, and whether they keep their bounds.

use std::time::{Duration, Instant};

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
        let filter = "pointsman.(shared_stats|linear_memory|prewarms%5C.|metrics_dropped)";
        let text = stats(envoy, filter).await?;
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

/// The ends of requests and questions, once all clients are gone.
#[derive(Debug, Clone, Serialize)]
pub struct JudgeEnds {
    /// Clients that left while their request was held, or soon after.
    left: u64,
    /// Questions that reached the judge, about prompts and about answers.
    asked: u64,
    /// Ends of questions about prompts that were sent, by result.
    questions: Vec<(String, u64)>,
    /// Ends of answers that were drawn for grading, by result.
    gradings: Vec<(String, u64)>,
    /// Requests that Envoy still holds.
    open_requests: u64,
    /// Calls of the judge that Envoy still waits for.
    open_calls: u64,
    /// Errors of the module.
    host_call_errors: u64,
}

/// How long open requests may take to end after the last client has gone.
const MOST_CLOSING: Duration = Duration::from_secs(20);

impl JudgeEnds {
    /// Waits until Envoy holds no request and no call, and counts.
    ///
    /// # Errors
    /// [`Failure::Failed`] if Envoy's statistics cannot be read.
    pub async fn take(envoy: &Envoy, left: u64, asked: u64) -> Result<JudgeEnds, Failure> {
        let start = Instant::now();
        loop {
            // Grading ends within a tick, and the metrics of the workers come together a moment later.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let text = stats(
                envoy,
                "downstream_rq_active|upstream_rq_active|judge|host_call_errors",
            )
            .await?;
            let lines = || text.lines().filter_map(|line| line.split_once(": "));
            let value = |value: &str| value.parse::<u64>().unwrap_or_default();
            let sum = |is: &dyn Fn(&str) -> bool| {
                let found = lines().filter(|(name, _)| is(name));
                found.map(|(_, number)| value(number)).sum::<u64>()
            };
            let by_result = |family: &str| {
                let found = lines().filter_map(|(name, number)| {
                    let (_, result) = name.split_once(family)?;
                    Some((
                        result.trim_start_matches(".result.").to_owned(),
                        value(number),
                    ))
                });
                found.collect::<Vec<_>>()
            };
            let ends = JudgeEnds {
                left,
                asked,
                questions: by_result("pointsman.judge_questions"),
                gradings: by_result("pointsman.judge_gradings"),
                open_requests: sum(&|name| {
                    name.starts_with("http.")
                        && !name.starts_with("http.admin")
                        && name.ends_with("downstream_rq_active")
                }),
                open_calls: sum(&|name| name == "cluster.judge.upstream_rq_active"),
                host_call_errors: sum(&|name| name.contains("pointsman.host_call_errors")),
            };
            if ends.open_requests + ends.open_calls == 0 || start.elapsed() > MOST_CLOSING {
                return Ok(ends);
            }
        }
    }

    /// Ends of calls that were sent: each question that reached the judge has to have one.
    fn ends(&self) -> u64 {
        let never_sent = [
            "cached",
            "joined",
            "not_sent",
            "dropped",
            "budget",
            "breaker_open",
            "sensitive",
        ];
        let all = self.questions.iter().chain(&self.gradings);
        let sent = all.filter(|(result, _)| !never_sent.contains(&result.as_str()));
        sent.map(|(_, count)| count).sum()
    }

    fn table(&self) -> String {
        let list = |all: &[(String, u64)]| {
            let each = all
                .iter()
                .map(|(result, count)| format!("{result} {count}"));
            each.collect::<Vec<_>>().join(", ")
        };
        format!(
            "{} clients left; {} questions reached the judge\nprompts: {}\nanswers: {}\nafter all clients were gone: {} requests, {} calls and {} questions without an end; {} errors of host calls\n",
            self.left,
            self.asked,
            list(&self.questions),
            list(&self.gradings),
            self.open_requests,
            self.open_calls,
            self.asked.saturating_sub(self.ends()),
            self.host_call_errors,
        )
    }

    /// Whether everything has ended.
    fn verdict(&self) -> Result<(), Failure> {
        let endless = self.asked.saturating_sub(self.ends());
        let open = [
            (self.open_requests, "requests"),
            (self.open_calls, "calls of the judge"),
            (endless, "questions"),
        ];
        match open.into_iter().find(|(count, _)| *count > 0) {
            Some((count, what)) => Err(Failure::Failed(format!(
                "{count} {what} have no end although all clients are gone"
            ))),
            None if self.host_call_errors > 0 => Err(Failure::Failed(format!(
                "{} calls to Envoy failed",
                self.host_call_errors
            ))),
            None => Ok(()),
        }
    }
}

/// Envoy's statistics whose names match this expression.
async fn stats(envoy: &Envoy, filter: &str) -> Result<String, Failure> {
    let failed = |error| Failure::Failed(format!("envoy's statistics cannot be read: {error}"));
    let mut admin = Connection::open(envoy.admin_address())
        .await
        .map_err(failed)?;
    let path = format!("/stats?filter={filter}");
    let answer = admin.get(&path).await.map_err(failed)?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
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
    /// The ends of questions to a judge; `None` if there was none.
    pub judge: Option<JudgeEnds>,
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
        if let Some(ends) = &self.judge {
            out.push_str(&ends.table());
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
        self.judge.as_ref().map_or(Ok(()), JudgeEnds::verdict)
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
            judge: None,
        }
    }

    #[test]
    fn a_question_without_an_end_is_not_met() {
        let ends = |asked: u64, open_requests: u64| JudgeEnds {
            left: 1,
            asked,
            questions: vec![
                ("graded".into(), 5),
                ("abandoned".into(), 2),
                ("joined".into(), 9),
            ],
            gradings: vec![("graded".into(), 1), ("dropped".into(), 4)],
            open_requests,
            open_calls: 0,
            host_call_errors: 0,
        };
        assert!(ends(8, 0).verdict().is_ok());
        // A call that Envoy cancelled before it was sent.
        assert!(ends(7, 0).verdict().is_ok());
        assert!(ends(9, 0).verdict().is_err() && ends(8, 1).verdict().is_err());
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
