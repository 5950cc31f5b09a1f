//! `pointsman explain`: for one request body, the winner with why and every candidate with why not.

use std::path::PathBuf;

use pointsman::analysis::answer_length::AnswerLength;
use pointsman::api::Api;
use pointsman::api::judge::{Grade, SINGLE_GRADE_SPREAD};
use pointsman::api::request;
use pointsman::policy::Policy;
use pointsman::routing::decision::{Bypass, Candidate, Decision, Outcome};
use pointsman::routing::explain;
use pointsman::routing::judge::{GradeSource, Judging};
use pointsman::routing::router::{Commit, RequestInfo, Router};

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::io::{input, request_args};

/// Exit status: 0 the request is routed; 1 it is refused or passed by; 2 bad input.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 the request is routed; 1 it is refused or passed by; 2 bad usage, policy or file."
)]
pub struct Args {
    /// The policy, JSON or YAML
    #[arg(long)]
    policy: PathBuf,
    /// The body of a request; `-` is standard input
    #[arg(required_unless_present = "prompt", conflicts_with = "prompt")]
    body: Option<PathBuf>,
    /// A user's prompt, from which a request is made, in place of a body
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The profile or model that the client names, with --prompt [default: the policy's default profile]
    #[arg(long, value_name = "NAME", requires = "prompt")]
    model: Option<String>,
    /// A grade of the judge, 0 (hardest) to 1 (easiest): decide as if it had answered so
    #[arg(long, value_name = "GRADE", value_parser = parse_grade)]
    judge: Option<f32>,
    /// Print one JSON document instead of lines for people
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    request_args: request_args::RequestArgs,
}

/// Decides on the body and prints everything that led there.
pub fn run(args: &Args) -> Result<(), Failure> {
    let policy = input::read_policy(&args.policy)?;
    let body = body(args)?;
    let (mut router, error) = Router::new();
    if let Some(error) = error {
        eprintln!("warning: the classifier does not load, going on with features alone: {error}");
    }
    let attributes = args.request_args.read(&policy)?;
    if args.judge.is_some() && policy.judge.is_none() {
        return Err(Failure::Input(
            "the policy has no `judge`, or it is off: no grade counts".into(),
        ));
    }
    let info = RequestInfo {
        grades: GradeSource {
            reply: args.judge.map(|mean| Grade {
                mean,
                spread: SINGLE_GRADE_SPREAD,
            }),
            ..GradeSource::NONE
        },
        ..RequestInfo::new(&attributes, request_args::now_ns())
    };
    let outcome = match request::parse_with_state(args.request_args.api()?, &body, true) {
        Ok(request) => router.decide(&policy, &request, &info, Commit::DryRun),
        Err(error) => router.unreadable_in(&policy, &error, (&body, true), &info),
    };
    if args.json {
        println!("{:#}", explain::with_candidates(&policy, &outcome));
    } else {
        print_outcome(&policy, &outcome);
        print_candidates(&policy, &outcome);
    }
    status(&outcome)
}

/// A grade on the command line.
fn parse_grade(text: &str) -> Result<f32, String> {
    let grade: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=1.0).contains(&grade) {
        true => Ok(grade),
        false => Err("not 0 (hardest) to 1 (easiest)".to_owned()),
    }
}

/// The request's body: that of the file, or one made of the prompt.
fn body(args: &Args) -> Result<Vec<u8>, Failure> {
    let Some(path) = &args.body else {
        let prompt = args.prompt.as_deref().unwrap_or_default();
        let body = of_prompt(args.request_args.api()?, prompt, args.model.as_deref());
        return Ok(body.to_string().into_bytes());
    };
    input::read(path)
}

/// The smallest request of an API that says this.
fn of_prompt(api: Api, prompt: &str, model: Option<&str>) -> Value {
    let mut body = match api {
        Api::OpenAiChat => json!({"messages": [{"role": "user", "content": prompt}]}),
        Api::AnthropicMessages => {
            json!({"max_tokens": 1024, "messages": [{"role": "user", "content": prompt}]})
        }
        Api::OpenAiResponses | Api::OpenAiEmbeddings => json!({"input": prompt}),
        Api::OpenAiCompletions => json!({"prompt": prompt}),
    };
    if let (Some(model), Some(fields)) = (model, body.as_object_mut()) {
        fields.insert("model".into(), model.into());
    }
    body
}

/// The exit status of an outcome.
pub fn status(outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Routed(_) => Ok(()),
        Outcome::Bypassed(_) => Err(Failure::Failed(
            "the request is passed by, to the default cluster".into(),
        )),
        Outcome::Rejected(_) => Err(Failure::Failed("the request is refused".into())),
    }
}

fn print_outcome(policy: &Policy, outcome: &Outcome) {
    match outcome {
        Outcome::Routed(decision) => print_decision(policy, decision),
        Outcome::Bypassed(
            Bypass::InvalidRequest(why) | Bypass::UnknownModel(why) | Bypass::RouterFault(why),
        ) => {
            println!("passed by to {}: {why}", policy.default_cluster);
        }
        Outcome::Rejected(rejection) => {
            println!(
                "refused with {} {}: {}",
                rejection.status, rejection.code, rejection.message
            );
            print_rules(&rejection.rules);
        }
    }
    if policy.traffic.shadow {
        println!(
            "mode       shadow: this is only reported, the request goes to {}",
            policy.default_cluster
        );
    }
}

fn print_rules(rules: &[String]) {
    if !rules.is_empty() {
        println!("rules      {}", rules.join(", "));
    }
}

