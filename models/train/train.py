"""Trains the classifier: token table, hidden layer and heads; writes WORK/model.npz.

Stages: 0. outcomes of one attempt are smoothed (`smooth.py`); 1. the table starts from the teacher's vectors of the
vocabulary entries (PCA, rare words weighted up) and is tuned together with the network on all heads; 2. it is
rounded to int8 and frozen, and the network goes on with the rounded one; 3. the output weights of difficulty and
traits are fitted once more (`refine.py`), the gain, weak-wrong and novelty heads in closed form on the frozen input.
Seeded; numpy, scipy and JAX on CPU. Writes no ONNX: that is `export.py`.
"""

import argparse
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import abilities
import assumed
import data
import evaluate
import rated
import smooth
from abilities import SKILLS
from refine import refine
from rows import DOMAINS, TASKS

SEED = 20261123
DIM = 64
HIDDEN = 256
# Of the hidden layer and, less, of what it sees: outcomes are few and noisy.
DROPOUT, INPUT_DROPOUT = 0.5, 0.05
# Latent traits of prompts on which known models differ in ways that no benchmark score tells (an answer format that one
# fails, say).
TRAITS = 16
# Which skill a task calls for, as a soft prior: outcomes alone cannot name their dimensions.
SKILL_OF = {
    "chat": "instruction",
    "knowledge_qa": "knowledge",
    "math": "math",
    "reasoning": "reasoning",
    "code": "code",
    "creative_writing": "instruction",
    "summarization": "instruction",
    "translation": "knowledge",
    "rewriting": "instruction",
    "extraction": "instruction",
    "classification": "knowledge",
}
NOVELTY = 24
HEADS = [
    ("task", len(TASKS)),
    ("domain", len(DOMAINS)),
    ("difficulty", 1),
    ("skill_weights", len(SKILLS)),
    ("log_output_tokens", 1),
    ("latent_factors", TRAITS),
]
WEIGHTS = {
    "task": 1.5,
    "domain": 1.8,
    "irt": 6.0,
    "placed": 1.0,
    "near": 1.0,
    "assumed": 4.0,
    "skill_weights": 0.1,
    "tokens": 0.3,
    "teacher": 10.0,
    "untold": 1.5,
    "steady": 1.5,
    "group": 0.5,
}
# Outcomes of these sources count more: few prompts that differ much.
SOURCE_WEIGHT = {"reasoning_gym": 2.5, "llmrouter9": 1.5}
# How far the classes of tasks are brought to the same weight: 0 not at all, 1 all the way.
BALANCE = 0.25


def principal(teacher, width):
    """The teacher's vectors of the vocabulary by their first principal components [entry, width]; padding and the
    unknown word have no say in these."""
    centred = teacher - teacher.mean(0)
    _, _, axes = np.linalg.svd(centred[2:], full_matrices=False)
    table = centred @ axes[:width].T
    return table / table.std()


def initial_table(teacher, counts):
    """The teacher's principal components, scaled by smooth inverse frequency; padding is zero."""
    table = principal(teacher, DIM)
    frequency = (counts + 1) / (counts + 1).sum()
    table *= (1e-3 / (1e-3 + frequency))[:, None]
    table[0] = 0
    return table.astype(np.float32)


def initial_network(rng, width, models, groups):
    def dense(a, b):
        return (rng.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32)

    out = sum(size for _, size in HEADS)
    return {
        "hidden": dense(width, HIDDEN),
        "heads": dense(HIDDEN + width, out) * 0.1,
        "groups": dense(HIDDEN + width, groups) * 0.1,
        "teacher": dense(DIM, DIM),
        "skill_map": abilities.PRIOR_MAP.copy(),
        "delta": np.zeros((models, len(SKILLS)), np.float32),
        "latent_factors": (rng.standard_normal((models, TRAITS)) * 0.3).astype(np.float32),
    }


def split_heads(out):
    at, parts = 0, {}
    for name, size in HEADS:
        parts[name] = out[:, at : at + size]
        at += size
    return parts


