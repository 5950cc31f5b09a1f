//! The report as text for a terminal.

use std::fmt::Write;

use super::Report;
use super::tables;
use crate::table::Table;

/// How many lines of a long table are shown; JSON and HTML have all.
const LINES: usize = 20;
/// How many examples are shown.
const EXAMPLES: usize = 20;

/// The whole report.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}\n", tables::heading(report));
    let compared = report.counts.compared;
    if compared > 0 {
        out.push_str(&tables::total(report).render());
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "{} of {} decisions change\n",
        report.changed, report.counts.replayed
    );
    for note in tables::notes(report) {
        let _ = writeln!(out, "note: {note}");
    }
    out.push('\n');
    if compared > 0 {
        section(
            &mut out,
            &tables::groups("task", &report.tasks, LINES),
            report.tasks.len(),
        );
        section(
            &mut out,
            &tables::groups("tenant", &report.tenants, LINES),
            report.tenants.len(),
        );
        section(
            &mut out,
            &tables::shares("model", &report.models, compared),
            0,
        );
        section(
            &mut out,
            &tables::shares("backend", &report.backends, compared),
            0,
        );
    }
    if report.changed > 0 {
        let kinds = report.changes.kinds().len();
        section(&mut out, &tables::changes(report, LINES), kinds);
        section(&mut out, &tables::examples(report, EXAMPLES), 0);
    }
    let unknown: Vec<String> = tables::unknown(report).collect();
    if !unknown.is_empty() {
        out.push_str("not told by receipts, by number of receipts that it may matter to:\n");
        for line in unknown {
            let _ = writeln!(out, "  {line}");
        }
    }
    out
}

/// A table; `all` is the number of lines that it would have, if that is more than it has.
fn section(out: &mut String, table: &Table, all: usize) {
    out.push_str(&table.render());
    if all > LINES {
        let _ = writeln!(out, "and {} more", all - LINES);
    }
    out.push('\n');
}
