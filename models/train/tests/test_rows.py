"""Labels and splits: which question is which, and that none stands in both splits."""

import gzip
import json

import rows


def write(folder, name, prompts):
    with gzip.open(folder / name, "wt", encoding="utf-8") as out:
        for number, prompt in enumerate(prompts):
            row = {"id": f"{name}/{number}", "source": "tasks", "prompt": prompt, "task_type": "qa", "domain": "law"}
            out.write(json.dumps(row) + "\n")


def test_a_question_is_known_by_its_words_and_signs():
    assert rows.stem("What is 3 - 4?") != rows.stem("What is 3 + 4?")
    assert rows.stem("Which planet?\nA. Mars\nB. Venus") == rows.stem("which  planet ?")
    assert rows.stem("你好吗?") != rows.stem("你是谁?")
    assert rows.stem("привет") != rows.stem("пока")


def test_no_question_stands_in_both_splits(tmp_path):
    write(tmp_path, "one.train.jsonl.gz", ["What is a tort?", "what is a TORT ?\nA. a cake\nB. a wrong", "Who sues?"])
    write(tmp_path, "two.val.jsonl.gz", ["What is a tort?"])
    assert [row["prompt"] for row in rows.train_rows(tmp_path)] == ["Who sues?"]


def test_every_label_is_one_of_ours():
    assert {task for task in rows.TASK_OF.values() if task} <= set(rows.TASKS)
    assert {domain for domain in rows.DOMAIN_OF.values() if domain} <= set(rows.DOMAINS)


def test_labels_of_sources_become_ours():
    task, domain = rows.labels({"source": "mmlu_stem", "raw_label": "abstract_algebra", "task_type": "qa"})
    assert (task, domain) == ("math", "mathematics")
    assert rows.labels({"source": "reasoning_gym", "domain": "arithmetic"})[0] == "math"
    assert rows.labels({"source": "reasoning_gym", "domain": "games"})[0] == "reasoning"
    # What general questions are about was not written down.
    assert rows.labels({"source": "arena_hard_v2", "domain": "general", "task_type": "coding"})[1] is None
