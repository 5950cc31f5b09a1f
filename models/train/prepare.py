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
    kept = rows.train_rows(args.data, own.generate())
    # Other prompts are wrapped around rows of the data alone: more of our own do not change them.
    train, rated = ([row for row in kept if (row["source"] == "own") == ours] for ours in (False, True))
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
    varied = list(variants.augment(SEED, train + made + rated))
    laid_out = list(layouts.copies(SEED, train + rated))
    write(work / "prompts.jsonl", train + made + rated + varied + laid_out)
    val = rows.load(args.data, "val")
    held_corpus = [row for row in val if row["domain"] and len(row["prompt"]) > 30]
    write(work / "val.jsonl", val)
    print(
        f"{len(train)} training rows, {len(made)} synthetic, {len(rated)} rated of our own, {len(varied)} variants, "
        f"{len(laid_out)} in other layouts, {len(val)} validation; {len(held_corpus)} of these could be material"
    )


if __name__ == "__main__":
    main()
