//! `pointsman-lab load`: chat requests over some connections, either each as soon as the one before is answered, or at a fixed
//! rate that does not wait for answers.
//!
//! At a fixed rate a latency counts from the moment at which a request was due, not from when a connection was free for it: a
//! gateway that stalls does not hide what it kept waiting (coordinated omission). A request that could not be sent in time
//! at all is counted apart, and with the time that it had waited by then.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pointsman_cli::failure::Failure;
use pointsman_eval::quantile::quantile;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::pace::Alarm;
use super::watch::{Group, Usage, Watch};
use super::{Reader, find};
use crate::bench::body;

/// How long after the last request was due the others may still be sent.
const GRACE: Duration = Duration::from_millis(300);
/// The part of the mock's answer that every gateway hands on.
const IN_EVERY_ANSWER: &[u8] = b"Yes.";

/// Arguments of `pointsman-lab load`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where requests are sent to
    #[arg(value_name = "ADDRESS:PORT")]
    address: SocketAddr,
    /// The path
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// A further header; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The model that is asked for
    #[arg(long, default_value = "auto")]
    model: String,
    /// Size of the request body in bytes
    #[arg(long, default_value_t = 1_000)]
    bytes: usize,
    /// How many connections are open
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Requests a second, sent whether or not earlier ones are answered; without it each connection sends as soon as it can
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Seconds that are measured
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds of load before that
    #[arg(long, default_value_t = 0.2)]
    warm_up: f64,
    /// Processes whose time and memory are told, as one, under this name; may be given several times
    #[arg(long = "watch", value_name = "NAME=ID,ID", value_parser = Group::parse)]
    groups: Vec<Group>,
}

/// The figures.
#[derive(Debug, Serialize)]
struct Figures {
    /// Requests answered.
    requests: usize,
    /// Requests that were due and not sent in time; 0 without a rate.
    unsent: usize,
    /// Answers a second.
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// From the start to the last answer.
    seconds: f64,
    /// By group, `client` being this process.
    usage: BTreeMap<String, Usage>,
}

/// One connection's part of a run.
#[derive(Debug, Default)]
struct Part {
    /// Milliseconds of each request that was answered.
    latencies: Vec<f64>,
    /// Milliseconds that each request had waited that was not sent.
    unsent: Vec<f64>,
}

/// Loads the server, and prints the figures as one line of JSON.
///
/// # Errors
/// [`Failure::Input`] for a time that is none; [`Failure::Failed`] if a connection breaks or a request is not answered with 200 and
/// the answer of `pointsman-lab mock`.
pub fn run(args: &Args) -> Result<(), Failure> {
    let seconds = duration("--seconds", args.seconds)?;
    let warm_up = duration("--warm-up", args.warm_up)?;
    let request: Arc<[u8]> = request(args).into();
    let mut groups = args.groups.clone();
    groups.push(Group {
        name: "client".into(),
        processes: vec![std::process::id()],
    });
    let figures = pointsman_cli::runtime()?.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..args.connections {
            clients.push(Client::open(args.address, Arc::clone(&request)).await?);
        }
        round(&mut clients, Plan::new(None, warm_up)).await?;
        let watch = Watch::start(&groups);
        let plan = Plan::new(args.rate, seconds);
        let start = plan.start;
        let part = round(&mut clients, plan).await?;
        Ok::<_, Failure>(figures(part, start.elapsed(), watch.end()))
    })?;
    let line = serde_json::to_string(&figures).map_err(|error| Failure::Failed(error.to_string()));
    println!("{}", line?);
    Ok(())
}

fn duration(name: &str, seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Failure::Input(format!("`{name} {seconds}` is not a time in seconds")))
}

fn request(args: &Args) -> Vec<u8> {
    let body = body::with_size(&args.model, args.bytes);
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        args.path,
        args.address,
        body.len()
    );
    for header in &args.headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    [head.into_bytes(), body].concat()
}

fn figures(part: Part, took: Duration, usage: BTreeMap<String, Usage>) -> Figures {
    let (requests, unsent) = (part.latencies.len(), part.unsent.len());
    let mut waits = [part.latencies, part.unsent].concat();
    Figures {
        requests,
        unsent,
        per_second: requests as f64 / took.as_secs_f64(),
        p50_ms: quantile(&mut waits, 0.5),
        p99_ms: quantile(&mut waits, 0.99),
        seconds: took.as_secs_f64(),
        usage,
    }
}

/// When requests are due in one run.
#[derive(Debug)]
struct Plan {
    start: Instant,
    time: Duration,
    /// Requests a second.
    rate: Option<u32>,
    /// The next one's number.
    next: AtomicU64,
}