def forward(network, bag, features, key, same=False):
    """The heads, with drop-out; nothing is dropped where rows are compared with each other (`same`)."""
    x = jnp.concatenate([bag, features], 1)
    keys = jax.random.split(key)
    if not same:
        x = x * jax.random.bernoulli(keys[0], 1 - INPUT_DROPOUT, x.shape) / (1 - INPUT_DROPOUT)
    h = jax.nn.relu(x @ network["hidden"])
    if not same:
        h = h * jax.random.bernoulli(keys[1], 1 - DROPOUT, h.shape) / (1 - DROPOUT)
    seen = jnp.concatenate([h, x], 1)
    return split_heads(seen @ network["heads"]) | {"group": seen @ network["groups"]}


class Placing(NamedTuple):
    """What places models: their benchmark scores [model, benchmark + 1], and whose traits each would have if nobody
    had measured it [model, model]."""

    scores: np.ndarray
    near: np.ndarray


def ability(network, placing):
    return placing.scores @ network["skill_map"] + network["delta"]


def logits(network, heads, demand, placing):
    """Of P(correct) [prompt, model]: of models as measured; of the same placed by benchmark scores alone, as ones
    that were never seen; and of these with the traits of others near them."""
    measured = (
        demand @ ability(network, placing).T
        - heads["difficulty"]
        + heads["latent_factors"] @ network["latent_factors"].T
    )
    placed = demand @ (placing.scores @ network["skill_map"]).T - heads["difficulty"]
    return measured, placed, placed + heads["latent_factors"] @ (placing.near @ network["latent_factors"]).T


def assumed_loss(network, heads, demand, batch, placing):
    """Cross-entropy with the outcomes of `assumed.py`, which say something of prompts and nothing of models:
    abilities are held."""
    able = jax.lax.stop_gradient(ability(network, placing))[batch["assumed_models"][0]]
    logit = demand @ able.T - heads["difficulty"]
    nll = (jax.nn.softplus(logit) - batch["assumed"] * logit).mean(1)
    return (nll * batch["assumed_weight"]).sum() / (batch["assumed_weight"].sum() + 1e-6)


def label_loss(logits, label, weight):
    known = (label >= 0) * weight
    log_p = jax.nn.log_softmax(logits)[jnp.arange(len(label)), jnp.maximum(label, 0)]
    return -(known * log_p).sum() / (known.sum() + 1e-6)


def outcome_loss(logit, batch):
    """Cross-entropy with the measured outcomes. Every answered prompt counts once, however many models answered it."""
    known = ~jnp.isnan(batch["scores"])
    scores = jnp.where(known, batch["scores"], 0.0)
    per_prompt = ((jax.nn.softplus(logit) - scores * logit) * known).sum(1) / jnp.maximum(known.sum(1), 1)
    counts = known.any(1) * batch["outcome_weight"]
    return (per_prompt * counts).sum() / (counts.sum() + 1e-6)


def token_loss(heads, batch):
    told = ~jnp.isnan(batch["log_tokens"])
    off = jnp.where(told, heads["log_output_tokens"][:, 0] - batch["log_tokens"], 0.0)
    return (jnp.sqrt(1 + off**2) - 1).sum() / (told.sum() + 1e-6)


def teacher_loss(network, bag, batch):
    seen = ~jnp.isnan(batch["teacher"][:, :1])
    miss = jnp.where(seen, bag @ network["teacher"] - batch["teacher"], 0.0)
    return (miss**2).sum() / (seen.sum() + 1e-6) / DIM


def decay(network):
    weights = (network["hidden"] ** 2).sum() + (network["heads"] ** 2).sum() + (network["groups"] ** 2).sum()
    models = 2e-3 * (network["delta"] ** 2).sum() + 3e-4 * (network["latent_factors"] ** 2).sum()
    return 4e-4 * weights + models + 1e-3 * ((network["skill_map"] - abilities.PRIOR_MAP) ** 2).sum()


