"""Open instructions of our own: what people ask of a capable assistant when nobody tests it, and bare questions without
options; seeded.

The outcome data and the other generators have exams, puzzles and short commands. Here a class is told by what is
wanted of a longer and less tidy request: a plan for a situation, what somebody in a story believes, a tale in a
given manner, a program described in passing, a sum hidden in a story, a passage with its question. Layouts are
shared by all classes, so that none gives its class away. `generate` yields dicts with prompt, task, domain, level
(of what is assumed for each: `assumed.py`; none where outcomes exist of the kind). Nothing is taken from a
benchmark.
"""

import random

from templates import OF_ITSELF, distinct, fill, texts

TEXTS = texts("openings")

SLOTS = TEXTS["SLOTS"]
PASSAGES = TEXTS["PASSAGES"]
MATERIAL = TEXTS["MATERIAL"]

# task, level, how many, templates. `{p}` brings a passage.
KINDS = TEXTS["KINDS"]
SLOTS |= {
    "hero2": SLOTS["hero"],
    "material2": SLOTS["material"],
    "tool2": SLOTS["tool"],
    "term2": SLOTS["term"],
    "p": PASSAGES,
    **TEXTS["MORE_SLOTS"],
}
# A story of a sum: it begins with a number, some sentences change it, the question asks for what is left.
STARTS = TEXTS["STARTS"]
STEPS = TEXTS["STEPS"]
ASKED = TEXTS["ASKED"]
# What may stand around any request, so that it tells of no class.
AROUND = TEXTS["AROUND"]


def _story(rng):
    return " ".join([rng.choice(STARTS), *rng.sample(STEPS, rng.randint(0, 5)), rng.choice(ASKED)])


def _slots(rng):
    """One value a slot. Those that bring others stand in front: `fill` goes through them in order."""
    drawn = {name: rng.choice(values) for name, values in SLOTS.items()}
    first = {
        "story": _story(rng),
        "P": rng.choice(MATERIAL),
        **{name: drawn.pop(name) for name in ("goal", "manner", "act")},
    }
    numbers = {
        "n2": rng.randint(20, 900),
        "n": rng.randint(20, 900),
        "k": rng.randint(2, 9),
        "m": rng.randint(3, 30),
        "year": rng.randint(1850, 2023),
    }
    return first | drawn | numbers


@distinct
def generate(seed):
    """Prompts with task, domain (where the task tells it), and level where one is assumed."""
    rng = random.Random(seed)
    for kind in KINDS:
        task, level = kind["task"], kind["level"]
        for _ in range(kind["count"]):
            prompt = fill(rng.choice(kind["templates"]), _slots(rng))
            prompt = prompt.lower() if rng.random() < 0.2 else prompt
            if task != "chat":
                prompt = rng.choice(AROUND).replace("{x}", prompt).replace("{k}", str(rng.randint(1, 9)))
            # What ends a line, and what parts the columns of a table, would end a template.
            prompt = prompt.replace("\\n", "\n").replace("¦", "|").strip()
            # Where outcomes of the kind were measured nothing is assumed, and known models may differ.
            origin = {"source": "synthetic", "level": level} if level else {"source": "procedural"}
            yield {"prompt": prompt, "task": task, "domain": OF_ITSELF.get(task), **origin}
