"""Outcomes that nobody measured, assumed for prompts that come without any: P(correct) of a weak and of a strong model.

The measured outcomes are of exam questions, puzzles and code alone. Without these assumptions the difficulty of a
greeting is whatever an extrapolation from exams makes of it. They are coarse on purpose (a kind of prompt, at most
its length), weigh less than measured outcomes and teach the prompt side only: abilities are fitted to measurements.
What is assumed for which kind stands in models/README.md.
"""

# The models that the two probabilities are of.
MODELS = ["Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"]
EASY, PLAIN, MIDDLE, HARD = (0.96, 0.99), (0.90, 0.975), (0.60, 0.88), (0.25, 0.70)
# Prompts of one kind weigh as much as those of another, however many there are.
KINDS = ["easy", "plain", "middle", "hard", "fact"]

TRANSFORMS = {"translation", "summarization", "rewriting", "extraction", "classification"}
# Characters (instruction and material) to which a text task is easy, and to which it is plain.
SHORT, LONG = 250, 1000


def kind(row):
    """Index into KINDS, or None where nothing is assumed: what has outcomes, and question stems of exams."""
    if row["models"]:
        return None
    source, task, size = row["source"], row["task"], len(row["prompt"])
    if row.get("level"):
        return KINDS.index(row["level"])
    if source == "clinc150":
        return 0
    if source == "chatterbot_corpus":
        return 0 if task != "code" else 1
    if source in ("arena_hard_v01", "arena_hard_v2"):
        return 3
    if source == "biggen_bench":
        return 2
    if source == "synthetic" and task in TRANSFORMS:
        return 0 if size < SHORT else 1 if size < LONG else 2
    if source == "synthetic":
        return {"chat": 0, "knowledge_qa": 0, "code": 1, "creative_writing": 1, "reasoning": 2}.get(task)
    return None


def outcome(which):
    return (EASY, PLAIN, MIDDLE, HARD, EASY)[which]
