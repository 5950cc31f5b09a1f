//! `pointsman judge`: asks the policy's judge about prompts of one's own, as the filter would ask it, and adds its grades to their
//! rows, for `calibrate --judge` and `eval --judge`; or about answers, to see how far it agrees with people.
//!
//! One question at a time. A row without a good reply stays as it was.

mod answers;

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pointsman::analysis::prompt::Prompt;
use pointsman::api::Api;
use pointsman::api::judge::grading::read_grading;
use pointsman::api::judge::{Asking, Grade, JudgeApi, JudgeReplyError, read_reply, write_question};
use pointsman::api::request;
use pointsman::policy::judge::Judge;
use pointsman::routing::judge::QuestionText;
use pointsman_eval::outcomes::Row;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::io::http::Connection;
use crate::io::input;
use answers::{AnswerRow, agreement};

/// Arguments of `pointsman judge`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 at least one row was graded; 1 none was; 2 bad usage, policy or file."
)]
pub struct Args {
    /// The policy, JSON or YAML
    #[arg(long)]
    policy: PathBuf,
    /// Prompts: outcome rows, one JSON object a line with a field `prompt`; gzip if the name ends in .gz
    #[arg(long, required_unless_present = "answers", value_name = "FILE")]
    prompts: Vec<PathBuf>,
    /// Answers to grade: rows with a field `answer` besides `prompt`; with `score`, 0 to 1, it is said how far grades agree with it
    #[arg(long, value_name = "FILE")]
    answers: Vec<PathBuf>,
    /// Where the judge is, without TLS [default: the judge's `endpoint`]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// An environment variable with a key that is sent as `authorization: Bearer …`
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// How long to wait for an answer; the policy's deadline is only reported
    #[arg(long, default_value_t = 10_000, value_name = "MILLISECONDS")]
    timeout_ms: u64,
}

/// The results of the questions.
#[derive(Debug, Default)]
struct Tally {
    millis: Vec<f64>,
    failures: Vec<String>,
    /// Grades of answers, and the scores of their rows.
    scored: Vec<(f64, f64)>,
}

/// A question about a row.
struct Question {
    body: String,
    read: fn(JudgeApi, &[u8]) -> Result<Grade, JudgeReplyError>,
    /// The member of the row that gets the grade.
    member: &'static str,
    score: Option<f64>,
}

/// How many failures are named.
const NAMED: usize = 5;

/// Asks about every row and prints the rows.
pub fn run(args: &Args) -> Result<(), Failure> {
    let policy = input::read_policy(&args.policy)?;
    let judge = policy.judge.ok_or_else(|| {
        Failure::Input("the policy has no `judge`, or it is off: nobody is asked".into())
    })?;
    let tally = crate::runtime()?.block_on(ask_all(args, &judge))?;
    for failure in tally.failures.iter().take(NAMED) {
        eprintln!("{failure}");
    }
    if tally.failures.len() > NAMED {
        eprintln!("… and {} more", tally.failures.len() - NAMED);
    }
    let mut millis = tally.millis;
    if millis.is_empty() {
        return Err(Failure::Failed("nothing was graded".into()));
    }
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * (millis.len() - 1) as f64).round() as usize;
        millis.get(place).copied().unwrap_or_default()
    };
    let deadline = f64::from(judge.deadline_ms);
    let in_time = millis.iter().filter(|took| **took <= deadline).count();
    eprintln!(
        "{} graded, {} not; median {:.0} ms, 99th percentile {:.0} ms; {:.0} % within the deadline of {deadline} ms",
        millis.len(),
        tally.failures.len(),
        at(0.5),
        at(0.99),
        100.0 * in_time as f64 / millis.len() as f64
    );
    if let Some(words) = agreement(&tally.scored) {
        eprintln!("{words}");
    }
    Ok(())
}

