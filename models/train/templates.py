"""What the generators of prompts write their templates with."""

import functools
import json
import pathlib

# Code and mathematics are about themselves; what other open requests are about was not written down.
OF_ITSELF = {"code": "technology", "math": "mathematics"}


def texts(generator):
    """The texts of a generator, by name: what stands in `texts/GENERATOR.json`."""
    return json.loads(
        pathlib.Path(__file__).with_name("texts").joinpath(f"{generator}.json").read_text(encoding="utf-8")
    )


def distinct(generate):
    """`generate` without prompts that it gave before, so a kind may have fewer than its count."""

    @functools.wraps(generate)
    def once(*args, **kwargs):
        seen = set()
        for row in generate(*args, **kwargs):
            if row["prompt"] not in seen:
                seen.add(row["prompt"])
                yield row

    return once


def split(text):
    """The parts of a list in one text, divided by bars and line ends."""
    return [part for part in text.replace("\n", "|").split("|") if part]


def fill(text, slots):
    """`text` with each `{name}` replaced by what `slots` has for it. In their order, so that one may bring the next."""
    for name, value in slots.items():
        text = text.replace("{" + name + "}", str(value))
    return text
