"""Benchmark scores → what the ability map sees: one standardised logit per benchmark, missing ones inferred, and a
constant.

Scores of different benchmarks go together, so their logits are taken as jointly normal over models; the mean, spread
and correlation are fitted by EM on models/benchmarks.json, and what a model lacks is its conditional expectation.
`src/fleet/ability.rs` does the same with the constants that `export.py` writes; a test holds the two together.
"""

import json
import pathlib

import numpy as np

BENCHMARKS = ["gpqa", "gsm8k", "humaneval", "ifeval", "math", "mmlu", "mmlu_pro"]
SKILLS = ["knowledge", "math", "reasoning", "code", "instruction"]
# Which benchmarks speak for which skill, where the outcomes do not say otherwise.
SPEAKS_FOR = {
    "knowledge": ["mmlu", "mmlu_pro"],
    "math": ["gsm8k", "math"],
    "reasoning": ["gpqa", "mmlu_pro"],
    "code": ["humaneval"],
    "instruction": ["ifeval", "mmlu"],
}
# Logits that a standard deviation of benchmark performance is worth, before the outcomes are seen.
PRIOR_SLOPE = 0.8
# Scores are noisy (protocols differ): this much of each one's variance is no ability.
NOISE = 0.15
LEAST, MOST = 0.02, 0.98
# A model that nobody measured has the traits of known ones near it: how near (standard deviations of scores, root mean
# square), and how much nothing at all counts beside them.
NEAR, NOTHING = 0.5, 0.5


def prior_map():
    out = np.zeros((len(BENCHMARKS) + 1, len(SKILLS)), np.float32)
    for k, skill in enumerate(SKILLS):
        for name in SPEAKS_FOR[skill]:
            out[BENCHMARKS.index(name), k] = PRIOR_SLOPE / len(SPEAKS_FOR[skill])
    return out


PRIOR_MAP = prior_map()


def logits(scores):
    """Row of logits in the order of BENCHMARKS, NaN where there is no score."""
    row = np.full(len(BENCHMARKS), np.nan)
    for name, score in scores.items():
        p = min(max(score, LEAST), MOST)
        row[BENCHMARKS.index(name)] = np.log(p / (1 - p))
    return row


def complete(z, correlation):
    """Standardised logits with what is missing inferred; an average model where nothing is known."""
    known = ~np.isnan(z)
    out = np.zeros(len(z))
    if known.any():
        inside = correlation[np.ix_(known, known)] + NOISE * np.eye(known.sum())
        # What is there is kept as it is; only what is missing is inferred.
        out = correlation[:, known] @ np.linalg.solve(inside, z[known])
        out[known] = z[known]
    return out


def fit(rows, rounds=60):
    """Mean, spread and correlation of the logits by EM, shrunk to a correlation of 0.8: many pairs were never seen
    together."""
    mean, spread = np.nanmean(rows, 0), np.nanstd(rows, 0)
    correlation = 0.8 + 0.2 * np.eye(rows.shape[1])
    for _ in range(rounds):
        z = (rows - mean) / spread
        filled, doubt = np.zeros_like(z), np.zeros((z.shape[1], z.shape[1]))
        for i, row in enumerate(z):
            filled[i] = complete(row, correlation)
            known = ~np.isnan(row)
            missing = ~known
            if missing.any() and known.any():
                gain = np.linalg.solve(
                    correlation[np.ix_(known, known)] + NOISE * np.eye(known.sum()), correlation[np.ix_(known, missing)]
                )
                doubt[np.ix_(missing, missing)] += (
                    correlation[np.ix_(missing, missing)] - correlation[np.ix_(missing, known)] @ gain
                )
        shift, covariance = filled.mean(0), np.cov(filled.T, bias=True) + doubt / len(z)
        mean, spread = mean + shift * spread, spread * np.sqrt(np.diag(covariance))
        sd = np.sqrt(np.diag(covariance))
        correlation = 0.8 * covariance / np.outer(sd, sd) + 0.2 * (0.8 + 0.2 * np.eye(len(sd)))
    return mean, spread, correlation


def near(inputs, measured):
    """[model, model] how much of each measured model's traits each model has by its scores alone; none of its own,
    and none of models without scores."""
    standard = inputs[:, :-1]
    apart = ((standard[:, None] - standard[None]) ** 2).mean(2)
    told = np.abs(standard).sum(1) > 0
    weight = np.exp(-apart / (2 * NEAR**2)) * (measured & told)[None] * told[:, None]
    np.fill_diagonal(weight, 0.0)
    return (weight / (weight.sum(1, keepdims=True) + NOTHING)).astype(np.float32)


def read(path):
    """Name and alias → scores, and the scores of every model once."""
    models = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["models"]
    named = {name: model["scores"] for model in models for name in [model["name"], *model.get("aliases", [])]}
    return named, [model["scores"] for model in models if model["scores"]]


def inputs(path, models):
    """[model, benchmark + 1] for the models of the outcome data, whether each has scores at all, and the constants
    that Rust needs."""
    named, everyone = read(path)
    mean, spread, correlation = fit(np.array([logits(scores) for scores in everyone]))
    out = np.ones((len(models), len(BENCHMARKS) + 1), np.float32)
    for i, name in enumerate(models):
        out[i, :-1] = complete((logits(named[name]) - mean) / spread, correlation)
    constants = {"benchmark_mean": mean, "benchmark_spread": spread, "benchmark_correlation": correlation}
    return out, np.array([bool(named[name]) for name in models]), constants
