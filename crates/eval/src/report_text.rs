//! The report as text for a terminal.

use std::fmt::Write;

use crate::figures::Curves;
use crate::file::Report;
use crate::format::{percent, shown, shown_percent};
use crate::gaps::over_random;
use crate::learning_curve::{CurvePoint, PROMPTS};
use crate::pairing::PairReport;
use crate::rated::RatedFigures;
use crate::sweep::Strategy;
use crate::tables;

/// How many lines of a table of kinds are shown; the JSON has all.
const KINDS: usize = 12;

/// The whole report.
pub fn text(reports: &[Report], overall: &Report) -> String {
    let mut out = String::new();
    for report in reports {
        write_report(&mut out, report);
    }
    if reports.len() > 1 {
        write_report(&mut out, overall);
    }
    out
}

fn write_report(out: &mut String, report: &Report) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}", report.name);
    let _ = write!(out, "  {} rows with outcomes", report.count);
    for (count, what) in [(report.without, "without"), (report.bad.len(), "bad lines")] {
        if count > 0 {
            let _ = write!(out, ", {count} {what}");
        }
    }
    let (p50, p99) = (report.micros(0.5), report.micros(0.99));
    if p50.is_finite() {
        let _ = write!(out, "; classified in {p50:.0} µs (p99 {p99:.0} µs) each");
    }
    out.push('\n');
    for note in &report.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    out.push('\n');
    if let Some(curves) = &report.curves {
        out.push_str(&cost_quality(report, curves));
    }
    if let Some(pair) = &report.pair {
        pair_lines(out, pair);
    }
    gaps(out, report);
    if let Some(calibration) = &report.calibration {
        let _ = writeln!(
            out,
            "P(correct): AUC within a model {}, ECE {}",
            shown(calibration.auc),
            shown(calibration.ece)
        );
    }
    if let Some(labelled) = &report.labelled {
        let [low, high] = labelled.ece_range;
        let _ = writeln!(
            out,
            "after {PROMPTS} labelled prompts, on the others: ECE {:.3} (draws {low:.3} to {high:.3}), AUC {:.3}, saved at −1.2 points {}\n",
            labelled.ece,
            labelled.auc,
            percent(labelled.at_loss)
        );
    } else {
        out.push('\n');
    }
    if let Some(figures) = &report.rated {
        rated(out, figures);
    }
    learning_curve(out, &report.after);
    judge(out, report);
    models(out, report);
    profiles(out, report);
    groups(out, report);
}

fn rated(out: &mut String, figures: &RatedFigures) {
    let _ = writeln!(
        out,
        "rated rows: {} (forecasts by a rater, not measured outcomes)\n  \
         expected against rated ease: Spearman {:.3}; a smaller class above a bigger one by 0.02: {} rows",
        figures.count, figures.spearman, figures.smaller_above_bigger
    );
    for class in &figures.classes {
        let _ = writeln!(
            out,
            "  class {:2}  mean |P − rated| {:.3}, ECE {:.3}",
            class.class, class.mean_abs, class.ece
        );
    }
    let _ = writeln!(
        out,
        "  answer tokens within a factor of two {}, geometric mean ratio {:.2}",
        percent(figures.tokens_within_2),
        figures.tokens_ratio
    );
    for (name, labels) in [
        ("", figures.labels),
        (" in other languages", figures.other_languages),
    ] {
        if labels.count > 0 {
            let _ = writeln!(
                out,
                "  task right{name} {}, domain right {} (n = {})",
                percent(labels.task),
                percent(labels.domain),
                labels.count
            );
        }
    }
    for easy in &figures.easy {
        let _ = writeln!(
            out,
            "  {}: of {} easy prompts (class m at least 0.93) {} to class s or m, {} to xl",
            easy.profile,
            easy.count,
            percent(easy.small),
            percent(easy.largest)
        );
    }
    out.push('\n');
}

fn cost_quality(report: &Report, curves: &Curves) -> String {
    let mut out = tables::strategies(curves).render();
    let single = |name: &Option<String>| name.as_deref().unwrap_or("each file's own").to_owned();
    let _ = writeln!(
        out,
        "always best ({}): quality {:.3}, cost 1; always cheapest ({}): quality {:.3}, cost {:.3}\n",
        single(&report.best),
        curves.best[1],
        single(&report.cheapest),
        curves.cheapest[1],
        curves.cheapest[0]
    );
    out
}