async fn ask_all(args: &Args, judge: &Judge) -> Result<Tally, Failure> {
    let address = resolve(args, judge).await?;
    let key = match &args.key_env {
        None => None,
        Some(name) => Some(std::env::var(name).map_err(|_| {
            Failure::Input(format!("the environment variable `{name}` is not set"))
        })?),
    };
    let mut asker = Asker::new(judge, address, Duration::from_millis(args.timeout_ms));
    asker.bearer = key.map(|key| format!("Bearer {key}"));
    let mut tally = Tally::default();
    let mut out = std::io::stdout().lock();
    let prompts = args.prompts.iter().map(|path| (path, false));
    let answers = args.answers.iter().map(|path| (path, true));
    for (path, has_answers) in prompts.chain(answers) {
        for (number, line) in input::open(path)?.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            let wrong = |problem: String| Failure::Input(format!("{place}: {problem}"));
            let line = line.map_err(|error| wrong(error.to_string()))?;
            if line.trim().is_empty() {
                continue;
            }
            let question = match has_answers {
                false => about_prompt(judge, &Row::parse(line.as_bytes()).map_err(wrong)?),
                true => about_answer(judge, &AnswerRow::parse(line.as_bytes()).map_err(wrong)?),
            };
            let written = match asker.put(question.as_ref()).await {
                Ok((grade, took)) => {
                    tally.millis.push(took.as_secs_f64() * 1000.0);
                    let score = question.as_ref().and_then(|question| question.score);
                    let pair = score.map(|score| (f64::from(grade.mean), score));
                    tally.scored.extend(pair);
                    let member = question.map_or("judge", |question| question.member);
                    graded(&line, member, grade)
                }
                Err(problem) => {
                    tally.failures.push(format!("{place}: {problem}"));
                    line
                }
            };
            match writeln!(out, "{written}") {
                // The reader has enough, as with `| head`.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(tally),
                done => {
                    done.map_err(|error| Failure::Failed(format!("cannot write: {error}")))?;
                }
            }
        }
    }
    Ok(tally)
}

/// The judge's address: as stated, else that of its endpoint.
async fn resolve(args: &Args, judge: &Judge) -> Result<SocketAddr, Failure> {
    let place = match (&args.address, &judge.endpoint) {
        (Some(address), _) => address.clone(),
        (None, Some(endpoint)) if !endpoint.tls => format!("{}:{}", endpoint.host, endpoint.port),
        (None, Some(_)) => {
            return Err(Failure::Input(
                "the judge's `endpoint` is `https`, which this command does not speak: name a proxy without TLS by `--address HOST:PORT`".into(),
            ));
        }
        (None, None) => {
            return Err(Failure::Input(
                "the judge has no `endpoint`: say where it is by `--address HOST:PORT`".into(),
            ));
        }
    };
    let found = tokio::net::lookup_host(&place).await;
    found
        .ok()
        .and_then(|mut all| all.next())
        .ok_or_else(|| Failure::Input(format!("`{place}` is not the address of a host")))
}

/// Asks one judge, a question at a time.
pub struct Asker<'j> {
    judge: &'j Judge,
    address: SocketAddr,
    bearer: Option<String>,
    timeout: Duration,
    connection: Option<Connection>,
}

