"""Would a second stage, an encoder of 2 layers × 128 over the order of the words, know more? Printed as Markdown for the card; by hand, half an hour.

Two networks are trained by one loop on the same measured rows from the same token vectors: what they differ in is how words become one vector, by
their mean or by the encoder. Both see the numeric features and end in a hidden layer and one logit a model. So the rows compare ways to read; they are no
rival to what is shipped, which learns from labels, assumptions and benchmark scores besides. Each is trained twice: on all training rows, measured on the
validation split; and without a third of all groups (subjects, generators, benchmarks), measured on these. Writes nothing.
"""

import argparse
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np

import data
import evaluate
import figures
import train

LAYERS, WIDTH, WIDE, HEADS, HIDDEN = 2, 128, 256, 4, 256
# Prompts are cut and padded to one of these lengths.
LENGTHS = [16, 32, 64, 128]
BATCH_TOKENS, EPOCHS, RATE, DECAY, DROPOUT = 8192, 6, 1e-3, 3e-5, 0.3
SOURCES = ["llmrouter9", "mmlu", "mmlu_pro", "reasoning_gym"]


def initial(rng, entries, features, models, encoder):
    def dense(a, b):
        return jnp.asarray(rng.standard_normal((a, b)) / np.sqrt(a), jnp.float32)

    centred = entries - entries.mean(0)
    _, _, axes = np.linalg.svd(centred[2:], full_matrices=False)
    table = (centred @ axes[:WIDTH].T).astype(np.float32)
    network = {"table": jnp.asarray(table / table.std()), "hidden": dense(WIDTH + features, HIDDEN), "out": dense(HIDDEN + features, models) * 0.1, "bias": jnp.zeros(models)}
    if encoder:
        network["place"] = dense(LENGTHS[-1], WIDTH) * 0.3
        network["layers"] = [
            {"qkv": dense(WIDTH, 3 * WIDTH), "mix": dense(WIDTH, WIDTH), "up": dense(WIDTH, WIDE), "down": dense(WIDE, WIDTH), "norm": jnp.ones((2, WIDTH))} for _ in range(LAYERS)
        ]
    return network


def normed(x, scale):
    return scale * (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)


def attended(x, layer, mask):
    batch, length, _ = x.shape
    q, k, v = (part.reshape(batch, length, HEADS, -1).transpose(0, 2, 1, 3) for part in jnp.split(normed(x, layer["norm"][0]) @ layer["qkv"], 3, -1))
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], q @ k.transpose(0, 1, 3, 2) / np.sqrt(WIDTH / HEADS), -1e9))
    x = x + (weights @ v).transpose(0, 2, 1, 3).reshape(batch, length, WIDTH) @ layer["mix"]
    return x + jax.nn.relu(normed(x, layer["norm"][1]) @ layer["up"]) @ layer["down"]


def logits(network, ids, features, key):
    """Of P(correct) [prompt, model]; `key` is None when nothing is dropped."""
    mask = ids > 0
    x = network["table"][ids]
    if "layers" in network:
        x = x + network["place"][: ids.shape[1]]
        for layer in network["layers"]:
            x = attended(x, layer, mask)
    pooled = (x * mask[..., None]).sum(1) / jnp.maximum(mask.sum(1, keepdims=True), 1)
    hidden = jax.nn.relu(jnp.concatenate([pooled, features], 1) @ network["hidden"])
    if key is not None:
        hidden = hidden * jax.random.bernoulli(key, 1 - DROPOUT, hidden.shape) / (1 - DROPOUT)
    return jnp.concatenate([hidden, features], 1) @ network["out"] + network["bias"]


def loss(network, ids, features, scores, key):
    known = ~jnp.isnan(scores)
    z, y = logits(network, ids, features, key), jnp.where(known, scores, 0)
    each = ((jax.nn.softplus(z) - y * z) * known).sum(1) / jnp.maximum(known.sum(1), 1)
    weights = sum((value**2).sum() for name, value in network.items() if name in ("hidden", "out", "table"))
    return each.mean() + DECAY * weights


def batches(prompts, chosen, rng):
    """Of prompts of one length, whichever the order."""
    length = np.array([next(n for n in LENGTHS if n >= min(count, LENGTHS[-1])) for count in prompts.n[chosen]])
    parts = []
    for n in LENGTHS:
        rows = rng.permutation(chosen[length == n])
        size = BATCH_TOKENS // n
        parts += [(n, rows[start : start + size]) for start in range(0, len(rows), size) if start + size <= len(rows)]
    return [parts[i] for i in rng.permutation(len(parts))]


