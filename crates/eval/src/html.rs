//! The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere. Light or dark as the
//! reader's system is.

use std::fmt::Write;

use crate::figures::Curves;
use crate::file::Report;
use crate::format::{percent, shown};
use crate::learning_curve::{CurvePoint, PROMPTS};
use crate::measure::curve::{Point, hull};
use crate::pairing::PairReport;
use crate::svg::{Mark, Plot, Series, escape, legend};
use crate::sweep::Strategy;
use crate::table::{Side, Table};
use crate::tables;

const STYLE: &str = include_str!("report.css");

/// The page.
pub fn page(reports: &[Report], overall: &Report) -> String {
    let mut out = head("Pointsman evaluation");
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<p>Version {}. What each figure means: docs/eval.md. Brackets hold 95 % bootstrap intervals over prompts. Costs are in \
         units of the best single model's mean cost.</p>",
        env!("CARGO_PKG_VERSION")
    );
    if reports.len() > 1 {
        section(&mut out, overall);
    }
    for report in reports {
        section(&mut out, report);
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// The beginning of a page with this title, up to its first paragraph.
pub(crate) fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )
}

fn section(out: &mut String, report: &Report) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<section>\n<h2>{}</h2>", escape(&report.name));
    let (p50, p99) = (report.micros(0.5), report.micros(0.99));
    let _ = write!(
        out,
        "<p>{} rows with outcomes, {} without, {} bad lines",
        report.count,
        report.without,
        report.bad.len()
    );
    if p50.is_finite() {
        let _ = write!(
            out,
            "; a classification takes {p50:.0} µs (p99 {p99:.0} µs)"
        );
    }
    out.push_str(".</p>\n");
    if !report.notes.is_empty() {
        out.push_str("<ul class=\"notes\">\n");
        for note in &report.notes {
            let _ = writeln!(out, "<li>{}</li>", escape(note));
        }
        out.push_str("</ul>\n");
    }
    out.push_str("<div class=\"plots\">\n");
    if let Some(curves) = &report.curves {
        cost_plot(out, report, curves);
    }
    if let Some(pair) = &report.pair {
        pair_plot(out, pair);
    }
    reliability_plot(out, report);
    learning_plot(out, report);
    out.push_str("</div>\n");
    if let Some(curves) = &report.curves {
        table(out, &tables::strategies(curves));
    }
    if let Some(pair) = &report.pair {
        pair_table(out, pair);
    }
    let more = [
        tables::gaps(report),
        report.judge.as_ref().map(tables::judge),
        report.judge.as_ref().and_then(tables::judge_profiles),
        tables::models(report),
        tables::profiles(report),
    ];
    for more in more.iter().flatten() {
        table(out, more);
    }
    for groups in &report.groups {
        table(out, &tables::groups(groups, usize::MAX));
    }
    out.push_str("</section>\n");
}

/// A plot with its caption and legend.
pub(crate) fn figure(out: &mut String, title: &str, x: &str, y: &str, series: &[Series]) {
    let plot = Plot {
        title,
        x,
        y,
        series,
    };
    let _ = writeln!(
        out,
        "<figure>\n<figcaption>{}</figcaption>\n{}{}</figure>",
        escape(title),
        plot.render(),
        legend(series)
    );
}

fn cost_plot(out: &mut String, report: &Report, curves: &Curves) {
    let of = |strategy: Strategy| {
        let at = Strategy::ALL
            .iter()
            .position(|item| *item == strategy)
            .unwrap_or(0);
        curves.points.get(at).cloned().unwrap_or_default()
    };
    let ends: [Point; 2] = [curves.cheapest, curves.best];
    let unit = report
        .models
        .iter()
        .find(|model| Some(&model.name) == report.best.as_ref())
        .map(|model| model.cost);
    let singles = report.models.iter().filter(|model| model.share.is_finite());
    let singles =
        singles.filter_map(|model| Some(([model.cost / unit?, model.quality], model.name.clone())));
    let profiles = report
        .profiles
        .iter()
        .map(|profile| ([profile.cost, profile.quality], profile.name.clone()));
    let mut series = vec![
        Series::plain("random, cheapest and best", "random", Mark::Dashes, &ends),
        Series::plain(
            "single models (zero router)",
            "zero",
            Mark::Dashes,
            &hull(of(Strategy::Zero)),
        ),
        Series::plain("oracle", "oracle", Mark::Line, &hull(of(Strategy::Oracle))),
        Series::plain("floor", "floor", Mark::Line, &of(Strategy::Floor)),
        Series::plain("weights", "weights", Mark::Line, &of(Strategy::Weights)),
        Series::plain(
            "router by utility",
            "router",
            Mark::Line,
            &of(Strategy::Utility),
        ),
        Series {
            name: "single models".into(),
            colour: "zero",
            mark: Mark::Dots,
            points: singles.collect(),
        },
        Series {
            name: "profiles".into(),
            colour: "profile",
            mark: Mark::Dots,
            points: profiles.collect(),
        },
    ];
    series.retain(|series| !series.points.is_empty());
    figure(
        out,
        "Quality against cost",
        "mean cost (best single model = 1)",
        "mean score",
        &series,
    );
}

fn pair_plot(out: &mut String, pair: &PairReport) {
    let curve = &pair.figures.curve;
    let series = [
        Series::plain(
            "random",
            "random",
            Mark::Dashes,
            &[[0.0, curve.weak], [1.0, curve.strong]],
        ),
        Series::plain("router", "router", Mark::Line, &curve.points),
    ];
    let title = format!("{} → {}", pair.weak, pair.strong);
    figure(
        out,
        &title,
        "share of calls to the strong model",
        "mean score",
        &series,
    );
}