def loss(network, bag, features, batch, placing, key):
    heads = forward(network, bag, features, key)
    demand = jax.nn.softmax(heads["skill_weights"])
    measured, placed, near = logits(network, heads, demand, placing)
    parts = {
        "irt": outcome_loss(measured, batch),
        "placed": outcome_loss(placed, batch),
        "near": outcome_loss(near, batch),
        "assumed": assumed_loss(network, heads, demand, batch, placing),
        "task": label_loss(heads["task"], batch["task"], batch["task_weight"]),
        "domain": label_loss(heads["domain"], batch["domain"], batch["weight"]),
        "skill_weights": label_loss(heads["skill_weights"], batch["skill"], batch["weight"]),
        "tokens": token_loss(heads, batch),
        "group": label_loss(heads["group"], batch["group"], batch["outcome_weight"]),
        "teacher": teacher_loss(network, bag, batch),
        # Where nothing was measured, nothing sets known models apart.
        "untold": ((heads["latent_factors"] ** 2).mean(1) * batch["quiet"]).mean(),
    }
    return sum(WEIGHTS[name] * part for name, part in parts.items()) + decay(network)


def hold_monotone(network):
    """No skill falls where a benchmark score rises: the map's weights on scores (all rows but the constant) stay at
    0 or above."""
    least = np.full_like(abilities.PRIOR_MAP, -np.inf)
    least[:-1] = 0
    return {**network, "skill_map": jnp.maximum(network["skill_map"], least)}


step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
BETA, BETA2 = 0.9, 0.999


class Adam:
    def __init__(self, rate):
        self.rate, self.moments, self.t = rate, {}, 0

    def step(self, m, v, gradient, scale):
        """What a value changes by, and its new moments."""
        m, v = BETA * m + (1 - BETA) * gradient, BETA2 * v + (1 - BETA2) * gradient**2
        return m, v, self.rate * scale * (m / (1 - BETA**self.t)) / (np.sqrt(v / (1 - BETA2**self.t)) + 1e-8)

    def update(self, name, value, gradient):
        m, v, change = self.step(*self.moments.get(name, (0.0, 0.0)), gradient, 1.0)
        self.moments[name] = m, v
        return value - change

    def update_rows(self, name, value, rows, gradient, scale):
        """The same in place for some rows; the others, and their moments, stay as they are."""
        m, v = self.moments.setdefault(name, (np.zeros_like(value), np.zeros_like(value)))
        m[rows], v[rows], change = self.step(m[rows], v[rows], gradient, scale)
        value[rows] -= change


def adam(network, m, v, t, rate, gradient):
    """Step `t` for all of a network, in compiled code: what it becomes, and its moments."""
    m = jax.tree.map(lambda a, g: BETA * a + (1 - BETA) * g, m, gradient)
    v = jax.tree.map(lambda a, g: BETA2 * a + (1 - BETA2) * g * g, v, gradient)
    return (
        jax.tree.map(
            lambda w, a, b: w - rate * (a / (1 - BETA**t)) / (jnp.sqrt(b / (1 - BETA2**t)) + 1e-8), network, m, v
        ),
        m,
        v,
    )


def group_labels(prompts):
    """Which generator, subject or benchmark a prompt with outcomes is of (−1 for others), and how many there are.
    Told apart in training alone: what sets groups apart is what sets their outcomes apart, and a group's name is
    a label without noise."""
    answered = ~np.isnan(prompts.scores).all(1)
    names, place = np.unique(prompts.group, return_inverse=True)
    counts = np.bincount(place[answered], minlength=len(names))
    number = np.where(counts >= 8, np.cumsum(counts >= 8) - 1, -1)
    return np.where(answered, number[place], -1), int((counts >= 8).sum())


