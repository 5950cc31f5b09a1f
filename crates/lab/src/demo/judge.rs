//! The judge of the demo: a simulation that grades as the prompts' authors do, as often as it is told to be right; or the real LLM.
//!
//! After the requests it is asked about every prompt, as `pointsman judge` does, and its grades are fitted to what the authors
//! expect, as `pointsman calibrate --judge` does: a judge that is noise is found out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use pointsman::fnv;
use pointsman::policy::Policy;
use pointsman_cli::command::judge::Asker;
use pointsman_cli::failure::Failure;
use pointsman_eval::concordance::concordance;
use pointsman_eval::judge_fit::fit_evidence;
use pointsman_eval::outcomes::Row;
use pointsman_eval::progress::Progress;
use pointsman_eval::scored::Examiner;
use pointsman_harness::judge::{Behaviour, Judge};
use serde_json::{Map, Value, json};

use super::exchange::Exchange;
use super::fleet::Fleet;
use super::prompts::{Expected, Prompt};

/// The cluster of the judge.
const CLUSTER: &str = "judge";
/// How long the simulation takes to answer, at the demo's time scale.
const DELAY: Duration = Duration::from_millis(40);
/// How long the demo waits for the real LLM: on a CPU that all share it is slow.
const REAL_LLM_DEADLINE_MS: u32 = 2000;
/// How long one question of the fit may take.
const FIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Prompts that the real LLM is asked about for the fit: each takes it a good part of a second.
const REAL_LLM_FIT_PROMPTS: usize = 100;
/// The start of a prompt by which the simulation recognises it, in characters.
const START_CHARS: usize = 80;

/// Starts the simulated judge.
///
/// # Errors
/// [`Failure::Failed`] if no port is free.
pub fn simulate(prompts: &[Prompt], right: f64, time_scale: f64) -> Result<Judge, Failure> {
    let known: HashMap<String, Expected> = prompts
        .iter()
        .map(|prompt| (start_of(&prompt.text()), prompt.expected))
        .collect();
    let delay = DELAY.mul_f64(time_scale);
    let judge = Judge::start_with(move |question| {
        let material = question.material();
        let (_, request) = material.split_once("<request>").unwrap_or(("", material));
        let start = start_of(request);
        let grade = match known.get(&start) {
            Some(expected) => grade(*expected, right, fnv::hash64(start.bytes())),
            None => 5,
        };
        Behaviour::Late(grade, delay)
    });
    judge.map_err(|error| Failure::Failed(format!("cannot start the judge: {error}")))
}

fn start_of(text: &str) -> String {
    text.trim().chars().take(START_CHARS).collect()
}

/// The grade of a prompt whose authors expect this: theirs as often as `right` says, else another one. `draw` decides.
fn grade(expected: Expected, right: f64, draw: u64) -> u8 {
    let grades = |expected| match expected {
        Expected::Easy => 8,
        Expected::Medium => 5,
        Expected::Hard => 1,
    };
    let share = (draw >> 11) as f64 / (1_u64 << 53) as f64;
    let mut others = Expected::ALL.into_iter().filter(|other| *other != expected);
    match share < right {
        true => grades(expected),
        false => {
            let wrong = others.nth((draw & 1) as usize);
            grades(wrong.unwrap_or(expected))
        }
    }
}

/// `judge` of the policy for a judge at this address, whose model has this name.
pub fn field(address: SocketAddr, model: &str, is_real: bool) -> Value {
    let mut judge = json!({
        "cluster": CLUSTER,
        "endpoint": format!("http://{address}"),
        "model": model,
        "price": {"input": 0.05, "output": 0.1},
    });
    if let (true, Some(judge)) = (is_real, judge.as_object_mut()) {
        judge.insert("deadline_ms".to_owned(), REAL_LLM_DEADLINE_MS.into());
    }
    judge
}

/// What the judge was asked and said, for people to read.
pub fn report(prompts: &[Prompt], exchanges: &[Exchange], judge: &str) -> String {
    let mut ends: Vec<(String, usize)> = Vec::new();
    let mut graded: Vec<(f64, Expected)> = Vec::new();
    let (mut asked, mut judged) = (0, 0);
    for (prompt, exchange) in prompts.iter().zip(exchanges) {
        let Some(said) = &exchange.judge else {
            continue;
        };
        let (first, rest) = said.split_once(';').unwrap_or((said, ""));
        let end = match (first, first.parse::<f64>()) {
            (_, Ok(grade)) => {
                graded.push((grade, prompt.expected));
                "graded".to_owned()
            }
            ("not_asked", _) => format!("not asked: {}", rest.trim_start_matches("reason=")),
            (failed, _) => failed.to_owned(),
        };
        asked += usize::from(first != "not_asked" && rest != "cached");
        judged += usize::from(exchange.stage.as_deref() == Some("judge"));
        match ends.iter_mut().find(|(known, _)| *known == end) {
            Some((_, count)) => *count += 1,
            None => ends.push((end, 1)),
        }
    }
    ends.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let ends: Vec<String> = ends
        .iter()
        .map(|(end, count)| format!("{end} {count}"))
        .collect();
    let total = exchanges.len().max(1);
    let mut lines = vec![format!(
        "The judge, {judge}, was asked about {asked} of {} prompts ({:.0} %), and decided {judged}: {}.",
        exchanges.len(),
        asked as f64 * 100.0 / total as f64,
        ends.join(", ")
    )];
    lines.extend(agreement(&graded).map(|agrees| {
        format!("Of two graded prompts on which the authors differ, it calls the harder one harder in {:.0} % (a coin: 50 %).", agrees * 100.0)
    }));
    lines.join("\n") + "\n"
}

