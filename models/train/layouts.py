"""Rows of the training split laid out otherwise: the same question in the forms of other benchmarks and of other
clients.

Each source of outcomes comes in one layout (lettered options and "Answer:", ten options, the bare question), so a
classifier that sees no other takes the layout for the source and its task. A copy keeps labels and outcomes where
all that is asked is still there; where something is taken away (options, or all but one of them) it keeps the labels
alone. `copies` yields rows; nothing is read or written here.
"""

import json
import random
import re

from templates import texts

TEXTS = texts("layouts")

OPTION = re.compile(r"\n\(?([A-J])[.)]\s*")
MARKS = TEXTS["MARKS"]
BETWEEN = ["\n"] * 8 + ["\n\n", "\n  ", " ", "; ", " | ", ", "]
BEFORE_QUESTION = TEXTS["BEFORE_QUESTION"]
BEFORE_OPTIONS = TEXTS["BEFORE_OPTIONS"]
AFTER_OPTIONS = TEXTS["AFTER_OPTIONS"]
INTRODUCTIONS = TEXTS["INTRODUCTIONS"]
# Frames that say nothing of the task: any prompt may stand in any of them.
NEUTRAL = TEXTS["NEUTRAL"]
# Frames of benchmarks of one task, which tell it as little by themselves as a frame can.
FRAMES = TEXTS["FRAMES"]
LABELS_ALONE = {"stem", "statement", "fewer"}


def options_of(prompt):
    """The question and its options, or None where there are not at least two."""
    parts = OPTION.split(prompt)
    if len(parts) < 5:
        return None
    options = [re.sub(r"\s*\nAnswer:\s*$", "", text).strip() for text in parts[2::2]]
    return parts[0].strip(), options


def _listed(rng, options):
    mark = rng.choice(MARKS)
    between = rng.choice(BETWEEN) if all(len(option) < 60 for option in options) else rng.choice(["\n", "\n", "\n\n"])
    if mark in ("- ", "* ", "• ", "{A}\t") and "\n" not in between:
        mark = "{A}) "
    return between.join(
        mark.replace("{A}", "ABCDEFGHIJKLMNOP"[i]).replace("{a}", "abcdefghijklmnop"[i]).replace("{n}", str(i + 1))
        + option
        for i, option in enumerate(options)
    )


def lay_out(rng, question, options, subject="general knowledge", shots=()):
    """A question with options in some layout; `shots` are (question, options) that stand in front, with their
    answers."""
    if rng.random() < 0.06:
        named = rng.choice([("question", "choices"), ("q", "options"), ("prompt", "answers")])
        return json.dumps({named[0]: question, named[1]: options}, ensure_ascii=False, indent=rng.choice([None, 1]))
    answer = rng.choice(["Answer: {A}", "A: {A}", "The answer is ({A}).", "Answer: {text}"])
    head, listing, tail = rng.choice(BEFORE_QUESTION), rng.choice(BEFORE_OPTIONS), rng.choice(AFTER_OPTIONS)
    joint = rng.choice(["\n", "\n", "\n", "\n\n"])

    def one(asked, choices):
        return joint.join(part for part in (head + asked, listing, _listed(rng, choices)) if part)

    intro = rng.choice(INTRODUCTIONS).replace("{subject}", subject.replace("_", " "))
    shown = []
    for asked, choices in shots:
        right = rng.randrange(len(choices))
        shown.append(
            one(asked, choices)
            + "\n"
            + answer.replace("{A}", "ABCDEFGHIJ"[right % 10]).replace("{text}", choices[right])
        )
    return "\n\n".join([*([intro] if intro else []), *shown, one(question, options) + (joint + tail if tail else "")])


def _exam(rng, row, peers):
    """An exam question in another layout, and what kind of change it was."""
    question, options = options_of(row["prompt"])
    subject = str(row["benchmark"] if row["source"] not in ("mmlu", "mmlu_pro") else row["group"].split("/")[-1])
    draw = rng.random()
    if draw < 0.10:
        frame = rng.choice([*FRAMES["knowledge_qa"], "{q}", "{q}"])
        return frame.replace("{q}", question), "stem"
    if draw < 0.18:
        claim = f"{question} {rng.choice(options)}"
        return rng.choice(
            [
                "True or false? {c}",
                "{c}\nTrue or False?",
                "Statement: {c}\nIs this statement true or false?",
                "{c}\nIs this correct? Answer yes or no.",
                "Decide whether the following is true.\n{c}\nAnswer:",
            ]
        ).replace("{c}", claim), "statement"
    options = rng.sample(options, len(options)) if rng.random() < 0.5 else list(options)
    kind = "layout"
    if draw < 0.38 and len(options) > 2:
        options, kind = options[: rng.randint(2, len(options) - 1)], "fewer"
    elif draw < 0.46:
        # Options of another question of the subject: more of them, none of them right for it.
        more = options_of(rng.choice(peers)["prompt"])
        options, kind = [*options, *(more[1] if more else [])][:12], "fewer"
    shots = [options_of(rng.choice(peers)["prompt"]) for _ in range(rng.choice([0] * 8 + [1, 2, 3]))]
    return lay_out(rng, question, options, subject, [shot for shot in shots if shot and len(shot[0]) < 500]), kind


def framed(rng, prompt, task):
    """A prompt in a frame: of its task, or one that any prompt may stand in."""
    own = FRAMES.get(task)
    frame = rng.choice(own) if own and rng.random() < 0.6 else rng.choice(NEUTRAL)
    return frame.replace("\\n", "\n").replace("{q}", prompt)


def _share(row):
    """How often a row is copied: short commands to assistants are many, and have few layouts."""
    return 0.06 if row["source"] == "clinc150" else 0.35


def copies(seed, rows):
    """Copies of a share of `rows` in another layout. Rows of a subject lend each other examples and options, so what
    leaves out a source leaves all of it out."""
    rng, subjects = random.Random(seed), {}
    exams = {row["id"] for row in rows if options_of(row["prompt"])}
    for row in rows:
        if row["id"] in exams:
            subjects.setdefault(row["group"], []).append(row)
    for row in rows:
        if rng.random() > _share(row) or len(row["prompt"]) > 4000:
            continue
        if row["id"] in exams:
            prompt, kind = _exam(rng, row, subjects[row["group"]])
        else:
            prompt, kind = framed(rng, row["prompt"], row["task"]), "layout"
        models = {} if kind in LABELS_ALONE else row["models"]
        yield {
            **row,
            "prompt": prompt,
            "models": models,
            "id": f"{row['id']}/{kind}",
            "layout": kind,
            **({"variant": kind} if models else {}),
        }
