"""Reads outcome and task rows (format: README.md), maps their labels to ours, and joins them into one list of prompts.

Each prompt becomes {prompt, source, benchmark, group, task, domain, weight, models}; task and domain are our label
names or None; `group` is what is left out together in leave-one-group-out figures (a subject, a generator). No file
is written here.
"""

import glob
import gzip
import json
import pathlib
import re

TASKS = [
    "chat",
    "knowledge_qa",
    "math",
    "reasoning",
    "code",
    "creative_writing",
    "summarization",
    "translation",
    "rewriting",
    "extraction",
    "classification",
]
DOMAINS = ["general", "medical", "legal", "finance", "science", "technology", "mathematics", "humanities"]

TASK_OF = {
    "assistant_command": "chat",
    "chit_chat": "chat",
    "qa": "knowledge_qa",
    "math": "math",
    "reasoning": "reasoning",
    "code": "code",
    "creative_writing": "creative_writing",
    "roleplay": "creative_writing",
    "constrained_generation": "creative_writing",
    "planning": "reasoning",
    "theory_of_mind": "reasoning",
    "reading_comprehension": "extraction",
    "extraction": "extraction",
    "rewriting": "rewriting",
    "classification": "classification",
    "translation": "translation",
    "multiple_choice_qa": "knowledge_qa",
    "open_qa": "knowledge_qa",
    "math_word_problem": "math",
    "math_competition": "math",
    "code_generation": "code",
    "logic_puzzle": "reasoning",
    "constrained_writing": "creative_writing",
}
SUBJECTS = {
    "medical": (
        "nutrition professional_medicine clinical_knowledge anatomy virology human_aging "
        "human_sexuality medical_genetics college_medicine health"
    ),
    "legal": "international_law professional_law jurisprudence law legal",
    "finance": (
        "high_school_macroeconomics marketing business_ethics management econometrics "
        "high_school_microeconomics professional_accounting business economics finance finance_business"
    ),
    "science": (
        "high_school_biology high_school_chemistry astronomy college_biology college_chemistry "
        "college_physics conceptual_physics high_school_physics chemistry physics biology engineering "
        "electrical_engineering science science_graduate"
    ),
    "technology": (
        "college_computer_science machine_learning computer_security high_school_computer_science "
        "computer_science code tech computer_engineering"
    ),
    "mathematics": (
        "high_school_mathematics high_school_statistics college_mathematics elementary_mathematics "
        "abstract_algebra formal_logic math math_multilingual algebra arithmetic geometry"
    ),
    "humanities": (
        "high_school_psychology moral_disputes moral_scenarios prehistory security_studies sociology "
        "high_school_government_and_politics high_school_geography logical_fallacies public_relations "
        "high_school_us_history high_school_world_history high_school_european_history philosophy "
        "history psychology world_religions us_foreign_policy professional_psychology social_science "
        "humanities"
    ),
    "general": (
        "global_facts miscellaneous general other general_knowledge commonsense open_qa "
        "creative_constrained logic algorithmic games cognition graphs arc"
    ),
}
DOMAIN_OF = {name: domain for domain, names in SUBJECTS.items() for name in names.split()}
MATH_SUBJECTS = {
    "high_school_mathematics",
    "high_school_statistics",
    "college_mathematics",
    "elementary_mathematics",
    "abstract_algebra",
    "math",
}


def stem(prompt):
    """What makes two prompts the same question: its words, in any script, and its signs, without options and layout.
    Without signs `3 - 4` would be `3 + 4`, two boards of a puzzle one, and everything in Chinese the same."""
    text = re.split(r"\n\(?[A-J][.)]\s", prompt)[0].lower()
    return " ".join(re.findall(r"[^\W_]+|[^\w\s]|_", text))