fn pair_lines(out: &mut String, pair: &PairReport) {
    let figures = &pair.figures;
    let [cpt20, cpt50, cpt80] = figures.cpt;
    let _ = writeln!(
        out,
        "pair {} ({:.3}) → {} ({:.3}), n = {}, ranked by {}",
        pair.weak,
        figures.curve.weak,
        pair.strong,
        figures.curve.strong,
        figures.count,
        pair.scorer
    );
    let _ = writeln!(
        out,
        "  APGR {}, CPT20 {}, CPT50 {}, CPT80 {}",
        shown(figures.apgr),
        shown_percent(cpt20),
        shown_percent(cpt50),
        shown_percent(cpt80)
    );
    if let Some(curves) = &pair.curves
        && let Some(router) = curves.of(Strategy::Utility)
    {
        let _ = writeln!(
            out,
            "  saved at −1.2 points {} (random {}), at 95 % {}",
            shown_percent(router.at_loss),
            percent(curves.random.at_loss.value),
            shown_percent(router.at_kept)
        );
    }
    out.push('\n');
}

fn gaps(out: &mut String, report: &Report) {
    let Some(table) = tables::gaps(report) else {
        return;
    };
    out.push_str(&table.render());
    out.push_str("every two models of which the better costs at least three times as much");
    let over = over_random(&report.pairs);
    if over.is_finite() {
        let _ = write!(
            out,
            "; 3 to 12 points behind: {over:.1} times random mixing"
        );
    }
    out.push_str("\n\n");
}

fn models(out: &mut String, report: &Report) {
    if let Some(table) = tables::models(report) {
        out.push_str(&table.render());
        out.push_str("share: of the rows, by utility where it costs least without losing more than 1.2 points\n\n");
    }
}

fn profiles(out: &mut String, report: &Report) {
    if let Some(table) = tables::profiles(report) {
        out.push_str(&table.render());
        out.push('\n');
    }
}

fn groups(out: &mut String, report: &Report) {
    for groups in &report.groups {
        out.push_str(&tables::groups(groups, KINDS).render());
        if groups.lines.len() > KINDS {
            let _ = writeln!(
                out,
                "… and {} more (in the JSON)",
                groups.lines.len() - KINDS
            );
        }
        out.push('\n');
    }
}

fn judge(out: &mut String, report: &Report) {
    let Some(figures) = &report.judge else {
        return;
    };
    let simulated = match (figures.simulated, figures.draws) {
        (0, _) => String::new(),
        (count, 1) => format!(
            ", {count} of them simulated: the rated ease ± {:.1} logits",
            figures.noise
        ),
        (count, draws) => format!(
            ", {count} of them simulated: the rated ease ± {:.1} logits; means of {draws} draws ± their standard deviation",
            figures.noise
        ),
    };
    let _ = writeln!(out, "judge: {} grades{simulated}", figures.count);
    out.push_str(&tables::judge(figures).render());
    let _ = write!(
        out,
        "asked for at most {} of the rows; gain: of a question at the operating point, in points of quality less cost, {:.1} points being worth the best model's cost",
        percent(figures.max_share),
        100.0 * figures.price
    );
    out.push_str("\n\n");
    if let Some(table) = tables::judge_profiles(figures) {
        out.push_str(&table.render());
        out.push('\n');
    }
}

fn learning_curve(out: &mut String, points: &[CurvePoint]) {
    for point in points {
        let outcomes = if point.one_per_prompt {
            "one outcome each"
        } else {
            "all outcomes"
        };
        let range = |[low, high]: [f64; 2]| format!("{low:.3} to {high:.3}");
        let _ = writeln!(
            out,
            "after {} prompts, {outcomes}: AUC {:.3} ({}), ECE {:.3} ({}), saved at −1.2 points {} ({} to {})",
            point.prompts,
            point.auc,
            range(point.auc_range),
            point.ece,
            range(point.ece_range),
            percent(point.at_loss),
            percent(point.at_loss_range[0]),
            percent(point.at_loss_range[1]),
        );
    }
    if !points.is_empty() {
        out.push('\n');
    }
}