impl Plan {
    fn new(rate: Option<u32>, time: Duration) -> Plan {
        Plan {
            start: Instant::now(),
            time,
            rate,
            next: AtomicU64::new(0),
        }
    }

    /// When the next request is due; `None` if none is any more.
    fn next_due(&self) -> Option<Instant> {
        let after = match self.rate {
            None => self.start.elapsed(),
            Some(rate) => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                Duration::from_secs_f64(number as f64 / f64::from(rate))
            }
        };
        (after < self.time).then(|| self.start + after)
    }
}

/// All connections at once, until the plan is done.
async fn round(clients: &mut Vec<Client>, plan: Plan) -> Result<Part, Failure> {
    let plan = Arc::new(plan);
    let mut tasks = JoinSet::new();
    for mut client in clients.drain(..) {
        let plan = Arc::clone(&plan);
        tasks.spawn(async move {
            let part = client.follow(&plan).await?;
            Ok::<_, Failure>((client, part))
        });
    }
    let mut all = Part::default();
    for done in tasks.join_all().await {
        let (client, part) = done?;
        clients.push(client);
        all.latencies.extend(part.latencies);
        all.unsent.extend(part.unsent);
    }
    Ok(all)
}

/// One connection, which asks for the same again and again.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    reader: Reader,
    alarm: Alarm,
    address: SocketAddr,
    request: Arc<[u8]>,
    /// Whether an answer was seen to be the mock's: the first one is looked at.
    is_checked: bool,
}

impl Client {
    async fn open(address: SocketAddr, request: Arc<[u8]>) -> Result<Client, Failure> {
        Ok(Client {
            stream: connect(address).await?,
            reader: Reader::default(),
            alarm: Alarm::new().map_err(broken)?,
            address,
            request,
            is_checked: false,
        })
    }

    async fn follow(&mut self, plan: &Plan) -> Result<Part, Failure> {
        let mut part = Part::default();
        let last = plan.start + plan.time + GRACE;
        while let Some(due) = plan.next_due() {
            self.alarm.at(due).await.map_err(broken)?;
            let is_late = Instant::now() > last;
            if !is_late {
                self.exchange().await?;
            }
            let milliseconds = due.elapsed().as_secs_f64() * 1e3;
            match is_late {
                true => part.unsent.push(milliseconds),
                false => part.latencies.push(milliseconds),
            }
        }
        Ok(part)
    }

    async fn exchange(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.request).await.map_err(broken)?;
        let head = self.reader.next(&mut self.stream).await.map_err(broken)?;
        let head = head.ok_or_else(|| Failure::Failed("the connection was closed".into()))?;
        let is_right = self.is_checked || find(self.reader.body(), IN_EVERY_ANSWER).is_some();
        if head.status != 200 || !is_right {
            let body = String::from_utf8_lossy(self.reader.body());
            let body: String = body.chars().take(300).collect();
            return Err(Failure::Failed(format!(
                "a request was answered with {}: {body}",
                head.status
            )));
        }
        self.is_checked = true;
        if head.closes {
            self.stream = connect(self.address).await?;
        }
        Ok(())
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(broken)?;
    stream.set_nodelay(true).map_err(broken)?;
    Ok(stream)
}

fn broken(error: std::io::Error) -> Failure {
    Failure::Failed(format!("the connection broke: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_the_rate() {
        let plan = Plan::new(Some(100), Duration::from_millis(35));
        let due = std::iter::from_fn(|| plan.next_due());
        let after: Vec<_> = due.map(|due| (due - plan.start).as_millis()).collect();
        assert_eq!(after, [0, 10, 20, 30]);
    }

    #[test]
    fn what_waits_for_a_slow_answer_counts_from_when_it_was_due() {
        let runtime = pointsman_cli::runtime().unwrap();
        let part = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut reader = Reader::default();
                while let Ok(Some(_)) = reader.next(&mut stream).await {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nYes.";
                    stream.write_all(answer).await.unwrap();
                }
            });
            let request: Arc<[u8]> = b"POST / HTTP/1.1\r\n\r\n".as_slice().into();
            let mut clients = vec![Client::open(address, request).await.unwrap()];
            // 100 are due within 0.1 s, and one connection gets an answer every 0.1 s until 0.4 s.
            let plan = Plan::new(Some(1_000), Duration::from_millis(100));
            round(&mut clients, plan).await.unwrap()
        });
        assert_eq!(part.latencies.len() + part.unsent.len(), 100);
        assert!((1..=5).contains(&part.latencies.len()), "{part:?}");
        // Each answer's wait grows by 99 ms: the request after it was due 1 ms later.
        let last = part.latencies.last().unwrap();
        assert!(*last >= 99.0 * part.latencies.len() as f64, "{part:?}");
        assert!(part.unsent.iter().all(|wait| *wait >= 300.0), "{part:?}");
    }
}
