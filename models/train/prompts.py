"""Reports how the difficulty of the project's own prompts (tests/data/prompts.jsonl, never trained on) follows what
their author expected.

For a conversation the hardest user turn counts, as in `src/router.rs`. Writes the figures to standard output as
JSON.
"""

import argparse
import json
import pathlib
import subprocess

import numpy as np
from scipy import stats

import data
import evaluate

LEVELS = ["easy", "medium", "hard"]


def turns(row):
    if "prompt" in row:
        return [row["prompt"]]
    messages = [m["content"] for m in row["request"]["messages"] if m["role"] == "user"]
    return [m if isinstance(m, str) else " ".join(part.get("text", "") for part in m) for m in messages]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--prompts", default="tests/data/prompts.jsonl")
    parser.add_argument("--lab", default="target/release/pointsman-lab")
    parser.add_argument("--show", type=int, default=0)
    args = parser.parse_args()
    with open(args.prompts, encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines]
    flat = [(i, text) for i, row in enumerate(said) for text in turns(row)]
    work, models = pathlib.Path(args.work), pathlib.Path(args.models)
    made = [
        {"prompt": text, "task": None, "domain": None, "file": "", "group": "", "source": "", "models": {}}
        for _, text in flat
    ]
    (work / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    subprocess.run([args.lab, "features", "--input", work / "own.jsonl", "--output", work / "own.pmf"], check=True)
    manifest = json.loads((models / "manifest.json").read_text(encoding="utf-8"))
    size = manifest["vocabulary"]["entries"]
    prompts = data.Prompts(work, "own", size, [])
    index = np.fromfile(models / "ngrams.bin", "<u2")
    heads = evaluate.read_heads(evaluate.run(models / "classifier.onnx", prompts, index), manifest)
    saved = np.load(work / "model.npz")
    unsure = evaluate.uncertainty(heads, saved)
    mean = float(saved["difficulty_mean"])
    each = mean + (1 - evaluate.SHRINK * unsure) * (heads["difficulty"][:, 0] - mean)
    share = evaluate.measured(heads)[:, 0]
    each = share * each + (1 - share) * heads["everyday_difficulty"][:, 0]
    difficulty = np.full(len(said), -np.inf)
    np.maximum.at(difficulty, [i for i, _ in flat], each)
    level = np.array([LEVELS.index(row["expected_difficulty"]) for row in said])
    of = {name: difficulty[level == k] for k, name in enumerate(LEVELS)}
    out = {
        name: {"n": len(d), "mean": round(float(d.mean()), 2), "median": round(float(np.median(d)), 2)}
        for name, d in of.items()
    }
    out["spearman"] = round(float(stats.spearmanr(difficulty, level).statistic), 3)
    out["easy_above_median_hard"] = round(float((of["easy"] > np.median(of["hard"])).mean()), 3)
    print(json.dumps(out))
    for i in np.argsort(-difficulty)[: args.show] if args.show else []:
        print(f"{difficulty[i]:+.2f} {said[i]['expected_difficulty']} {turns(said[i])[0][:90]!r}")
    if args.show:
        for k in np.flatnonzero(level == 0)[np.argsort(-difficulty[level == 0])][: args.show]:
            print(f"easy {difficulty[k]:+.2f} {turns(said[k])[0][:90]!r}")


if __name__ == "__main__":
    main()
