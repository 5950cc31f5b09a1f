"""Everyday prompts of our own, rated by the scale of the rated rows of the data: `texts/rated/SUBJECT.json`.

Each row is {prompt, task, domain, lang, rated: [s, m, l, xl], rated_tokens, [system], [turns], [group]}. They were
written, and their ratings forecast, by a strong language model that saw no answer and that had read training rows to
learn the scale. Not one stands in the data or in tests/data/prompts.jsonl.
"""

import json
import pathlib

FOLDER = pathlib.Path(__file__).with_name("texts") / "rated"


def generate():
    """The rows in the form of `rows.load`; rows of one application (a group, or the same system text) share a group."""
    for path in sorted(FOLDER.glob("*.json")):
        for number, row in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            name = row.get("group") or row.get("system", "")[:80] or number
            yield {
                **row,
                "source": "own",
                "file": "everyday",
                "benchmark": f"own_{path.stem}",
                "group": f"own_{path.stem}/{name}",
                "models": {},
                "id": f"own/{path.stem}/{number}",
            }
