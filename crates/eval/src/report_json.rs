//! The report as JSON. A figure that cannot be computed is `null`; every figure's interval stands next to it as `…_ci95`.

use serde_json::{Map, Value, json};

use crate::figures::{Curves, Figure, PairFigures, StrategyFigures};
use crate::file::Report;
use crate::gaps::{classes, over_random};
use crate::judge::{Asked, JudgeFigures, KnobAsked, ProfileAsked};
use crate::learning_curve::{CurvePoint, PROMPTS};
use crate::measure::curve::Point;
use crate::pairing::PairReport;
use crate::rated::{Labels, RatedFigures};
use crate::sweep::Strategy;

/// The whole document.
pub fn document(reports: &[Report], overall: &Report) -> Value {
    json!({
        "schema_version": 1,
        "files": reports.iter().map(file).collect::<Vec<_>>(),
        "overall": file(overall),
    })
}

fn file(report: &Report) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.into(), value));
    put("file", json!(report.name));
    put("n", json!(report.count));
    put("n_complete", json!(report.complete));
    put("rows_without_outcomes", json!(report.without));
    let bad: Vec<Value> = report
        .bad
        .iter()
        .take(100)
        .map(|bad| json!({"line": bad.line, "message": bad.message}))
        .collect();
    put(
        "bad_lines",
        json!({"count": report.bad.len(), "first": bad}),
    );
    put("notes", json!(report.notes));
    put("best", json!(report.best));
    put("cheapest", json!(report.cheapest));
    put("pair", report.pair.as_ref().map_or(Value::Null, pair));
    put(
        "classify_us",
        json!({"p50": number(report.micros(0.5)), "p99": number(report.micros(0.99))}),
    );
    put("pairs_by_gap", pairs_by_gap(report));
    put("models", models(report));
    put("profiles", profiles(report));
    put("groups", groups(report));
    put("rated", report.rated.as_ref().map_or(Value::Null, rated));
    probabilities(&mut fields, report);
    let router = report
        .curves
        .as_ref()
        .and_then(|curves| curves.of(Strategy::Utility));
    strategy(&mut fields, router);
    fields.insert(
        "selection".into(),
        json!("utility: the highest P(correct) − λ · expected cost, λ swept"),
    );
    fields.insert(
        "curves".into(),
        report.curves.as_ref().map_or(Value::Null, curves),
    );
    Value::Object(fields)
}

fn rated(figures: &RatedFigures) -> Value {
    let labels = |labels: &Labels| {
        json!({
            "n": labels.count,
            "task_right": number(labels.task),
            "domain_right": number(labels.domain),
        })
    };
    let classes: Map<String, Value> = figures
        .classes
        .iter()
        .map(|class| {
            let value = json!({"mean_abs": number(class.mean_abs), "ece": number(class.ece)});
            (class.class.to_owned(), value)
        })
        .collect();
    let easy: Map<String, Value> = figures
        .easy
        .iter()
        .map(|easy| {
            let value = json!({
                "n": easy.count,
                "to_small": number(easy.small),
                "to_largest": number(easy.largest),
            });
            (easy.profile.clone(), value)
        })
        .collect();
    json!({
        "n": figures.count,
        "spearman": number(figures.spearman),
        "classes": classes,
        "answer_tokens_within_2": number(figures.tokens_within_2),
        "answer_tokens_ratio": number(figures.tokens_ratio),
        "labels": labels(&figures.labels),
        "labels_other_languages": labels(&figures.other_languages),
        "smaller_above_bigger": figures.smaller_above_bigger,
        "easy_prompts": easy,
    })
}

