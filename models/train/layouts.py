"""Rows of the training split laid out otherwise: the same question in the forms of other benchmarks and of other clients.

Each source of outcomes comes in one layout (lettered options and "Answer:", ten options, the bare question), so a classifier that sees no
other takes the layout for the source and its task. A copy keeps labels and outcomes where all that is asked is still there; where
something is taken away (options, or all but one of them) it keeps the labels alone. `copies` yields rows; nothing is read or written here.
"""

import json
import random
import re

from templates import split

OPTION = re.compile(r"\n\(?([A-J])[.)]\s*")
MARKS = ["{A}. ", "{A}. ", "{A}) ", "({A}) ", "{A}: ", "[{A}] ", "{a}. ", "{a}) ", "({a}) ", "{n}. ", "{n}) ", "({n}) ", "- ", "* ", "• ", "Option {A}: ", "Choice {n}: ", "**{A}.** ", "{A} - ", "{A}\t"]
BETWEEN = ["\n"] * 8 + ["\n\n", "\n  ", " ", "; ", " | ", ", "]
BEFORE_QUESTION = [""] * 5 + ["Question: ", "Question: ", "Q: ", "Question:\n", "**Question:** ", "### Question\n", "QUESTION\n", "Problem: ", "Exam question: ", "[Question] ", "<question>", "Question 1. ", "1. ", "Here is a question: "]
BEFORE_OPTIONS = [""] * 6 + ["Options:", "Choices:", "Answer choices:", "Options are:", "Possible answers:", "Candidates:", "### Options", "Select one:", "Which one is right?"]
AFTER_OPTIONS = [""] * 4 + [
    "Answer:", "Answer:", "A:", "Answer with the letter.", "Answer with the letter only.", "The answer is", "The correct option is", "Respond with a single letter.", "Choose the correct option.",
    "Which option is correct?", "Explain your choice, then end with the letter.", "Let's think step by step.", "Think it through first, then write `Answer: X`.", "Give the final letter in \\boxed{}.",
    "Only output the option.", "Reply in JSON with the key \"answer\".", "### Answer", "Pick exactly one.", "Do not explain.", "Your answer:", "Correct answer:", "State which is correct and why the others are not."]
INTRODUCTIONS = [""] * 7 + [
    "The following is a multiple choice question (with answer) about {subject}.", "The following are multiple choice questions about {subject}. Finish your answer with \"the answer is (X)\".", "Answer the following multiple choice question.",
    "You will be given a question with several options. Choose the best one.", "You are sitting an exam in {subject}.", "Select the right answer to the {subject} question below.", "You are an expert in {subject}. Answer the question.",
    "Given the question and its options, output the letter of the correct one.", "Please read the question carefully and pick the best answer.", "Below is a question from a test. There is only one correct answer.", "Solve this {subject} quiz."]
