"""The prepared prompts as arrays: token counts, features, labels, outcomes. Reads what `pointsman-lab features` wrote;
computes neither."""

import copy
import json
import pathlib
import zlib

import numpy as np
import scipy.sparse as sparse

import assumed
from rows import DOMAINS, TASKS


class Prompts:
    """Arrays over prompts: `bag` (sparse, rows sum to 1), `features`, labels (−1 unknown), `scores` and `log_tokens`
    [prompt, model] (NaN unknown), `attempts` [prompt, model] (of how many a score is the mean), `assumed` (index
    of the kind of `assumed.KINDS`, −1 where nothing is assumed), `quiet` (nothing was measured, nor of the like),
    `rated` [prompt, class] (NaN where nobody rated), `hashes` [prompt, list] (of n-grams)."""

    def __init__(self, work, name, vocabulary_size, models):
        work = pathlib.Path(work)
        with open(work / f"{name}.jsonl", encoding="utf-8") as lines:
            self.rows = [json.loads(line) for line in lines]
        records = read_features(work / f"{name}.pmf", len(self.rows))
        self.ids = ragged([record[0] for record in records])
        self.n = np.array([len(ids) for ids in self.ids])
        self.features = np.array([record[1] for record in records], np.float32)
        self.hashes = np.empty((len(records), 3), object)
        for i, record in enumerate(records):
            self.hashes[i] = record[2:]
        weights = np.repeat(1.0 / np.maximum(self.n, 1), self.n).astype(np.float32)
        start = np.concatenate([[0], np.cumsum(self.n)])
        tokens = np.concatenate(list(self.ids)).astype(np.int32)
        self.bag = sparse.csr_matrix((weights, tokens, start), (len(records), vocabulary_size))
        self.bag.sum_duplicates()
        self.task = np.array([TASKS.index(r["task"]) if r["task"] else -1 for r in self.rows])
        self.domain = np.array([DOMAINS.index(r["domain"]) if r["domain"] else -1 for r in self.rows])
        self.file = np.array([r["file"] for r in self.rows])
        self.group = np.array([r["group"] for r in self.rows])
        kinds = [assumed.kind(r) for r in self.rows]
        self.assumed = np.array([-1 if kind is None else kind for kind in kinds])
        # Puzzles and exams of our own, and copies without outcomes, are of the kinds that were measured: known models
        # may differ on them.
        self.quiet = np.array(
            [not r["models"] and r["source"] != "procedural" and "layout" not in r for r in self.rows]
        )
        # Of rated rows: P(correct) of the four classes of `rated.py`, and the length of an answer.
        self.rated = np.array([r.get("rated") or [np.nan] * 4 for r in self.rows], np.float32)
        self.rated_tokens = np.array([r.get("rated_tokens") or np.nan for r in self.rows], np.float32)
        self.models = models
        self.scores = np.full((len(self.rows), len(models)), np.nan, np.float32)
        self.attempts = np.ones((len(self.rows), len(models)), np.float32)
        self.log_tokens = np.full(len(self.rows), np.nan, np.float32)
        column = {name: i for i, name in enumerate(models)}
        for i, row in enumerate(self.rows):
            counts = []
            for name, outcome in row["models"].items():
                self.scores[i, column[name]], self.attempts[i, column[name]] = outcome["score"], outcome.get("k", 1)
                # One letter of an exam's answer key is no answer's length.
                if outcome.get("output_tokens", 0) > 1:
                    counts.append(np.log(outcome["output_tokens"]))
            if counts:
                self.log_tokens[i] = np.median(counts)
            elif row.get("answer_tokens"):
                self.log_tokens[i] = np.log(row["answer_tokens"])

    def padded(self, length):
        """The first token ids of each prompt [prompt, id], 0 where there are no more."""
        out = np.zeros((len(self.rows), length), np.uint16)
        for row, ids in zip(out, self.ids):
            row[: min(len(ids), length)] = ids[:length]
        return out

    def only(self, mask):
        """The prompts of a mask, as a copy."""
        out = copy.copy(self)
        out.rows = [row for row, take in zip(self.rows, mask) if take]
        for name in (
            "ids",
            "n",
            "features",
            "hashes",
            "rated",
            "rated_tokens",
            "bag",
            "task",
            "domain",
            "file",
            "group",
            "assumed",
            "quiet",
            "scores",
            "attempts",
            "log_tokens",
        ):
            setattr(out, name, getattr(self, name)[mask].copy())
        return out

    def few_variants(self):
        """A mask without seven in eight of the variants, which saves half of the time of training. Some are needed,
        since they hold prompts and copies together; copies in other layouts all stay: without them nothing is
        known of layouts but those of the sources."""
        return np.array(
            ["variant" not in row or "layout" in row or zlib.crc32(row["id"].encode()) % 8 == 0 for row in self.rows]
        )

    def __len__(self):
        return len(self.rows)


def ragged(lists):
    """An array of arrays, whatever their lengths."""
    out = np.empty(len(lists), object)
    out[:] = lists
    return out


def read_features(path, count):
    """What `pointsman-lab features` wrote: of each row its token ids, features, and the hashes of its words, letters
    and context."""
    raw = pathlib.Path(path).read_bytes()
    assert raw[:4] == b"PMF2", "not written by `pointsman-lab features`"
    width, at, records = int(np.frombuffer(raw, "<u4", 1, 4)[0]), 8, []

    def take(kind, size):
        nonlocal at
        values = np.frombuffer(raw, kind, size, at)
        at += values.nbytes
        return values

    def listed(kind):
        return take(kind, int(take("<u2", 1)[0]))

    for _ in range(count):
        records.append((listed("<u2"), take("<f4", width), listed("<u4"), listed("<u4"), listed("<u4")))
    assert at == len(raw), "as many rows of features as of prompts"
    return records


def spread(features, weights=None):
    """The root mean square of each feature, but no less than 0.05: what features are divided by."""
    return np.maximum(np.sqrt(np.average(features**2, axis=0, weights=weights)), 0.05)


def model_names(work):
    names = set()
    with open(pathlib.Path(work) / "prompts.jsonl", encoding="utf-8") as lines:
        for line in lines:
            names.update(json.loads(line)["models"])
    return sorted(names)
