"""The same prompt said otherwise: case, typos, white space, politeness, paraphrase, injected claims of ease or
hardness.

Two sets of phrases that share no sentence: TRAINING is what training prompts are copied with, GATE is what the test
(tests/robustness.rs over tests/data/robustness.jsonl) asks of the model. `python variants.py --gate FILE` writes the
latter from the prompts of tests/data/prompts.jsonl, seeded. A variant keeps what is asked: typos leave numbers and
code alone, and paraphrases are rewordings by rule.
"""

import argparse
import json
import pathlib
import random
import re

from templates import fill, texts

TEXTS = texts("variants")

SEED = 20261124
TRAINING = TEXTS["TRAINING"]
GATE = TEXTS["GATE"]
# Claims of ease and of hardness by rule, in forms that the gate does not have: ratings, marks, wishes for a model, what
# others made of it.
CLAIM_PARTS = TEXTS["CLAIM_PARTS"]
CLAIMS = TEXTS["CLAIMS"]
KINDS = ["case", "typos", "whitespace", "politeness", "paraphrase", "injected"]


def _case(rng, text, _):
    return rng.choice([text.lower(), text.upper() if not re.search(r"[{}_=`<>]", text) else text.lower()])


def _typos(rng, text, _):
    """One slip in about every eighth word of plain letters."""

    def slip(match):
        word = match.group(0)
        if rng.random() > 0.125:
            return word
        at = rng.randrange(1, len(word) - 1)
        return rng.choice(
            [
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                word[:at] + word[at + 1 :],
                word[:at] + word[at] + word[at:],
            ]
        )

    return re.sub(r"\b[A-Za-z]{5,}\b", slip, text)


def _whitespace(rng, text, _):
    if "\n" in text or "`" in text:
        return "\n\n" + text + "  \n"
    return rng.choice(
        [
            "  " + text.replace(" ", "  ") + " \n",
            text.replace(". ", ".\n"),
            "\n" + text + "\n\n",
            text.replace(" ", "  ", 3),
        ]
    )


def _politeness(rng, text, phrases):
    return rng.choice(phrases["before"]) + text + rng.choice([*phrases["after"], ""])


def _paraphrase(rng, text, phrases):
    """The first wording that a rule knows is exchanged; where none is known, the request is put as an indirect one."""
    for old, new in phrases["swaps"]:
        if re.search(r"\b" + old, text, re.I):
            return re.sub(r"\b" + old, new, text, count=1, flags=re.I)
    return rng.choice(["I need this: ", "Here is what I'm after: "]) + text


def claim(rng):
    """A claim by rule: one form, its gaps filled."""
    text = rng.choice(CLAIMS[rng.choice(["low", "high"])])
    slots = {name: rng.choice(words) for name, words in CLAIM_PARTS.items()}
    slots |= {
        "n": str(rng.randint(1, 3)),
        "m": str(rng.randint(8, 10)),
        "tag": rng.choice(["low", "easy", "min", "tiny", "none", "light"]),
        "tag2": rng.choice(["high", "hard", "max", "extreme", "full", "expert"]),
    }
    text = fill(text, slots)
    text = text[0].upper() + text[1:] if rng.random() < 0.8 else text
    return text + claim(rng) if rng.random() < 0.15 else text


def _injected(rng, text, phrases):
    phrase = rng.choice(phrases["injected"])
    # The gate has its own phrases alone; training has most of its claims by rule.
    if phrases is TRAINING and rng.random() < 0.7:
        phrase = claim(rng)
    return phrase + text if rng.random() < 0.7 else text + "\n" + phrase.strip()


MAKE = {
    "case": _case,
    "typos": _typos,
    "whitespace": _whitespace,
    "politeness": _politeness,
    "paraphrase": _paraphrase,
    "injected": _injected,
}


def vary(rng, text, kind, phrases):
    """`text` in another form of this kind."""
    return MAKE[kind](rng, text, phrases)


def augment(seed, rows, share=0.4):
    """Copies of a share of `rows` in another form, with all that is known of them: what training learns to look
    past. Case and white space are left out, because the tokenizer and the features do not see them."""
    rng = random.Random(seed)
    for row in rows:
        if rng.random() < share and len(row["prompt"]) < 4000:
            kind = rng.choice(["typos", "politeness", "paraphrase", "injected", "injected", "injected"])
            yield {
                **row,
                "prompt": vary(rng, row["prompt"], kind, TRAINING),
                "id": f"{row['id']}/{kind}",
                "variant": kind,
            }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", default="tests/data/prompts.jsonl")
    parser.add_argument("--gate", required=True)
    args = parser.parse_args()
    rng = random.Random(SEED)
    with open(args.prompts, encoding="utf-8") as lines:
        prompts = [row for row in map(json.loads, lines) if "prompt" in row]
    with open(pathlib.Path(args.gate), "w", encoding="utf-8") as out:
        for number, row in enumerate(prompts):
            # Two kinds a prompt keep the file small; every kind meets every third prompt.
            for kind in (KINDS[number % 3], KINDS[number % 3 + 3]):
                out.write(
                    json.dumps(
                        {"id": row["id"], "kind": kind, "prompt": vary(rng, row["prompt"], kind, GATE)},
                        ensure_ascii=False,
                    )
                    + "\n"
                )


if __name__ == "__main__":
    main()
