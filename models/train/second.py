"""Would a second stage, an encoder of 2 layers × 128 over the order of the words, know more? Printed as Markdown for
the card; by hand, twenty minutes.

Two networks are trained by one loop on the same measured rows from the same token vectors: what they differ in is
how words become one vector, by their mean or by the encoder. Both see the numeric features and end in a hidden layer
and one logit a model. So the rows compare ways to read; they are no rival to what is shipped, which learns from
labels, assumptions and benchmark scores besides. Each is trained twice: on all training rows, measured on the
validation split; and without a third of all groups (subjects, generators, benchmarks), measured on these. Writes
nothing.
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import baselines
import data
import evaluate
import train
from left_out import fold_of

LAYERS, WIDTH, WIDE, HEADS, HIDDEN = 2, 128, 256, 4, 256
# Prompts are cut and padded to one of these lengths.
LENGTHS = [16, 32, 64, 128]
BATCH_TOKENS, EPOCHS, RATE, DECAY, DROPOUT = 8192, 6, 1e-3, 3e-5, 0.3


def initial(rng, entries, features, models, encoder):
    def dense(a, b):
        return jnp.asarray(rng.standard_normal((a, b)) / np.sqrt(a), jnp.float32)

    network = {
        "table": jnp.asarray(train.principal(entries, WIDTH)),
        "hidden": dense(WIDTH + features, HIDDEN),
        "out": dense(HIDDEN + features, models) * 0.1,
        "bias": jnp.zeros(models),
    }
    if encoder:
        network["place"] = dense(LENGTHS[-1], WIDTH) * 0.3
        network["layers"] = [
            {
                "qkv": dense(WIDTH, 3 * WIDTH),
                "mix": dense(WIDTH, WIDTH),
                "up": dense(WIDTH, WIDE),
                "down": dense(WIDE, WIDTH),
                "norm": jnp.ones((2, WIDTH)),
            }
            for _ in range(LAYERS)
        ]
    return network


def normed(x, scale):
    return scale * (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)


def attended(x, layer, mask):
    batch, length, _ = x.shape
    q, k, v = (
        part.reshape(batch, length, HEADS, -1).transpose(0, 2, 1, 3)
        for part in jnp.split(normed(x, layer["norm"][0]) @ layer["qkv"], 3, -1)
    )
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
    weights = sum((network[name] ** 2).sum() for name in ("hidden", "out", "table"))
    return (
        train.outcome_loss(logits(network, ids, features, key), {"scores": scores, "outcome_weight": 1.0})
        + DECAY * weights
    )


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
    return train.adam(network, m, v, t, rate, jax.grad(loss)(network, ids, features, scores, key))


def trained(prompts, chosen, entries, encoder):
    rng = np.random.default_rng(train.SEED)
    network = initial(rng, entries, prompts.features.shape[1], len(prompts.models), encoder)
    m = v = jax.tree.map(jnp.zeros_like, network)
    plan, t = [batches(prompts, chosen, rng) for _ in range(EPOCHS)], 0
    steps = sum(len(epoch) for epoch in plan)
    for epoch in plan:
        for length, rows in epoch:
            t += 1
            rate, key = float(train.cosine(RATE, t, steps)), jax.random.fold_in(jax.random.PRNGKey(train.SEED), t)
            network, m, v = step(
                network,
                m,
                v,
                t,
                rate,
                prompts.padded(length)[rows].astype(np.int32),
                prompts.features[rows],
                prompts.scores[rows],
                key,
            )
    return network


say_batch = jax.jit(lambda network, ids, features: logits(network, ids, features, None))


def said(network, prompts):
    parts = [
        say_batch(network, prompts.padded(LENGTHS[-1])[i : i + 256].astype(np.int32), prompts.features[i : i + 256])
        for i in range(0, len(prompts), 256)
    ]
    return np.asarray(jax.nn.sigmoid(jnp.concatenate(parts)))


def line(name, network, prompts):
    """A row of the table: how `network` does on `prompts`."""
    p = said(network, prompts)
    weak, strong, _ = evaluate.pair_of(prompts)
    return baselines.line(name, baselines.measured(p, p[:, strong] - p[:, weak], prompts, 200))


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
    spread = data.spread(prompts.features)
    for part in (prompts, val):
        part.features = part.features / spread
    held = np.array([fold_of(str(group)) == 0 for group in prompts.group])
    new = prompts.only(held)
    print(baselines.head("words become one vector by", "P(strong) − P(weak)"))
    for encoder, name in ((False, "their mean"), (True, f"an encoder of {LAYERS} × {WIDTH}")):
        print(line(name, trained(prompts, np.arange(len(prompts)), entries, encoder), val), flush=True)
        print(
            line(
                f"{name}, groups left out ({held.sum()} prompts)",
                trained(prompts, np.flatnonzero(~held), entries, encoder),
                new,
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
