#!/usr/bin/env python3
"""Compares the embedded classifier with onnxruntime over whole files of prompts.

    python tools/parity/parity.py DATA/*.val.jsonl.gz

Each line of a file is a JSON object with the prompt in `prompt`. The prompts go through `cargo run --example classifier_io`, which
gives the tokens, features and heads of the code that is shipped; onnxruntime runs models/classifier.onnx on the same
tokens and features. Exits with 1 if any output differs by more than 1e-4.
"""

import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from golden import ROOT, inputs, session

TOLERANCE = 1e-4


def prompts(paths):
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["prompt"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    texts = list(prompts(arguments.files))
    command = ["cargo", "run", "--quiet", "--locked", "--example", "classifier_io"]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    ours = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout.splitlines()
    if len(ours) != len(texts):
        sys.exit(f"{len(texts)} prompts in, {len(ours)} answers out")
    manifest = json.loads((ROOT / "models/manifest.json").read_text())
    shapes = {value["name"]: value["shape"] for value in manifest["inputs"]}
    model = session(ROOT / "models/classifier.onnx")
    worst, where = 0.0, None
    for number, line in enumerate(ours):
        row = json.loads(line)
        (heads,) = model.run(["heads"], inputs(row, shapes))
        difference = np.abs(heads[0] - np.asarray(row["heads"], np.float32)).max()
        if not difference <= worst:  # a NaN counts as worst
            worst, where = float(difference), number
    print(f"{len(ours)} prompts: the largest difference is {worst:.3g} (prompt {where})")
    if not worst <= TOLERANCE:
        sys.exit(f"larger than {TOLERANCE}")


if __name__ == "__main__":
    main()
