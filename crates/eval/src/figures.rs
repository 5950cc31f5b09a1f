//! From a file's rows to its figures, each with its interval; and the figures of all files together.
//!
//! All files together are each its own deployment: its own models, its own best and cheapest one, costs in units of that best
//! one; rows are pooled and one knob turns for all.

use crate::measure::bootstrap::intervals;
use crate::measure::curve::{Point, aiq, hull, saved, slope_at};
use crate::measure::pair::{Curve, Rows};
use crate::measure::probability::{BINS, Bin, auc, bins, ece};
use crate::sweep::{Strategy, Trace};

/// How much quality may be lost for the saving that is reported first: 1.2 points.
pub const LOSS: f64 = 0.012;
/// The part of the best model's quality that is kept for the other.
pub const KEPT: f64 = 0.95;
/// Fewer outcomes of a model than this say nothing of how well it is ranked.
const LEAST_RANKED: usize = 30;

/// A figure with its 95 % interval; NaN if it cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// The interval's bounds.
    pub interval: [f64; 2],
}

impl Figure {
    /// A figure that cannot be computed.
    pub const NONE: Figure = Figure {
        value: f64::NAN,
        interval: [f64::NAN; 2],
    };
}

/// Figures in the order of `values`, of which `count` rows are drawn for the intervals.
fn with_intervals(count: usize, figures: impl Fn(&[f64]) -> Vec<f64>) -> Vec<Figure> {
    let values = figures(&vec![1.0; count]);
    let bounds = intervals(count, figures);
    let bounds = bounds.into_iter().chain(std::iter::repeat([f64::NAN; 2]));
    values
        .into_iter()
        .zip(bounds)
        .map(|(value, interval)| Figure { value, interval })
        .collect()
}

/// Rows of one or several files, pooled for the curves of cost and quality.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// Cost and quality of the rows under each strategy, in the order of [`Strategy::ALL`].
    pub traces: Vec<Trace>,
    /// Cost and quality of the cheapest model, row by row.
    pub cheapest: Trace,
    /// Of the best model.
    pub best: Trace,
    /// Mean cost of the dearest model in each row's file.
    pub dearest: Vec<f64>,
}

impl Pool {
    /// Adds the rows of `other`.
    pub fn append(&mut self, other: &Pool) {
        if other.count() == 0 {
            return;
        }
        self.traces.resize_with(other.traces.len(), Trace::default);
        for (own, new) in self.traces.iter_mut().zip(&other.traces) {
            own.append(new);
        }
        self.cheapest.append(&other.cheapest);
        self.best.append(&other.best);
        self.dearest.extend(&other.dearest);
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.dearest.len()
    }

    /// The figures of every way, and of the random mixture of cheapest and best.
    pub fn figures(&self) -> Curves {
        let count = self.count();
        let ones = vec![1.0; count];
        let ends = self.ends(&ones);
        let flat = with_intervals(count, |weights| self.all(weights));
        let figures = |at: usize| StrategyFigures {
            aiq: flat.get(3 * at).copied().unwrap_or(Figure::NONE),
            at_loss: flat.get(3 * at + 1).copied().unwrap_or(Figure::NONE),
            at_kept: flat.get(3 * at + 2).copied().unwrap_or(Figure::NONE),
        };
        Curves {
            cheapest: ends.cheapest,
            best: ends.best,
            strategies: (0..self.traces.len()).map(figures).collect(),
            random: figures(self.traces.len()),
            points: self
                .traces
                .iter()
                .map(|trace| trace.points(&ones))
                .collect(),
        }
    }

    /// The share of the best model's cost that the first way saves at [`LOSS`], without an interval.
    pub fn saved_at_loss(&self) -> f64 {
        let all = self.all(&vec![1.0; self.count()]);
        all.get(1).copied().unwrap_or(f64::NAN)
    }

    /// The quality that the first way gains per cost of the best model at [`LOSS`]: the price of cost at that point of its curve. NaN
    /// if it has none.
    pub fn exchange_at_loss(&self) -> f64 {
        let ones = vec![1.0; self.count()];
        let ends = self.ends(&ones);
        let points = self.traces.first().map(|trace| trace.points(&ones));
        let hull = hull(
            points
                .into_iter()
                .flatten()
                .chain([ends.cheapest, ends.best]),
        );
        slope_at(&hull, ends.best[1] - LOSS)
    }

    fn ends(&self, weights: &[f64]) -> Ends {
        let only = |trace: &Trace| {
            trace
                .points(weights)
                .first()
                .copied()
                .unwrap_or([f64::NAN; 2])
        };
        let total: f64 = weights.iter().sum();
        let dearest = self
            .dearest
            .iter()
            .zip(weights)
            .map(|(cost, weight)| cost * weight);
        Ends {
            cheapest: only(&self.cheapest),
            best: only(&self.best),
            dearest: dearest.sum::<f64>() / total,
        }
    }