/// Asks the judge about the prompts and fits its grades to what the authors expect; the result in lines for people.
///
/// `field` is the policy's `judge`, as [`field`] writes it.
///
/// # Errors
/// [`Failure::Failed`] if too few prompts are graded, or the policy does not compile with the judge.
pub async fn fit(
    fleet: &Fleet,
    prompts: &[Prompt],
    field: &Value,
    address: SocketAddr,
    is_real: bool,
) -> Result<String, Failure> {
    let mut source = fleet.source.clone();
    if let Some(fields) = source.as_object_mut() {
        fields.insert("judge".to_owned(), field.clone());
    }
    let policy = Policy::compile(&source.to_string())
        .map_err(|error| Failure::Failed(format!("the policy with the judge: {error}")))?;
    let judge = policy
        .judge
        .as_ref()
        .ok_or_else(|| Failure::Failed("the policy has no judge".into()))?;
    let step = match is_real {
        true => prompts.len().div_ceil(REAL_LLM_FIT_PROMPTS),
        false => 1,
    };
    let chosen: Vec<&Prompt> = prompts.iter().step_by(step.max(1)).collect();
    let mut asker = Asker::new(judge, address, FIT_TIMEOUT);
    let mut examiner = Examiner::new(None);
    let mut rows = Vec::new();
    let mut progress = Progress::new("the judge, about each prompt", chosen.len() as u64);
    for prompt in chosen {
        let mut row = row(prompt, &fleet.models).map_err(Failure::Failed)?;
        // A prompt without a grade does not count; too few of them are an error of the fit.
        row.grade = asker.ask(&row).await.ok().map(|(grade, _)| grade);
        rows.push(examiner.examine(row));
        progress.step();
    }
    progress.finish();
    let fitted = fit_evidence(&policy, &rows)?;
    let lines = fitted.report();
    Ok(format!(
        "Its grades, fitted to what the authors expect (easy: every model is right; medium: all but the weakest; hard: the strongest alone):\n{}\n",
        lines.join("\n")
    ))
}

/// A prompt with its authors' expectation as the outcomes of these models, the weakest first.
fn row(prompt: &Prompt, models: &[String]) -> Result<Row, String> {
    let strongest = models.len().saturating_sub(1);
    let is_right = |rank: usize| match prompt.expected {
        Expected::Easy => true,
        Expected::Medium => rank > 0,
        Expected::Hard => rank == strongest,
    };
    let outcomes: Map<String, Value> = models
        .iter()
        .enumerate()
        .map(|(rank, model)| (model.clone(), u8::from(is_right(rank)).into()))
        .collect();
    Row::parse(
        json!({"prompt": prompt.text(), "models": outcomes})
            .to_string()
            .as_bytes(),
    )
}

/// How often a harder prompt has the lower grade, over all pairs on which the authors differ; ties count half.
fn agreement(graded: &[(f64, Expected)]) -> Option<f64> {
    let ease = |expected| match expected {
        Expected::Easy => 2.0,
        Expected::Medium => 1.0,
        Expected::Hard => 0.0,
    };
    let pairs: Vec<(f64, f64)> = graded
        .iter()
        .map(|(grade, expected)| (*grade, ease(*expected)))
        .collect();
    concordance(&pairs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_right_as_often_as_stated() {
        let right = (0..10_000_u64)
            .filter(|number| {
                let draw = fnv::hash64(number.to_le_bytes());
                grade(Expected::Hard, 0.8, draw) == 1
            })
            .count();
        assert!((7_700..8_300).contains(&right), "{right}");
        assert_eq!(grade(Expected::Easy, 1.0, 7), 8);
        assert_ne!(grade(Expected::Easy, 0.0, 7), 8);
    }

    #[test]
    fn a_row_holds_what_the_authors_expect_of_each_model() {
        let file =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/prompts.jsonl");
        let prompts = super::super::prompts::read(&file).unwrap();
        let models = ["small", "middle", "large"].map(str::to_owned);
        for (expected, right) in [
            (Expected::Easy, vec!["large", "middle", "small"]),
            (Expected::Medium, vec!["large", "middle"]),
            (Expected::Hard, vec!["large"]),
        ] {
            let mut all = prompts.iter();
            let prompt = all.find(|prompt| prompt.expected == expected).unwrap();
            let row = row(prompt, &models).unwrap();
            let of_right = row.outcomes.iter().filter(|(_, own)| own.score == 1.0);
            assert_eq!(of_right.map(|(name, _)| name).collect::<Vec<_>>(), right);
            assert_eq!(row.outcomes.len(), 3);
        }
    }

    #[test]
    fn agreement_is_that_of_pairs() {
        let graded = [
            (0.9, Expected::Easy),
            (0.1, Expected::Hard),
            (0.5, Expected::Hard),
        ];
        assert_eq!(agreement(&graded), Some(1.0));
        let graded = [(0.1, Expected::Easy), (0.1, Expected::Hard)];
        assert_eq!(agreement(&graded), Some(0.5));
        assert_eq!(agreement(&[]), None);
    }
}
