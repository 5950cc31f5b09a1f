"""Prompts of our own in the manner of exams, reading tests, chat benchmarks and assistants: terms × questions ×
layouts, seeded.

`layouts.py` lays out anew what the training split has; here are questions that it has none of: subjects by their
terms, passages, sentence endings, instructions with material, conversations, and what people tell a device to do.
All of it is invented here, nothing is taken from a benchmark. `generate` yields dicts with prompt, task, domain.
They have no outcomes, and nothing is assumed of their difficulty.
"""

import random

import layouts
from templates import distinct, fill, texts

TEXTS = texts("exams")

# (task, domain) of a subject, and its terms with what they mean.
SUBJECTS = TEXTS["SUBJECTS"]
TERM_QUESTIONS = TEXTS["TERM_QUESTIONS"]
MEANING_QUESTIONS = TEXTS["MEANING_QUESTIONS"]
NUMBER_QUESTIONS = TEXTS["NUMBER_QUESTIONS"]
# The beginning of an everyday scene, its sensible end, and others.
SCENES = TEXTS["SCENES"]
PASSAGES = TEXTS["PASSAGES"]
READING = TEXTS["READING"]
READING_FRAMES = TEXTS["READING_FRAMES"]
WORKED = TEXTS["WORKED"]
REVIEWS = TEXTS["REVIEWS"]
ROLES = TEXTS["ROLES"]
CONTENT = TEXTS["CONTENT"]
FORMS = TEXTS["FORMS"]
COMMANDS = TEXTS["COMMANDS"]
OPEN = TEXTS["OPEN"]
SLOTS = TEXTS["SLOTS"]
TALK = TEXTS["TALK"]


def _terms(subject):
    return list(SUBJECTS[subject]["terms"].items())


def _others(rng, terms, place, right, count):
    """`count` options of one kind, the right one among them: sometimes of another subject where one has too few."""
    pool = [term[place] for term in terms if term[place] != right]
    while len(pool) < count:
        pool += [term[place] for term in _terms(rng.choice(list(SUBJECTS)))]
    options = [right, *rng.sample(pool, count - 1)]
    rng.shuffle(options)
    return options


def _subject(rng):
    subject = rng.choice(list(SUBJECTS))
    task, domain = SUBJECTS[subject]["task"], SUBJECTS[subject]["domain"]
    terms = _terms(subject)
    term, meaning = rng.choice(terms)
    count = rng.choice([2, 3, 4, 4, 4, 5, 6, 8, 10])
    if rng.random() < 0.5:
        question, place, right = rng.choice(TERM_QUESTIONS), 0, term
    else:
        question, place, right = rng.choice(MEANING_QUESTIONS), 1, meaning
    question = (
        question.replace("{d}", meaning).replace("{t}", term).replace("{T}", term.capitalize()).replace("{s}", subject)
    )
    return layouts.lay_out(rng, question, _others(rng, terms, place, right, count), subject), task, domain


def _number(rng):
    task, domain, question = rng.choice(NUMBER_QUESTIONS)
    for name in "abc":
        question = question.replace("{" + name + "}", str(rng.randint(2, 60)))
    unit = rng.choice(["", "", " m", " J", "%"]) if task != "math" else ""
    options = [
        f"{rng.choice([rng.randint(1, 900), round(rng.random() * 90, 2)])}{unit}"
        for _ in range(rng.choice([4, 4, 5, 8, 10]))
    ]
    return (
        layouts.lay_out(
            rng, question, options, {"mathematics": "mathematics", "science": "physics"}.get(domain, domain)
        ),
        task,
        domain,
    )


def _scene(rng):
    start, ends = rng.choice(SCENES)
    options = list(ends)
    rng.shuffle(options)
    if rng.random() < 0.3:
        return (
            f"{start}\nOption 1: {options[0]}\nOption 2: {options[1]}\nWhich is more sensible?",
            "knowledge_qa",
            "general",
        )
    return (
        layouts.lay_out(
            rng,
            rng.choice(["", "Complete the sentence: ", "What happens next? ", "Goal or event: "]) + start,
            options,
            "common sense",
        ),
        "knowledge_qa",
        "general",
    )


def _fill(rng, template):
    subject = rng.choice(list(SUBJECTS))
    (term, meaning), (other, _) = rng.sample(_terms(subject), 2)
    talk = rng.choice(TALK).replace("{a}", "Mia").replace("{b}", "Tom")
    passage = " ".join(rng.sample(PASSAGES, rng.choice([1, 1, 2, 3])))
    words = rng.sample(
        (
            "ball river chair clean throw old hat dance market snow cut tree stage wait crowd boat fire "
            "jump bread laugh"
        ).split(),
        rng.randint(3, 9),
    )
    slots = {
        "p": passage,
        "d": talk if "Dialogue" in template else meaning,
        "q": rng.choice(READING),
        "r": rng.choice(REVIEWS),
        "r2": rng.choice(REVIEWS),
        "t": term,
        "t2": other,
        "T": term.capitalize(),
        "s": subject,
        "l": rng.choice(layouts_languages()),
        "words": ", ".join(words),
        "role": rng.choice(ROLES),
        "thing": rng.choice(CONTENT),
        "role2": rng.choice(ROLES),
        "things": "bakers pianos lifts buses dogs".split()[rng.randrange(5)],
        "form": rng.choice(FORMS),
        "w": rng.choice("Okafor Lindqvist Marta Reyes Haan Ines Petrov Ling Abdi".split()),
    }
    slots |= {name: rng.choice(values) for name, values in SLOTS.items()} | {"city2": rng.choice(SLOTS["city"])}
    template = fill(template, slots)
    for name, low, high in (("y", 1820, 2023), ("n", 20, 900), ("m", 12, 60), ("k", 2, 9), ("w", 0, 0)):
        template = template.replace("{" + name + "}", str(rng.randint(low, high)) if high else "Marta")
    return template, SUBJECTS[subject]["domain"]


def layouts_languages():
    return "German French Spanish Chinese Japanese Hindi Swahili Portuguese Czech Romanian Korean Turkish".split()


def _reading(rng):
    frame = rng.choice(READING_FRAMES).replace("{q}", rng.choice(READING))
    return _fill(rng, frame)[0], "extraction", None


def _worked(rng):
    task = rng.choice(list(WORKED))
    text, domain = _fill(rng, rng.choice(WORKED[task]))
    if rng.random() < 0.25:
        text = layouts.framed(rng, text, None)
    return text, task, domain if task == "knowledge_qa" else None


def _command(rng):
    template = rng.choice(COMMANDS)
    text = _fill(rng, template)[0].lower()
    return (
        rng.choice(["", "", "", "", "please ", "hey, ", "can you ", "i want to know ", "could you tell me "]) + text,
        "translation" if template.startswith("how do you say") else "chat",
        None,
    )


def _open(rng):
    text = _fill(rng, rng.choice(OPEN))[0]
    return (
        (text.lower() if rng.random() < 0.5 else text[0].upper() + text[1:]) + rng.choice(["", "", "?"]),
        "knowledge_qa",
        None,
    )


KINDS = [
    (_subject, 1100),
    (_number, 350),
    (_scene, 200),
    (_reading, 450),
    (_worked, 3400),
    (_command, 900),
    (_open, 250),
]


@distinct
def generate(seed):
    """Prompts with task and domain."""
    rng = random.Random(seed)
    for make, count in KINDS:
        for _ in range(count):
            prompt, task, domain = make(rng)
            yield {"prompt": prompt, "task": task, "domain": domain, "source": "procedural"}