    /// AIQ and the two savings of each way, and of the random mixture.
    fn all(&self, weights: &[f64]) -> Vec<f64> {
        let ends = self.ends(weights);
        let strategies = self.traces.iter().map(|trace| trace.points(weights));
        let figures = strategies.chain([Vec::new()]).flat_map(|points| {
            // Every policy can send everything to the cheapest or to the best model, or a share of the requests there.
            let hull = hull(points.into_iter().chain([ends.cheapest, ends.best]));
            [
                aiq(&hull, ends.cheapest[0], ends.dearest),
                saved(&hull, ends.best[0], ends.best[1] - LOSS),
                saved(&hull, ends.best[0], ends.best[1] * KEPT),
            ]
        });
        figures.collect()
    }

    /// The position of the router's knob at which it costs least without losing more than [`LOSS`]; all on quality where it
    /// always loses more.
    pub fn operating_step(&self) -> usize {
        let ones = vec![1.0; self.count()];
        let target = self.ends(&ones).best[1] - LOSS;
        let points = self
            .traces
            .first()
            .map(|trace| trace.points(&ones))
            .unwrap_or_default();
        let good = points
            .iter()
            .enumerate()
            .filter(|(_, point)| point[1] >= target);
        good.min_by(|(_, left), (_, right)| left[0].total_cmp(&right[0]))
            .map_or(0, |(at, _)| at)
    }
}

struct Ends {
    cheapest: Point,
    best: Point,
    dearest: f64,
}

/// The figures of one way to choose.
#[derive(Debug, Clone, Copy)]
pub struct StrategyFigures {
    /// Average improvement in quality.
    pub aiq: Figure,
    /// Share of the best model's cost that is saved at [`LOSS`].
    pub at_loss: Figure,
    /// Savings at [`KEPT`] of its quality.
    pub at_kept: Figure,
}

/// Everything about cost and quality.
#[derive(Debug, Clone)]
pub struct Curves {
    /// Cost and quality of the cheapest model.
    pub cheapest: Point,
    /// Of the best model.
    pub best: Point,
    /// In the order of [`Strategy::ALL`].
    pub strategies: Vec<StrategyFigures>,
    /// The random mixture of cheapest and best.
    pub random: StrategyFigures,
    /// The points of each way, in the order of [`Strategy::ALL`].
    pub points: Vec<Vec<Point>>,
}

impl Curves {
    /// The figures of a way.
    pub fn of(&self, strategy: Strategy) -> Option<&StrategyFigures> {
        let at = Strategy::ALL.iter().position(|item| *item == strategy)?;
        self.strategies.get(at)
    }
}

/// The rows of a pair.
#[derive(Debug, Clone, Default)]
pub struct PairRows {
    /// The score that ranks them.
    pub score: Vec<f64>,
    /// The weak model's scores.
    pub weak: Vec<f64>,
    /// The strong model's.
    pub strong: Vec<f64>,
}

/// The figures of a pair.
#[derive(Debug, Clone)]
pub struct PairFigures {
    /// How many rows both have an outcome of.
    pub count: usize,
    /// Average performance gap recovered.
    pub apgr: Figure,
    /// Call-performance thresholds at 20, 50 and 80 %.
    pub cpt: [Figure; 3],
    /// The curve.
    pub curve: Curve,
}

impl PairRows {
    /// Adds the rows of `other`.
    pub fn append(&mut self, other: &PairRows) {
        self.score.extend(&other.score);
        self.weak.extend(&other.weak);
        self.strong.extend(&other.strong);
    }

    /// Its figures; `None` if there are no rows.
    pub fn figures(&self) -> Option<PairFigures> {
        let count = self.score.len();
        let curve = |weights: &[f64]| {
            Curve::new(&Rows {
                score: &self.score,
                weak: &self.weak,
                strong: &self.strong,
                weights,
            })
        };
        let figures = with_intervals(count, |weights| {
            let curve = curve(weights);
            vec![curve.apgr(), curve.cpt(0.2), curve.cpt(0.5), curve.cpt(0.8)]
        });
        let figure = |at: usize| figures.get(at).copied().unwrap_or(Figure::NONE);
        (count > 0).then(|| PairFigures {
            count,
            apgr: figure(0),
            cpt: [figure(1), figure(2), figure(3)],
            curve: curve(&vec![1.0; count]),
        })
    }
}

/// The expected and the observed score of a model in a row.
#[derive(Debug, Clone, Copy)]
pub struct Forecast {
    /// Which row; rows are drawn whole.
    pub row: usize,
    /// Which model.
    pub model: usize,
    /// The expected score.
    pub p: f64,
    /// The score.
    pub score: f64,
}

/// How good the probabilities are.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// AUC within a model: the mean over models, by their numbers of outcomes.
    pub auc: Figure,
    /// Expected calibration error.
    pub ece: Figure,
    /// The reliability plot.
    pub bins: [Bin; BINS],
}

