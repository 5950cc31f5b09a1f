"""The exported graph computes what training computed, and placing models by their scores behaves."""

import numpy as np
import onnxruntime

import abilities
import export


def test_the_graph_computes_the_network():
    rng = np.random.default_rng(3)
    width, features, hidden, heads, grams = 8, 5, 16, 7, 6

    def dense(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def table(columns):
        return rng.integers(-127, 128, (40, columns)).astype(np.int8)

    saved = {
        "table": table(width),
        "ngram_table": table(grams),
        "hidden": dense(width + features, hidden),
        "heads": dense(hidden + width + features, heads),
        "everyday_hidden": dense(width + features, hidden),
        "everyday_heads": dense(hidden + width + features + grams, 3),
    }
    session = onnxruntime.InferenceSession(export.graph(saved).SerializeToString())
    saved |= {name: export.bfloat16(value) for name, value in saved.items() if value.dtype == np.float32}
    feeds = {"features": dense(1, features)}
    sums = {}
    for name, size, rows in (
        ("token", export.TOKENS, saved["table"]),
        ("ngram", export.NGRAMS, saved["ngram_table"]),
    ):
        feeds[f"{name}_ids"] = rng.integers(0, 40, size)
        feeds[f"{name}_weights"] = rng.random((1, size)).astype(np.float32)
        sums[name] = feeds[f"{name}_weights"] @ rows[feeds[f"{name}_ids"]].astype(np.float32)
    [found] = session.run(None, feeds)
    seen = np.concatenate([sums["token"], feeds["features"]], 1)
    wanted = np.concatenate(
        [
            np.concatenate([np.maximum(seen @ saved["hidden"], 0), seen], 1) @ saved["heads"],
            np.concatenate([np.maximum(seen @ saved["everyday_hidden"], 0), seen, sums["ngram"]], 1)
            @ saved["everyday_heads"],
        ],
        1,
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-2)


def test_weights_are_rounded_to_the_nearest_bfloat16():
    near = np.array([1.0, 1.0 + 2**-9, 1.0 + 2**-8, 1.0 + 3 * 2**-8, -0.1], np.float32)
    # Eight bits of mantissa: steps of 1/128 above 1; halfway it is the even neighbour.
    wanted = np.array([1.0, 1.0, 1.0, 1.0 + 2**-6, -0.10009765625], np.float32)
    np.testing.assert_array_equal(export.bfloat16(near), wanted)


def test_a_missing_score_is_inferred_from_the_others():
    correlation = 0.8 + 0.2 * np.eye(len(abilities.BENCHMARKS))
    assert (abilities.complete(np.full(len(abilities.BENCHMARKS), np.nan), correlation) == 0).all()
    known = abilities.logits({"mmlu": 0.9})
    filled = abilities.complete(known, correlation)
    place = abilities.BENCHMARKS.index("mmlu")
    assert filled[place] == known[place]
    others = np.delete(filled, place)
    assert (others > 0).all() and (others < known[place]).all()


def test_scores_at_the_ends_stay_finite():
    assert np.isfinite(abilities.logits({"mmlu": 1.0, "math": 0.0})[[5, 4]]).all()
