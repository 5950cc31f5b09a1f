//! The report as one HTML page that needs nothing else.

use std::fmt::Write;

use super::Report;
use super::figures::Figures;
use super::tables;
use crate::html::{figure, head, table};
use crate::measure::curve::Point;
use crate::svg::{Mark, Series, escape};

/// The points of a curve of latencies.
const POINTS: u32 = 99;

/// The page.
pub fn page(report: &Report) -> String {
    let mut out = head("Pointsman replay");
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<p>{}. {} of {} decisions change. What each figure means: docs/learning.md.</p>",
        escape(&tables::heading(report)),
        report.changed,
        report.counts.replayed
    );
    list(&mut out, tables::notes(report).into_iter());
    let compared = report.counts.compared;
    if compared > 0 {
        table(&mut out, &tables::total(report));
        out.push_str("<div class=\"plots\">\n");
        quality_plot(&mut out, report);
        latency_plot(&mut out, report);
        timeline_plot(&mut out, report);
        out.push_str("</div>\n");
        out.push_str("<h2>By task</h2>\n");
        table(&mut out, &tables::groups("task", &report.tasks, usize::MAX));
        out.push_str("<h2>By tenant</h2>\n");
        table(
            &mut out,
            &tables::groups("tenant", &report.tenants, usize::MAX),
        );
        out.push_str("<h2>By model and backend</h2>\n");
        table(&mut out, &tables::shares("model", &report.models, compared));
        table(
            &mut out,
            &tables::shares("backend", &report.backends, compared),
        );
    }
    if report.changed > 0 {
        out.push_str("<h2>Decisions that change</h2>\n");
        table(&mut out, &tables::changes(report, usize::MAX));
        out.push_str("<h2>Examples</h2>\n");
        table(&mut out, &tables::examples(report, usize::MAX));
    }
    if !report.unknown.is_empty() {
        out.push_str("<h2>Not told by receipts</h2>\n<p>By the number of receipts that it may matter to.</p>\n");
        list(&mut out, tables::unknown(report));
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn list(out: &mut String, lines: impl Iterator<Item = String>) {
    out.push_str("<ul class=\"notes\">\n");
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escape(&line));
    }
    out.push_str("</ul>\n");
}

/// Quality against cost: before, after, and each model alone.
fn quality_plot(out: &mut String, report: &Report) {
    let place = |own: &Figures| [own.cost_usd, own.mean_quality()];
    let dot = |name: &str, colour: &'static str, own: &Figures| Series {
        name: name.to_owned(),
        colour,
        mark: Mark::Dots,
        points: vec![(place(own), name.to_owned())],
    };
    let models = report
        .models
        .iter()
        .filter(|(_, own)| own.alone.count > 0)
        .map(|(name, own)| (place(&own.alone), name.clone()));
    let series = [
        Series {
            name: "all to one model".into(),
            colour: "zero",
            mark: Mark::Dots,
            points: models.collect(),
        },
        dot("before", "random", &report.total.before),
        dot("after", "router", &report.total.after),
    ];
    figure(
        out,
        "Expected quality against cost",
        "cost of all compared receipts, USD",
        "mean expected quality",
        &series,
    );
}

/// The time in which a share of the answers is complete.
fn latency_plot(out: &mut String, report: &Report) {
    let line = |name: &str, colour: &'static str, mark: Mark, own: &Figures| {
        let points: Vec<Point> = (1..=POINTS)
            .map(|percent| {
                let seconds = own.answer.quantile(f64::from(percent) / 100.0) / 1000.0;
                [f64::from(percent), seconds]
            })
            .collect();
        Series::plain(name, colour, mark, &points)
    };
    let series = [
        line("before", "random", Mark::Dashes, &report.total.before),
        line("after", "router", Mark::Line, &report.total.after),
    ];
    figure(
        out,
        "Time to the whole answer",
        "percent of the answers",
        "complete within, s",
        &series,
    );
}

/// Cost over time.
fn timeline_plot(out: &mut String, report: &Report) {
    let slices = &report.timeline.slices;
    if slices.len() < 2 {
        return;
    }
    let width = report.timeline.width_s;
    let first = slices.keys().next().copied().unwrap_or_default();
    let line = |name: &str, colour, mark, after: bool| {
        let points: Vec<Point> = slices
            .iter()
            .map(|(start, (_, own, other))| {
                let days = f64::from(start - first) / 86_400.0;
                [days, if after { *other } else { *own }]
            })
            .collect();
        Series::plain(name, colour, mark, &points)
    };
    let series = [
        line("before", "random", Mark::Dashes, false),
        line("after", "router", Mark::Line, true),
    ];
    figure(
        out,
        "Cost over time",
        "days since the first receipt",
        &format!("USD in {} h", width / 3600),
        &series,
    );
}
