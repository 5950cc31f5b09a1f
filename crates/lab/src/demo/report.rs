//! The output of the demo: every prompt with its route, then `auto` against everything to the biggest model.

use std::net::SocketAddr;
use std::path::Path;

use super::REAL_LLM_MAX_TOKENS;
use super::baselines::{self, Auto};
use super::exchange::{Exchange, PATH};
use super::fleet::Fleet;
use super::native::Native;
use super::prompts::{Expected, Prompt};
use pointsman_eval::quantile::quantile;
use pointsman_eval::table::{Side, Table, cut};

/// Terminal cells of a prompt in the table.
const PROMPT_WIDTH: usize = 44;

/// Everything that happened.
#[derive(Clone, Copy)]
pub struct DemoRun<'a> {
    /// The policy.
    pub fleet: &'a Fleet,
    /// The prompt.
    pub prompts: &'a [Prompt],
    /// The results with `model: auto`, in the same order.
    pub auto: &'a [Exchange],
    /// The results of prompts pinned to the biggest model.
    pub big: &'a [Exchange],
    /// The core's native decisions.
    pub native: &'a [Option<Native>],
    /// Whether the CPU backend was the real LLM.
    pub real_llm: bool,
}

/// The lines before the first request.
pub fn opening(fleet: &Fleet, prompts: usize, envoy: &Path, real_llm: bool) -> String {
    let registry = &fleet.policy.registry;
    let cpu = if real_llm {
        ", the CPU backend is llama.cpp with SmolLM2-135M"
    } else {
        ""
    };
    format!(
        "{prompts} prompts through {} to {} models on {} backends{cpu}: once with `model: auto`, once all to `{}`",
        envoy.display(),
        registry.models.len(),
        registry.backends.len(),
        fleet.big_model,
    )
}

/// One line for each prompt.
pub fn table(run: &DemoRun<'_>) -> String {
    let mut table = Table::new(&[
        ("prompt", Side::Left),
        ("task", Side::Left),
        ("expected", Side::Left),
        ("difficulty", Side::Right),
        ("model", Side::Left),
        ("backend", Side::Left),
        ("on", Side::Left),
        ("est. USD/1k req", Side::Right),
        ("ms", Side::Right),
    ]);
    for ((prompt, exchange), native) in run.prompts.iter().zip(run.auto).zip(run.native) {
        let backend = exchange.backend.as_deref().unwrap_or_default();
        let accelerator = run
            .fleet
            .backend(backend)
            .map_or("", |backend| backend.accelerator.name());
        let task = native.as_ref().and_then(|native| native.task);
        let model = match &exchange.error {
            Some(error) => cut(&format!("{}: {error}", exchange.status), 40),
            None => exchange.model.clone().unwrap_or_else(|| "undecided".into()),
        };
        table.push(vec![
            cut(&prompt.text(), PROMPT_WIDTH),
            task.map_or("–", |task| task.name()).into(),
            prompt.expected.name().into(),
            exchange
                .difficulty
                .map_or("–".into(), |difficulty| format!("{difficulty:+.2}")),
            model,
            backend.into(),
            accelerator.into(),
            exchange
                .estimated_cost
                .map_or("–".into(), |cost| format!("{:.4}", cost * 1e3)),
            format!("{:.0}", exchange.took.as_secs_f64() * 1e3),
        ]);
    }
    table.render()
        + "task and difficulty are the classifier's (difficulty in logits, higher is harder); expected is what the prompt's authors think\n"
}

/// The totals of one way to send everything.
struct Totals {
    answered: usize,
    cost: f64,
    p50: f64,
    p99: f64,
}

fn totals_of(fleet: &Fleet, exchanges: &[Exchange]) -> Totals {
    let answered: Vec<&Exchange> = exchanges
        .iter()
        .filter(|exchange| exchange.is_answered())
        .collect();
    let cost = |exchange: &&Exchange| fleet.cost(exchange.backend.as_deref()?, exchange.usage?);
    let mut latencies: Vec<f64> = answered
        .iter()
        .map(|exchange| exchange.took.as_secs_f64() * 1e3)
        .collect();
    Totals {
        answered: answered.len(),
        cost: answered
            .iter()
            .filter_map(cost)
            .fold(0.0, |sum, cost| sum + cost), // `sum` of nothing is -0.0
        p50: quantile(&mut latencies, 0.5),
        p99: quantile(&mut latencies, 0.99),
    }
}

