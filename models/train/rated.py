"""The heads for everyday prompts, learned from rated rows; `fit` returns their table and weights.

A kernel machine learns them: linear in unit vectors of n-grams (words and pairs, letters, what came before) plus a
Gaussian of the bag of tokens and the features. Few rows of many kinds suit it better than gradient descent does. What
is linear in n-grams ships as it is, an int8 table; the Gaussian part is a function of 131 numbers, which a small hidden
layer learns from any prompts there are. Ratings are P(correct) of four classes of model: per prompt their logits become
a level and a slope over the ability of the classes, so models placed by scores anywhere between have one too.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize, nnls

import abilities
import ngrams
from heads import BUCKET_BITS, EVERYDAY
from rows import DOMAINS, TASKS

# The models that the four ratings are of, as models/benchmarks.json names them.
CLASSES = ["llama-3.2-1b-instruct", "llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "gpt-4.1"]
HIDDEN = 160
# Rows of the n-gram table (row 0 is none), and its width: the heads, and zeros up to two vectors of sixteen.
ROWS, WIDTH = 20_000, 32
# The last head is learned by itself: see `gate`.
COLUMNS = sum(size for _, size in EVERYDAY) - 1
DIFFICULTY, SLOPE, TOKENS, SIGMA = range(4)
TASK = slice(4, 4 + len(TASKS))
DOMAIN = slice(4 + len(TASKS), COLUMNS)
# Precision of the noise: of rated rows, and of rows that lend their task and domain alone.
NOISE, LENT_NOISE = 0.7, 1.5
# Weight of each list of n-grams (words, letters, context), and width of the Gaussian. Context says less, and hardly
# anything of difficulty and slope: most of it is boilerplate, which must not move what is said of the question.
NGRAM_WEIGHTS, GAUSSIAN = (0.5, 0.5, 0.3), 0.5
CONTEXT_OF_DIFFICULTY = 0.03
CONTEXT_FEATURES = slice(-4, -1)
CONTEXT_SCALE = 0.7
LEAST, MOST = 0.01, 0.995
FOLDS = 5
# Files whose prompts people or programs might send, exams apart.
LENDERS = {"synthetic", "tasks"}
MORE = {"stakes": 120, "lay": 1000}
# How much more the hidden layer counts what it misses of difficulty, slope, tokens and spread.
CARE = np.array([2, 1.5, 1.5, 0.7] + [1] * (COLUMNS - 4), np.float32)


def logit(p):
    p = np.clip(p, LEAST, MOST)
    return np.log(p / (1 - p))


class Inputs:
    """What the kernel sees of prompts: unit rows of n-grams per list, and the standardised bag and features."""

    def __init__(self, found, x):
        self.found, self.x = found, x

    def only(self, rows):
        return Inputs([matrix[rows] for matrix in self.found], self.x[rows])


def standard(x):
    """Mean and scale that the Gaussian sees the input by; features of the context are 0 where there is none."""
    mean, scale = x.mean(0), np.maximum(x.std(0), 0.05)
    mean[CONTEXT_FEATURES], scale[CONTEXT_FEATURES] = 0, 1 / CONTEXT_SCALE
    mean[-1], scale[-1] = 1, 1
    return mean, scale


def gaussian(a, b):
    apart = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.exp(-GAUSSIAN / a.shape[1] * np.maximum(apart, 0)).astype(np.float32)


def kernel(a, b):
    out = gaussian(a.x, b.x)
    for weight, mine, theirs in zip(NGRAM_WEIGHTS, a.found, b.found):
        out += weight * (mine @ theirs.T).toarray()
    return out


def solve(gram, wanted, noise):
    matrix = gram.copy()
    matrix[np.diag_indices(len(matrix))] += noise.astype(np.float32)
    factor = cho_factor(matrix, overwrite_a=True, check_finite=False)
    return cho_solve(factor, wanted.astype(np.float32), check_finite=False)


def everyday_map(inputs, able):
    """Weights of standardised benchmark logits (and a constant) that place the four classes where `able` has them: none
    below 0, and no two further apart than these four models tell."""
    centre = np.full(len(abilities.BENCHMARKS), 1.7 / len(abilities.BENCHMARKS))
    scores, strength = inputs[:, :-1].astype(float), 0.3
    middle = scores.mean(0)
    rows = np.vstack([scores - middle, strength * np.eye(len(centre))])
    weights, _ = nnls(rows, np.concatenate([able - able.mean(), strength * centre]))
    return np.append(weights, -middle @ weights)


def folds(groups, seed):
    """Which fold each row is of: rows of one group are of one."""
    names, place = np.unique(groups, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(names))[place] % FOLDS


def targets(rated, log_tokens, task, domain):
    """[prompt, column], NaN where unknown, and the ability of the classes, their mean 0."""
    z = logit(rated)
    able = np.nanmean(z, 0) - np.nanmean(z)
    out = np.full((len(z), COLUMNS), np.nan, np.float32)
    out[:, DIFFICULTY] = -z.mean(1)
    out[:, SLOPE] = (z @ able) / (able @ able)
    out[:, TOKENS] = log_tokens
    for labels, place, size in ((task, TASK, len(TASKS)), (domain, DOMAIN, len(DOMAINS))):
        known = labels >= 0
        out[known, place] = np.eye(size, dtype=np.float32)[labels[known]]
    return out, able


def centred(wanted, rated):
    """Targets around the mean of the rated rows; the spread is not learned yet."""
    mean = np.nan_to_num(wanted[rated]).sum(0) / np.maximum((~np.isnan(wanted[rated])).sum(0), 1)
    mean[SIGMA] = 0
    return np.nan_to_num(wanted - mean), mean


def unseen(gram, wanted, noise, part):
    """What each row is predicted to be by the rows of other folds."""
    out = np.zeros_like(wanted)
    for fold in range(FOLDS):
        asked, kept = part == fold, part != fold
        out[asked] = gram[np.ix_(asked, kept)] @ solve(gram[np.ix_(kept, kept)], wanted[kept], noise[kept])
        print(f"rated rows, fold {fold + 1}/{FOLDS}", flush=True)
    return out


def sharpness(scores, labels):
    """The factor by which scores are logits of calibrated probabilities."""
    known = labels >= 0
    scores, labels = scores[known], labels[known]

    def loss(log_factor):
        z = np.exp(log_factor[0]) * scores
        return (np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1) - z[np.arange(len(z)), labels]).mean()

    return float(np.exp(minimize(loss, [1.5], method="Nelder-Mead").x[0]))


def recalibrated(level, slope, able, rated):
    """Offset, factor of the level and offset of the slope with which P(correct) is calibrated on unseen rows."""

    def loss(theta):
        z = theta[0] + theta[1] * level[:, None] + (slope[:, None] + theta[2]) * able
        return (np.logaddexp(0, z) - rated * z).mean()

    return minimize(loss, [0.0, 1.0, 0.0], method="Nelder-Mead").x


def imitate(x, wanted, weight, epochs=24, batch=256, rate=5e-3, seed=7):
    """A hidden layer that says what `wanted` says of `x` (with a constant); its weights."""
    rng, width = np.random.default_rng(seed), x.shape[1]
    network = {
        "hidden": (rng.standard_normal((width, HIDDEN)) / np.sqrt(width)).astype(np.float32),
        "heads": np.zeros((HIDDEN + width, wanted.shape[1]), np.float32),
    }
    x, wanted, weight = jnp.asarray(x), jnp.asarray(wanted), jnp.asarray(weight)
    rounds = len(x) // batch

    def loss(network, rows):
        hidden = jax.nn.relu(x[rows] @ network["hidden"])
        miss = jnp.concatenate([hidden, x[rows]], 1) @ network["heads"] - wanted[rows]
        decay = 1e-6 * sum((value**2).sum() for value in network.values())
        return ((miss**2).sum(1) * weight[rows]).mean() + decay

    @jax.jit
    def epoch(state, orders):
        def one(state, rows):
            network, m, v, t = state
            value, gradient = jax.value_and_grad(loss)(network, rows)
            t = t + 1
            pace = rate * 0.5 * (1 + jnp.cos(jnp.pi * t / (epochs * rounds)))
            m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, gradient)
            v = jax.tree.map(lambda a, g: 0.999 * a + 0.001 * g * g, v, gradient)
            network = jax.tree.map(
                lambda w, a, b: w - pace * (a / (1 - 0.9**t)) / (jnp.sqrt(b / (1 - 0.999**t)) + 1e-8), network, m, v
            )
            return (network, m, v, t), value

        return jax.lax.scan(one, state, orders)

    nothing = jax.tree.map(np.zeros_like, network)
    state = (network, nothing, nothing, 0)
    for _ in range(epochs):
        state, values = epoch(state, rng.permutation(len(x))[: rounds * batch].reshape(rounds, batch))
    print(f"everyday network: mean square of what it misses {float(values.mean()):.4f}", flush=True)
    return {name: np.asarray(value) for name, value in state[0].items()}


def lent(prompts, most=25):
    """Rows without ratings that lend their task and domain: up to `most` of each label of a source that is no exam,
    more of the sources that were written for the domains a rule must not miss."""
    count, chosen = {}, []
    for i, row in enumerate(prompts.rows):
        if row.get("rated") or "variant" in row or "layout" in row or row["file"] not in LENDERS:
            continue
        key = (row["source"], row["task"], row["domain"])
        allowed = MORE.get(row["source"], most)
        if count.setdefault(key, 0) < allowed and len(row["prompt"]) < 3000:
            count[key] += 1
            chosen.append(i)
    return np.array(chosen)


def calibration(wanted, mean, seen, prompts, rows, able):
    """Factor and offset of each column, from what the rated rows are predicted to be by rows of other groups."""
    factor, offset = np.ones(COLUMNS, np.float32), np.zeros(COLUMNS, np.float32)
    said = seen + mean
    a, b, c = recalibrated(-said[:, DIFFICULTY], said[:, SLOPE], able, prompts.rated[rows])
    # Half-way: all the way the spread is lost that tells easy from hard.
    a, b, c = a / 2, (1 + b) / 2, c / 2
    factor[DIFFICULTY], offset[DIFFICULTY], offset[SLOPE] = b, -a, c
    for place, labels in ((TASK, prompts.task[rows]), (DOMAIN, prompts.domain[rows])):
        factor[place] = sharpness(said[:, place], labels)
    print(f"rated rows: level {a:+.2f} {b:.2f}, slope {c:+.2f}, sharpness {factor[4]:.1f} {factor[-1]:.1f}", flush=True)
    return factor, offset


def spread_targets(prompts, rows, seen, mean):
    """Half the logarithm of the squared error of the log length, and what brings its mean to the error's size."""
    miss = np.log(prompts.rated_tokens[rows]) - seen[:, TOKENS] - mean[TOKENS]
    half = 0.5 * np.log(miss**2 + 0.04)
    return half, 0.5 * np.log((miss**2).mean()) - half.mean(), miss