def targets(prompts, teacher, expected):
    skill = np.array([SKILLS.index(SKILL_OF[TASKS[t]]) if t >= 0 else -1 for t in prompts.task])
    # A single source of short assistant commands is 40 % of all prompts; no class may be worth more than its kind.
    weight = np.where(prompts.file == "tasks", 0.5, 1.0)
    weight[[r["source"] == "clinc150" for r in prompts.rows]] = 0.25
    weight[prompts.file == "synthetic"] = 1.0
    # Exam questions outnumber text tasks fifty to one in training, not where the classifier is used: half-way to every
    # class weighing the same.
    labelled = prompts.task >= 0
    size = np.bincount(prompts.task[labelled], weight[labelled], len(TASKS))
    balance = np.clip((size.mean() / np.maximum(size, 1)) ** BALANCE, 0.3, 3.0)
    task_weight = weight * balance[np.maximum(prompts.task, 0)]
    # Every kind of assumption weighs the same in all.
    share = np.bincount(prompts.assumed[prompts.assumed >= 0], weight[prompts.assumed >= 0], len(assumed.KINDS))
    told = np.where(prompts.assumed >= 0, weight / share[prompts.assumed] * share.mean(), 0.0)
    columns = np.tile([prompts.models.index(name) for name in assumed.MODELS], (len(prompts), 1))
    supposed = np.array([assumed.outcome(kind) for kind in range(len(assumed.KINDS))], np.float32)[prompts.assumed]
    outcome_weight = np.array([SOURCE_WEIGHT.get(file, 1.0) for file in prompts.file], np.float32)
    outcome_weight[["failed_for_form" in row for row in prompts.rows]] *= 0.5
    return {
        "assumed": supposed,
        "assumed_weight": told.astype(np.float32),
        "assumed_models": columns,
        "task": prompts.task,
        "domain": prompts.domain,
        "skill": skill,
        "group": group_labels(prompts)[0],
        "quiet": prompts.quiet,
        "scores": expected,
        "outcome_weight": outcome_weight,
        "log_tokens": prompts.log_tokens,
        "weight": weight.astype(np.float32),
        "task_weight": task_weight.astype(np.float32),
        "teacher": teacher,
    }


def cosine(rate, t, steps):
    return rate * 0.5 * (1 + jnp.cos(jnp.pi * t / steps))


