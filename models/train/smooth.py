"""Outcomes with less noise: each is moved towards what a classifier expects that never saw its prompt.

One answer to one prompt is a coin that fell once; fitted to it alone, the network learns the coins it saw by heart
and is surer on new prompts than it may be. So the rows are split into parts, each part is judged by a classifier
trained on the others (fewer epochs), the judgement is calibrated on these very rows, and the final training takes a
mixture of outcome and judgement. A prompt, its variants and its copies are of one part. Nothing here is kept in the
classifier; what is measured on the validation split is measured against the outcomes as they fell.
"""

import zlib

import numpy as np
from scipy.optimize import minimize

from refine import negative_likelihood

PARTS = 3
# How much of the outcome of one attempt is replaced by what is expected of it. The mean of several attempts says more
# than the judgement.
SHARE = 0.3
# Precision of the prior that a judgement needs neither scale nor offset, in logits.
PRIOR = np.array([20.0, 5.0])


def part_of(rows):
    """Which part each row is of: that of the prompt which it is, or is made of (whose identity is the beginning of
    its own)."""
    whole = {row["id"] for row in rows if "variant" not in row and "layout" not in row}

    def origin(name):
        while name not in whole and "/" in name:
            name = name.rsplit("/", 1)[0]
        return name

    return np.array([zlib.crc32(origin(row["id"]).encode()) % PARTS for row in rows])


def of_model(z, scores):
    """P(correct) [prompt] of one model from the logits of judgements that are too sure or too hopeful: scale and
    offset, by penalised likelihood."""

    def loss(theta):
        value, off = negative_likelihood((1 + theta[0]) * z + theta[1], scores)
        return value + (PRIOR * theta**2).sum() / 2, np.array([off @ z, off.sum()]) + PRIOR * theta

    scale, offset = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B").x
    return 1 / (1 + np.exp(-((1 + scale) * z + offset)))


def calibrated(logit, scores):
    """The same for every model [prompt, model], NaN where nothing was measured."""
    out = np.full(scores.shape, np.nan, np.float32)
    for m, known in enumerate(~np.isnan(scores.T)):
        out[known, m] = of_model(logit[known, m], scores[known, m])
    return out


def smoothed(prompts, judge):
    """The scores [prompt, model] that training takes (NaN where nothing was measured). `judge(kept, asked)` trains
    on the prompts of one mask and says the logits of P(correct) for those of the other."""
    part, logit = part_of(prompts.rows), np.full(prompts.scores.shape, np.nan, np.float32)
    answered = ~np.isnan(prompts.scores).all(1)
    for k in range(PARTS):
        asked = answered & (part == k)
        logit[asked] = judge(part != k, asked)
        print(f"outcomes, part {k + 1}/{PARTS}: judged {asked.sum()} prompts", flush=True)
    share = np.where(prompts.attempts > 1, 0, SHARE)
    return ((1 - share) * prompts.scores + share * calibrated(logit, prompts.scores)).astype(np.float32)
