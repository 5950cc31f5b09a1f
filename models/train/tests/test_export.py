"""The exported graph computes what training computed, and placing models by their scores behaves."""

import numpy as np
import onnxruntime

import abilities
import export


def test_the_graph_computes_the_network():
    rng = np.random.default_rng(3)
    width, features, hidden, heads = 8, 5, 16, 7
    table = rng.integers(-127, 128, (40, width)).astype(np.int8)
    hidden_weights = rng.normal(size=(width + features, hidden)).astype(np.float32)
    head_weights = rng.normal(size=(hidden + width + features, heads)).astype(np.float32)
    session = onnxruntime.InferenceSession(export.graph(table, hidden_weights, head_weights).SerializeToString())
    ids = rng.integers(0, 40, export.TOKENS)
    weights = rng.random((1, export.TOKENS)).astype(np.float32)
    numbers = rng.normal(size=(1, features)).astype(np.float32)
    [found] = session.run(None, {"token_ids": ids, "token_weights": weights, "features": numbers})
    seen = np.concatenate([weights @ table[ids].astype(np.float32), numbers], 1)
    wanted = np.concatenate([np.maximum(seen @ hidden_weights, 0), seen], 1) @ head_weights
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-2)


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
