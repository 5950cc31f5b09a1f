"""How well the classifier does on what it was not trained on: models, sources and subjects are left out, everything is
trained again without them (token table included, fewer epochs, an eighth of the variants), and they are measured.
Writes WORK/left_out.json; by hand, since it trains seven times.

1. Folds of models: a model whose outcomes nobody saw is placed by its benchmark scores alone; the map was fitted
without it. 2. The same folds leave out subjects of MMLU, of which the pair's gain is then measured, and labelled
sources of prompts. 3. Sources of outcomes, one at a time: AUC, calibration error before and after fifty labelled
prompts (as `pointsman calibrate` fits them), task. With `--keep FOLDER` the classifier without the source is kept as
FOLDER/SOURCE/model.npz: `export.py --work FOLDER/SOURCE` puts it into a copy of the tree, whose `eval --after`
then measures learning on traffic that the classifier has never seen (docs/learning.md).
"""

import argparse
import json
import pathlib
import zlib

import numpy as np
from scipy.optimize import minimize

import abilities
import data
import evaluate
import figures
import rated
import train
from evaluate import SOURCES, logit
from refine import negative_likelihood

FOLDS = 3
# Sources of prompts with labels alone, by the fold that leaves them out.
LABELLED = [
    {"biggen_bench", "mmlu_stem"},
    {"arena_hard_v2", "arena_hard_v01", "mmlu_pro_stem"},
    {"clinc150", "chatterbot_corpus", "llmrouter9_prompts"},
]
PAIR = {evaluate.WEAK, evaluate.STRONG}
# Standard deviations of the parameters that `pointsman calibrate` fits: crates/eval/src/fit.rs.
PRIOR = {"shared": (0.25, 0.8, 0.25), "own": (0.1, 0.6, 0.2)}
LABELS, DRAWS = 50, 9


def bare(row):
    """The sources of a row and of what it works on, without what tells their labelled part apart."""
    return {str(row.get(name)).removesuffix("_stem").removesuffix("_prompts") for name in ("source", "material")}


def fold_of(name):
    return zlib.crc32(name.encode()) % FOLDS


def calibrated(z, scores, task, drawn):
    """P(correct) of every prompt after the outcomes of `drawn`: the penalised likelihood of fit.rs."""
    kinds = len(train.TASKS)
    width, models = 2 + kinds, z.shape[1]
    spread = np.concatenate([[sd[0], sd[1]] + [sd[2]] * kinds for sd in [PRIOR["shared"]] + [PRIOR["own"]] * models])
    each = np.arange(models)[None]

    def moved(theta, rows):
        blocks = theta.reshape(1 + models, width)
        both = blocks[0] + blocks[1:]
        return (1 + both[:, 0]) * z[rows] + both[:, 1] + both[each, 2 + task[rows][:, None]]

    def loss(theta):
        value, off = negative_likelihood(moved(theta, drawn), scores[drawn])
        slope = np.zeros((1 + models, width))
        slope[1:, 0], slope[1:, 1] = (off * z[drawn]).sum(0), off.sum(0)
        for k in range(kinds):
            slope[1:, 2 + k] = off[task[drawn] == k].sum(0)
        slope[0] = slope[1:].sum(0)
        return value + (theta**2 / spread**2).sum() / 2, slope.ravel() + theta / spread**2

    theta = minimize(loss, np.zeros(len(spread)), jac=True, method="L-BFGS-B").x
    return 1 / (1 + np.exp(-moved(theta, np.arange(len(z)))))


def after_labels(p, scores, task):
    rng = np.random.default_rng(11)
    errors = []
    for _ in range(DRAWS):
        drawn = rng.choice(len(p), LABELS, replace=False)
        rest = np.setdiff1d(np.arange(len(p)), drawn)
        errors.append(figures.ece(calibrated(logit(p), scores, task, drawn)[rest].ravel(), scores[rest].ravel()))
    return [float(np.mean(errors)), *(float(x) for x in np.quantile(errors, [0.1, 0.9]))]


def measured(p, scores):
    """AUC within a model and calibration error, with intervals."""
    return {
        "auc": figures.interval(lambda i: figures.auc_within(p[i], scores[i]), len(p), 100),
        "ece": figures.interval(lambda i: figures.ece(p[i].ravel(), scores[i].ravel()), len(p), 100),
    }


def of_source(saved, val, source, inputs):
    rows = val.only(val.file == source)
    columns = ~np.isnan(rows.scores).all(0)
    heads, scores = evaluate.say(saved, rows), rows.scores[:, columns]
    p = evaluate.p_correct(heads, saved, (inputs @ saved["skill_map"])[columns], saved["near_traits"][columns])
    task = heads["task"].argmax(1)
    labelled = rows.task >= 0
    return {
        "n": len(rows),
        "models": int(columns.sum()),
        **measured(p, scores),
        "ece_after_labels": after_labels(p, scores, task),
        "task": figures.interval(lambda i: (task == rows.task)[labelled][i].mean(), int(labelled.sum())),
    }


def of_models(saved, val, out, inputs):
    """Models that were left out, in every source that has them."""
    p = evaluate.p_correct(evaluate.say(saved, val), saved, inputs @ saved["skill_map"], saved["near_traits"])
    where = np.isin(val.models, sorted(out))
    return np.where(where & ~np.isnan(val.scores), p, np.nan)