/// The AUC within each model of `forecasts`, averaged by the numbers of outcomes; models with fewer than thirty do not count.
pub fn auc_within(forecasts: &[Forecast], weights: &[f64]) -> f64 {
    let models = forecasts
        .iter()
        .map(|forecast| forecast.model + 1)
        .max()
        .unwrap_or(0);
    let mut by_model = vec![(Vec::new(), Vec::new()); models];
    for forecast in forecasts {
        if let Some((rows, own)) = by_model.get_mut(forecast.model) {
            rows.push((forecast.p, forecast.score));
            own.push(weights.get(forecast.row).copied().unwrap_or(0.0));
        }
    }
    let (mut sum, mut total) = (0.0, 0.0);
    for (rows, own) in by_model
        .iter()
        .filter(|(rows, _)| rows.len() >= LEAST_RANKED)
    {
        let area = auc(rows, own);
        if area.is_finite() {
            sum += area * rows.len() as f64;
            total += rows.len() as f64;
        }
    }
    if total > 0.0 { sum / total } else { f64::NAN }
}

/// The figures of `forecasts` over `rows` rows.
pub fn calibration(forecasts: &[Forecast], rows: usize) -> Calibration {
    let bins_of = |weights: &[f64]| {
        let weighted = forecasts.iter().map(|forecast| {
            (
                forecast.p,
                forecast.score,
                weights.get(forecast.row).copied().unwrap_or(0.0),
            )
        });
        bins(weighted)
    };
    let figures = with_intervals(rows, |weights| {
        vec![auc_within(forecasts, weights), ece(&bins_of(weights))]
    });
    Calibration {
        auc: figures.first().copied().unwrap_or(Figure::NONE),
        ece: figures.get(1).copied().unwrap_or(Figure::NONE),
        bins: bins_of(&vec![1.0; rows]),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn trace(steps: &[&[(f64, f64)]]) -> Trace {
        let split = |step: &&[(f64, f64)]| step.iter().copied().unzip();
        let (cost, quality) = steps.iter().map(split).unzip();
        Trace { cost, quality }
    }

    /// Two rows; the strong model costs 1 and is always right, the weak one 0.1 and right once; the router knows when.
    fn pool() -> Pool {
        let strong: &[(f64, f64)] = &[(1.0, 1.0), (1.0, 1.0)];
        let weak: &[(f64, f64)] = &[(0.1, 1.0), (0.1, 0.0)];
        let routed: &[(f64, f64)] = &[(0.1, 1.0), (1.0, 1.0)];
        Pool {
            traces: vec![trace(&[strong, routed, weak])],
            cheapest: trace(&[weak]),
            best: trace(&[strong]),
            dearest: vec![1.0, 1.0],
        }
    }

    #[test]
    fn savings_and_aiq_by_hand() {
        let curves = pool().figures();
        assert_eq!((curves.cheapest, curves.best), ([0.1, 0.5], [1.0, 1.0]));
        let router = curves.strategies.first().unwrap();
        // At (0.55, 1.0) nothing is lost; 1.2 points less cost 0.012 / 0.5 of the way to (0.1, 0.5) less.
        let cost = 0.55 - 0.012 / 0.5 * 0.45;
        assert!((router.at_loss.value - (1.0 - cost)).abs() < 1e-12);
        assert!((router.aiq.value - (0.45 * 0.75 + 0.45) / 0.9).abs() < 1e-12);
        let random = curves.random;
        assert!((random.at_loss.value - 0.012 / 0.5 * 0.9).abs() < 1e-12);
        assert!((random.aiq.value - 0.75).abs() < 1e-12);
    }

    #[test]
    fn the_operating_point_is_the_cheapest_that_is_good_enough() {
        assert_eq!(pool().operating_step(), 1);
        assert_eq!(Pool::default().operating_step(), 0);
    }

    #[test]
    fn pooled_twice_is_the_same() {
        let (first, mut second) = (pool(), pool());
        second.append(&first);
        second.append(&Pool::default());
        assert_eq!(second.count(), 4);
        let value = |pool: &Pool| pool.figures().strategies.first().unwrap().at_loss.value;
        assert!((value(&first) - value(&second)).abs() < 1e-12);
    }

    #[test]
    fn models_are_ranked_apart() {
        // The second model is better than the first, and each is ranked perfectly: pooled, they would not be.
        let forecast = |model: usize, at: usize| Forecast {
            row: at,
            model,
            p: if at.is_multiple_of(2) { 0.2 } else { 0.4 } + 0.3 * model as f64,
            score: (at % 2) as f64,
        };
        let all: Vec<Forecast> = (0..40)
            .flat_map(|at| [forecast(0, at), forecast(1, at)])
            .collect();
        assert_eq!(auc_within(&all, &[1.0; 40]), 1.0);
        let few: Vec<Forecast> = (0..20).map(|at| forecast(0, at)).collect();
        assert!(auc_within(&few, &[1.0; 20]).is_nan());
    }
}
