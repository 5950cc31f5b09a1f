"""The last step of training: difficulty and traits are fitted once more, in the output layer alone, by a penalised
likelihood with one optimum.

The network is trained on everything at once, with drop-out, so that its hidden layer serves every head; that leaves
the output weights of what is measured most, P(correct), short of their best. Here the hidden layer, the other heads
and the models stay as they are. Moves are dear where nothing was measured (prompts without outcomes stay as hard as
they were) and where a prompt and its variant would come apart.
"""

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

# Of a standardised input's weight; of what moves on prompts without outcomes; of what moves between a prompt and its
# variant.
RIDGE, QUIET, STEADY = 100.0, 1.0, 1.0
# An answered prompt counts as so many outcomes at most, however many models answered it: their errors go together.
MOST_OUTCOMES = 8
# What a model placed by its benchmark scores counts beside one placed by its outcomes.
PLACED = 1 / 3


def bends(seen, quiet, pairs, spread):
    """The quadratic form of the penalty over standardised weights."""

    def form(rows):
        return rows.T @ rows

    still = form(seen[quiet] / spread)
    apart = form((seen[pairs[:, 0]] - seen[pairs[:, 1]]) / spread)
    return RIDGE * np.eye(seen.shape[1]) + QUIET * still + STEADY * apart


def negative_likelihood(logit, scores, weight=1.0):
    """Its value, and its slope by the logit; unknown scores (NaN) count nothing."""
    known = ~np.isnan(scores)
    scores = np.where(known, scores, 0)
    weight = weight * known
    value = (weight * (np.logaddexp(0, logit) - scores * logit)).sum()
    return value, weight * (1 / (1 + np.exp(-logit)) - scores)


def refine(seen, measured, placed, traits, near_traits, scores, quiet, pairs, rounds=60):
    """What is added to the output weights of difficulty (first column) and of the traits. `seen` [prompt, input] is
    what the output layer sees; `measured` and `placed` [prompt, model] are the logits so far, `traits` [model,
    trait], and `near_traits` as the models would have them if placed by scores; `quiet` are prompts on which
    nothing may move; `pairs` are rows of prompts and variants."""
    answered = ~np.isnan(scores).all(1)
    spread = seen.std(0) + 1e-3
    # In these coordinates the penalty is the plain sum of squares, which the minimiser needs: its weights differ by a
    # factor of 10⁵.
    upper = cholesky(bends(seen, quiet, pairs, spread))
    x = solve_triangular(upper, (seen[answered] / spread).T, trans="T").T.astype(np.float32)
    scores = scores[answered]
    measured, placed = measured[answered], placed[answered]
    weight = np.minimum(1, MOST_OUTCOMES / (~np.isnan(scores)).sum(1, keepdims=True))
    width = 1 + traits.shape[1]

    def objective(flat):
        added = flat.reshape(-1, width)
        moved = x @ added.astype(np.float32)
        first, slope = negative_likelihood(measured - moved[:, :1] + moved[:, 1:] @ traits.T, scores, weight)
        second, alone = negative_likelihood(
            placed - moved[:, :1] + moved[:, 1:] @ near_traits.T, scores, PLACED * weight
        )
        by_move = np.hstack([-(slope + alone).sum(1, keepdims=True), slope @ traits + alone @ near_traits])
        return first + second + (added**2).sum() / 2, (x.T @ by_move.astype(np.float32) + added).ravel()

    found = minimize(objective, np.zeros(x.shape[1] * width), jac=True, method="L-BFGS-B", options={"maxiter": rounds})
    return solve_triangular(upper, found.x.reshape(-1, width)) / spread[:, None]