def pruned(found, alpha, mean_square):
    """Bucket → row of the table: the rows that say most over all prompts, numbered from 1."""
    index = np.zeros(1 << BUCKET_BITS, np.int64)
    says = np.zeros(len(index))
    for matrix in found:
        weight = np.asarray(matrix.T @ alpha) / np.sqrt(mean_square)
        says = np.maximum(says, np.abs(weight).max(1) * np.sqrt(np.asarray((matrix > 0).sum(0)).ravel()))
    best = np.argsort(-says)[:ROWS]
    best = np.sort(best[says[best] > 0])
    index[best] = np.arange(1, len(best) + 1)
    return index


def quantised(table, found, scales=(0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)):
    """int8 rows and the scale of each column: of several scales the one that changes predictions least."""
    best, column = np.zeros(table.shape, np.int8), np.ones(table.shape[1], np.float32)
    total = sum(found[1:], found[0])
    exact = total @ table
    for k in range(table.shape[1]):
        size, least = np.abs(table[:, k]), np.inf
        if not size.any():
            continue
        for scale in scales:
            step = np.quantile(size[size > 0], scale) / 127
            rounded = np.clip(np.round(table[:, k] / step), -127, 127)
            miss = ((total @ rounded * step - exact[:, k]) ** 2).sum()
            if miss < least:
                least, best[:, k], column[k] = miss, rounded, step
    return best, column


