"""Writes into models/manifest.json what rules on a domain find: recall and precision by `min_confidence`, of one domain
and of every two, on the rated prompts of the validation split. `pointsman check` warns by it.

A rule holds a prompt whose probabilities of the rule's domains reach the confidence together. Runs the ONNX file.
"""

import argparse
import itertools
import json
import pathlib

import numpy as np

from rows import DOMAINS

CONFIDENCES = [
    *(0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08),
    *(0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 0.95),
]


def rule(likely, label, asked):
    """Recall and precision of a rule on the domains `asked` at each confidence; the precision of a rule that holds
    nothing is 1."""
    share, such = likely[:, asked].sum(1), np.isin(label, asked)
    held = share[:, None] >= np.array(CONFIDENCES)
    right = (held & such[:, None]).sum(0)
    return {
        "domains": [DOMAINS[i] for i in asked],
        "prompts": int(such.sum()),
        "recall": np.round(right / max(such.sum(), 1), 3).tolist(),
        "precision": np.where(held.any(0), np.round(right / np.maximum(held.sum(0), 1), 3), 1.0).tolist(),
    }


def rules(likely, label):
    """The rules on one domain, and on every two. `likely` [prompt, domain] are probabilities; label −1 is unknown."""
    known = label >= 0
    likely, label = likely[known], label[known]
    asked = [[i] for i in range(len(DOMAINS))] + [list(two) for two in itertools.combinations(range(len(DOMAINS)), 2)]
    return {"confidences": CONFIDENCES, "rules": [rule(likely, label, which) for which in asked]}


def written(manifest, measured):
    """The manifest as text, with one line a rule."""
    rest = {name: value for name, value in manifest.items() if name != "domain_rules"}
    lines = ",\n".join(f"   {json.dumps(one)}" for one in measured["rules"])
    confidences = json.dumps(measured["confidences"])
    own = f' "domain_rules": {{\n  "confidences": {confidences},\n  "rules": [\n{lines}\n  ]\n }}'
    return f"{json.dumps(rest, indent=1)[:-2]},\n{own}\n}}\n"


def main():
    # Here, so that the tests need none of what running the model needs.
    import data
    import evaluate

    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--models", required=True)
    args = parser.parse_args()
    folder = pathlib.Path(args.models)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    models = [str(name) for name in np.load(pathlib.Path(args.work) / "model.npz")["models"]]
    val = data.Prompts(args.work, "val", manifest["vocabulary"]["entries"], models)
    val = val.only(~np.isnan(val.rated[:, 0]))
    index = np.fromfile(folder / "ngrams.bin", "<u2")
    heads = evaluate.read_heads(evaluate.run(folder / "classifier.onnx", val, index), manifest)
    measured = rules(evaluate.mixed(heads, "domain"), val.domain)
    (folder / "manifest.json").write_text(written(manifest, measured), encoding="utf-8")
    for one in measured["rules"][: len(DOMAINS)]:
        at = max(c for c, found in zip(CONFIDENCES, one["recall"]) if found >= 0.9)
        print(f"{one['domains'][0]}: finds 0.9 at {at}, precision {one['precision'][CONFIDENCES.index(at)]:.2f}")


if __name__ == "__main__":
    main()