/// How good the probabilities are.
fn probabilities(fields: &mut Map<String, Value>, report: &Report) {
    let calibration = report.calibration.as_ref();
    figure(
        fields,
        "auc",
        calibration.map_or(Figure::NONE, |calibration| calibration.auc),
    );
    figure(
        fields,
        "ece",
        calibration.map_or(Figure::NONE, |calibration| calibration.ece),
    );
    let bins = calibration.map(|calibration| {
        let filled = calibration.bins.iter().filter(|bin| bin.count > 0.0);
        filled
            .map(
                |bin| json!({"n": bin.count, "expected": number(bin.predicted), "was": number(bin.observed)}),
            )
            .collect::<Vec<_>>()
    });
    fields.insert("reliability".into(), json!(bins));
    let labelled = report.labelled.map(|labelled| {
        json!({
            "prompts": PROMPTS,
            "ece": number(labelled.ece),
            "ece_range80": labelled.ece_range.map(number),
            "auc": number(labelled.auc),
            "savings_at_minus_1_2": number(labelled.at_loss),
        })
    });
    fields.insert("after_labels".into(), json!(labelled));
    let after: Vec<Value> = report.after.iter().map(curve_point).collect();
    fields.insert("after".into(), json!(after));
    fields.insert("judge".into(), json!(report.judge.as_ref().map(judge)));
}

/// What the judge adds.
fn judge(figures: &JudgeFigures) -> Value {
    let asked = |asked: &Asked| {
        json!({
            "share": number(asked.share),
            "savings_at_minus_1_2": number(asked.at_loss.mean),
            "savings_deviation": number(asked.at_loss.deviation),
            "gain_per_question": number(asked.gain),
        })
    };
    let profile = |line: &ProfileAsked| {
        let value = json!({
            "asked": number(line.share),
            "cost": line.cost.map(number),
            "quality": line.quality.map(number),
            "gain_times_random": number(line.times_random),
        });
        (line.name.clone(), value)
    };
    let knob = |knob: &KnobAsked| {
        let value = json!({
            "nothing": asked(&knob.nobody),
            "valuable": asked(&knob.valuable),
            "random": asked(&knob.random),
            "everything": asked(&knob.everybody),
            "gain_times_random": number(knob.times_random()),
        });
        (knob.strategy.name().to_owned(), value)
    };
    json!({
        "grades": figures.count,
        "simulated": figures.simulated,
        "noise_logits": figures.noise,
        "draws": figures.draws,
        "max_share": figures.max_share,
        "price_of_cost": number(figures.price),
        "routers": figures.knobs.iter().map(knob).collect::<Map<String, Value>>(),
        "profiles": figures.profiles.iter().map(profile).collect::<Map<String, Value>>(),
    })
}

/// A point of the learning curve; a figure's range is that of the middle four fifths of the draws.
fn curve_point(point: &CurvePoint) -> Value {
    json!({
        "prompts": point.prompts,
        "one_per_prompt": point.one_per_prompt,
        "auc": number(point.auc),
        "auc_range80": point.auc_range.map(number),
        "ece": number(point.ece),
        "ece_range80": point.ece_range.map(number),
        "savings_at_minus_1_2": number(point.at_loss),
        "savings_at_minus_1_2_range80": point.at_loss_range.map(number),
    })
}

fn number(value: f64) -> Value {
    if value.is_finite() {
        json!((value * 1e6).round() / 1e6)
    } else {
        Value::Null
    }
}

/// A cost, whose unit may be very small.
fn exact(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        Value::Null
    }
}

fn figure(fields: &mut Map<String, Value>, name: &str, figure: Figure) {
    fields.insert(name.into(), number(figure.value));
    let interval = if figure.value.is_finite() {
        json!(figure.interval.map(number))
    } else {
        Value::Null
    };
    fields.insert(format!("{name}_ci95"), interval);
}

fn strategy(fields: &mut Map<String, Value>, figures: Option<&StrategyFigures>) {
    let none = StrategyFigures {
        aiq: Figure::NONE,
        at_loss: Figure::NONE,
        at_kept: Figure::NONE,
    };
    let figures = figures.unwrap_or(&none);
    figure(fields, "aiq", figures.aiq);
    figure(fields, "savings_at_minus_1_2", figures.at_loss);
    figure(fields, "savings_at_95_percent", figures.at_kept);
}

