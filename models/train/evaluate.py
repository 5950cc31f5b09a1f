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
from scipy import stats

import abilities
import data
import figures
import ngrams
import rated
from heads import LIMIT, SLOPES
from rows import DOMAINS, TASKS

WEAK, STRONG = "Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
# The share of difficulty that is taken away from a prompt of which nothing is known;
# `shrink` in src/analysis/classifier/mod.rs.
SHRINK = 0.75
# Skills that measured outcomes speak of; the one after them is that of everyday prompts.
SKILL_COUNT = len(abilities.SKILLS)
# Of outcomes, in the order of the tables.
SOURCES = ["llmrouter9", "mmlu", "mmlu_pro", "reasoning_gym"]


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def run(path, prompts, index):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    sizes = {value.name: value.shape[-1] for value in session.get_inputs()}
    out = []
    for ids, features, hashes in zip(prompts.ids, prompts.features, prompts.hashes):
        feeds = {"features": features[None]}
        weights = np.full(len(ids), 1 / max(len(ids), 1), np.float32)
        for name, (used, factors) in {"token": (ids, weights), "ngram": ngrams.rows(hashes, index)}.items():
            feeds[f"{name}_ids"] = np.zeros(sizes[f"{name}_ids"], np.int64)
            feeds[f"{name}_ids"][: len(used)] = used
            feeds[f"{name}_weights"] = np.zeros((1, sizes[f"{name}_weights"]), np.float32)
            feeds[f"{name}_weights"][0, : len(used)] = factors
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
    logit = softmax(heads["skill_weights"]) @ ability[:, :SKILL_COUNT].T - difficulty[:, None]
    if traits is not None:
        logit = logit + kept[:, None] * (heads["latent_factors"] @ traits.T)
    if ability.shape[1] > SKILL_COUNT:
        share = measured(heads)
        slope = np.clip(heads["everyday_slope"], *SLOPES)
        everyday = slope * ability[:, SKILL_COUNT] - np.clip(heads["everyday_difficulty"], -LIMIT, LIMIT)
        logit = share * logit + (1 - share) * everyday
    return 1 / (1 + np.exp(-logit))


def measured(heads):
    """[prompt, 1] how much a prompt is like those whose outcomes were measured."""
    return 1 / (1 + np.exp(-heads["measured"][:, :1]))


def mixed(heads, name):
    """Probabilities of the labels of a head, by both parts of the model."""
    share = measured(heads)
    return share * softmax(heads[name]) + (1 - share) * softmax(heads[f"everyday_{name}"])


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
        "weak_failure": heads["weak_failure"][rows, 0],
        "difficulty": heads["difficulty"][rows, 0],
        "p_strong_minus_p_weak": gap,
        "scorer": heads["gain"][rows, 0] + figures.GAP_WEIGHT * gap,
        "clairvoyant": s - w,
    }
    return {
        "n": int(rows.sum()),
        **{name: figures.interval(lambda i, v=v: figures.apgr(v[i], w[i], s[i]), len(w)) for name, v in score.items()},
    }


def pooled_ece(p, score, bins=10):
    """Mean gap between what was said and what was, over tenths of equal size."""
    parts = np.array_split(np.argsort(p), bins)
    return float(sum(abs(p[i].mean() - score[i].mean()) * len(i) for i in parts) / len(p))


def recalled(share, label, asked):
    """Of one label: the lowest confidence bound at which a rule still finds each share of its prompts, with the
    precision of that rule."""
    out, own = {}, np.sort(share[label == asked])
    for least in (0.95, 0.9, 0.8):
        bound = float(own[int(np.floor((1 - least) * len(own)))]) if len(own) else 0.0
        held = share >= bound
        out[str(least)] = {"confidence": round(bound, 4), "precision": round(float((label[held] == asked).mean()), 3)}
    return out


def everyday(val, heads, constants, skill_map, placed):
    """Figures over the rated rows: P(correct) of the four classes placed by their scores, answer length, labels."""
    rows = ~np.isnan(val.rated[:, 0])
    part = {name: value[rows] for name, value in heads.items()}
    p, wanted = p_correct(part, constants, placed @ skill_map), val.rated[rows]
    share = measured(part)[:, 0]
    # As src/analysis/classifier/decode.rs mixes lengths.
    exam = share**2
    tokens = exam * part["log_output_tokens"][:, 0] + (1 - exam) * part["everyday_log_tokens"][:, 0]
    off = tokens - np.log(val.rated_tokens[rows])
    labels = {"task": (mixed(part, "task"), val.task[rows]), "domain": (mixed(part, "domain"), val.domain[rows])}
    foreign = np.array([row.get("lang", "en") != "en" for row in val.rows])[rows]
    hit = {name: likely.argmax(1) == label for name, (likely, label) in labels.items()}
    likely, label = labels["domain"]
    return {
        "n": int(rows.sum()),
        "spearman": figures.interval(
            lambda i: stats.spearmanr(p[i].mean(1), wanted[i].mean(1)).statistic, int(rows.sum()), 200
        ),
        "mean_abs": dict(zip("smlx", np.abs(p - wanted).mean(0).round(4).tolist())),
        "ece": dict(zip("smlx", [round(pooled_ece(p[:, k], wanted[:, k]), 4) for k in range(4)])),
        "tokens_within_2": float((np.abs(off) < np.log(2)).mean()),
        "tokens_ratio": float(np.exp(off.mean())),
        "smaller_above_bigger": int((np.diff(p, axis=1) < -0.02).any(1).sum()),
        "measured_share": float(share.mean()),
        **{name: float(value.mean()) for name, value in hit.items()},
        "other_languages": {"n": int(foreign.sum()), **{name: float(v[foreign].mean()) for name, v in hit.items()}},
        "recall": {
            name: recalled(likely[:, DOMAINS.index(name)], label, DOMAINS.index(name)) for name in ("medical", "legal")
        },
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
    index = np.fromfile(folder / "ngrams.bin", "<u2")
    heads = read_heads(run(folder / "classifier.onnx", val, index), manifest)
    inputs, known, _ = abilities.inputs(folder / "benchmarks.json", val.models)
    p = p_correct(heads, constants, saved["abilities"], saved["model_traits"])
    # As if each model were not known: by its scores, with the traits of others near it.
    p_benchmarks = p_correct(heads, constants, inputs @ np.array(constants["skill_map"]), saved["near_traits"])
    placed, _, _ = abilities.inputs(folder / "benchmarks.json", rated.CLASSES)
    told = ~np.isnan(val.log_tokens)
    off = np.abs(heads["log_output_tokens"][told, 0] - val.log_tokens[told])
    result = {
        "task": classes(mixed(heads, "task"), val.task, TASKS),
        "domain": classes(mixed(heads, "domain"), val.domain, DOMAINS),
        "apgr": pair(val, heads, p),
        "outcomes": outcomes(val, p, p_benchmarks, known),
        "everyday": everyday(val, heads, constants, np.array(constants["skill_map"]), placed),
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
