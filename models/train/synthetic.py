"""Prompts of our own for tasks of which the outcome data has hardly any: translation, summarising, rewriting,
extraction, classification, and plain forms of the others. Templates × texts × layouts, seeded.

The texts to be worked on are partly ours (below) and partly prompts of the training split, so that what is to be
done is told by the instruction, not by the material. `generate` yields dicts with prompt, task, domain.
"""

import random

import layouts
from templates import distinct, fill, texts

TEXTS = texts("synthetic")

LANGUAGES = TEXTS["LANGUAGES"]

# (domain, sentences that can stand together in any order)
MATERIAL = TEXTS["MATERIAL"]

TRANSLATE = TEXTS["TRANSLATE"]
SUMMARIZE = TEXTS["SUMMARIZE"]
REWRITE = TEXTS["REWRITE"]
EXTRACT = TEXTS["EXTRACT"]
WHAT = TEXTS["WHAT"]
CLASSIFY = TEXTS["CLASSIFY"]
CLASSES = TEXTS["CLASSES"]

PLAIN = TEXTS["PLAIN"]
X = TEXTS["X"]
DO = TEXTS["DO"]
CODE = "Python JavaScript TypeScript Java C++ C# Go Rust Ruby PHP Kotlin Swift Scala R Perl Bash".split()
DISEASES = TEXTS["DISEASES"]
COUNTRIES = "France Brazil Kenya Japan Canada Norway Egypt Peru Vietnam Poland Ghana Iceland".split()
POLITE = TEXTS["POLITE"]
AFTER = TEXTS["AFTER"]

DOMAIN_OF = {"code": "technology", "math": "mathematics"}


def _material(rng, corpus):
    """A text to be worked on, its domain, and the source of the training split that it is from, if any."""
    if corpus and rng.random() < 0.35:
        row = rng.choice(corpus)
        # Nobody has an exam's options translated: with them in the material, lettered options would tell of
        # translation.
        exam = layouts.options_of(row["prompt"])
        return (exam[0] if exam else row["prompt"])[: rng.choice([200, 600, 1500])], row["domain"], row["source"]
    domain = rng.choice(list(MATERIAL))
    sentences = MATERIAL[domain]
    count = rng.choice([1, 1, 2, 3, 4, 6, 8])
    return " ".join(rng.choice(sentences) for _ in range(count)), domain, None


def _lay_out(rng, instruction, text):
    noun = rng.choice(
        ["text", "sentence", "paragraph", "passage", "article", "email", "message", "document", "review", "following"]
    )
    if "{the}" in instruction and rng.random() < 0.25 and len(text) < 120:
        return instruction.replace("{the}", f'"{text}"')
    the = (
        rng.choice([f"this {noun}", f"the {noun} below", f"the following {noun}"])
        if noun != "following"
        else "the following"
    )
    instruction = instruction.replace("{the}", the)
    quoted = rng.choice([text, text, f'"{text}"', f"```\n{text}\n```", f"<text>{text}</text>", f"Text: {text}"])
    forms = [
        f"{instruction}: {quoted}",
        f"{instruction}.\n\n{quoted}",
        f"{instruction}\n{quoted}",
        f"{quoted}\n\n{instruction}",
        f"{quoted}\n{instruction}.",
    ]
    return rng.choice(forms)


def _transforms(rng, corpus, count):
    kinds = {
        "translation": TRANSLATE,
        "summarization": SUMMARIZE,
        "rewriting": REWRITE,
        "extraction": EXTRACT,
        "classification": CLASSIFY,
    }
    for task, templates in kinds.items():
        for _ in range(count):
            text, domain, material = _material(rng, corpus)
            classes = rng.choice(CLASSES).split()
            slots = {
                "lang": rng.choice(LANGUAGES),
                "lang2": rng.choice(LANGUAGES),
                "n": rng.choice("2 3 4 5 three two".split()),
                "m": str(rng.choice([20, 30, 50, 100, 200])),
                "what": rng.choice(WHAT),
                "classes": ", ".join(classes),
                "a": classes[0],
                "b": classes[-1],
            }
            instruction = rng.choice(templates)
            yield _lay_out(rng, fill(instruction, slots), text), task, domain, material


def _plain(rng, count):
    for task, templates in PLAIN.items():
        for _ in range(count):
            slots = {
                "x": rng.choice(X),
                "y": rng.choice(X),
                "p": str(rng.randint(2, 20)),
                "q": str(rng.randint(15, 2000)),
                "l": rng.choice(CODE),
                "l2": rng.choice(CODE),
                "do": rng.choice(DO),
                "d": rng.choice(DISEASES),
                "c": rng.choice(COUNTRIES),
            }
            prompt = fill(rng.choice(templates), slots)
            # What such a prompt is about was not written down, so only the tasks that imply it have a domain.
            yield prompt.replace("\\n", "\n"), task, DOMAIN_OF.get(task), None


@distinct
def generate(seed, corpus, transforms=900, plain=350):
    """Prompts with their labels; `corpus` is a list of {prompt, domain, source} of the training split."""
    rng = random.Random(seed)
    for prompt, task, domain, material in [*_transforms(rng, corpus, transforms), *_plain(rng, plain)]:
        prompt = rng.choice(POLITE) + prompt + rng.choice(AFTER)
        if rng.random() < 0.25:
            prompt = prompt.lower()
        yield {"prompt": prompt, "task": task, "domain": domain, "source": "synthetic", "material": material}
