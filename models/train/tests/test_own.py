"""Rated prompts of our own: labels and ratings in range, each prompt once, none of them a test's."""

import json
import pathlib
from collections import Counter

import own
import rows

ROWS = list(own.generate())
TESTS = pathlib.Path(__file__).parents[3] / "tests" / "data"


def test_labels_are_ours_and_a_bigger_model_is_never_rated_lower():
    for row in ROWS:
        assert row["task"] in rows.TASKS and row["domain"] in rows.DOMAINS, row
        assert len(row["rated"]) == len(rows.CLASSES) and row["rated"] == sorted(row["rated"]), row
        assert row["rated"][0] > 0 and row["rated"][-1] <= 1 and row["rated_tokens"] >= 1, row
        assert row["prompt"].strip() and row["lang"], row
        # Users and assistants take turns, and a prompt is a user's.
        assert len(row.get("turns", [])) % 2 == 0, row


def test_each_prompt_stands_once_and_none_is_a_test():
    found = Counter((rows.stem(row["prompt"]), row.get("system"), *row.get("turns", [])) for row in ROWS)
    assert [key for key, count in found.items() if count > 1] == []
    tested = {rows.stem(json.loads(line).get("prompt") or "") for line in (TESTS / "prompts.jsonl").open()}
    assert [row["prompt"] for row in ROWS if rows.stem(row["prompt"]) in tested] == []


def test_every_task_has_many_languages():
    for task in rows.TASKS:
        assert len({row["lang"] for row in ROWS if row["task"] == task}) >= 8, task


def test_rows_of_one_system_text_share_a_group():
    groups = {}
    for row in ROWS:
        if row.get("system"):
            groups.setdefault((row["benchmark"], row["system"]), set()).add(row["group"])
    assert all(len(group) == 1 for group in groups.values())
