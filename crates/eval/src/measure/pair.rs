//! A weak and a strong model: APGR and CPT by RouteLLM's definitions (Ong et al., "RouteLLM: Learning to Route LLMs with
//! Preference Data", arXiv:2406.18665), in the protocol of its evaluation code: ten quantile bins of the score.

/// Rows of a pair: what ranks them, what each model made of them, and how often each row counts.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The higher, the rather the strong model.
    pub score: &'a [f64],
    /// The weak model's scores.
    pub weak: &'a [f64],
    /// The strong model's scores.
    pub strong: &'a [f64],
    /// How often each row counts; whole numbers.
    pub weights: &'a [f64],
}

/// The curve of a pair: share of calls to the strong model against mean score, at the 11 thresholds, by rising share.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Mean score of the weak model alone.
    pub weak: f64,
    /// Mean score of the strong model alone.
    pub strong: f64,
    /// Share of strong calls and mean score.
    pub points: Vec<[f64; 2]>,
}

impl Curve {
    /// The curve of `rows`: at the edge of each of ten quantile bins, all prompts at or above it go to the strong model;
    /// strictly above it at the last.
    pub fn new(rows: &Rows<'_>) -> Curve {
        let mut order: Vec<(f64, f64, f64, f64)> = rows
            .score
            .iter()
            .zip(rows.weak)
            .zip(rows.strong)
            .zip(rows.weights)
            .filter(|(_, weight)| **weight > 0.0)
            .map(|(((score, weak), strong), weight)| (*score, *weak, *strong, *weight))
            .collect();
        order.sort_by(|left, right| left.0.total_cmp(&right.0));
        let total: f64 = order.iter().map(|row| row.3).sum();
        let mean = |value: fn(&(f64, f64, f64, f64)) -> f64| {
            order.iter().map(|row| value(row) * row.3).sum::<f64>() / total
        };
        let edges = edges(&order, total);
        let last = edges.len().saturating_sub(1);
        let mut points: Vec<[f64; 2]> = Vec::with_capacity(edges.len());
        for (index, edge) in edges.iter().enumerate() {
            let (mut share, mut quality) = (0.0, 0.0);
            for (score, weak, strong, weight) in &order {
                let to_strong = if index == last {
                    score > edge
                } else {
                    score >= edge
                };
                share += if to_strong { *weight } else { 0.0 };
                quality += weight * if to_strong { strong } else { weak };
            }
            points.push([share / total, quality / total]);
        }
        points.reverse();
        Curve {
            weak: mean(|row| row.1),
            strong: mean(|row| row.2),
            points,
        }
    }

    /// Average performance gap recovered: the area under the curve less the weak model's score, in units of the gap. Random
    /// routing has 0.5. NaN if the two models are equally good.
    pub fn apgr(&self) -> f64 {
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        let area: f64 = pairs
            .map(|([x, y], [next_x, next_y])| (next_x - x) * (y + next_y) / 2.0)
            .sum();
        // If the points do not reach from 0 to 1 (ties), the missing part counts as the weak model.
        ratio(area - self.weak, self.strong - self.weak)
    }

    /// Call-performance threshold: the share of strong calls at which `part` of the gap is first recovered, between two points
    /// of the curve by a straight line. NaN if the gap is not positive, or never recovered so far.
    pub fn cpt(&self, part: f64) -> f64 {
        let gap = self.strong - self.weak;
        if gap <= 0.0 {
            return f64::NAN;
        }
        let target = self.weak + part * gap;
        let mut before: Option<[f64; 2]> = None;
        for [x, y] in &self.points {
            if *y >= target {
                let Some([from, low]) = before else {
                    return *x;
                };
                return from + (x - from) * (target - low) / (y - low);
            }
            before = Some([*x, *y]);
        }
        f64::NAN
    }
}