def fit(prompts, x, inputs, seed):
    """Table, index and weights of the everyday heads. `x` [prompt, input] is what the graph feeds hidden layers with;
    `inputs` are the standardised scores of CLASSES."""
    original = np.array(["variant" not in row and "layout" not in row for row in prompts.rows])
    rows = np.flatnonzero(original & ~np.isnan(prompts.rated[:, 0]))
    borrowed = lent(prompts)
    both = np.concatenate([rows, borrowed])
    mean_x, scale_x = standard(x[rows])
    wanted, able = targets(
        prompts.rated[both], np.log(prompts.rated_tokens[both]), prompts.task[both], prompts.domain[both]
    )
    is_rated = np.arange(len(both)) < len(rows)
    found = ngrams.buckets(prompts.hashes[both])
    common = [np.asarray(matrix[: len(rows)].sum(0)).ravel() >= 2 for matrix in found]
    index = np.cumsum(np.any(common, 0)) * np.any(common, 0)
    # Of each list only what it has twice itself.
    seen_twice = [matrix @ sparse_mask(mask) for matrix, mask in zip(found, common)]
    whole = Inputs(ngrams.picked(seen_twice, index), (x[both] - mean_x) / scale_x)
    values, mean = centred(wanted, is_rated)
    noise = np.where(is_rated, NOISE, LENT_NOISE)
    gram = kernel(whole, whole)
    own = gram[: len(rows), : len(rows)]
    part = folds(prompts.group[rows], seed)
    seen = unseen(own, values[: len(rows)], noise[: len(rows)], part)
    factor, offset = calibration(wanted, mean, seen, prompts, rows, able)
    half, shift, _ = spread_targets(prompts, rows, seen, mean)
    values[: len(rows), SIGMA] = half - half.mean()
    mean[SIGMA], offset[SIGMA] = half.mean(), shift
    first = solve(own, values[: len(rows)], noise[: len(rows)])
    # What nobody said of the rows that lend labels is what the rated ones predict.
    unknown = np.isnan(wanted[len(rows) :])
    unknown[:, SIGMA] = True
    filled = gram[len(rows) :, : len(rows)] @ first
    values[len(rows) :] = np.where(unknown, filled, values[len(rows) :])
    alpha = solve(gram, values, noise)
    kept = pruned(seen_twice, alpha, np.maximum((values**2).mean(0), 1e-6))
    whole = Inputs(ngrams.picked(seen_twice, kept), whole.x)
    del gram, own
    gram = kernel(whole, whole)
    alpha = solve(gram, values, noise) * factor
    gram -= (NGRAM_WEIGHTS[2] - CONTEXT_OF_DIFFICULTY) * (whole.found[2] @ whole.found[2].T).toarray()
    alpha[:, : SLOPE + 1] = solve(gram, values[:, : SLOPE + 1], noise) * factor[: SLOPE + 1]
    del gram
    mean = mean * factor + offset
    table = np.zeros((int(kept.max()) + 1, WIDTH), np.float32)
    weights = np.repeat(np.array(NGRAM_WEIGHTS, np.float32)[:, None], COLUMNS, 1)
    weights[2, : SLOPE + 1] = CONTEXT_OF_DIFFICULTY
    for weight, matrix in zip(weights, whole.found):
        table[:, :COLUMNS] += weight * np.asarray(matrix.T @ alpha)
    rounded, column = quantised(table, whole.found)
    hidden, heads = imitation(prompts, x, (mean_x, scale_x), whole, alpha, mean, rows, seed)
    direct = np.zeros((WIDTH, COLUMNS), np.float32)
    direct[np.arange(COLUMNS), np.arange(COLUMNS)] = column[:COLUMNS]
    rounded[:, COLUMNS], gate_heads = gate(prompts, x, hidden, kept, seed)
    heads = np.column_stack([np.vstack([heads, direct]), gate_heads])
    weights = everyday_map(inputs, able)
    print(f"everyday ability of {CLASSES}: {(inputs @ weights).round(2)}, wanted {able.round(2)}", flush=True)
    return {
        "ngram_table": rounded,
        "ngram_index": kept.astype(np.uint16),
        "everyday_hidden": hidden,
        "everyday_heads": heads,
        "everyday_map": weights,
    }