fn reliability_plot(out: &mut String, report: &Report) {
    let Some(calibration) = &report.calibration else {
        return;
    };
    let bins = calibration.bins.iter().filter(|bin| bin.count > 0.0);
    let points = bins.map(|bin| {
        (
            [bin.predicted, bin.observed],
            format!("{} outcomes", bin.count),
        )
    });
    let series = [
        Series::plain(
            "calibrated",
            "random",
            Mark::Dashes,
            &[[0.0, 0.0], [1.0, 1.0]],
        ),
        Series {
            name: "P(correct)".into(),
            colour: "router",
            mark: Mark::Dots,
            points: points.collect(),
        },
    ];
    figure(
        out,
        "Reliability of P(correct)",
        "expected",
        "mean score",
        &series,
    );
    let _ = writeln!(
        out,
        "<p>AUC within a model {}; ECE {}.",
        shown(calibration.auc),
        shown(calibration.ece)
    );
    if let Some(after) = &report.labelled {
        let _ = write!(
            out,
            " After {PROMPTS} labelled prompts, on the others: ECE {:.3}, AUC {:.3}",
            after.ece, after.auc
        );
        if after.at_loss.is_finite() {
            let _ = write!(out, ", saved at −1.2 points {}", percent(after.at_loss));
        }
        out.push('.');
    }
    out.push_str("</p>\n");
}

/// Savings after more and more outcomes, with the bounds of the middle four fifths of the draws.
fn learning_plot(out: &mut String, report: &Report) {
    let known = report
        .after
        .iter()
        .filter(|point| point.at_loss.is_finite());
    let points: Vec<&CurvePoint> = known.collect();
    if points.len() < 2 {
        return;
    }
    let line = |name: &str, mark: Mark, value: &dyn Fn(&CurvePoint) -> f64| {
        let points: Vec<Point> = points
            .iter()
            .map(|point| [point.prompts as f64, value(point)])
            .collect();
        Series::plain(name, "router", mark, &points)
    };
    let one_per_prompt = points.iter().any(|point| point.one_per_prompt);
    let mut series = vec![
        line("Pointsman", Mark::Line, &|point| point.at_loss),
        line(
            "a tenth of the draws below, a tenth above",
            Mark::Dashes,
            &|point| point.at_loss_range[0],
        ),
        line("", Mark::Dashes, &|point| point.at_loss_range[1]),
    ];
    let others = report
        .others
        .iter()
        .zip(["profile", "weights"].iter().cycle());
    series.extend(others.map(|((name, points), colour)| {
        let points = points.iter();
        let points: Vec<Point> = points
            .map(|point| [point.prompts as f64, point.at_loss])
            .collect();
        Series::plain(name, colour, Mark::Line, &points)
    }));
    series.extend(baselines(report, &points));
    figure(
        out,
        "Saved at −1.2 points after learning",
        if one_per_prompt {
            "prompts, one outcome each"
        } else {
            "prompts, all outcomes"
        },
        "saved",
        &series,
    );
}

/// The savings of those that do not learn, on all rows of the file: level lines under the points of the curve.
fn baselines(report: &Report, points: &[&CurvePoint]) -> Vec<Series> {
    let Some(curves) = &report.curves else {
        return Vec::new();
    };
    let saved = |strategy: Strategy| curves.of(strategy).map(|figures| figures.at_loss.value);
    let level = [
        (
            "single models and mixtures of two, in hindsight",
            "zero",
            saved(Strategy::Zero),
        ),
        (
            "random, cheapest and best",
            "random",
            Some(curves.random.at_loss.value),
        ),
        ("oracle", "oracle", saved(Strategy::Oracle)),
    ];
    let lines = level.into_iter().filter_map(|(name, colour, value)| {
        let value = value.filter(|value| value.is_finite())?;
        let ends = [points.first()?, points.last()?];
        let ends = ends.map(|point| [point.prompts as f64, value]);
        Some(Series::plain(name, colour, Mark::Dashes, &ends))
    });
    lines.collect()
}

/// A table.
pub(crate) fn table(out: &mut String, table: &Table) {
    out.push_str("<div class=\"scroll\"><table>\n");
    for (at, row) in table.rows().enumerate() {
        let tag = if at == 0 { "th" } else { "td" };
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<{tag}>{}</{tag}>", escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n");
}

fn pair_table(out: &mut String, pair: &PairReport) {
    let figures = &pair.figures;
    let [cpt20, cpt50, cpt80] = figures.cpt;
    let saved = pair
        .curves
        .as_ref()
        .and_then(|curves| Some((curves.of(Strategy::Utility)?.at_loss, curves.random.at_loss)));
    let row = vec![
        format!("{} → {}", pair.weak, pair.strong),
        figures.count.to_string(),
        shown(figures.apgr),
        shown(cpt20),
        shown(cpt50),
        shown(cpt80),
        saved.map_or("–".into(), |(own, _)| shown(own)),
        saved.map_or("–".into(), |(_, random)| shown(random)),
    ];
    let mut line = Table::new(&[
        ("pair", Side::Left),
        ("n", Side::Right),
        ("APGR", Side::Right),
        ("CPT20", Side::Right),
        ("CPT50", Side::Right),
        ("CPT80", Side::Right),
        ("cost saved at −1.2 points", Side::Right),
        ("by random mixing", Side::Right),
    ]);
    line.push(row);
    table(out, &line);
    let _ = writeln!(
        out,
        "<p>Prompts are ranked by {}.</p>",
        escape(&pair.scorer)
    );
}
