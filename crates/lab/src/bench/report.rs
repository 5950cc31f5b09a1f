//! The benchmark's figures, as a table for people and as JSON.

use serde::Serialize;
use serde_json::json;

use super::budget::{self, Module};
use super::load::Load;
use super::start::Start;
use pointsman_eval::table::{Side, Table};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Sizes of the module.
    pub module: Module,
    /// Time to ready and memory, by number of workers.
    pub starts: Vec<Start>,
    /// Latency and throughput, by connections and size.
    pub loads: Vec<Load>,
    /// Resident bytes after the whole load, bodies of 1 MB included: without and with the filter, one worker.
    pub after_load: (Option<u64>, Option<u64>),
}

/// A figure with a limit from the design.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Budgeted {
    what: &'static str,
    unit: &'static str,
    figure: f64,
    limit: f64,
    verdict: &'static str,
}

impl Budgeted {
    fn at_most(what: &'static str, unit: &'static str, figure: f64, limit: f64) -> Budgeted {
        Budgeted {
            what,
            unit,
            figure,
            limit,
            verdict: verdict(figure <= limit),
        }
    }

    fn at_least(what: &'static str, unit: &'static str, figure: f64, limit: f64) -> Budgeted {
        Budgeted {
            what,
            unit,
            figure,
            limit,
            verdict: verdict(figure >= limit),
        }
    }
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

impl Budgeted {
    /// If chance alone makes as much as the limit allows, a figure within reach of it decides nothing.
    fn with_chance(mut self, chance: f64) -> Budgeted {
        if chance >= self.limit && (self.figure - self.limit).abs() <= chance {
            self.verdict = "unclear: the machine is too busy";
        }
        self
    }
}

const MB: f64 = 1e6;

/// All budgets that these figures can be held against.
fn budgets(figures: &Figures) -> Vec<Budgeted> {
    let mut all = load_budgets(&figures.loads);
    all.extend(start_budgets(&figures.starts));
    let Module { bytes, code_bytes } = figures.module;
    all.push(Budgeted::at_most(
        "module",
        "MB",
        bytes as f64 / MB,
        budget::MODULE / MB,
    ));
    all.push(Budgeted::at_most(
        "code in it",
        "MB",
        code_bytes as f64 / MB,
        budget::CODE / MB,
    ));
    all
}

/// Latency counts on one connection: with 16 in a closed loop it is throughput once more.
fn load_budgets(loads: &[Load]) -> Vec<Budgeted> {
    let (p50, p99) = budget::ADDED_1KB_MS;
    let mut all = Vec::new();
    for load in loads {
        let (added_p50, added_p99) = (load.added_p50_ms, load.added_p99_ms);
        match (load.bytes, load.connections) {
            (1_000, 1) => {
                all.push(
                    Budgeted::at_most("added latency p50, 1 KB", "ms", added_p50, p50)
                        .with_chance(load.noise_p50_ms),
                );
                all.push(
                    Budgeted::at_most("added latency p99, 1 KB", "ms", added_p99, p99)
                        .with_chance(load.noise_p99_ms),
                );
            }
            (100_000, 1) => {
                let limit = budget::ADDED_100KB_P99_MS;
                all.push(
                    Budgeted::at_most("added latency p99, 100 KB", "ms", added_p99, limit)
                        .with_chance(load.noise_p99_ms),
                );
            }
            (1_000_000, 1) => {
                let limit = budget::ADDED_1MB_P99_MS;
                all.push(
                    Budgeted::at_most("added latency p99, 1 MB", "ms", added_p99, limit)
                        .with_chance(load.noise_p99_ms),
                );
            }
            (1_000, 16) => {
                let (kept, limit) = (
                    load.throughput_ratio * 100.0,
                    budget::THROUGHPUT_RATIO * 100.0,
                );
                all.push(Budgeted::at_least(
                    "throughput kept, 1 KB × 16",
                    "%",
                    kept,
                    limit,
                ));
            }
            _ => {}
        }
    }
    all
}

fn start_budgets(starts: &[Start]) -> Vec<Budgeted> {
    let with = |workers| starts.iter().find(|start| start.workers == workers);
    let (Some(one), Some(two)) = (with(1), with(2)) else {
        return Vec::new();
    };
    let over = |start: &Start| start.filter_resident - start.bare_resident;
    let further = (over(two) - over(one)) / MB;
    vec![
        Budgeted::at_most(
            "memory over bare, 1 worker",
            "MB",
            over(one) / MB,
            budget::RESIDENT / MB,
        ),
        Budgeted::at_most(
            "memory for one more worker",
            "MB",
            further,
            budget::RESIDENT_PER_WORKER / MB,
        ),
        Budgeted::at_most(
            "first answer, 1 worker",
            "s",
            one.filter_ready_s,
            budget::READY_S,
        ),
        Budgeted::at_most(
            "first answer, 2 workers",
            "s",
            two.filter_ready_s,
            budget::READY_S,
        ),
    ]
}

/// The figures as text.
pub fn table(figures: &Figures) -> String {
    let mut out = String::from(
        "\nLatency and throughput: bare Envoy, the same with the filter, the difference\n\n",
    );
    out += &load_table(&figures.loads);
    out += "\nadded = median over pairs of neighbouring blocks; chance = the same for blocks of the bare arm alone: less than that says nothing.\n";
    out += "\nStart and memory (medians)\n\n";
    out += &start_table(&figures.starts);
    if let (Some(bare), Some(filter)) = figures.after_load {
        let (bare, filter) = (bare as f64 / MB, filter as f64 / MB);
        out += &format!(
            "\nResident after all of the load, 1 worker: {bare:.0} MB bare, {filter:.0} MB with the filter\n"
        );
    }
    out += "\nBudgets (latency: one connection)\n\n";
    let mut table = Table::new(&[
        ("what", Side::Left),
        ("measured", Side::Right),
        ("budget", Side::Right),
        ("", Side::Left),
        ("", Side::Left),
    ]);
    for line in budgets(figures) {
        let cells = [format!("{:.2}", line.figure), format!("{:.2}", line.limit)];
        let [figure, limit] = cells;
        table.push(vec![
            line.what.into(),
            figure,
            limit,
            line.unit.into(),
            line.verdict.into(),
        ]);
    }
    out + &table.render()
}

fn load_table(loads: &[Load]) -> String {
    let head = [
        "body",
        "conns",
        "bare p50",
        "p99 ms",
        "filter p50",
        "p99 ms",
        "added p50",
        "chance",
        "added p99",
        "chance",
        "bare req/s",
        "filter req/s",
        "kept",
    ];
    let mut table = Table::new(&head.map(|name| (name, Side::Right)));
    for load in loads {
        let ms = |value: f64| format!("{value:.3}");
        table.push(vec![
            size(load.bytes),
            load.connections.to_string(),
            ms(load.bare.p50_ms),
            ms(load.bare.p99_ms),
            ms(load.filter.p50_ms),
            ms(load.filter.p99_ms),
            format!("{:+.3}", load.added_p50_ms),
            format!("±{:.3}", load.noise_p50_ms),
            format!("{:+.3}", load.added_p99_ms),
            format!("±{:.3}", load.noise_p99_ms),
            format!("{:.0}", load.bare.per_second),
            format!("{:.0}", load.filter.per_second),
            format!("{:.0} %", load.throughput_ratio * 100.0),
        ]);
    }
    table.render()
}

fn start_table(starts: &[Start]) -> String {
    let head = [
        "workers",
        "bare ready s",
        "filter ready s",
        "bare MB",
        "filter MB",
        "over bare MB",
    ];
    let mut table = Table::new(&head.map(|name| (name, Side::Right)));
    for start in starts {
        table.push(vec![
            start.workers.to_string(),
            format!("{:.2}", start.bare_ready_s),
            format!("{:.2}", start.filter_ready_s),
            format!("{:.0}", start.bare_resident / MB),
            format!("{:.0}", start.filter_resident / MB),
            format!("{:.0}", (start.filter_resident - start.bare_resident) / MB),
        ]);
    }
    table.render()
}

fn size(bytes: usize) -> String {
    match bytes {
        1_000_000.. => format!("{} MB", bytes / 1_000_000),
        1_000.. => format!("{} KB", bytes / 1_000),
        _ => format!("{} B", bytes),
    }
}

/// The figures and the budgets as JSON.
pub fn json(figures: &Figures) -> String {
    let document = json!({"figures": figures, "budgets": budgets(figures)});
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::Budgeted;

    #[test]
    fn a_verdict_needs_a_quiet_machine() {
        let verdict = |figure, chance| {
            Budgeted::at_most("x", "ms", figure, 0.5)
                .with_chance(chance)
                .verdict
        };
        assert_eq!(verdict(0.3, 0.1), "met");
        assert_eq!(verdict(0.6, 0.1), "missed");
        assert_eq!(verdict(-2.7, 8.0), "unclear: the machine is too busy");
        assert_eq!(verdict(24.0, 8.0), "missed");
    }
}