def sparse_mask(mask):
    return sparse.diags(mask.astype(np.float32))


def imitation(prompts, x, standardised, whole, alpha, mean, rows, seed, most=45_000):
    """Weights of the hidden layer and of the heads over it, the raw input and a constant: what the Gaussian part and
    the mean say of prompts of every kind, some of them with the context of others."""
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([rows, rows, rng.permutation(len(x))[:most]])
    inputs = x[chosen].copy()
    some = rng.random(len(chosen)) < 0.1
    inputs[some, CONTEXT_FEATURES] = x[rng.choice(rows, some.sum()), CONTEXT_FEATURES]
    mean_x, scale_x = standardised
    inputs = (inputs - mean_x) / scale_x
    wanted = np.vstack([gaussian(inputs[at : at + 2000], whole.x) @ alpha for at in range(0, len(inputs), 2000)]) + mean
    size = np.maximum(wanted.std(0), 1e-3) / CARE
    inputs[:, -1] = 1
    network = imitate(inputs, wanted / size, np.ones(len(inputs), np.float32), seed=seed)
    heads = network["heads"] * size
    hidden, direct = network["hidden"], heads[HIDDEN:]
    return folded(hidden, mean_x, scale_x), np.vstack([heads[:HIDDEN], folded(direct, mean_x, scale_x)])


