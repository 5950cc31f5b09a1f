"""What simpler encoders reach with the same rows, the same scorer and intervals: a table for the card, printed as Markdown.

Each encoder gets linear heads alone, in closed form, per source of outcomes: how much easier a prompt is than its models' mean (AUC within a
model), and the gain of strong over weak (APGR). So it compares encoders; the hidden layer, traits and joint training come on top in the last row.
"""

import argparse
import json
import pathlib
import re
import zlib

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import lsqr

import data
import evaluate
import figures

BITS = 14
SOURCES = ["llmrouter9", "mmlu", "mmlu_pro", "reasoning_gym"]


def hashed(prompts):
    """Counts of words and of pairs of words, hashed to 2^BITS columns; each row has length 1."""
    columns, rows = [], []
    for i, row in enumerate(prompts.rows):
        words = re.findall(r"[a-z0-9]+|[^\sa-z0-9]", row["prompt"].lower())[:400]
        for gram in [*words, *(f"{a} {b}" for a, b in zip(words, words[1:]))]:
            columns.append(zlib.crc32(gram.encode()) % (1 << BITS))
            rows.append(i)
    counts = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (len(prompts), 1 << BITS))
    counts.data = np.log1p(counts.data)
    return sparse.diags(1 / np.maximum(np.sqrt(counts.multiply(counts).sum(1).A1), 1e-6)) @ counts


def fit(x, y, strength):
    """Ridge, for dense and for sparse x."""
    return lsqr(x, y - y.mean(), damp=np.sqrt(strength), iter_lim=200)[0]


def encoders(train, val, table):
    scale = 1 / np.maximum(np.sqrt((train.features**2).mean(0)), 0.05)
    bag = [np.asarray(p.bag @ table) for p in (train, val)]
    spread = bag[0].std(0).mean()
    bag = [b / spread for b in bag]
    numbers = [p.features * scale for p in (train, val)]
    grams = [hashed(p) for p in (train, val)]
    return {
        "numeric features alone": (numbers, 100.0), "hashed n-grams (2^14), linear": (grams, 1.0),
        "hashed n-grams and numeric features": ([sparse.hstack([g, n * 0.1]).tocsr() for g, n in zip(grams, numbers)], 1.0),
        "bag of the int8 table without numeric features": (bag, 100.0), "bag and numeric features": ([np.hstack(pair) for pair in zip(bag, numbers)], 100.0),
    }


def row_of(train, val, x, strength):
    cells = []
    for file in SOURCES:
        mine, theirs = np.flatnonzero(train.file == file), np.flatnonzero(val.file == file)
        scores = train.scores[mine]
        target = np.nanmean(scores - np.nanmean(scores, 0), 1)
        guess, told = x[1][theirs] @ fit(x[0][mine], target, strength), val.scores[theirs]
        wide = np.repeat(guess[:, None], told.shape[1], 1)
        cells.append(figures.interval(lambda i, w=wide, t=told: figures.auc_within(w[i], t[i]), len(theirs), 100))
    weak, strong = (val.models.index(name) for name in (evaluate.WEAK, evaluate.STRONG))
    mine, theirs = np.flatnonzero(train.file == "mmlu"), np.flatnonzero(val.file == "mmlu")
    guess = x[1][theirs] @ fit(x[0][mine], train.scores[mine, strong] - train.scores[mine, weak], strength)
    w, s = val.scores[theirs, weak], val.scores[theirs, strong]
    cells.append(figures.interval(lambda i: figures.apgr(guess[i], w[i], s[i]), len(theirs)))
    return cells


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    saved = np.load(work / "model.npz")
    models = [str(m) for m in saved["models"]]
    size = len(saved["table"])
    train, val = data.Prompts(work, "prompts", size, models), data.Prompts(work, "val", size, models)
    train = train.only(np.isin(train.file, SOURCES) & np.array(["variant" not in row and "layout" not in row for row in train.rows]))
    val = val.only(np.isin(val.file, SOURCES))
    print(f"| encoder, linear heads | {' | '.join('AUC ' + s for s in SOURCES)} | APGR of the gain |")
    print("|---" * (len(SOURCES) + 2) + "|")
    for name, (x, strength) in encoders(train, val, saved["table"].astype(np.float32)).items():
        print(f"| {name} | " + " | ".join(f"{a:.3f} [{b:.3f}, {c:.3f}]" for a, b, c in row_of(train, val, x, strength)) + " |", flush=True)
    whole = json.loads((work / "figures.json").read_text(encoding="utf-8"))
    cells = [whole["outcomes"][s]["auc_within"] for s in SOURCES] + [whole["apgr"]["gain"]]
    print("| what is shipped | " + " | ".join(f"{a:.3f} [{b:.3f}, {c:.3f}]" for a, b, c in cells) + " |")


if __name__ == "__main__":
    main()