fn pair(pair: &PairReport) -> Value {
    let PairFigures {
        count,
        apgr,
        cpt: [cpt20, cpt50, cpt80],
        curve,
    } = &pair.figures;
    let mut fields = Map::new();
    fields.insert("weak".into(), json!(pair.weak));
    fields.insert("strong".into(), json!(pair.strong));
    fields.insert("n".into(), json!(count));
    fields.insert("weak_quality".into(), number(curve.weak));
    fields.insert("strong_quality".into(), number(curve.strong));
    fields.insert("scorer".into(), json!(pair.scorer));
    figure(&mut fields, "apgr", *apgr);
    figure(&mut fields, "cpt20", *cpt20);
    figure(&mut fields, "cpt50", *cpt50);
    figure(&mut fields, "cpt80", *cpt80);
    let router = pair
        .curves
        .as_ref()
        .and_then(|curves| curves.of(Strategy::Utility));
    strategy(&mut fields, router);
    let random = pair
        .curves
        .as_ref()
        .map(|curves| number(curves.random.at_loss.value));
    fields.insert("random_savings_at_minus_1_2".into(), json!(random));
    fields.insert("curve".into(), points(&curve.points));
    Value::Object(fields)
}

/// The savings of many pairs by the gap between the two.
fn pairs_by_gap(report: &Report) -> Value {
    let object = |class: crate::gaps::Class| {
        json!({
            "points_behind": class.behind,
            "pairs": class.count,
            "savings_at_minus_1_2": number(class.router),
            "range80": class.router_range.map(number),
            "random": number(class.random),
            "oracle": number(class.oracle),
        })
    };
    let classes: Vec<Value> = classes(&report.pairs).into_iter().map(object).collect();
    json!({"classes": classes, "over_random_at_3_to_12": number(over_random(&report.pairs))})
}

fn points(points: &[Point]) -> Value {
    json!(
        points
            .iter()
            .map(|point| point.map(number))
            .collect::<Vec<_>>()
    )
}

fn curves(curves: &Curves) -> Value {
    let mut fields = Map::new();
    for (which, way_points) in Strategy::ALL.into_iter().zip(&curves.points) {
        let mut own = Map::new();
        strategy(&mut own, curves.of(which));
        own.insert("points".into(), points(way_points));
        fields.insert(which.name().into(), Value::Object(own));
    }
    let mut random = Map::new();
    strategy(&mut random, Some(&curves.random));
    fields.insert("random".into(), Value::Object(random));
    fields.insert("always_cheapest".into(), json!(curves.cheapest.map(number)));
    fields.insert("always_best".into(), json!(curves.best.map(number)));
    Value::Object(fields)
}

fn models(report: &Report) -> Value {
    let object = |model: &crate::file::ModelLine| {
        json!({
            "name": model.name,
            "placed_by": model.placed,
            "n": model.count,
            "quality": number(model.quality),
            "expected_quality": number(model.expected),
            "mean_cost": exact(model.cost),
            "share": number(model.share),
        })
    };
    json!(report.models.iter().map(object).collect::<Vec<_>>())
}

fn profiles(report: &Report) -> Value {
    let object = |profile: &crate::file::ProfileLine| {
        let shares: Map<String, Value> = profile
            .shares
            .iter()
            .map(|(name, share)| (name.clone(), number(*share)))
            .collect();
        json!({
            "name": profile.name,
            "selection": profile.selection,
            "cost": number(profile.cost),
            "savings": number(1.0 - profile.cost),
            "quality": number(profile.quality),
            "not_routed": number(profile.refused),
            "shares": shares,
        })
    };
    json!(report.profiles.iter().map(object).collect::<Vec<_>>())
}

fn groups(report: &Report) -> Value {
    let mut fields = Map::new();
    for groups in &report.groups {
        let object = |line: &crate::file::GroupLine| {
            json!({
                "name": line.name,
                "n": line.count,
                "cheapest": number(line.cheapest),
                "best": number(line.best),
                "router": number(line.router),
                "savings": number(line.saved),
                "to_best": number(line.to_best),
            })
        };
        fields.insert(
            groups.by.replace(' ', "_"),
            json!(groups.lines.iter().map(object).collect::<Vec<_>>()),
        );
    }
    Value::Object(fields)
}
