#!/usr/bin/env python3
"""The learning curve of ParetoBandit (PyPI `paretobandit`) on the outcomes that Pointsman's is measured on.

    pointsman eval --outcomes FILE --after 0,50,200 --one-per-prompt --stream rows.jsonl
    python tools/learners/paretobandit_curve.py rows.jsonl --out other.json
    pointsman eval --outcomes FILE --after 0,50,200 --one-per-prompt --compare other.json --html report.html

Its bandit, LinUCB with an arm for each model and the library's defaults, learns from the outcomes of each draw in their order, and
is measured on the rows that were not drawn. It sees of a prompt what Pointsman's learner sees: difficulty, skills, latent factors
and task, as a vector of length one, and one more component for the level. With `--cold` it begins with nothing; else each arm begins
with the mean quality that the model's benchmark scores promise, by the library's own heuristic (`get_heuristic_prior`).

Saved at -1.2 points is defined as in docs/eval.md: utility, its price of quality swept. The script computes it for the
expectations of Pointsman before any outcome, too (`stated`), to be compared with the report.
"""

import argparse
import json
import pathlib

import numpy as np
from pareto_bandit.policy import DisjointLinUCBPolicy
from pareto_bandit.utils.warmup import get_heuristic_prior

LOSS = 0.012
STEPS = 64


def read(path):
    """The files of a stream: name, models, rows, draws."""
    files = []
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if "models" in line:
                files.append({**line, "rows": [], "draws": []})
            else:
                files[-1]["rows" if "row" in line else "draws"].append(line)
    return files


def column(rows, name):
    return np.array([[np.nan if o is None else o[name] for o in row["outcomes"]] for row in rows], float)


def hull(points):
    """The upper left corners of points of cost and quality."""
    corners = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if corners and point[1] <= corners[-1][1]:
            continue
        while len(corners) > 1 and slope(corners[-2], point) >= slope(corners[-2], corners[-1]):
            corners.pop()
        corners.append(point)
    return corners


def slope(left, right):
    return (right[1] - left[1]) / (right[0] - left[0])


def saved(points, best):
    """The share of the best model's cost that is saved where its quality less LOSS is kept."""
    corners, wanted = hull(points), best[1] - LOSS
    at = next(at for at, point in enumerate(corners) if point[1] >= wanted)
    cost = corners[at][0]
    if at:
        before = corners[at - 1]
        cost = before[0] + (wanted - before[1]) / slope(before, corners[at])
    return 1 - cost / best[0]


def saving(file, expected, rest):
    """What choosing by expected quality less its price saves on the rows `rest`."""
    rows = [row for row in rest if file["rows"][row]["complete"]]
    taken = [at for at, model in enumerate(file["models"]) if model["taken"]]
    at = np.ix_(rows, taken)
    score, cost, stated = file["score"][at], file["cost"][at], file["expected_cost"][at]
    expected = expected[at]
    means = list(zip(cost.mean(0), score.mean(0), strict=True))
    best = min(range(len(taken)), key=lambda model: (-means[model][1], means[model][0]))
    cheapest = min(range(len(taken)), key=lambda model: (means[model][0], -means[model][1]))
    unit = means[best][0]
    # Of equals the cheaper, then the better.
    order = sorted(range(len(taken)), key=lambda model: (means[model][0], -means[model][1]))
    prices = [0.0, *(10 ** (-4 + 7 * step / (STEPS - 3)) for step in range(STEPS - 2)), 1e9]
    points = [(means[cheapest][0] / unit, means[cheapest][1]), (1.0, means[best][1])]
    each = np.arange(len(rows))
    for price in prices:
        chosen = np.array(order)[(expected[:, order] - price * stated[:, order] / unit).argmax(1)]
        points.append((float(cost[each, chosen].mean()) / unit, float(score[each, chosen].mean())))
    return saved(points, (1.0, means[best][1]))


def learned(file, contexts, known, cold):
    """Expected rewards of every row and model after the outcomes `known`."""
    names = [model["name"] for model in file["models"]]
    bandit = DisjointLinUCBPolicy(names, dim=contexts.shape[1], seed=0)
    if not cold:
        promised = np.nanmean(file["p"], axis=0)
        for name, quality in zip(names, promised, strict=True):
            a, b = get_heuristic_prior({"initial_quality": float(quality)}, contexts.shape[1], bandit.init_lambda)
            bandit.A[name], bandit.b[name] = a + bandit.init_lambda * np.eye(len(b)), b
        bandit.refresh_inverse_cache()
    for row, model in known:
        bandit.update(names[model], contexts[row], float(file["score"][row, model]))
    return contexts @ np.array([bandit.theta[name] for name in names]).T


def curve(file, cold):
    for name in ("p", "score", "cost", "expected_cost"):
        file[name] = column(file["rows"], name)
    contexts = np.array([row["context"] for row in file["rows"]])
    contexts = np.hstack([contexts / np.linalg.norm(contexts, axis=1, keepdims=True), np.ones((len(contexts), 1))])
    points = {}
    for draw in file["draws"]:
        drawn = {row for row, _ in draw["known"]}
        rest = [row for row in range(len(contexts)) if row not in drawn and any(file["rows"][row]["outcomes"])]
        value = saving(file, learned(file, contexts, draw["known"], cold), rest)
        points.setdefault((draw["prompts"], draw["one_per_prompt"]), []).append(value)
    everything = [row for row in range(len(contexts)) if any(file["rows"][row]["outcomes"])]
    print(f"{file['file']}: stated, no outcome: {saving(file, file['p'], everything):.4f}")
    after = []
    for (prompts, one), values in points.items():
        low, high = np.quantile(values, [0.1, 0.9])
        after.append(
            {
                "prompts": prompts,
                "one_per_prompt": one,
                "savings_at_minus_1_2": float(np.mean(values)),
                "savings_at_minus_1_2_range80": [float(low), float(high)],
            }
        )
        print(f"  after {prompts}: {np.mean(values):.3f} ({low:.3f} to {high:.3f})")
    return {"file": file["file"], "after": after}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stream", nargs="+", help="what `pointsman eval --stream` wrote")
    parser.add_argument("--cold", action="store_true", help="without the promise of benchmark scores")
    parser.add_argument("--out", required=True, help="for `pointsman eval --compare`")
    args = parser.parse_args()
    name = "paretobandit, cold" if args.cold else "paretobandit"
    files = [curve(file, args.cold) for path in args.stream for file in read(path)]
    pathlib.Path(args.out).write_text(json.dumps({"name": name, "files": files}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
