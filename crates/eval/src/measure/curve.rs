//! Curves of cost against quality: the non-decreasing convex hull, AIQ and the cost that is saved at a quality.
//!
//! Hull and AIQ are RouterBench's (Hu et al., "RouterBench: A Benchmark for Multi-LLM Routing System", arXiv:2403.12031): of two
//! points any mixture can be had by sending a share of the requests each way, so what counts is the hull.

/// Cost and quality, both means over requests.
pub type Point = [f64; 2];

/// The upper left corners of `points`: from the cheapest on, each dearer, better and gaining less per cost than the one before.
/// Points that are not numbers are left out.
pub fn hull(points: impl IntoIterator<Item = Point>) -> Vec<Point> {
    let mut sorted: Vec<Point> = points
        .into_iter()
        .filter(|[cost, quality]| cost.is_finite() && quality.is_finite())
        .collect();
    sorted.sort_by(|left, right| {
        let [cost, quality] = left;
        cost.total_cmp(&right[0]).then(right[1].total_cmp(quality))
    });
    let mut corners: Vec<Point> = Vec::new();
    for point in sorted {
        if corners.last().is_some_and(|last| point[1] <= last[1]) {
            continue;
        }
        while let [.., before, last] = corners.as_slice()
            && slope(before, &point) >= slope(before, last)
        {
            corners.pop();
        }
        corners.push(point);
    }
    corners
}

fn slope(from: &Point, to: &Point) -> f64 {
    (to[1] - from[1]) / (to[0] - from[0])
}

/// The quality that a hull has for `cost`: flat behind its end; NaN before its start.
pub fn quality_at(hull: &[Point], cost: f64) -> f64 {
    let behind = hull.partition_point(|point| point[0] <= cost);
    let Some(last) = behind.checked_sub(1).and_then(|at| hull.get(at)) else {
        return f64::NAN;
    };
    hull.get(behind).map_or(last[1], |next| {
        last[1] + (cost - last[0]) * slope(last, next)
    })
}

/// The least cost at which a hull has `quality`; NaN if it never has.
pub fn cost_at(hull: &[Point], quality: f64) -> f64 {
    let at = hull.partition_point(|point| point[1] < quality);
    let Some(point) = hull.get(at) else {
        return f64::NAN;
    };
    match at.checked_sub(1).and_then(|before| hull.get(before)) {
        Some(before) => before[0] + (quality - before[1]) / slope(before, point),
        None => point[0],
    }
}

/// The quality that a hull gains per cost where it has `quality`; NaN if it never has, or begins there.
pub fn slope_at(hull: &[Point], quality: f64) -> f64 {
    let at = hull.partition_point(|point| point[1] < quality);
    let before = at.checked_sub(1).and_then(|before| hull.get(before));
    before
        .zip(hull.get(at))
        .map_or(f64::NAN, |(before, point)| slope(before, point))
}

/// Average improvement in quality: the mean height of the hull over costs from `from` to `to`; if that is one cost, the
/// height there. The hull has to begin at `from` or before.
pub fn aiq(hull: &[Point], from: f64, to: f64) -> f64 {
    if to <= from {
        return quality_at(hull, from);
    }
    let inside = hull
        .iter()
        .map(|point| point[0])
        .filter(|cost| *cost > from && *cost < to);
    let costs: Vec<f64> = [from].into_iter().chain(inside).chain([to]).collect();
    let steps = costs.iter().zip(costs.iter().skip(1));
    let area: f64 = steps
        .map(|(left, right)| {
            (right - left) * (quality_at(hull, *left) + quality_at(hull, *right)) / 2.0
        })
        .sum();
    area / (to - from)
}

/// The share of `cost` that a hull saves while it keeps `quality`; 0 if it cannot keep it for less.
pub fn saved(hull: &[Point], cost: f64, quality: f64) -> f64 {
    let least = cost_at(hull, quality);
    if cost <= 0.0 || !cost.is_finite() {
        return f64::NAN;
    }
    if least.is_nan() {
        0.0
    } else {
        (1.0 - least / cost).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hull_keeps_what_no_mixture_beats() {
        let points = [
            [4.0, 0.8],
            [1.0, 0.2],
            [2.0, 0.6],
            [3.0, 0.65],
            [2.0, 0.5],
            [5.0, 0.7],
            [6.0, 0.8],
        ];
        // (3, 0.65) lies under the line from (2, 0.6) to (4, 0.8); what is dearer than (4, 0.8) is no better.
        assert_eq!(hull(points), [[1.0, 0.2], [2.0, 0.6], [4.0, 0.8]]);
        assert_eq!(hull([[f64::NAN, 1.0]]), Vec::<Point>::new());
        assert_eq!(hull([[1.0, 0.5], [1.0, 0.7]]), [[1.0, 0.7]]);
    }

    #[test]
    fn what_lies_between_corners_is_a_mixture() {
        let hull = [[1.0, 0.2], [2.0, 0.6], [4.0, 0.8]];
        assert!((quality_at(&hull, 3.0) - 0.7).abs() < 1e-12);
        assert!((cost_at(&hull, 0.7) - 3.0).abs() < 1e-12);
        assert_eq!(quality_at(&hull, 9.0), 0.8);
        assert_eq!(cost_at(&hull, 0.1), 1.0);
        assert!((slope_at(&hull, 0.7) - 0.1).abs() < 1e-12);
        assert!((slope_at(&hull, 0.3) - 0.4).abs() < 1e-12);
        assert!(slope_at(&hull, 0.2).is_nan() && slope_at(&hull, 0.9).is_nan());
        assert!(quality_at(&hull, 0.5).is_nan() && cost_at(&hull, 0.9).is_nan());
    }

    #[test]
    fn aiq_by_hand() {
        let hull = [[1.0, 0.2], [2.0, 0.6], [4.0, 0.8]];
        // 0.4 over 1 and 0.7 over 2; behind the end 0.8.
        assert!((aiq(&hull, 1.0, 4.0) - (0.4 + 1.4) / 3.0).abs() < 1e-12);
        assert!((aiq(&hull, 1.0, 6.0) - (0.4 + 1.4 + 1.6) / 5.0).abs() < 1e-12);
        assert_eq!(aiq(&hull, 2.0, 2.0), 0.6);
    }

    #[test]
    fn saving_by_hand() {
        let hull = [[1.0, 0.2], [2.0, 0.6], [4.0, 0.8]];
        assert!((saved(&hull, 4.0, 0.8 - 0.1) - 0.25).abs() < 1e-12);
        assert_eq!(saved(&hull, 4.0, 0.9), 0.0);
        assert_eq!(saved(&hull, 2.0, 0.8), 0.0);
        assert!(saved(&hull, 0.0, 0.8).is_nan());
    }
}
