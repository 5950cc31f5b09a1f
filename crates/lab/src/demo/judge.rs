//! The judge of the demo: a simulation that grades as the prompts' authors do, as often as it is told to be right; or the real LLM.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use pointsman::fnv;
use pointsman_harness::judge::{Behaviour, Judge};
use serde_json::{Value, json};

use super::exchange::Exchange;
use super::prompts::{Expected, Prompt};
use pointsman_cli::failure::Failure;

/// The cluster of the judge.
const CLUSTER: &str = "judge";
/// How long the simulation takes to answer, at the demo's time scale.
const DELAY: Duration = Duration::from_millis(40);
/// How long the demo waits for the real LLM: on a CPU that all share it is slow.
const REAL_LLM_DEADLINE_MS: u32 = 2000;
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

/// How often a harder prompt has the lower grade, over all pairs on which the authors differ; ties count half.
fn agreement(graded: &[(f64, Expected)]) -> Option<f64> {
    let rank = |expected| match expected {
        Expected::Easy => 2,
        Expected::Medium => 1,
        Expected::Hard => 0,
    };
    let (mut agrees, mut pairs) = (0.0, 0.0);
    for (grade, expected) in graded {
        let harder = graded
            .iter()
            .filter(|(_, other)| rank(*other) < rank(*expected));
        for (other_grade, _) in harder {
            pairs += 1.0;
            agrees += match grade.total_cmp(other_grade) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    (pairs > 0.0).then(|| agrees / pairs)
}

#[cfg(test)]
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
