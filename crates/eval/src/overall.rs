//! The report on all files together, from what each file's report keeps to be pooled.

use crate::figures::{Curves, Forecast, PairRows, Pool, calibration};
use crate::file::Report;
use crate::learning_curve::CurvePoint;
use crate::pairing::PairReport;

/// The pooled report. Each file stays its own deployment; see `figures`.
pub fn report(reports: &[Report]) -> Report {
    let mut overall = Report {
        name: "overall".into(),
        has_costs: reports.iter().any(|report| report.has_costs),
        ..Report::default()
    };
    let (mut rows, mut models) = (0, 0);
    for report in reports {
        overall.count += report.count;
        overall.without += report.without;
        overall.complete += report.complete;
        overall.micros.extend(&report.micros);
        overall.pool.append(&report.pool);
        overall.pairs.extend(&report.pairs);
        overall
            .forecasts
            .extend(report.forecasts.iter().map(|forecast| Forecast {
                row: forecast.row + rows,
                model: forecast.model + models,
                ..*forecast
            }));
        rows += report.micros.len();
        models += report.models.len();
    }
    overall.curves = (overall.pool.count() > 0).then(|| overall.pool.figures());
    overall.calibration =
        (!overall.forecasts.is_empty()).then(|| calibration(&overall.forecasts, rows));
    overall.labelled = labelled(reports);
    overall.after = after(reports);
    overall.pair = pair(reports);
    if reports.len() > 1 {
        overall.notes.push(
            "each file is its own deployment: its own models, its best one as the unit of cost; rows are pooled".into(),
        );
    }
    overall
}

/// The means of points of the files' learning curves, each file by its rows.
fn pooled(points: &[(f64, CurvePoint)]) -> Option<CurvePoint> {
    let (_, first) = points.first()?;
    let mean = |value: &dyn Fn(&CurvePoint) -> f64| {
        let known = points
            .iter()
            .map(|(count, point)| (*count, value(point)))
            .filter(|(_, value)| value.is_finite());
        let (sum, total) = known.fold((0.0, 0.0), |(sum, total), (count, value)| {
            (sum + count * value, total + count)
        });
        sum / total
    };
    let range = |value: &dyn Fn(&CurvePoint) -> [f64; 2]| {
        [
            mean(&|point| value(point)[0]),
            mean(&|point| value(point)[1]),
        ]
    };
    Some(CurvePoint {
        prompts: first.prompts,
        one_per_prompt: first.one_per_prompt,
        auc: mean(&|point| point.auc),
        auc_range: range(&|point| point.auc_range),
        ece: mean(&|point| point.ece),
        ece_range: range(&|point| point.ece_range),
        at_loss: mean(&|point| point.at_loss),
        at_loss_range: range(&|point| point.at_loss_range),
    })
}

/// The mean figures after labelling.
fn labelled(reports: &[Report]) -> Option<CurvePoint> {
    let points: Vec<(f64, CurvePoint)> = reports
        .iter()
        .filter_map(|report| Some((report.count as f64, report.labelled?)))
        .collect();
    pooled(&points)
}

/// The mean learning curve: every file has the same points.
fn after(reports: &[Report]) -> Vec<CurvePoint> {
    let most = reports.iter().map(|report| report.after.len()).max();
    let at = |place: usize| {
        let points: Vec<(f64, CurvePoint)> = reports
            .iter()
            .filter_map(|report| Some((report.count as f64, *report.after.get(place)?)))
            .collect();
        pooled(&points)
    };
    (0..most.unwrap_or_default()).filter_map(at).collect()
}

fn pair(reports: &[Report]) -> Option<PairReport> {
    let pairs: Vec<&PairReport> = reports
        .iter()
        .filter_map(|report| report.pair.as_ref())
        .collect();
    let first = pairs.first()?;
    let (mut rows, mut pool) = (PairRows::default(), Pool::default());
    for pair in &pairs {
        rows.append(&pair.rows);
        pool.append(&pair.pool);
    }
    let shared_name = |name: fn(&PairReport) -> &str, many: &str| {
        let same = pairs.iter().all(|pair| name(pair) == name(first));
        if same {
            name(first).to_owned()
        } else {
            many.to_owned()
        }
    };
    let curves: Option<Curves> = (pool.count() > 0).then(|| pool.figures());
    Some(PairReport {
        weak: shared_name(|pair| &pair.weak, "each file's own"),
        strong: shared_name(|pair| &pair.strong, "each file's own"),
        scorer: shared_name(|pair| &pair.scorer, "each file's own"),
        figures: rows.figures()?,
        curves,
        rows,
        pool,
    })
}
