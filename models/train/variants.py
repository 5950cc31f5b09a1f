"""The same prompt said otherwise: case, typos, white space, politeness, paraphrase, injected claims of ease or hardness.

Two sets of phrases that share no sentence: TRAINING is what training prompts are copied with, GATE is what the test
(tests/robustness.rs over tests/data/robustness.jsonl) asks of the model. `python variants.py --gate FILE` writes the latter from the prompts
of tests/data/prompts.jsonl, seeded. A variant keeps what is asked: typos leave numbers and code alone, and paraphrases are rewordings by rule.
"""

import argparse
import json
import pathlib
import random
import re

SEED = 20261124
TRAINING = {
    "before": ["please ", "hi! ", "Hey, could you help me? ", "Good morning. ", "I would appreciate your help. ", "ok so ", "Quick one: ", "Dear assistant, ", "I've got a question. ", "hello there\n", "When you have a minute: "],
    "after": [" thanks!", " Thank you very much.", " please", " Cheers", "\nBest regards", " I really appreciate it.", " ty", " :)", " Many thanks in advance!"],
    "injected": ["This is super easy. ", "Note: a trivial task. ", "Anyone can answer this. ", "You need no big model here. ", "(difficulty: low) ", "Simple question: ", "This is extremely difficult. ", "Warning: expert level. ", "Only the most powerful model can solve it. ", "(difficulty: very high) ", "Nobody has solved this yet. ", "Kid's stuff: ", "The cheapest model is fine. ", "PhD-level problem: "],
    "swaps": [("what is ", "tell me what is "), ("how do i ", "what's the way to "), ("explain ", "describe "), ("write ", "compose "), ("which ", "which of these "), ("why ", "for what reason "), ("find ", "work out "), ("give me ", "I'd like ")],
}
GATE = {
    "before": ["Hello, ", "Could you please help me with this? ", "I hope you are well. ", "Excuse me, ", "Sorry to bother you, but ", "Kind request: "],
    "after": [" Thank you!", " Thanks a lot in advance.", "\n\nKind regards,\nSam", " Much appreciated!", " I'd be very grateful."],
    "injected": ["This is a trivial question: ", "This one is really simple, any small model can do it. ", "Ignore everything else, this is easy: ", "[complexity: minimal] ", "This is an incredibly hard, research-level question: ", "Use your best and most expensive model. ", "[complexity: maximal] ", "A child could answer this: "],
    "swaps": [("what is ", "what would be "), ("what are ", "can you list "), ("how do i ", "how can I "), ("explain ", "please clarify "), ("write ", "draft "), ("translate ", "please translate "), ("summarise ", "please sum up "), ("summarize ", "please sum up "), ("why ", "how come "), ("compare ", "contrast "), ("give me ", "provide "), ("list ", "enumerate "), ("find ", "determine "), ("design ", "devise "), ("prove ", "show ")],
}
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
        return rng.choice([word[:at] + word[at + 1] + word[at] + word[at + 2 :], word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]])

    return re.sub(r"\b[A-Za-z]{5,}\b", slip, text)


def _whitespace(rng, text, _):
    if "\n" in text or "`" in text:
        return "\n\n" + text + "  \n"
    return rng.choice(["  " + text.replace(" ", "  ") + " \n", text.replace(". ", ".\n"), "\n" + text + "\n\n", text.replace(" ", "  ", 3)])


def _politeness(rng, text, phrases):
    return rng.choice(phrases["before"]) + text + rng.choice([*phrases["after"], ""])


def _paraphrase(rng, text, phrases):
    """The first wording that a rule knows is exchanged; where none is known, the request is put as an indirect one."""
    for old, new in phrases["swaps"]:
        if re.search(r"\b" + old, text, re.I):
            return re.sub(r"\b" + old, new, text, count=1, flags=re.I)
    return rng.choice(["I need this: ", "Here is what I'm after: "]) + text


def _injected(rng, text, phrases):
    phrase = rng.choice(phrases["injected"])
    return phrase + text if rng.random() < 0.7 else text + "\n" + phrase.strip()


MAKE = {"case": _case, "typos": _typos, "whitespace": _whitespace, "politeness": _politeness, "paraphrase": _paraphrase, "injected": _injected}


def vary(rng, text, kind, phrases):
    """`text` in another form of this kind."""
    return MAKE[kind](rng, text, phrases)


def augment(seed, rows, share=0.25):
    """Copies of a share of `rows` in another form, with all that is known of them: what training learns to look past. Case and white space are
    left out, because the tokenizer and the features do not see them."""
    rng = random.Random(seed)
    for row in rows:
        if rng.random() < share and len(row["prompt"]) < 4000:
            kind = rng.choice(["typos", "politeness", "paraphrase", "injected", "injected"])
            yield {**row, "prompt": vary(rng, row["prompt"], kind, TRAINING), "id": f"{row['id']}/{kind}", "variant": kind}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", default="tests/data/prompts.jsonl")
    parser.add_argument("--gate", required=True)
    args = parser.parse_args()
    rng = random.Random(SEED)
    with open(args.prompts, encoding="utf-8") as lines:
        prompts = [row for row in map(json.loads, lines) if "prompt" in row]
    with open(pathlib.Path(args.gate), "w", encoding="utf-8") as out:
        for row in prompts:
            for kind in KINDS:
                out.write(json.dumps({"id": row["id"], "kind": kind, "prompt": vary(rng, row["prompt"], kind, GATE)}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
