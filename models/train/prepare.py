"""Writes WORK/{prompts,val}.jsonl: the rows of the training split with rated prompts of our own and synthetic ones
added, and those of the validation split."""

import argparse
import json
import pathlib

import everyday
import exams
import layouts
import openings
import own
import puzzles
import rows
import stakes
import synthetic
import variants

SEED = 20261123


def write(path, prompts):
    with open(path, "w", encoding="utf-8") as out:
        for row in prompts:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True)
    args = parser.parse_args()
    work = pathlib.Path(args.work)
    train = rows.train_rows(args.data, own.generate())
    corpus = [row for row in train if row["domain"] and len(row["prompt"]) > 30]
    made = [
        {
            **row,
            "file": "synthetic",
            "benchmark": "synthetic",
            "group": "synthetic",
            "models": {},
            "id": f"synthetic/{i}",
        }
        for i, row in enumerate(
            [
                *synthetic.generate(SEED, corpus),
                *everyday.generate(SEED),
                *stakes.generate(SEED),
                *puzzles.generate(SEED),
                *exams.generate(SEED),
                *openings.generate(SEED),
            ]
        )
    ]
    varied = list(variants.augment(SEED, train + made))
    laid_out = list(layouts.copies(SEED, train))
    write(work / "prompts.jsonl", train + made + varied + laid_out)
    val = rows.load(args.data, "val")
    held_corpus = [row for row in val if row["domain"] and len(row["prompt"]) > 30]
    write(work / "val.jsonl", val)
    print(
        f"{len(train)} training rows, {len(made)} synthetic, {len(varied)} variants, {len(laid_out)} in "
        f"other layouts, {len(val)} validation; {len(held_corpus)} of these could be material"
    )


if __name__ == "__main__":
    main()
