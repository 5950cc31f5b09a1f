#!/usr/bin/env python3
"""Writes tests/data/classifier-parity.json: synthetic inputs of the classifier and what onnxruntime answers.

Run it after models/classifier.onnx changed; the unit tests compare the embedded model with it, natively and as
WebAssembly. Needs `pip install -r tools/parity/requirements.txt`. The inputs are drawn with a fixed seed: lengths from no
token to all 256, ids over the whole table, features in the range that src/analysis/classifier/features.rs gives (0 to about 5).
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
LENGTHS = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 200, 233, 255, 256] + [7, 12, 18, 25, 40, 60, 75, 100, 120, 150, 180, 220]


def padded(name, ids, weights, length):
    """The two inputs of a table: ids, and their weights."""
    all_ids, all_weights = np.zeros(length, np.int64), np.zeros((1, length), np.float32)
    all_ids[: len(ids)], all_weights[0, : len(ids)] = ids, weights
    return {f"{name}_ids": all_ids, f"{name}_weights": all_weights}


def inputs(case, shapes):
    """The graph's inputs for the case of one prompt, as src/analysis/classifier/onnx.rs makes them."""
    share = np.float32(1) / np.float32(max(len(case["tokens"]), 1))
    return {
        **padded("token", case["tokens"], share, shapes["token_ids"][0]),
        **padded("ngram", case["ngrams"], np.asarray(case["ngram_weights"], np.float32), shapes["ngram_ids"][0]),
        "features": np.asarray([case["features"]], np.float32),
    }


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main():
    manifest = json.loads((ROOT / "models/manifest.json").read_text())
    shapes = {value["name"]: value["shape"] for value in manifest["inputs"]}
    length, most, width = shapes["token_ids"][0], shapes["ngram_ids"][0], shapes["features"][1]
    entries, rows = manifest["vocabulary"]["entries"], manifest["ngrams"]["rows"]
    random = np.random.default_rng(17)
    model = session(ROOT / "models/classifier.onnx")
    cases = []
    for count in LENGTHS:
        features = [round(float(x), 4) for x in random.gamma(0.7, 1.0, width).clip(0, 5)]
        features[-1] = 1.0
        ngrams = min(count * 5, most)
        cases.append(
            {
                "tokens": random.integers(1, entries, min(count, length)).tolist(),
                "ngrams": random.integers(1, rows, ngrams).tolist(),
                "ngram_weights": [round(float(x), 4) for x in random.uniform(0.05, 0.3, ngrams)],
                "features": features,
            }
        )
    cases[-1]["tokens"][0], cases[-1]["ngrams"][0] = entries - 1, rows - 1
    for case in cases:
        (heads,) = model.run(["heads"], inputs(case, shapes))
        # Nine digits hold a float32 exactly.
        case["heads"] = [float(f"{x:.9g}") for x in heads[0]]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path = ROOT / "tests/data/classifier-parity.json"
    path.write_text(f'{{"onnxruntime":"{onnxruntime.__version__}","cases":[\n{lines}\n]}}\n')
    print(f"{path.relative_to(ROOT)}: {len(cases)} cases, onnxruntime {onnxruntime.__version__}")


if __name__ == "__main__":
    main()