fn print_decision(policy: &Policy, decision: &Decision) {
    println!(
        "backend    {}, model {}",
        backend_name(policy, decision.backend),
        model_name(policy, decision.model)
    );
    println!(
        "because    {}, profile {}",
        reason(decision),
        decision.profile
    );
    print_rules(&decision.rules);
    if !decision.steering.is_empty() {
        println!("steering   {}", decision.steering.join(", "));
    }
    if !decision.relaxed.is_empty() {
        println!("gave way   {}", decision.relaxed.join(", "));
    }
    if let Some(message) = &decision.classification {
        println!(
            "prompt     {} ({:.0} %), {} ({:.0} %), difficulty {:.2}, about {:.0} tokens out (90 %: at most {:.0}){}",
            message.task.name(),
            message.task_probability * 100.0,
            message.domain.name(),
            message.domain_probability * 100.0,
            message.difficulty,
            message.output_tokens,
            AnswerLength::from_classification(message).p90(),
            if message.from_model {
                ""
            } else {
                ", from features alone"
            }
        );
    }
    if let Some(judging) = &decision.judging {
        println!("judge      {}", judge_words(policy, judging));
    }
    print_grading(policy, decision);
    println!("tokens in  about {}", decision.input_tokens);
    let chain: Vec<&str> = decision
        .fallbacks
        .iter()
        .map(|id| backend_name(policy, *id))
        .collect();
    println!(
        "fallbacks  {}",
        if chain.is_empty() {
            "none".to_owned()
        } else {
            chain.join(", ")
        }
    );
}

/// Whether the judge would grade the answer.
fn print_grading(policy: &Policy, decision: &Decision) {
    let judge = policy.judge.as_ref();
    let Some(judge) = judge.filter(|judge| judge.grade_share > 0.0) else {
        return;
    };
    let words = match decision.judge_may_see {
        true => format!(
            "{:.0} % of such answers are graded by the judge",
            judge.grade_share * 100.0
        ),
        false => "rules or the profile keep the answer from the judge".to_owned(),
    };
    println!("grading    {words}");
}

/// The judge's part in the decision.
fn judge_words(policy: &Policy, judging: &Judging) -> String {
    match judging {
        Judging::Ask(question) => format!(
            "worth asking: an expected gain of ${:.7} above its price of ${:.7}",
            question.gain_usd, question.cost_usd
        ),
        Judging::NotAsked(reason) => format!("not asked: {reason}"),
        Judging::Graded(graded) => format!(
            "grade {:.2}: difficulty {:.2} → {:.2}, {}",
            graded.grade.mean,
            graded.difficulty_before,
            graded.difficulty_after,
            match graded.changes() {
                true => format!(
                    "backend {} → {}",
                    backend_name(policy, graded.without),
                    backend_name(policy, graded.with)
                ),
                false => "the choice stays".to_owned(),
            }
        ),
    }
}

fn reason(decision: &Decision) -> &'static str {
    use pointsman::routing::decision::Reason;
    match decision.reason {
        Reason::Pinned => "the client asked for the model; this is the best of its backends",
        Reason::Best => "the least objective among all that keep the limits",
        Reason::Relaxed => "no candidate keeps every limit; the best after some gave way",
        Reason::OnlyCandidate => "nothing else can take the request",
        Reason::Kept => "it answers the conversation, and no other is so much better",
        Reason::Explored => "it keeps the limits, and is tried so that something is learned of it",
        Reason::MinShare => "its model is behind its least share of the decisions",
        Reason::Preferred => "it keeps the limits, and a rule prefers it to the best",
    }
}

fn print_candidates(policy: &Policy, outcome: &Outcome) {
    let candidates = outcome.candidates();
    if candidates.is_empty() {
        return;
    }
    let name = |candidate: &Candidate| backend_name(policy, candidate.backend);
    let widest = candidates
        .iter()
        .map(|candidate| name(candidate).chars().count())
        .chain([7])
        .max()
        .unwrap_or(7);
    println!(
        "\n  {:widest$}  {:>9}  {:>7}  {:>11}  {:>8}  {:>8}  why not",
        "backend", "objective", "quality", "USD", "p50 ms", "p99 ms"
    );
    let winner = match outcome {
        Outcome::Routed(decision) => Some(decision.backend),
        _ => None,
    };
    for candidate in candidates {
        let estimate = &candidate.estimate;
        let objective = if candidate.objective.is_finite() {
            format!("{:.4}", candidate.objective)
        } else {
            "-".to_owned()
        };
        println!(
            "{} {:widest$}  {objective:>9}  {:>7}  {:>11.7}  {:>8.0}  {:>8.0}  {}",
            if winner == Some(candidate.backend) {
                '*'
            } else {
                ' '
            },
            name(candidate),
            estimate
                .quality
                .map_or("-".to_owned(), |quality| format!("{quality:.3}")),
            estimate.cost_usd,
            estimate.latency_p50_ms,
            estimate.latency_p99_ms,
            why_not(candidate, winner)
        );
    }
}

fn why_not(candidate: &Candidate, winner: Option<pointsman::fleet::BackendId>) -> String {
    match &candidate.ineligible {
        Some(obstacle) => obstacle.to_string(),
        None if winner == Some(candidate.backend) => String::new(),
        None => "a larger objective".into(),
    }
}

fn backend_name(policy: &Policy, id: pointsman::fleet::BackendId) -> &str {
    policy
        .registry
        .backend(id)
        .map_or("?", |backend| backend.name.as_str())
}

fn model_name(policy: &Policy, id: pointsman::fleet::ModelId) -> &str {
    policy
        .registry
        .model(id)
        .map_or("?", |model| model.name.as_str())
}
