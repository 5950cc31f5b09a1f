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
    of the kind of `assumed.KINDS`, −1 where nothing is assumed), `quiet` (nothing was measured, nor of the like)."""

    def __init__(self, work, name, vocabulary_size, models):
        work = pathlib.Path(work)
        with open(work / f"{name}.jsonl", encoding="utf-8") as lines:
            self.rows = [json.loads(line) for line in lines]
        raw = (work / f"{name}.pmf").read_bytes()
        assert raw[:4] == b"PMF1", "not written by `pointsman-lab features`"
        tokens, features = (int(x) for x in np.frombuffer(raw[4:12], "<u4"))
        record = np.dtype([("ids", "<u2", (tokens,)), ("n", "<u2"), ("features", "<f4", (features,))])
        table = np.frombuffer(raw[12:], record)
        assert len(table) == len(self.rows)
        self.ids, self.n, self.features = table["ids"], table["n"].astype(int), table["features"].astype(np.float32)
        mask = np.arange(tokens) < self.n[:, None]
        weights = np.repeat(1.0 / np.maximum(self.n, 1), self.n).astype(np.float32)
        start = np.concatenate([[0], np.cumsum(self.n)])
        self.bag = sparse.csr_matrix((weights, self.ids[mask].astype(np.int32), start), (len(table), vocabulary_size))
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

    def only(self, mask):
        """The prompts of a mask, as a copy."""
        out = copy.copy(self)
        out.rows = [row for row, take in zip(self.rows, mask) if take]
        for name in (
            "ids",
            "n",
            "features",
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


def spread(features, weights=None):
    """The root mean square of each feature, but no less than 0.05: what features are divided by."""
    return np.maximum(np.sqrt(np.average(features**2, axis=0, weights=weights)), 0.05)


def model_names(work):
    names = set()
    with open(pathlib.Path(work) / "prompts.jsonl", encoding="utf-8") as lines:
        for line in lines:
            names.update(json.loads(line)["models"])
    return sorted(names)
