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


def inputs(tokens, features, length):
    """The graph's three inputs for the real tokens of a prompt, as src/analysis/classifier/onnx.rs makes them."""
    ids = np.zeros(length, np.int64)
    weights = np.zeros((1, length), np.float32)
    ids[: len(tokens)] = tokens
    weights[0, : len(tokens)] = np.float32(1) / np.float32(max(len(tokens), 1))
    return {"token_ids": ids, "token_weights": weights, "features": np.asarray([features], np.float32)}


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main():
    manifest = json.loads((ROOT / "models/manifest.json").read_text())
    shapes = {value["name"]: value["shape"] for value in manifest["inputs"]}
    length, width = shapes["token_ids"][0], shapes["features"][1]
    entries = manifest["vocabulary"]["entries"]
    random = np.random.default_rng(17)
    model = session(ROOT / "models/classifier.onnx")
    cases = []
    for count in LENGTHS:
        tokens = random.integers(1, entries, min(count, length)).tolist()
        features = [round(float(x), 4) for x in random.gamma(0.7, 1.0, width).clip(0, 5)]
        features[-1] = 1.0
        (heads,) = model.run(["heads"], inputs(tokens, features, length))
        # Nine digits hold a float32 exactly.
        cases.append({"tokens": tokens, "features": features, "heads": [float(f"{x:.9g}") for x in heads[0]]})
    cases[-1]["tokens"][0] = entries - 1
    (heads,) = model.run(["heads"], inputs(cases[-1]["tokens"], cases[-1]["features"], length))
    cases[-1]["heads"] = [float(f"{x:.9g}") for x in heads[0]]
    rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path = ROOT / "tests/data/classifier-parity.json"
    path.write_text(f'{{"onnxruntime":"{onnxruntime.__version__}","cases":[\n{rows}\n]}}\n')
    print(f"{path.relative_to(ROOT)}: {len(cases)} cases, onnxruntime {onnxruntime.__version__}")


if __name__ == "__main__":
    main()