/// The comparison, who got how much, and what the figures are worth.
pub fn totals(run: &DemoRun<'_>) -> String {
    let (auto, big) = (
        totals_of(run.fleet, run.auto),
        totals_of(run.fleet, run.big),
    );
    let all = format!("all to {}", run.fleet.big_model);
    let mut table = Table::new(&[
        ("", Side::Left),
        ("auto", Side::Right),
        (&all, Side::Right),
        ("", Side::Right),
    ]);
    let total = run.prompts.len();
    let of = |answered: usize| format!("{answered} of {total}");
    table.push(vec![
        "answered".into(),
        of(auto.answered),
        of(big.answered),
        String::new(),
    ]);
    let mut line = |name: &str, auto: f64, big: f64, show: &dyn Fn(f64) -> String| {
        let change = format!("{:+.0} %", (auto / big - 1.0) * 100.0);
        table.push(vec![name.into(), show(auto), show(big), change]);
    };
    line("cost", auto.cost, big.cost, &|usd| format!("${usd:.5}"));
    line("latency P50", auto.p50, big.p50, &|ms| {
        format!("{ms:.0} ms")
    });
    line("latency P99", auto.p99, big.p99, &|ms| {
        format!("{ms:.0} ms")
    });
    let expected = qualities(run);
    if let Some((auto, big)) = expected {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        table.push(vec![
            "expected correct".into(),
            percent(auto),
            percent(big),
            format!("{:+.1} points", (auto - big) * 100.0),
        ]);
    }
    [
        table.render(),
        expected.map_or_else(String::new, |(quality, _)| {
            let auto = Auto {
                cost: auto.cost,
                quality,
            };
            baselines::table(run.fleet, run.big, run.native, auto)
        }),
        by_backend(run),
        by_expected(run),
        remarks(run),
    ]
    .join("\n")
}

/// Mean probability of a right answer: of the chosen backends, and of the biggest model.
fn qualities(run: &DemoRun<'_>) -> Option<(f64, f64)> {
    let models = &run.fleet.policy.registry.models;
    let big = models
        .iter()
        .position(|model| model.name == run.fleet.big_model)?;
    let pairs: Vec<(f64, f64)> = run
        .auto
        .iter()
        .zip(run.native)
        .filter_map(|(exchange, native)| {
            let qualities = &native.as_ref()?.qualities;
            Some((exchange.quality?, qualities.get(big).copied()??))
        })
        .collect();
    let count = pairs.len() as f64;
    let (auto, big) = pairs
        .iter()
        .fold((0.0, 0.0), |(a, b), (auto, big)| (a + auto, b + big));
    (!pairs.is_empty()).then(|| (auto / count, big / count))
}

fn by_backend(run: &DemoRun<'_>) -> String {
    let head = [
        ("backend", Side::Left),
        ("on", Side::Left),
        ("model", Side::Left),
        ("requests", Side::Right),
        ("tokens out", Side::Right),
        ("cost", Side::Right),
        ("P50 ms", Side::Right),
        ("P99 ms", Side::Right),
    ];
    let mut table = Table::new(&head);
    let registry = &run.fleet.policy.registry;
    for backend in &registry.backends {
        let here = run.auto.iter().filter(|exchange| {
            exchange.backend.as_deref() == Some(&backend.name) && exchange.is_answered()
        });
        let here: Vec<Exchange> = here.cloned().collect();
        let totals = totals_of(run.fleet, &here);
        let ms = |value: f64| {
            if here.is_empty() {
                "–".into()
            } else {
                format!("{value:.0}")
            }
        };
        let out: u64 = here
            .iter()
            .filter_map(|item| Some(item.usage?.completion_tokens))
            .sum();
        table.push(vec![
            backend.name.clone(),
            backend.accelerator.name().into(),
            registry
                .model(backend.model)
                .map(|model| model.name.clone())
                .unwrap_or_default(),
            here.len().to_string(),
            out.to_string(),
            format!("${:.5}", totals.cost),
            ms(totals.p50),
            ms(totals.p99),
        ]);
    }
    table.render()
}

fn by_expected(run: &DemoRun<'_>) -> String {
    let models = &run.fleet.policy.registry.models;
    let mut head = vec![("authors expect", Side::Left)];
    head.extend(
        models
            .iter()
            .map(|model| (model.name.as_str(), Side::Right)),
    );
    let mut table = Table::new(&head);
    for expected in Expected::ALL {
        let of: Vec<&Exchange> = run
            .prompts
            .iter()
            .zip(run.auto)
            .filter(|(prompt, _)| prompt.expected == expected)
            .map(|(_, exchange)| exchange)
            .collect();
        let mut row = vec![expected.name().to_owned()];
        row.extend(models.iter().map(|model| {
            of.iter()
                .filter(|item| item.model.as_deref() == Some(&model.name))
                .count()
                .to_string()
        }));
        table.push(row);
    }
    table.render()
}

