"""Figures: APGR, AUC within a model, expected calibration error, accuracy; each with a bootstrap interval. One
scorer for all tables."""

import numpy as np

# What ranks the prompts of a pair is `gain` and so many times the gap between P(correct): `GAP_WEIGHT` in
# crates/eval/src/pairing.rs.
GAP_WEIGHT = 8


def apgr(score, weak, strong):
    """Average performance gap recovered, by RouteLLM's definition: thresholds at the 11 edges of ten quantile bins
    of `score`."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, 11)))
    share, quality = [], []
    for i, edge in enumerate(edges):
        to_strong = score > edge if i == len(edges) - 1 else score >= edge
        share.append(to_strong.mean())
        quality.append(np.where(to_strong, strong, weak).mean())
    order = np.argsort(share, kind="stable")
    share, quality = np.array(share)[order], np.array(quality)[order]
    area = np.trapezoid(quality, share)
    low, high = weak.mean(), strong.mean()
    return (area - low) / (high - low) if high != low else np.nan


def auc(score, label):
    """Area under the ROC curve for binary or fractional labels in 0..1 (a fractional label counts as both, by its
    weight)."""
    order = np.argsort(score, kind="stable")
    score, label = score[order], label[order]
    _, inverse = np.unique(score, return_inverse=True)
    positive = np.bincount(inverse, label)
    negative = np.bincount(inverse, 1 - label)
    below = np.cumsum(negative) - negative
    total = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / total) if total else np.nan


def auc_within(p, scores):
    """Mean over models of the AUC among the prompts that the model answered, weighted by their number."""
    values, weights = [], []
    for m in range(scores.shape[1]):
        known = ~np.isnan(scores[:, m])
        if known.sum() >= 30 and 0 < scores[known, m].mean() < 1:
            values.append(auc(p[known, m], scores[known, m]))
            weights.append(known.sum())
    return float(np.average(values, weights=weights)) if values else np.nan


def ece(p, label, bins=15):
    """Expected calibration error over bins of equal width."""
    known = ~np.isnan(label)
    p, label = p[known], label[known]
    which = np.minimum((p * bins).astype(int), bins - 1)
    gap = np.abs(np.bincount(which, p, bins) - np.bincount(which, label, bins))
    return float(gap.sum() / len(p)) if len(p) else np.nan


def interval(figure, count, rounds=300, seed=7):
    """[figure, low, high]: the 95 % bootstrap interval of figure(indices)."""
    rng = np.random.default_rng(seed)
    values = [figure(rng.integers(0, count, count)) for _ in range(rounds)]
    return [float(figure(np.arange(count))), *(float(x) for x in np.nanpercentile(values, [2.5, 97.5]))]