def of_subjects(saved, prompts, inputs):
    """APGR of the pair on subjects that were left out, by the scorer of `pointsman eval` and by length."""
    weak, strong, _ = evaluate.pair_of(prompts)
    heads = evaluate.say(saved, prompts)
    p = evaluate.p_correct(heads, saved, saved["abilities"], saved["model_traits"])
    w, s = prompts.scores[:, weak], prompts.scores[:, strong]
    score = {
        "scorer": heads["gain"][:, 0] + figures.GAP_WEIGHT * (p[:, strong] - p[:, weak]),
        "gain": heads["gain"][:, 0],
        "length": prompts.features[:, 0],
    }
    return {
        "n": len(w),
        **{
            name: figures.interval(lambda i, v=v: figures.apgr(v[i], w[i], s[i]), len(w), 200)
            for name, v in score.items()
        },
    }


def folds(prompts, val, teacher, entries, inputs, known, epochs):
    result = {"subjects": [], "labelled_sources": {}}
    p = np.full(val.scores.shape, np.nan)
    for fold in range(FOLDS):
        out = {name for name in prompts.models if fold_of(name) == fold and name not in PAIR}

        def subject(rows):
            return np.array([r["file"] == "mmlu" and fold_of(str(r["group"])) == fold for r in rows])

        def labelled(rows):
            return np.array([r["source"] in LABELLED[fold] or r.get("material") in LABELLED[fold] for r in rows])

        # The stems of MMLU questions among the labelled prompts do not say of which subject they are: none is kept.
        keep = (
            ~subject(prompts.rows)
            & ~labelled(prompts.rows)
            & np.array([r["source"] != "mmlu_stem" for r in prompts.rows])
        )
        part = prompts.only(keep)
        part.scores[:, np.isin(part.models, sorted(out))] = np.nan
        saved = train.fit(part, teacher[keep], entries, inputs, epochs)
        p = np.where(
            np.isnan(p), of_models(saved, val, {name for name in out if known[prompts.models.index(name)]}, inputs), p
        )
        asked = np.array(["variant" not in row and "layout" not in row for row in prompts.rows])
        result["subjects"].append(of_subjects(saved, prompts.only(subject(prompts.rows) & asked), inputs))
        for source in sorted(LABELLED[fold]):
            rows = val.only(np.array([r["source"] == source for r in val.rows]) & (val.task >= 0))
            if len(rows):
                hit = evaluate.say(saved, rows)["task"].argmax(1) == rows.task
                result["labelled_sources"][source] = {
                    "n": len(rows),
                    "task": figures.interval(lambda i: hit[i].mean(), len(hit)),
                }
        print(fold, sorted(out), result["subjects"][-1], flush=True)
    result["models"] = {}
    for source in [*SOURCES, "all"]:
        rows = (val.file == source) if source != "all" else np.isin(val.file, SOURCES)
        columns = ~np.isnan(p[rows]).all(0)
        scores = np.where(np.isnan(p[rows]), np.nan, val.scores[rows])[:, columns]
        if columns.any():
            filled = np.where(np.isnan(p[rows]), 0.5, p[rows])[:, columns]
            result["models"][source] = {"n": int(rows.sum()), "models": int(columns.sum()), **measured(filled, scores)}
    return result


def keep_figures(work, said):
    """Adds figures to those of other parts, which may have been measured by another run."""
    path = work / "left_out.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"sources": {}}
    sources = result["sources"] | said.get("sources", {})
    path.write_text(json.dumps(result | said | {"sources": sources}, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--benchmarks", required=True)
    parser.add_argument("--epochs", type=int, nargs=2, default=[5, 14])
    parser.add_argument("--only", choices=["folds", *SOURCES])
    parser.add_argument("--keep", type=pathlib.Path)
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    entries = np.load(work / "teacher_vocabulary.npy")
    models = data.model_names(work)
    prompts, val = data.Prompts(work, "prompts", len(entries), models), data.Prompts(work, "val", len(entries), models)
    inputs, known, constants = abilities.inputs(args.benchmarks, models)
    teacher = train.teacher_targets(work, prompts)
    keep = prompts.few_variants()
    prompts, teacher = prompts.only(keep), teacher[keep]
    if args.only in (None, "folds"):
        keep_figures(work, folds(prompts, val, teacher, entries, inputs, known, args.epochs))
    for source in SOURCES if args.only is None else {args.only} & set(SOURCES):
        # Stems and prompts of the same source among the labelled ones, too, and what was made around its prompts.
        here = np.array([r["file"] == source or source in bare(r) for r in prompts.rows])
        part = prompts.only(~here)
        saved = train.fit(part, teacher[~here], entries, inputs, args.epochs)
        if args.keep:
            placed = abilities.inputs(args.benchmarks, rated.CLASSES)[0]
            (args.keep / source).mkdir(parents=True, exist_ok=True)
            whole = train.with_everyday(saved, part, inputs, placed)
            np.savez(args.keep / source / "model.npz", **whole, **constants)
        row = of_source(saved, val, source, inputs)
        keep_figures(work, {"sources": {source: row}})
        print(source, row, flush=True)


if __name__ == "__main__":
    main()
