"""Figures of models/classifier.onnx on the validation split, each with a 95 % bootstrap interval; writes
WORK/figures.json.

Runs the ONNX file itself. P(correct) comes from the abilities that training fitted (models seen), and from benchmark
scores alone.
"""

import argparse
import json
import pathlib

import numpy as np
import onnxruntime

import abilities
import data
import figures
from rows import DOMAINS, TASKS

WEAK, STRONG = "Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
# The share of difficulty that is taken away from a prompt of which nothing is known;
# `shrink` in src/analysis/classifier/mod.rs.
SHRINK = 0.75
# Of outcomes, in the order of the tables.
SOURCES = ["llmrouter9", "mmlu", "mmlu_pro", "reasoning_gym"]


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def run(path, prompts):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    out = []
    for ids, n, features in zip(prompts.ids, prompts.n, prompts.features):
        weights = np.where(np.arange(len(ids)) < n, 1 / max(n, 1), 0).astype(np.float32)
        feeds = {"token_ids": ids.astype(np.int64), "token_weights": weights[None], "features": features[None]}
        out.append(session.run(None, feeds)[0][0])
    return np.array(out)


def read_heads(raw, manifest):
    return {r["name"]: raw[:, r["start"] : r["start"] + r["len"]] for r in manifest["outputs"][0]["ranges"]}


def say(saved, prompts):
    """The heads, as the ONNX file would give them, of what `train.fit` returned."""
    x = np.hstack([np.asarray(prompts.bag @ saved["table"].astype(np.float32)), prompts.features])
    raw = np.hstack([np.maximum(x @ saved["hidden"], 0), x]) @ saved["heads"]
    starts = np.concatenate([[0], np.cumsum(saved["sizes"])])
    return {str(name): raw[:, a:b] for name, a, b in zip(saved["names"], starts, starts[1:])}


def uncertainty(heads, constants):
    distance = (heads["novelty"] ** 2).mean(1)
    low, high = constants["novelty_low"], constants["novelty_high"]
    return np.clip(np.log(distance / low) / np.log(high / low), 0, 1)


def p_correct(heads, constants, ability, traits=None):
    """P(correct) [prompt, model]; `traits` are those of known models, None for models placed by benchmark scores."""
    mean = constants["difficulty_mean"]
    kept = 1 - SHRINK * uncertainty(heads, constants)
    difficulty = mean + kept * (heads["difficulty"][:, 0] - mean)
    logit = softmax(heads["demand"]) @ ability.T - difficulty[:, None]
    if traits is not None:
        logit = logit + kept[:, None] * (heads["traits"] @ traits.T)
    return 1 / (1 + np.exp(-logit))


def logit(p):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def classes(logits, label, names):
    known = label >= 0
    hit, label = (logits.argmax(1) == label)[known], label[known]
    each = {names[k]: [round(float(hit[label == k].mean()), 3), int((label == k).sum())] for k in np.unique(label)}
    return {
        "accuracy": figures.interval(lambda i: hit[i].mean(), len(hit)),
        "n": len(hit),
        "macro": float(np.mean([v[0] for v in each.values()])),
        "recall": each,
    }


def outcomes(val, p, p_benchmarks, known):
    out = {}
    for file in sorted(set(val.file[~np.isnan(val.scores).all(1)])):
        rows = val.file == file
        columns = ~np.isnan(val.scores[rows]).all(0)
        scores, mine = val.scores[rows][:, columns], p[rows][:, columns]
        # Placed by benchmark scores alone can only be what has some.
        placed, told = p_benchmarks[rows][:, columns & known], val.scores[rows][:, columns & known]
        seen = ~np.isnan(scores)
        flat = np.repeat(np.nanmean(scores, 0)[None], len(scores), 0)
        out[file] = {
            "n": int(rows.sum()),
            "auc_within": figures.interval(lambda i: figures.auc_within(mine[i], scores[i]), len(scores), 100),
            "ece_models_seen": figures.ece(mine[seen], scores[seen]),
            "ece_benchmarks_only": figures.ece(placed.ravel(), told.ravel()),
            "auc_pooled": figures.auc(mine[seen], scores[seen]),
            "auc_pooled_ability_only": figures.auc(flat[seen], scores[seen]),
        }
    return out


def pair_of(prompts):
    """The columns of the weak and of the strong model, and a mask of the prompts that both answered."""
    weak, strong = (prompts.models.index(name) for name in (WEAK, STRONG))
    return weak, strong, ~np.isnan(prompts.scores[:, [weak, strong]]).any(1)


def pair(val, heads, p):
    weak, strong, rows = pair_of(val)
    w, s = val.scores[rows, weak], val.scores[rows, strong]
    rng, gap = np.random.default_rng(1), p[rows, strong] - p[rows, weak]
    score = {
        "length": val.features[rows, 0],
        "random": rng.random(rows.sum()),
        "gain": heads["gain"][rows, 0],
        "weak_wrong": heads["weak_wrong"][rows, 0],
        "difficulty": heads["difficulty"][rows, 0],
        "p_strong_minus_p_weak": gap,
        "scorer": heads["gain"][rows, 0] + figures.GAP_WEIGHT * gap,
        "clairvoyant": s - w,
    }
    return {
        "n": int(rows.sum()),
        **{name: figures.interval(lambda i, v=v: figures.apgr(v[i], w[i], s[i]), len(w)) for name, v in score.items()},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--models", required=True)
    args = parser.parse_args()
    work, folder = pathlib.Path(args.work), pathlib.Path(args.models)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    constants = manifest["calibration"]
    saved = np.load(work / "model.npz")
    val = data.Prompts(work, "val", manifest["vocabulary"]["entries"], [str(m) for m in saved["models"]])
    heads = read_heads(run(folder / "classifier.onnx", val), manifest)
    inputs, known, _ = abilities.inputs(folder / "benchmarks.json", val.models)
    p = p_correct(heads, constants, saved["abilities"], saved["model_traits"])
    # As if each model were not known: by its scores, with the traits of others near it.
    p_benchmarks = p_correct(heads, constants, inputs @ np.array(constants["skill_map"]), saved["near_traits"])
    told = ~np.isnan(val.log_tokens)
    off = np.abs(heads["log_output_tokens"][told, 0] - val.log_tokens[told])
    result = {
        "task": classes(heads["task"], val.task, TASKS),
        "domain": classes(heads["domain"], val.domain, DOMAINS),
        "apgr": pair(val, heads, p),
        "outcomes": outcomes(val, p, p_benchmarks, known),
        "output_tokens": {
            "median_factor": float(np.exp(np.median(off))),
            "median_factor_constant": float(
                np.exp(np.median(np.abs(val.log_tokens[told] - np.median(val.log_tokens[told]))))
            ),
        },
        "uncertainty": {
            file: float(uncertainty(heads, constants)[val.file == file].mean()) for file in sorted(set(val.file))
        },
    }
    (work / "figures.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
