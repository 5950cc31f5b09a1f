"""What simpler encoders reach with the same rows, the same scorer and intervals: a table for the card, printed as
Markdown.

Each encoder gets linear heads alone, in closed form, per source of outcomes: how much easier a prompt is than its
models' mean (AUC within a model), and the gain of strong over weak (APGR). So it compares encoders; the hidden
layer, traits and joint training come on top in the last row.
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
from card import between
from evaluate import SOURCES

BITS = 14


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
    scale = 1 / data.spread(train.features)
    bag = [np.asarray(p.bag @ table) for p in (train, val)]
    spread = bag[0].std(0).mean()
    bag = [b / spread for b in bag]
    numbers = [p.features * scale for p in (train, val)]
    grams = [hashed(p) for p in (train, val)]
    return {
        "numeric features alone": (numbers, 100.0),
        "hashed n-grams (2^14), linear": (grams, 1.0),
        "hashed n-grams and numeric features": (
            [sparse.hstack([g, n * 0.1]).tocsr() for g, n in zip(grams, numbers)],
            1.0,
        ),
        "bag of the int8 table without numeric features": (bag, 100.0),
        "bag and numeric features": ([np.hstack(pair) for pair in zip(bag, numbers)], 100.0),
    }


def head(what, ranking):
    """The head of a table of encoders, of which `measured` gives a row."""
    return (
        f"| {what} | {' | '.join('AUC ' + s for s in SOURCES)} | APGR of {ranking} |\n"
        + "|---" * (len(SOURCES) + 2)
        + "|"
    )


def line(name, values):
    return f"| {name} | {' | '.join(between(value) for value in values)} |"


def measured(p, ranking, prompts, rounds=300):
    """AUC within a model on each source by `p` [prompt, model], and APGR of the pair by `ranking` [prompt], whose
    interval takes `rounds`."""
    values = []
    for source in SOURCES:
        rows = prompts.file == source
        values.append(
            figures.interval(
                lambda i, p=p[rows], told=prompts.scores[rows]: figures.auc_within(p[i], told[i]), rows.sum(), 100
            )
        )
    weak, strong, rows = evaluate.pair_of(prompts)
    ranking, w, s = ranking[rows], prompts.scores[rows, weak], prompts.scores[rows, strong]
    return [*values, figures.interval(lambda i: figures.apgr(ranking[i], w[i], s[i]), len(w), rounds)]


def row_of(train, val, x, strength):
    easier = np.zeros(len(val))
    for source in SOURCES:
        mine, theirs = np.flatnonzero(train.file == source), np.flatnonzero(val.file == source)
        scores = train.scores[mine]
        target = np.nanmean(scores - np.nanmean(scores, 0), 1)
        easier[theirs] = x[1][theirs] @ fit(x[0][mine], target, strength)
    weak, strong, both = evaluate.pair_of(train)
    mine = np.flatnonzero(both)
    gain = x[1] @ fit(x[0][mine], train.scores[mine, strong] - train.scores[mine, weak], strength)
    return measured(np.repeat(easier[:, None], len(val.models), 1), gain, val)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    saved = np.load(work / "model.npz")
    models = [str(m) for m in saved["models"]]
    size = len(saved["table"])
    train, val = data.Prompts(work, "prompts", size, models), data.Prompts(work, "val", size, models)
    train = train.only(
        np.isin(train.file, SOURCES) & np.array(["variant" not in row and "layout" not in row for row in train.rows])
    )
    val = val.only(np.isin(val.file, SOURCES))
    print(head("encoder, linear heads", "the gain"))
    for name, (x, strength) in encoders(train, val, saved["table"].astype(np.float32)).items():
        print(line(name, row_of(train, val, x, strength)), flush=True)
    whole = json.loads((work / "figures.json").read_text(encoding="utf-8"))
    print(line("what is shipped", [whole["outcomes"][s]["auc_within"] for s in SOURCES] + [whole["apgr"]["gain"]]))


if __name__ == "__main__":
    main()
