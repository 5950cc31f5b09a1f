"""Generated prompts: the same for the same seed, each once, and with no gap left open."""

import re

import pytest

import everyday
import exams
import openings
import puzzles
import rows
import stakes
import synthetic

GENERATORS = {
    "everyday": everyday.generate,
    "exams": exams.generate,
    "openings": openings.generate,
    "puzzles": puzzles.generate,
    "stakes": stakes.generate,
    "synthetic": lambda seed: synthetic.generate(seed, []),
}
# Braces that belong to a prompt: code, formulas and forms that are to be filled in.
SLOT = re.compile(r"(?<![\\$_^{\w])\{(?:[a-z]{3,}2?)\}")


@pytest.mark.parametrize("name", GENERATORS)
def test_a_seed_gives_the_same_prompts_each_once(name):
    first = list(GENERATORS[name](7))
    assert first == list(GENERATORS[name](7))
    prompts = [row["prompt"] for row in first]
    assert len(prompts) == len(set(prompts)) > 500
    assert prompts != [row["prompt"] for row in GENERATORS[name](8)]


@pytest.mark.parametrize("name", GENERATORS)
def test_labels_are_ours_and_no_gap_is_left_open(name):
    for row in GENERATORS[name](7):
        assert row["task"] is None or row["task"] in rows.TASKS, row
        assert row["domain"] is None or row["domain"] in rows.DOMAINS, row
        assert row["prompt"].strip()
        assert not SLOT.search(row["prompt"]), row["prompt"]