# Frames that say nothing of the task: any prompt may stand in any of them.
NEUTRAL = r"""User: {q}\nAssistant:|Human: {q}\n\nAssistant:|### Instruction:\n{q}\n\n### Response:|[INST] {q} [/INST]|<s>[INST] {q} [/INST]|Below is an instruction that describes a task. Write a response that completes it.\n\n### Instruction:\n{q}\n\n### Response:\n|Input: {q}\nOutput:|Task: {q}|You are a helpful assistant.\n\n{q}|Instruction: {q}|Prompt: {q}|<task>\n{q}\n</task>
{q}\n\nResponse:|Please respond to the following.\n\n{q}|Request:\n{q}|"{q}"|```\n{q}\n```|Q: {q}\nA:|Question: {q}\nAnswer:|{q}\n\nThink step by step.|{q}\n\nGive only the final answer.|{q}\nBe concise.|Here is what I need.\n\n{q}|system: answer well\nuser: {q}|# Task\n{q}\n\n# Answer|Follow the instruction below.\n{q}|<user>{q}</user>|{q}\n\nAnswer:|Read this and respond:\n{q}|Turn 1:\n{q}"""
# Frames of benchmarks of one task, which tell it as little by themselves as a frame can.
FRAMES = {
    "math": r"""Problem: {q}\nSolution:|Problem:\n{q}\n\nSolve the problem and put the final answer in \boxed{}.|{q} Let's think step by step.|{q}\nPlease reason step by step, and put your final answer within \boxed{}.|Solve: {q}|Q: {q}\nA: Let's work this out.|Solve the following problem. The last line should be "Answer: N".\n\n{q}|Question: {q}\nLet's think step by step\nAnswer:|Exercise 4. {q}
Answer the following maths problem, showing your working.\n{q}|{q}\n\nThe final answer must be a number.|{q} (give a number)|Question: {q}\nEnd with #### and the number.|Compute the answer.\n{q}|Here is a problem from a competition:\n\n{q}\n\nGive your answer as an integer if possible.|Help me with my homework: {q}|### Problem\n{q}\n### Solution|You are a mathematician. {q}""",
    "code": r"""{q}\n\nWrite it in Python.|You are an expert programmer. Here is your task: {q}\nYour code has to pass hidden tests.|Complete the following code.\n\n{q}|```python\n{q}\n```\nComplete this.|{q}\nReturn only code.|Task: {q}\n\nSolution in Python:|# {q}|/* {q} */|Implement this:\n{q}|{q}\n\nFor example, the function is tested with `assert f(3) == 9`.|Write a solution to this programming problem. Read from standard input.\n\n{q}|### Programming task\n{q}\n### Code|Please provide a self-contained script for the following problem in a markdown code block:\n{q}|{q}\n[BEGIN]""",
    "reasoning": r"""Puzzle: {q}|Solve this puzzle.\n\n{q}|{q}\n\nThink carefully before you answer.|Here is a logic task:\n{q}|Consider the following.\n{q}\nWhat is the answer?|{q}\nWrite your final answer in <answer></answer> tags.|Work it out step by step. {q}|Given the rules below, find the solution.\n\n{q}|{q}\n\nLet's think step by step.|Riddle for you: {q}|### Task\n{q}\n\n### Solution|{q}\nYour answer should be in the format shown above.""",
    "knowledge_qa": r"""Q: {q}\nA:|Question: {q}\nAnswer:|Answer the question in a few words: {q}|Answer the following question.\n\n{q}|Trivia: {q}|{q} Answer briefly.|Give a short factual answer.\nQuestion: {q}\nAnswer:|Please answer: {q}|Question: {q}\nRespond with the exact answer, nothing else.|Quiz question: {q}|{q}\n\nIf you do not know, say so.|Here's a question someone asked: {q}|Explain your answer. {q}""",
    "creative_writing": r"""{q}\n\nWrite it.|Writing prompt: {q}|Use all of these in one piece: {q}|[WP] {q}|{q}\n\nBe original.|Creative task.\n{q}""",
}
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
    return between.join(mark.replace("{A}", "ABCDEFGHIJKLMNOP"[i]).replace("{a}", "abcdefghijklmnop"[i]).replace("{n}", str(i + 1)) + option for i, option in enumerate(options))


def lay_out(rng, question, options, subject="general knowledge", shots=()):
    """A question with options in some layout; `shots` are (question, options) that stand in front, with their answers."""
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
        shown.append(one(asked, choices) + "\n" + answer.replace("{A}", "ABCDEFGHIJ"[right % 10]).replace("{text}", choices[right]))
    return "\n\n".join([*([intro] if intro else []), *shown, one(question, options) + (joint + tail if tail else "")])


def _exam(rng, row, peers):
    """An exam question in another layout, and what kind of change it was."""
    question, options = options_of(row["prompt"])
    subject = str(row["benchmark"] if row["source"] not in ("mmlu", "mmlu_pro") else row["group"].split("/")[-1])
    draw = rng.random()
    if draw < 0.10:
        frame = rng.choice([*split(FRAMES["knowledge_qa"]), "{q}", "{q}"])
        return frame.replace("{q}", question), "stem"
    if draw < 0.18:
        claim = f"{question} {rng.choice(options)}"
        return rng.choice(["True or false? {c}", "{c}\nTrue or False?", "Statement: {c}\nIs this statement true or false?", "{c}\nIs this correct? Answer yes or no.", "Decide whether the following is true.\n{c}\nAnswer:"]).replace("{c}", claim), "statement"
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
    frame = rng.choice(split(own)) if own and rng.random() < 0.6 else rng.choice(split(NEUTRAL))
    return frame.replace("\\n", "\n").replace("{q}", prompt)


def _share(row):
    """How often a row is copied: short commands to assistants are many, and have few layouts."""
    return 0.06 if row["source"] == "clinc150" else 0.35


def copies(seed, rows):
    """Copies of a share of `rows` in another layout. Rows of a subject lend each other examples and options, so what leaves out a source leaves
    all of it out."""
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
        yield {**row, "prompt": prompt, "models": models, "id": f"{row['id']}/{kind}", "layout": kind, **({"variant": kind} if models else {})}
