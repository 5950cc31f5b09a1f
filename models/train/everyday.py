"""Everyday and demanding prompts of our own whose kind of difficulty is known by construction (`assumed.py`): templates
× slots, seeded.

They stand beside `synthetic.py`, whose templates tell tasks apart; these tell what a helpdesk, a shop or a desk
worker asks all day from what takes an expert. `generate` yields dicts with prompt, task, domain, level. None of them
is taken from tests/data/prompts.jsonl.
"""

import random

from templates import OF_ITSELF, distinct, fill, texts

TEXTS = texts("everyday")

THINGS = TEXTS["THINGS"]
TOPICS = TEXTS["TOPICS"]
PEOPLE = TEXTS["PEOPLE"]
TOOLS = TEXTS["TOOLS"]
ACTS = TEXTS["ACTS"]
SYSTEMS = TEXTS["SYSTEMS"]
LIMITS = TEXTS["LIMITS"]
MATHS = TEXTS["MATHS"]
CODES = TEXTS["CODES"]
LANGS = "C|Rust|Go|Java|Haskell|Zig|Scala|TypeScript".split("|")
FIELDS = "employment law|tax law|maritime law|antitrust law|patent law|insolvency law".split("|")
CASES = TEXTS["CASES"]

WORDS = TEXTS["WORDS"]
EASY = TEXTS["EASY"]
MIDDLE = TEXTS["MIDDLE"]
HARD = TEXTS["HARD"]
TASK_OF = {
    "support": "chat",
    "howto": "knowledge_qa",
    "desk": "creative_writing",
    "facts": "knowledge_qa",
    "trivia": "knowledge_qa",
    "sums": "math",
    "abroad": "chat",
}
# What "texts" asks for differs from one to the next.
UNLABELLED = {"texts"}
# A kind of its own: few among all that is easy, and what the outcomes say of trivia is about rarer facts.
FACTS = {"facts", "trivia"}
BEFORE = ["", "", "", "", "Hi, ", "Hello, ", "Please help: ", "quick question: "]
AFTER = ["", "", "", "", "", " Thanks", " please", " thank you!"]


def _slots(rng):
    lists = {
        "thing": THINGS,
        "topic": TOPICS,
        "person": PEOPLE,
        "tool": TOOLS,
        "act": ACTS,
        "system": SYSTEMS,
        "limit": LIMITS,
        "limit2": LIMITS,
        "maths": MATHS,
        "code": CODES,
        "lang": LANGS,
        "field": FIELDS,
        "case": CASES,
    }
    lists |= WORDS | {
        "term2": WORDS["term"],
        "lines": WORDS["line"],
        "land2": WORDS["land"],
        "famous2": WORDS["famous"],
    }
    return {name: rng.choice(values) for name, values in lists.items()} | {
        "n": str(rng.randint(20, 9000)),
        "p": str(rng.randint(2, 12)),
    }


@distinct
def generate(seed, easy=450, middle=220, hard=300):
    """Prompts with task, domain (where the task tells it) and level."""
    rng = random.Random(seed)
    for level, kinds, count in (("easy", EASY, easy), ("middle", MIDDLE, middle), ("hard", HARD, hard)):
        for name, templates in kinds.items():
            for _ in range(count):
                prompt = fill(rng.choice(templates), _slots(rng))
                prompt = rng.choice(BEFORE) + prompt + rng.choice(AFTER)
                prompt = prompt.lower() if rng.random() < 0.25 else prompt
                yield {
                    "prompt": prompt,
                    "task": None if name in UNLABELLED else TASK_OF.get(name, name),
                    "domain": OF_ITSELF.get(name),
                    "source": "synthetic",
                    "level": "fact" if name in FACTS else level,
                }