def tune(prompts, table, network, wanted, placing, scale, epochs, rng, rate=3e-3, batch=1024):
    """Trains table and network together: only the rows of the tokens at hand move."""
    optimiser, steps = Adam(rate), epochs * (len(prompts) // batch)
    for epoch in range(epochs):
        order, total = rng.permutation(len(prompts)), 0.0
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            optimiser.t += 1
            optimiser.rate = float(cosine(rate, optimiser.t, steps))
            counts = prompts.bag[chosen]
            rows = np.unique(counts.indices)
            rows = rows[rows > 0]
            part = {name: value[chosen] for name, value in wanted.items()}
            key = jax.random.fold_in(jax.random.PRNGKey(SEED), optimiser.t)
            value, (gradients, bag_gradient) = step(
                network, counts @ table * scale["bag"], prompts.features[chosen] * scale["features"], part, placing, key
            )
            total += float(value)
            for name, gradient in gradients.items():
                network[name] = optimiser.update(name, network[name], np.asarray(gradient))
            network = hold_monotone(network)
            gradient = counts[:, rows].T @ (np.asarray(bag_gradient) * scale["bag"])
            optimiser.update_rows("table", table, rows, gradient, 0.3)
        print(f"table, epoch {epoch + 1}/{epochs}: loss {total / (len(order) // batch):.4f}", flush=True)
    return table, network


def steadiness_loss(network, bag, features, key):
    """What a prompt and its variant differ in, which should be nothing: the first half of the rows are prompts, the
    second their variants."""
    heads = forward(network, bag, features, key, same=True)
    half = len(bag) // 2

    def apart(name):
        return ((heads[name][:half] - heads[name][half:]) ** 2).mean()

    return (
        apart("difficulty")
        + apart("latent_factors")
        + 0.3 * apart("skill_weights")
        + 0.1 * apart("task")
        + 0.1 * apart("domain")
        + 0.3 * apart("log_output_tokens")
    )


def settle(bag, features, network, wanted, placing, pairs, epochs, rng, rate=1e-3, batch=512):
    """Trains the network on a frozen table, each epoch as one compiled loop. `pairs` are rows of prompts and of
    their variants."""
    rounds = len(bag) // batch
    held = {name: jnp.asarray(value) for name, value in {**wanted, "bag": bag, "features": features}.items()}

    @jax.jit
    def epoch(state, orders, key):
        def both(network, part, together, key):
            steady = steadiness_loss(network, held["bag"][together], held["features"][together], key)
            return loss(network, part["bag"], part["features"], part, placing, key) + WEIGHTS["steady"] * steady

        def one(state, rows):
            network, m, v, t = state
            chosen, together = rows
            part = {name: value[chosen] for name, value in held.items()}
            value, gradient = jax.value_and_grad(both)(network, part, together.reshape(-1), jax.random.fold_in(key, t))
            t = t + 1
            network, m, v = adam(network, m, v, t, cosine(rate, t, epochs * rounds), gradient)
            return (hold_monotone(network), m, v, t), value

        return jax.lax.scan(one, state, orders)

    nothing = jax.tree.map(np.zeros_like, network)
    state = (network, nothing, nothing, 0)
    for number in range(epochs):
        orders = rng.permutation(len(bag))[: rounds * batch].reshape(rounds, batch)
        drawn = pairs[rng.integers(0, len(pairs), (rounds, batch // 2))].transpose(0, 2, 1)
        state, values = epoch(state, (orders, drawn), jax.random.PRNGKey(SEED + 1))
        print(f"network, epoch {number + 1}/{epochs}: loss {float(values.mean()):.4f}", flush=True)
    return {name: np.array(value) for name, value in state[0].items()}


def quantise(table):
    """int8 rows and the scale of each column; outliers are clipped."""
    column = np.quantile(np.abs(table), 0.9995, axis=0) / 127
    return np.clip(np.round(table / column), -127, 127).astype(np.int8), column.astype(np.float32)


def ridge(x, y, strength, weight=None):
    weight = np.ones(len(x)) if weight is None else weight
    penalty = np.full(x.shape[1], strength)
    penalty[-1] = 1e-6  # the constant
    weighted = x * weight[:, None]
    return np.linalg.solve(x.T @ weighted + np.diag(penalty), weighted.T @ y)


def pair_heads(prompts, x, strength=2000.0):
    """Gain and weak-wrong of the pair of the MMLU outcomes, each a z-score over its prompts, with length as the
    third part of the sum: the gain and the length count double. models/README.md says by what the weights were
    chosen."""
    weak, strong, known = evaluate.pair_of(prompts)
    weak, strong = prompts.scores[:, weak], prompts.scores[:, strong]
    if not known.any():  # left out by `left_out.py`
        return {"gain": np.zeros(x.shape[1]), "weak_failure": np.zeros(x.shape[1])}
    x, weak, strong = x[known], weak[known], strong[known]

    def z(column):
        values = x @ column
        column = column / values.std()
        column[-1] -= (x @ column).mean()
        return column

    gain = z(ridge(x, (strong - weak), strength))
    weak_wrong = z(ridge(x, 1 - weak, strength))
    length = np.zeros(x.shape[1])
    length[DIM] = 1.0
    return {"gain": z(2 * gain + weak_wrong + 2 * z(length)), "weak_failure": weak_wrong}


def centre(network, scale):
    """Moves abilities and difficulty together so that an average model has ability 0: no probability changes, as
    demand sums to 1."""
    shift = float(np.mean(network["skill_map"][-1]))
    network["skill_map"] = np.array(network["skill_map"])
    network["skill_map"][-1] -= shift
    network["heads"] = np.array(network["heads"])
    network["heads"][-1, len(TASKS) + len(DOMAINS)] -= shift / scale["features"][-1]


def finish(network, prompts, expected, x, placing, pairs):
    """The output weights of difficulty and traits once more: `refine.py`."""
    seen = np.hstack([np.maximum(x @ network["hidden"], 0), x])
    heads = {name: np.asarray(part) for name, part in split_heads(seen @ network["heads"]).items()}
    demand = np.asarray(jax.nn.softmax(heads["skill_weights"]))
    measured, _, near = (np.asarray(part) for part in logits(network, heads, demand, placing))
    added = refine(
        seen,
        measured,
        near,
        network["latent_factors"],
        placing.near @ network["latent_factors"],
        expected,
        prompts.quiet,
        pairs,
    )
    starts = dict(zip([name for name, _ in HEADS], np.cumsum([0] + [size for _, size in HEADS])))
    columns = [starts["difficulty"], *range(starts["latent_factors"], starts["latent_factors"] + TRAITS)]
    network["heads"][:, columns] += added.astype(np.float32)


def novelty_head(x, rng):
    """Random projections of the whitened input: their mean square is the distance from the training prompts in every
    direction."""
    covariance = x.T @ x / len(x)
    values, vectors = np.linalg.eigh(covariance)
    whiten = vectors / np.sqrt(values + 0.02 * values.mean())
    return whiten @ rng.standard_normal((x.shape[1], NOVELTY)) / np.sqrt(x.shape[1])


def fallback_heads(prompts, wanted, difficulty):
    """Linear in the raw features alone: what is left when the model fails. One row per task (least squares on ±4),
    then difficulty, gain of the pair and log output tokens."""
    x, weight = prompts.features, wanted["weight"] * (prompts.task >= 0)
    rows = [ridge(x, np.where(prompts.task == t, 4.0, -4.0), 5.0, weight) for t in range(len(TASKS))]
    answered = ~np.isnan(prompts.scores).all(1)
    said = answered | (prompts.assumed >= 0)
    of = np.where(answered, 1.0, wanted["assumed_weight"])
    rows.append(ridge(x[said], difficulty[said], 50.0, of[said]))
    # The constant and the length stand in front and at the end, as `pair_heads` expects of its input.
    rows.append(pair_heads(prompts, np.hstack([np.zeros((len(x), DIM)), x]))["gain"][DIM:])
    told = ~np.isnan(prompts.log_tokens)
    rows.append(ridge(x[told], prompts.log_tokens[told], 50.0))
    return np.array(rows)


def assemble(network, scale, column, pair, novelty):
    """The two weight matrices of the graph: input scales are folded in, closed-form heads are appended."""
    extra = np.column_stack([pair["gain"], pair["weak_failure"], novelty])
    fold = np.concatenate([scale["bag"] * column, scale["features"]])
    hidden = network["hidden"] * fold[:, None]
    heads = np.hstack([network["heads"], np.vstack([np.zeros((HIDDEN, extra.shape[1])), extra])])
    heads[HIDDEN:] *= fold[:, None]
    names = HEADS + [("gain", 1), ("weak_failure", 1), ("novelty", NOVELTY)]
    return hidden.astype(np.float32), heads.astype(np.float32), names


def teacher_targets(work, prompts):
    """[prompt, DIM] principal components of the teacher's vectors, NaN for prompts that it did not see."""
    vectors = np.load(work / "teacher_prompts.npy").astype(np.float32)
    seen = ~np.isnan(vectors[:, 0])
    centred = vectors[seen] - vectors[seen].mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    teacher = np.full((len(prompts), DIM), np.nan, np.float32)
    teacher[seen] = centred @ axes[:DIM].T * np.sqrt(DIM)
    return teacher


def fit(prompts, teacher, entries, inputs, epochs, expected=None):
    """Everything that is learned from `prompts`, as arrays by name; `entries` are the teacher's vectors of the
    vocabulary, `expected` the outcomes [prompt, model] that P(correct) is fitted to, those that were measured if
    None."""
    expected = prompts.scores if expected is None else expected
    rng = np.random.default_rng(SEED)
    table = initial_table(entries, np.bincount(np.concatenate(list(prompts.ids)), minlength=len(entries)))
    network = initial_network(rng, DIM + prompts.features.shape[1], len(prompts.models), group_labels(prompts)[1])
    bag, wanted = prompts.bag @ table, targets(prompts, teacher, expected)
    scale = {
        "bag": (1 / bag.std(0).mean() * np.ones(DIM)).astype(np.float32),
        "features": (1 / data.spread(prompts.features, wanted["weight"])).astype(np.float32),
    }
    placing = Placing(inputs, abilities.near(inputs, ~np.isnan(prompts.scores).all(0)))
    table, network = tune(prompts, table, network, wanted, placing, scale, epochs[0], rng)
    rounded, column = quantise(table)
    bag = np.asarray(prompts.bag @ (rounded * column) * scale["bag"], np.float32)
    x = np.hstack([bag, prompts.features * scale["features"]])
    place = {row["id"]: i for i, row in enumerate(prompts.rows)}
    pairs = np.array(
        [[place[row["id"].rsplit("/", 1)[0]], i] for i, row in enumerate(prompts.rows) if "variant" in row]
    )
    network = settle(bag, x[:, DIM:], network, wanted, placing, pairs, epochs[1], rng)
    centre(network, scale)
    finish(network, prompts, expected, x, placing, pairs)
    novelty = novelty_head(x, rng)
    hidden, heads, names = assemble(network, scale, column, pair_heads(prompts, x), novelty)
    difficulty = (np.hstack([np.maximum(x @ network["hidden"], 0), x]) @ network["heads"])[:, len(TASKS) + len(DOMAINS)]
    # Half of the distances are below the first; a bag of words that never met in training lies beyond the second.
    distance = ((x @ novelty) ** 2).mean(1)
    return {
        "table": rounded,
        "hidden": hidden,
        "heads": heads,
        "names": np.array([n for n, _ in names]),
        "sizes": np.array([s for _, s in names]),
        "abilities": np.asarray(ability(network, placing)),
        "model_traits": np.asarray(network["latent_factors"]),
        "models": np.array(prompts.models),
        "difficulty_mean": difficulty[~np.isnan(prompts.scores).all(1)].mean(),
        "novelty_low": np.quantile(distance, 0.9),
        "novelty_high": 2 * np.quantile(distance, 0.999),
        "skill_map": np.asarray(network["skill_map"]),
        "near_traits": placing.near @ network["latent_factors"],
        "standard": inputs[:, :-1],
        "fallback": fallback_heads(prompts, wanted, difficulty),
    }


def without_noise(prompts, teacher, entries, inputs, epochs):
    """The outcomes that `smooth.py` makes of those that were measured."""
    few = prompts.few_variants()

    def judge(kept, asked):
        saved = fit(prompts.only(kept & few), teacher[kept & few], entries, inputs, epochs)
        return evaluate.logit(
            evaluate.p_correct(
                evaluate.say(saved, prompts.only(asked)), saved, saved["abilities"], saved["model_traits"]
            )
        )

    return smooth.smoothed(prompts, judge)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--benchmarks", required=True)
    parser.add_argument("--epochs", type=int, nargs=2, default=[9, 28])
    parser.add_argument("--judge-epochs", type=int, nargs=2, default=[5, 14])
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    size = len(pathlib.Path(args.vocabulary).read_text(encoding="utf-8").split("\n")) - 1
    prompts = data.Prompts(work, "prompts", size, data.model_names(work))
    inputs, known, constants = abilities.inputs(args.benchmarks, prompts.models)
    print(
        f"{len(prompts)} prompts, {len(prompts.models)} models, {known.sum()} of them with benchmark scores", flush=True
    )
    entries = np.load(work / "teacher_vocabulary.npy")
    teacher = teacher_targets(work, prompts)
    expected = without_noise(prompts, teacher, entries, inputs, args.judge_epochs)
    saved = fit(prompts, teacher, entries, inputs, args.epochs, expected)
    placed = abilities.inputs(args.benchmarks, rated.CLASSES)[0]
    np.savez(work / "model.npz", **with_everyday(saved, prompts, inputs, placed), **constants)


def with_everyday(saved, prompts, inputs, placed):
    """What `fit` found, and the heads of everyday prompts; each model's everyday skill is that of its scores."""
    x = np.hstack([prompts.bag @ saved["table"].astype(np.float32), prompts.features])
    everyday = rated.fit(prompts, x, placed, SEED)
    own = everyday.pop("everyday_map")
    fallback = saved["fallback"].copy()
    fallback[len(TASKS)], fallback[-1] = rated.plain(prompts)
    return {
        **saved,
        **everyday,
        "fallback": fallback,
        "everyday_mean": -rated.logit(prompts.rated[~np.isnan(prompts.rated[:, 0])]).mean(),
        "abilities": np.column_stack([saved["abilities"], inputs @ own]),
        "skill_map": np.column_stack([saved["skill_map"], own]),
    }


if __name__ == "__main__":
    main()
