"""Prompts of our own about medicine, law and money as people ask: the sources know these subjects from exams alone, and
a rule for them must not miss one.

Each domain has templates, words and its own contrasts: prompts with the same words that are about something else.
The task is known, difficulty is not assumed. Not one stands in tests/data/prompts.jsonl, and the names of its drugs
are left out so that they can tell whether words generalise.
"""

import random

from templates import distinct, fill, texts

TEXTS = texts("stakes")

DRUGS = TEXTS["DRUGS"]
ILLS = TEXTS["ILLS"]
SIGNS = TEXTS["SIGNS"]
WHO = TEXTS["WHO"]
DISPUTES = TEXTS["DISPUTES"]
ACTS = TEXTS["ACTS"]
LAWS = TEXTS["LAWS"]
MONEY = TEXTS["MONEY"]
FIRMS = TEXTS["FIRMS"]

TEMPLATES = TEXTS["TEMPLATES"]
# The same words where something else is meant.
CONTRASTS = TEXTS["CONTRASTS"]


def _fill(rng, template):
    slots = {
        "drug": DRUGS,
        "drug2": DRUGS,
        "ill": ILLS,
        "sign": SIGNS,
        "sign2": SIGNS,
        "who": WHO,
        "other": DISPUTES,
        "act": ACTS,
        "law": LAWS,
        "law2": LAWS,
        "money": MONEY,
        "money2": MONEY,
        "firm": FIRMS,
        "age": [str(k) for k in range(18, 95)],
        "n": [str(100 * k) for k in range(5, 90)],
        "m": [str(110 * k) for k in range(5, 90)],
    }
    template = fill(template, {name: rng.choice(values) for name, values in slots.items()})
    return template[0].upper() + template[1:] if rng.random() < 0.7 else template


# Short questions as laypeople put them, in many languages; their task is open. Without those about other things, to be
# short or in another language would tell of medicine and law.
LAY = texts("lay")


@distinct
def generate(seed, count=600):
    """Prompts with task and domain."""
    rng = random.Random(seed)
    kinds = [(domain, kind["templates"], kind["task"], count) for domain, kind in TEMPLATES.items()] + [
        (domain, templates, None, count // 5) for domain, templates in CONTRASTS.items()
    ]
    for domain, templates, task, wanted in kinds:
        for _ in range(wanted):
            prompt = _fill(rng, rng.choice(templates))
            yield {"prompt": prompt, "task": task, "domain": domain, "source": "stakes"}
    for domain, prompts in LAY.items():
        for prompt in prompts:
            yield {"prompt": prompt, "task": None, "domain": domain, "source": "lay"}