/// Remarks on what is real, what is simulated, and what does not fit.
fn remarks(run: &DemoRun<'_>) -> String {
    let mut lines = vec![
        "Both columns were run: the same prompts through the same Envoy, filter and backends. Cost is the tokens that backends \
         counted at the policy's prices."
            .to_owned(),
    ];
    lines.push(if run.real_llm {
        format!(
            "The CPU backend is a real LLM (answers of at most {REAL_LLM_MAX_TOKENS} tokens for all); the other backends' answers and \
             latencies are simulated from the policy."
        )
    } else {
        "The backends' answers and latencies are simulated from the policy; decisions and routing are real.".to_owned()
    });
    lines.push("Expected correct is the router's own estimate, not a measurement: nobody graded these answers.".to_owned());
    let mut decisions: Vec<f64> = run
        .auto
        .iter()
        .filter_map(|exchange| exchange.decision_us)
        .collect();
    if !decisions.is_empty() {
        let (p50, p99) = (
            quantile(&mut decisions, 0.5),
            quantile(&mut decisions, 0.99),
        );
        lines.push(format!(
            "A decision took {p50:.0} µs (P50), {p99:.0} µs (P99) inside Envoy."
        ));
    }
    let natives = run
        .auto
        .iter()
        .zip(run.native)
        .filter_map(|(exchange, native)| Some((exchange.backend.as_ref()?, native.as_ref()?)));
    let (mut same, mut compared) = (0, 0);
    for (backend, native) in natives {
        compared += 1;
        same += usize::from(*backend == native.backend);
    }
    lines.push(format!(
        "The core run natively, which has seen no answer and so goes by the stated latencies, chooses the same backend for {same} of {compared}."
    ));
    if !run.native.iter().flatten().all(|native| native.from_model) {
        lines.push(
            "No classifier model is embedded: decisions come from features alone.".to_owned(),
        );
    }
    lines.extend(real_llm_answer(run));
    lines.extend(failures(run));
    lines.join("\n") + "\n"
}

/// One answer of the real LLM, as proof.
fn real_llm_answer(run: &DemoRun<'_>) -> Option<String> {
    if !run.real_llm {
        return None;
    }
    let on_cpu = |exchange: &Exchange| {
        let backend = exchange
            .backend
            .as_deref()
            .and_then(|name| run.fleet.backend(name));
        backend.is_some_and(|backend| backend.accelerator == pointsman::fleet::Accelerator::Cpu)
    };
    let mut pairs = run.prompts.iter().zip(run.auto);
    let (prompt, exchange) =
        pairs.find(|(_, exchange)| exchange.is_answered() && on_cpu(exchange))?;
    Some(format!(
        "SmolLM2 on `{}`: {}",
        cut(&prompt.text(), 60),
        cut(&exchange.text, 120)
    ))
}

/// The first few failures of each way.
fn failures(run: &DemoRun<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, exchanges) in [("auto", run.auto), (run.fleet.big_model.as_str(), run.big)] {
        let failed = run
            .prompts
            .iter()
            .zip(exchanges)
            .filter(|(_, exchange)| !exchange.is_answered());
        for (prompt, exchange) in failed.take(5) {
            let error = exchange.error.as_deref().unwrap_or_default();
            lines.push(format!(
                "failed: {} with `{name}`: {} {}",
                prompt.id,
                exchange.status,
                cut(error, 160)
            ));
        }
    }
    lines
}

/// Suggestions while the demo keeps running. `failing` is a backend that fails on command.
pub fn next(
    listener: SocketAddr,
    admin: SocketAddr,
    big_model: &str,
    failing: Option<(&str, SocketAddr)>,
) -> String {
    let failing = failing.map_or_else(String::new, |(name, address)| {
        format!(
            "Let the backend `{name}` fail, ask again, and see who answers and x-pointsman-attempts; DELETE mends it:\n\n  \
             curl http://{address}/control/faults -d '{{\"kind\": \"status\", \"status\": 503}}'\n  \
             curl -X DELETE http://{address}/control/faults\n\n"
        )
    });
    format!(
        "It keeps running. Try\n\n  \
         curl -i http://{listener}{PATH} -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"auto\", \"messages\": [{{\"role\": \"user\", \"content\": \"What is the capital of Mongolia?\"}}]}}'\n\n\
         and read the x-pointsman-* headers of the answer; then ask something hard, or set the model to auto:cheap, auto:fast,\n\
         auto:best or {big_model}. Metrics: curl http://{admin}/stats/prometheus | grep pointsman\n\n{failing}Ctrl-C ends it."
    )
}