def folded(weights, mean, scale):
    """Weights over raw inputs that do what `weights` do over standardised ones; the last input is the constant."""
    out = weights / scale[:, None]
    out[-1] = weights[-1] - (mean[:-1, None] * out[:-1]).sum(0)
    return out


def plain(prompts):
    """Difficulty and log tokens by the features alone, for where the model fails: weights over the features."""
    rows = ~np.isnan(prompts.rated[:, 0])
    x = prompts.features[rows]
    wanted = np.column_stack([-logit(prompts.rated[rows]).mean(1), np.log(prompts.rated_tokens[rows])])
    penalty = np.full(x.shape[1], 50.0)
    penalty[-1] = 1e-6
    return np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ wanted).T


# Sources of prompts that are questions of exams, whose outcomes were measured elsewhere.
EXAMS = {"mmlu_stem", "mmlu_pro_stem", "llmrouter9_prompts", "reasoning_gym", "procedural"}


def measured(prompts):
    """1 for prompts like those whose outcomes were measured, 0 for those that people and programs send, NaN where that
    is open: puzzles and exams of our own."""
    out = np.full(len(prompts), np.nan, np.float32)
    for i, row in enumerate(prompts.rows):
        if row["models"]:
            out[i] = 1
        elif row["file"] in ("everyday", "tasks", "synthetic") and row["source"] not in EXAMS:
            out[i] = 0
    return out


def gate(prompts, x, hidden, index, seed, most=50_000, decay=(1e-4, 1e-6)):
    """Which prompts are like those whose outcomes were measured: a logistic regression over the hidden layer, the input
    and n-grams. Returns its int8 column of the table and its weights in the order of the heads' input. Context does not
    tell: exam questions had none, but might, so half of them have that of others here."""
    label, rng = measured(prompts), np.random.default_rng(seed)
    known = np.flatnonzero(~np.isnan(label))
    rows = rng.permutation(known)[:most]
    weight = np.where(prompts.file[rows] == "everyday", 3.0, 1.0).astype(np.float32)
    inputs = x[rows].copy()
    some = (label[rows] == 1) & (rng.random(len(rows)) < 0.5)
    framed = np.flatnonzero(x[:, CONTEXT_FEATURES].any(1))
    inputs[some, CONTEXT_FEATURES] = x[rng.choice(framed, some.sum()), CONTEXT_FEATURES]
    dense = np.hstack([np.maximum(inputs @ hidden, 0), inputs]).astype(np.float32)
    size = np.maximum(dense.std(0), 1e-2)
    size[-1] = 1
    dense /= size
    found = ngrams.picked(ngrams.buckets(prompts.hashes[rows]), index)
    terms, wanted, width = (found[0] + found[1]).tocsr(), label[rows], dense.shape[1]
    transposed = terms.T.tocsr()

    def loss(theta):
        theta = theta.astype(np.float32)
        z = dense @ theta[:width] + terms @ theta[width:]
        miss = weight * (1 / (1 + np.exp(-z)) - wanted) / len(rows)
        penalty = np.concatenate([np.full(width, decay[0]), np.full(terms.shape[1], decay[1])]).astype(np.float32)
        penalty[width - 1] = 0
        value = (weight * (np.logaddexp(0, z) - wanted * z)).sum() / len(rows) + (penalty * theta**2).sum() / 2
        return float(value), (np.concatenate([dense.T @ miss, transposed @ miss]) + penalty * theta).astype(float)

    best = minimize(loss, np.zeros(width + terms.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 120})
    column = best.x[width:]
    step = max(np.quantile(np.abs(column), 0.9995) / 127, 1e-9)
    heads = np.concatenate([best.x[:width] / size, np.zeros(WIDTH)])
    heads[width + COLUMNS] = step
    print(f"measured or everyday: loss {best.fun:.3f}", flush=True)
    return np.clip(np.round(column / step), -127, 127).astype(np.int8), heads
