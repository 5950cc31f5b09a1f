"""Writes models/classifier.onnx and models/manifest.json from WORK/model.npz.

The graph is as small as it gets, because each operator costs code in every Envoy that runs it: Gather, Cast, MatMul,
Concat, Relu. Biases are rows of the weights (the last feature is 1), the table's scales are folded into them, the
mean over tokens is a MatMul. Weights are rounded to bfloat16, because each request reads all of them.
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from abilities import BENCHMARKS, LEAST, MOST, NEAR, NOISE, NOTHING, SKILLS
from heads import BUCKET_BITS, EVERYDAY, LIMIT, NGRAMS, SLOPES
from rows import DOMAINS, TASKS

FITTED = {
    "difficulty_mean": "Mean difficulty of the training prompts, in logits: what an unknown prompt is shrunk to.",
    "novelty_low": (
        "Mean square of the novelty head below which a prompt counts as known: nine tenths of the training prompts."
    ),
    "novelty_high": (
        "The same above which nothing is known of it: twice the farthest thousandth of the training prompts."
    ),
    "benchmark_mean": "Mean logit of each benchmark over models.",
    "benchmark_spread": "Standard deviation of the same.",
    "benchmark_correlation": "Correlation of the same; rows and columns in the order of `BENCHMARKS`.",
    "fallback": "Heads on the features alone: the tasks, difficulty, gain, log output tokens.",
    "everyday_mean": "Mean difficulty of everyday prompts.",
    "skill_map": "Standardised benchmark logits (rows, the constant last) to skills (columns), in logits.",
}
OPSET = 17
TOKENS = 256


def summed(table, ids, weights, output):
    """The weighted sum of rows of an int8 table."""
    return [
        helper.make_node("Gather", [table, ids], [f"{output}_rows"], axis=0),
        helper.make_node("Cast", [f"{output}_rows"], [f"{output}_vectors"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", [weights, f"{output}_vectors"], [output]),
    ]


def layer(name, beside, output):
    """A hidden layer over the input, and heads that see it and `beside`."""
    return [
        helper.make_node("MatMul", ["input", f"{name}_hidden_weights"], [f"{name}_summed"]),
        helper.make_node("Relu", [f"{name}_summed"], [f"{name}_hidden"]),
        helper.make_node("Concat", [f"{name}_hidden", *beside], [f"{name}_seen"], axis=1),
        helper.make_node("MatMul", [f"{name}_seen", f"{name}_head_weights"], [output]),
    ]


def bfloat16(weights):
    """float32 weights rounded to bfloat16 (to the nearest, ties to even): the module keeps the upper half of each."""
    bits = np.ascontiguousarray(weights, np.float32).view(np.uint32).astype(np.uint64)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)


def graph(saved):
    """Two parts over one input: that of the prompts whose outcomes were measured, and that of everyday prompts, whose
    heads also see the sum of n-grams."""
    features = saved["hidden"].shape[0] - saved["table"].shape[1]
    weights = {
        "token_table": saved["table"],
        "ngram_table": saved["ngram_table"],
        "measured_hidden_weights": bfloat16(saved["hidden"]),
        "measured_head_weights": bfloat16(saved["heads"]),
        "everyday_hidden_weights": bfloat16(saved["everyday_hidden"]),
        "everyday_head_weights": bfloat16(saved["everyday_heads"]),
    }
    nodes = [
        *summed("token_table", "token_ids", "token_weights", "tokens"),
        *summed("ngram_table", "ngram_ids", "ngram_weights", "ngrams"),
        helper.make_node("Concat", ["tokens", "features"], ["input"], axis=1),
        *layer("measured", ["input"], "measured_heads"),
        *layer("everyday", ["input", "ngrams"], "everyday_heads"),
        helper.make_node("Concat", ["measured_heads", "everyday_heads"], ["heads"], axis=1),
    ]
    inputs = [
        helper.make_tensor_value_info("token_ids", TensorProto.INT64, [TOKENS]),
        helper.make_tensor_value_info("token_weights", TensorProto.FLOAT, [1, TOKENS]),
        helper.make_tensor_value_info("ngram_ids", TensorProto.INT64, [NGRAMS]),
        helper.make_tensor_value_info("ngram_weights", TensorProto.FLOAT, [1, NGRAMS]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, features]),
    ]
    size = saved["heads"].shape[1] + saved["everyday_heads"].shape[1]
    outputs = [helper.make_tensor_value_info("heads", TensorProto.FLOAT, [1, size])]
    stored = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "pointsman", inputs, outputs, stored), opset_imports=[helper.make_opsetid("", OPSET)]
    )
    made.ir_version, made.producer_name = 8, "pointsman"
    onnx.checker.check_model(made, full_check=True)
    return made


def feature_names(source):
    """The names in the order of the Rust macro: features.rs is where they are defined."""
    block = re.search(r"\nfeatures! \{ scan, tokens;\n(.*?)\n\}\n", source, re.S).group(1)
    return re.findall(r"^ {4}(\w+) = ", block, re.M)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(models, saved, source):
    heads = [(str(name), int(size)) for name, size in zip(saved["names"], saved["sizes"])]
    at, ranges = 0, []
    labels = {"task": TASKS, "domain": DOMAINS, "skill_weights": SKILLS}
    labels |= {"everyday_task": TASKS, "everyday_domain": DOMAINS}
    for name, size in heads + EVERYDAY:
        ranges.append({"name": name, "start": at, "len": size, **({"labels": labels[name]} if name in labels else {})})
        at += size
    features = feature_names(source)
    assert len(features) == saved["hidden"].shape[0] - saved["table"].shape[1]
    files = ["classifier.onnx", "ngrams.bin", "vocabulary.txt"]
    return {
        "schema_version": 1,
        "files": {name: {"sha256": sha256(models / name), "bytes": (models / name).stat().st_size} for name in files},
        "opset": OPSET,
        "operators": ["Cast", "Concat", "Gather", "MatMul", "Relu"],
        "inputs": [
            {"name": "token_ids", "shape": [TOKENS], "type": "int64"},
            {"name": "token_weights", "shape": [1, TOKENS], "type": "float32"},
            {"name": "ngram_ids", "shape": [NGRAMS], "type": "int64"},
            {"name": "ngram_weights", "shape": [1, NGRAMS], "type": "float32"},
            {"name": "features", "shape": [1, len(features)], "type": "float32"},
        ],
        "outputs": [{"name": "heads", "shape": [1, at], "type": "float32", "ranges": ranges}],
        "vocabulary": {
            "kind": "wordpiece-uncased",
            "entries": int(saved["table"].shape[0]),
            "padding": 0,
            "unknown": 1,
        },
        "ngrams": {"bucket_bits": BUCKET_BITS, "rows": int(saved["ngram_table"].shape[0])},
        "features": features,
        "calibration": {name: np.round(saved[name].astype(float), 5).tolist() for name in FITTED},
        "benchmarks": BENCHMARKS,
        "skills": [*SKILLS, "everyday"],
    }


# For both sources: clippy refuses numbers that look like pi and its kin, and a training may fit any number.
ALLOW_APPROX = (
    '#![allow(clippy::approx_constant, reason = "a fitted number that resembles a constant of '
    'nature is a coincidence")]'
)


def rust(value):
    """A number or nested list as a Rust literal, and its type."""
    if isinstance(value, list):
        parts = [rust(part) for part in value]
        return f"[{', '.join(text for text, _ in parts)}]", f"[{parts[0][1]}; {len(parts)}]"
    return repr(float(value)), "f32"


def fitted(described):
    """The Rust source of the fitted constants."""
    lines = [
        (
            "//! Constants that training fitted; written by `models/train/export.py`, never by hand. A test "
            "holds them to the manifest."
        ),
        "",
        '#![allow(dead_code, reason = "the whole layout is written down, whether Rust reads each part or not")]',
        ALLOW_APPROX,
        "",
    ]
    for name, meaning in FITTED.items():
        text, kind = rust(described["calibration"][name])
        keyword = "const" if kind == "f32" else "static"
        lines += [f"/// {meaning}", f"pub(crate) {keyword} {name.upper()}: {kind} = {text};", ""]
    for part in described["outputs"][0]["ranges"]:
        lines += [
            f"/// Where `{part['name']}` starts in the model's output, and how many numbers it has.",
            f"pub(crate) const {part['name'].upper()}: (usize, usize) = ({part['start']}, {part['len']});",
            "",
        ]
    lines += [
        "/// How many numbers the model answers.",
        f"pub(crate) const OUTPUTS: usize = {described['outputs'][0]['shape'][1]};",
        "",
    ]
    lines += [
        "/// How many heads the features alone have.",
        f"pub(crate) const FALLBACK_OUTPUTS: usize = {len(described['calibration']['fallback'])};",
        "",
    ]
    constants = {
        "BENCHMARK_NOISE": (NOISE, "Share of a benchmark's variance that is noise."),
        "LEAST_SCORE": (LEAST, "Scores below count as this."),
        "MOST_SCORE": (MOST, "Scores above count as this."),
        "NEAR": (
            NEAR,
            (
                "Root mean square of the distance, in standard deviations of scores, at which a known model "
                "counts little for another."
            ),
        ),
        "LEAST_SLOPE": (SLOPES[0], "Bounds of the slope of everyday prompts over the ability of models."),
        "MOST_SLOPE": (SLOPES[1], "Their upper end."),
        "MOST_DIFFICULTY": (LIMIT, "Bound of the difficulty of everyday prompts, either way."),
        "NOTHING": (NOTHING, "The weight of no traits at all, beside those of known models."),
    }
    for name, (value, meaning) in constants.items():
        lines += [f"/// {meaning}", f"pub(crate) const {name}: f32 = {value!r};", ""]
    return "\n".join(lines)


def known_source(known):
    """The Rust source of the models whose outcomes were seen."""
    skills, traits = (len(next(iter(known.values()))[part]) for part in ("skills", "latent_factors"))
    lines = [
        (
            "//! Models whose outcomes training saw; written by `models/train/export.py`, never by hand. "
            "`models/abilities.json` has the same."
        ),
        "",
        ALLOW_APPROX,
        "",
        "/// Name in lower case without the vendor, skills, traits.",
        f"pub(crate) static FITTED_ABILITIES: [(&str, [f32; {skills}], [f32; {traits}]); {len(known)}] = [",
    ]
    lines += [
        f'("{name}", {rust(entry["skills"])[0]}, {rust(entry["latent_factors"])[0]}),' for name, entry in known.items()
    ]
    return "\n".join([*lines, "];", ""])


def neighbours_source(saved):
    """The Rust source of what places a model among those whose outcomes were seen."""
    told = np.abs(saved["standard"]).sum(1) > 0
    near = [
        (np.round(row.astype(float), 4).tolist(), np.round(own.astype(float), 4).tolist())
        for row, own in zip(saved["standard"][told], saved["model_traits"][told])
    ]
    lines = [
        (
            "//! Models whose outcomes training saw, by their benchmark scores; written by "
            "`models/train/export.py`, never by hand."
        ),
        "",
        ALLOW_APPROX,
        "",
        (
            "/// Of each that has benchmark scores: their standardised logits, in the order of "
            "`BENCHMARKS`, and its traits."
        ),
        f"pub(crate) static NEIGHBOURS: [([f32; {len(near[0][0])}], [f32; {len(near[0][1])}]); {len(near)}] = [",
    ]
    lines += [f"({rust(scores)[0]}, {rust(own)[0]})," for scores, own in near]
    return "\n".join([*lines, "];", ""])


def known_models(saved, benchmarks):
    """Name → fitted skills and traits, under every name of the models whose outcomes were seen. A name's vendor is
    cut off, as Rust does."""
    aliases = {}
    for model in json.loads(benchmarks.read_text(encoding="utf-8"))["models"]:
        names = [model["name"], *model.get("aliases", [])]
        aliases |= dict.fromkeys(names, names)
    out = {}
    for name, skills, traits in zip(saved["models"], saved["abilities"], saved["model_traits"]):
        for one in aliases[str(name)]:
            out[one.split("/")[-1].lower()] = {
                "skills": np.round(skills.astype(float), 4).tolist(),
                "latent_factors": np.round(traits.astype(float), 4).tolist(),
            }
    return dict(sorted(out.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument(
        "--source", required=True, help="src/analysis/classifier: features.rs is read, fitted.rs is written"
    )
    args = parser.parse_args()
    models = pathlib.Path(args.models)
    saved = np.load(pathlib.Path(args.work) / "model.npz")
    onnx.save(graph(saved), models / "classifier.onnx")
    saved["ngram_index"].astype("<u2").tofile(models / "ngrams.bin")
    described = manifest(models, saved, (pathlib.Path(args.source) / "features.rs").read_text(encoding="utf-8"))
    known = known_models(saved, models / "benchmarks.json")
    (models / "abilities.json").write_text(
        json.dumps(
            {
                "schema_version": 1,
                "note": "Fitted to measured outcomes by models/train; by name, vendor cut off.",
                "models": known,
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    (models / "manifest.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    sources = {
        "fitted": fitted(described),
        "fitted_abilities": known_source(known),
        "neighbours": neighbours_source(saved),
    }
    for name, text in sources.items():
        (pathlib.Path(args.source) / f"{name}.rs").write_text(text, encoding="utf-8")
    subprocess.run(
        ["rustfmt", "--edition", "2024", *(pathlib.Path(args.source) / f"{name}.rs" for name in sources)], check=True
    )
    print({name: entry["bytes"] for name, entry in described["files"].items()}, described["outputs"][0]["shape"])


if __name__ == "__main__":
    main()