impl<'j> Asker<'j> {
    /// One that asks the judge at this address and waits this long for each answer.
    pub fn new(judge: &'j Judge, address: SocketAddr, timeout: Duration) -> Asker<'j> {
        Asker {
            judge,
            address,
            bearer: None,
            timeout,
            connection: None,
        }
    }

    /// The grade of a row's prompt, and how long the answer took.
    ///
    /// # Errors
    /// The problem in words: no text, no judge, no answer in time, no grade in it.
    pub async fn ask(&mut self, row: &Row) -> Result<(Grade, Duration), String> {
        self.put(about_prompt(self.judge, row).as_ref()).await
    }

    /// The grade of a question, and how long the reply took; else the problem in words.
    async fn put(&mut self, question: Option<&Question>) -> Result<(Grade, Duration), String> {
        let question = question.ok_or("has no text to ask about")?;
        let headers: Vec<(&str, &str)> = self
            .bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .collect();
        let open = self.connection.take().filter(|open| !open.is_closed());
        let mut connection = match open {
            Some(open) => open,
            None => Connection::open(self.address)
                .await
                .map_err(|error| format!("no judge at {}: {error}", self.address))?,
        };
        let body = question.body.clone().into();
        let sent = connection.post_with(&self.judge.path, &headers, body);
        let answer = tokio::time::timeout(self.timeout, sent)
            .await
            .map_err(|_| format!("no answer within {} ms", self.timeout.as_millis()))?
            .map_err(|error| format!("the call failed: {error}"))?;
        self.connection = Some(connection);
        if answer.status != 200 {
            return Err(format!("the judge answers with status {}", answer.status));
        }
        let grade = (question.read)(self.judge.api, &answer.body);
        let grade = grade.map_err(|error| error.to_string())?;
        Ok((grade, answer.took))
    }
}

/// The question about a row's prompt.
fn about_prompt(judge: &Judge, row: &Row) -> Option<Question> {
    Some(Question {
        body: question(judge, row)?,
        read: read_reply,
        member: "judge",
        score: None,
    })
}

/// The question about a row's answer.
fn about_answer(judge: &Judge, row: &AnswerRow) -> Option<Question> {
    Some(Question {
        body: row.question(judge)?,
        read: read_grading,
        member: "grade",
        score: row.score,
    })
}

/// The texts of a row that a question holds.
fn question_text(row: &Row) -> Option<QuestionText> {
    let body = json!({"messages": row.messages()}).to_string();
    let request = request::parse(Api::OpenAiChat, body.as_bytes(), true).ok()?;
    let prompt = Prompt::new(&request);
    QuestionText::new(&prompt, prompt.turns.len().checked_sub(1)?)
}

/// The body of the question about a row's prompt, as the filter writes it.
fn question(judge: &Judge, row: &Row) -> Option<String> {
    let text = question_text(row)?;
    let asking = Asking {
        api: judge.api,
        model: &judge.model,
        instructions: judge.ask.as_deref(),
    };
    Some(write_question(&asking, &text.turn, &text.before))
}

/// A row with its grade in this member.
fn graded(line: &str, member: &str, grade: Grade) -> String {
    let round = |value: f32| (f64::from(value) * 1e4).round() / 1e4;
    let mut row: Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
    let grade = json!({"mean": round(grade.mean), "spread": round(grade.spread)});
    row.insert(member.to_owned(), grade);
    Value::Object(row).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_grade_is_added_to_a_row_that_reads_again() {
        let line = r#"{"prompt": "2 + 2?", "models": {"small": 1}}"#;
        let grade = Grade {
            mean: 0.75,
            spread: 0.2,
        };
        let row = Row::parse(graded(line, "judge", grade).as_bytes()).unwrap();
        assert_eq!(row.grade, Some(grade));
        assert_eq!(row.outcomes.len(), 1);
    }

    #[test]
    fn the_question_is_that_of_the_filter() {
        let row = r#"{"prompt": "And 3 + 3?", "system": "You add.", "turns": ["2 + 2?", "4"]}"#;
        let row = Row::parse(row.as_bytes()).unwrap();
        let judge = Judge {
            model: "j".to_owned(),
            ..Judge::default()
        };
        let body: Value = serde_json::from_str(&question(&judge, &row).unwrap()).unwrap();
        let asked = body
            .pointer("/messages/1/content")
            .unwrap()
            .as_str()
            .unwrap();
        assert!(
            asked.contains("And 3 + 3?") && asked.contains("You add.\n2 + 2?\n4"),
            "{asked}"
        );
    }

    #[test]
    fn a_judge_without_an_address_is_an_error() {
        let args = Args {
            policy: PathBuf::new(),
            prompts: Vec::new(),
            answers: Vec::new(),
            address: None,
            key_env: None,
            timeout_ms: 1,
        };
        let runtime = crate::runtime().unwrap();
        let found = runtime.block_on(resolve(&args, &Judge::default()));
        assert!(found.unwrap_err().to_string().contains("--address"));
    }
}