def read(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def labels(row):
    """Our task and domain for a row of the data."""
    if "rated" in row:
        return row["task_type"], row["domain"]
    raw = row.get("raw_label") or ""
    subject = (raw if row["source"] in ("mmlu_stem", "mmlu_pro_stem") else row.get("domain") or "").replace(" ", "_")
    domain = DOMAIN_OF.get(subject) or DOMAIN_OF.get((row.get("domain") or "").replace(" ", "_"))
    if row["source"] == "reasoning_gym":
        field = row.get("domain") or ""
        kind = row.get("task_type") or {
            "algorithmic": "reasoning",
            "arithmetic": "math",
            "algebra": "math",
            "geometry": "math",
            "code": "code",
        }.get(field, "reasoning")
        return TASK_OF[kind], domain
    task = TASK_OF.get(row.get("task_type") or row.get("task"))
    if task == "knowledge_qa" and subject in MATH_SUBJECTS:
        task = "math"
    if raw.endswith("travel/translate"):
        task = "translation"
    if (
        row["source"] in ("llmrouter9", "llmrouter9_prompts")
        and task == "knowledge_qa"
        and row.get("benchmark") == "mmlu"
    ):
        domain = None
    # Their general questions are about everything: the label says where they are from, not what about.
    if row["source"] in ("arena_hard_v2", "arena_hard_v01", "llmrouter9_prompts") and domain == "general":
        domain = None
    return task, domain


def model_names():
    """Every name of a model → its name in models/benchmarks.json: what two sources measured of one model places one
    model."""
    models = json.loads((pathlib.Path(__file__).parent.parent / "benchmarks.json").read_text(encoding="utf-8"))[
        "models"
    ]
    return {name: model["name"] for model in models for name in [model["name"], *model.get("aliases", [])]}


# Benchmarks whose questions are facts asked in few words: an answer that is right in another form counted as wrong.
FACTS = {"natural_qa", "trivia_qa"}
CLASSES = ["s", "m", "l", "xl"]


def failed_for_form(row):
    """Whether every model failed a question of fact, as one does whose answer is put otherwise than the key."""
    scores = [outcome["score"] for outcome in row["models"].values()]
    return row["benchmark"] in FACTS and bool(scores) and max(scores) == 0


def rated_fields(row):
    """What rated rows have beyond others, in the form that `data.py` reads."""
    if "rated" not in row:
        return {}
    kept = {name: row[name] for name in ("system", "turns", "lang", "answer_tokens") if row.get(name)}
    group = row.get("group") or row.get("system") or row["id"]
    return {
        **kept,
        "rated": [row["rated"][name] for name in CLASSES],
        "rated_tokens": row["rated_tokens"],
        "group": f"{row['benchmark']}/{group[:80]}",
    }


def load(data, split):
    out, names = [], model_names()
    for path in sorted(glob.glob(str(pathlib.Path(data) / f"*.{split}.jsonl.gz"))):
        for row in read(path):
            task, domain = labels(row)
            source = "mmlu" if row["source"] == "routellm" else row["source"]
            group = row.get("task") if source == "reasoning_gym" else row.get("domain") or row.get("benchmark")
            out.append(
                {
                    "prompt": row["prompt"],
                    "source": source,
                    "file": pathlib.Path(path).name.split(".")[0],
                    "benchmark": row.get("benchmark") or row.get("raw_label"),
                    "group": f"{source}/{group}",
                    "task": task,
                    "domain": domain,
                    "models": {names.get(name, name): outcome for name, outcome in (row.get("models") or {}).items()},
                    "id": row["id"],
                    **rated_fields(row),
                }
            )
    return out


def train_rows(data, more=()):
    """The training rows and `more`, without any whose question also stands in the validation split; those whose
    outcomes say more of the form of the answer than of the question are marked."""
    held = {stem(row["prompt"]) for row in load(data, "val")}
    kept = [row for row in [*load(data, "train"), *more] if stem(row["prompt"]) not in held]
    failed = [row for row in kept if failed_for_form(row)]
    for row in failed:
        row["failed_for_form"] = True
    print(f"{len(failed)} questions of fact whose every answer failed for its form count half")
    return kept