/// The distinct edges of ten quantile bins, as `pandas.qcut` and `numpy.quantile` (linear interpolation) make them.
fn edges(order: &[(f64, f64, f64, f64)], total: f64) -> Vec<f64> {
    let mut ends = Vec::with_capacity(order.len());
    let mut cumulated = 0.0;
    for row in order {
        cumulated += row.3;
        ends.push(cumulated);
    }
    let nth = |index: f64| {
        let at = ends.partition_point(|end| *end <= index);
        order
            .get(at.min(order.len().saturating_sub(1)))
            .map_or(f64::NAN, |row| row.0)
    };
    let mut edges: Vec<f64> = (0..=10)
        .map(|tenth| {
            let place = f64::from(tenth) / 10.0 * (total - 1.0).max(0.0);
            let (low, high) = (nth(place.floor()), nth(place.ceil()));
            low + (high - low) * place.fract()
        })
        .collect();
    edges.dedup();
    edges
}

fn ratio(over: f64, under: f64) -> f64 {
    if under == 0.0 { f64::NAN } else { over / under }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(score: &[f64], weak: &[f64], strong: &[f64]) -> Curve {
        let weights = vec![1.0; score.len()];
        Curve::new(&Rows {
            score,
            weak,
            strong,
            weights: &weights,
        })
    }

    /// Eleven prompts; only the one with the highest score gains.
    fn one_gains() -> Curve {
        let score: Vec<f64> = (0..11).map(f64::from).collect();
        let weak = vec![0.0; 11];
        let mut strong = weak.clone();
        strong.pop();
        strong.push(1.0);
        curve(&score, &weak, &strong)
    }

    #[test]
    fn every_edge_of_eleven_prompts_is_a_prompt() {
        let found = one_gains();
        assert_eq!(found.points.len(), 11);
        assert_eq!(found.points.first(), Some(&[0.0, 0.0]));
        // Two prompts at the second edge from the top: the tenth and the eleventh.
        assert_eq!(found.points.get(1), Some(&[2.0 / 11.0, 1.0 / 11.0]));
        assert_eq!(found.points.last(), Some(&[1.0, 1.0 / 11.0]));
    }

    #[test]
    fn apgr_and_cpt_by_hand() {
        let found = one_gains();
        // A triangle up to 2/11, then flat: 1/11 · (1 − 2/11 + 1/11), divided by the gap of 1/11.
        assert!((found.apgr() - 10.0 / 11.0).abs() < 1e-12);
        assert!((found.cpt(0.5) - 1.0 / 11.0).abs() < 1e-12);
        assert!((found.cpt(1.0) - 2.0 / 11.0).abs() < 1e-12);
    }

    #[test]
    fn equal_gains_everywhere_are_random_routing() {
        let score: Vec<f64> = (0..101).map(f64::from).collect();
        let found = curve(&score, &[0.25; 101], &[0.75; 101]);
        assert!((found.apgr() - 0.5).abs() < 1e-3, "{}", found.apgr());
        assert!((found.cpt(0.5) - 0.5).abs() < 1e-9);
        assert!((found.cpt(0.2) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn one_score_for_all_is_all_or_nothing() {
        let found = curve(&[1.0; 4], &[0.0; 4], &[1.0; 4]);
        // The only edge is the last one: nothing is strictly above it.
        assert_eq!(found.points, [[0.0, 0.0]]);
        assert_eq!(found.apgr(), 0.0);
        assert!(found.cpt(0.5).is_nan());
    }

    #[test]
    fn an_undefined_figure_is_not_a_number() {
        let equal = curve(&[1.0, 2.0], &[1.0, 0.0], &[0.0, 1.0]);
        assert!(equal.apgr().is_nan() && equal.cpt(0.5).is_nan());
        let worse = curve(&[1.0, 2.0], &[1.0, 1.0], &[0.0, 0.0]);
        assert!(worse.cpt(0.5).is_nan());
        assert!(curve(&[], &[], &[]).apgr().is_nan());
    }

    #[test]
    fn a_row_that_counts_twice_is_two_rows() {
        let twice = curve(
            &[1.0, 2.0, 2.0, 3.0],
            &[0.0, 1.0, 1.0, 0.0],
            &[1.0, 0.0, 0.0, 1.0],
        );
        let weighted = Curve::new(&Rows {
            score: &[1.0, 2.0, 3.0],
            weak: &[0.0, 1.0, 0.0],
            strong: &[1.0, 0.0, 1.0],
            weights: &[1.0, 2.0, 1.0],
        });
        assert_eq!(weighted, twice);
    }
}