@jax.jit
def step(network, m, v, t, rate, ids, features, scores, key):
    gradient = jax.grad(loss)(network, ids, features, scores, key)
    m = jax.tree.map(lambda a, g: train.BETA * a + (1 - train.BETA) * g, m, gradient)
    v = jax.tree.map(lambda a, g: train.BETA2 * a + (1 - train.BETA2) * g * g, v, gradient)
    network = jax.tree.map(lambda w, a, b: w - rate * (a / (1 - train.BETA**t)) / (jnp.sqrt(b / (1 - train.BETA2**t)) + 1e-8), network, m, v)
    return network, m, v


def trained(prompts, features, chosen, entries, encoder):
    rng = np.random.default_rng(train.SEED)
    network = initial(rng, entries, features.shape[1], len(prompts.models), encoder)
    m = v = jax.tree.map(jnp.zeros_like, network)
    plan, t = [batches(prompts, chosen, rng) for _ in range(EPOCHS)], 0
    steps = sum(len(epoch) for epoch in plan)
    for epoch in plan:
        for length, rows in epoch:
            t += 1
            rate, key = float(train.cosine(RATE, t, steps)), jax.random.fold_in(jax.random.PRNGKey(train.SEED), t)
            network, m, v = step(network, m, v, t, rate, prompts.ids[rows, :length].astype(np.int32), features[rows], prompts.scores[rows], key)
    return network


say_batch = jax.jit(lambda network, ids, features: logits(network, ids, features, None))


def said(network, prompts, features):
    parts = [say_batch(network, prompts.ids[i : i + 256, : LENGTHS[-1]].astype(np.int32), features[i : i + 256]) for i in range(0, len(prompts), 256)]
    return np.asarray(jax.nn.sigmoid(jnp.concatenate(parts)))


def cells(p, prompts):
    """AUC within a model for each source, and APGR of the pair."""
    out = []
    for file in SOURCES:
        rows = np.flatnonzero(prompts.file == file)
        out.append(figures.interval(lambda i, r=rows: figures.auc_within(p[r][i], prompts.scores[r][i]), len(rows), 100))
    weak, strong = (prompts.models.index(name) for name in (evaluate.WEAK, evaluate.STRONG))
    rows = np.flatnonzero(prompts.file == "mmlu")
    gain, w, s = (p[:, strong] - p[:, weak])[rows], prompts.scores[rows, weak], prompts.scores[rows, strong]
    out.append(figures.interval(lambda i: figures.apgr(gain[i], w[i], s[i]), len(rows), 200))
    return " | ".join(f"{a:.3f} [{b:.3f}, {c:.3f}]" for a, b, c in out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    entries = np.load(work / "teacher_vocabulary.npy")
    models = data.model_names(work)
    prompts, val = data.Prompts(work, "prompts", len(entries), models), data.Prompts(work, "val", len(entries), models)
    prompts = prompts.only(np.array([bool(row["models"]) and "variant" not in row for row in prompts.rows]))
    val = val.only(np.array([bool(row["models"]) for row in val.rows]))
    spread = np.maximum(np.sqrt((prompts.features**2).mean(0)), 0.05)
    held = np.array([zlib.crc32(str(group).encode()) % 3 == 0 for group in prompts.group])
    print(f"| words become one vector by | {' | '.join('AUC ' + s for s in SOURCES)} | APGR of P(strong) − P(weak) |")
    print("|---" * (len(SOURCES) + 2) + "|")
    for encoder, name in ((False, "their mean"), (True, f"an encoder of {LAYERS} × {WIDTH}")):
        network = trained(prompts, prompts.features / spread, np.arange(len(prompts)), entries, encoder)
        print(f"| {name} | {cells(said(network, val, val.features / spread), val)} |", flush=True)
        network, new = trained(prompts, prompts.features / spread, np.flatnonzero(~held), entries, encoder), prompts.only(held)
        print(f"| {name}, groups left out ({held.sum()} prompts) | {cells(said(network, new, new.features / spread), new)} |", flush=True)


if __name__ == "__main__":
    main()
