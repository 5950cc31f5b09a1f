"""Procedural tasks of our own: puzzles, grids, strings, logic, sums, word problems, code to write, to mend and to
foresee; seeded.

Each task is one function that invents the material; how it is asked is drawn apart (a bare line, rules first, an
example, a wish for the form of the answer), so that what tells the task is what is asked and not one wording.
Nothing is taken from a benchmark. `generate` yields dicts with prompt, task, domain. They have no outcomes, and
nothing is assumed of their difficulty.
"""

import random

from templates import distinct, fill, texts

TEXTS = texts("puzzles")

# Tasks by rule: what is given, what is to be done with it, what comes out. Each is put together anew, rules first or
# last.
GIVEN = TEXTS["GIVEN"]
TODO = TEXTS["TODO"]
RULES = TEXTS["RULES"]
OUTPUTS = TEXTS["OUTPUTS"]
NAMES = TEXTS["NAMES"]
WORDS = TEXTS["WORDS"]
THINGS = TEXTS["THINGS"]
COLOURS = "red blue green yellow white black orange purple".split()
PETS = "cat dog parrot turtle rabbit hamster goldfish lizard".split()
FORMS = TEXTS["FORMS"]
OPENINGS = TEXTS["OPENINGS"]


def _grid(rng, rows, columns, cells, gap=" "):
    return "\n".join(gap.join(str(rng.choice(cells)) for _ in range(columns)) for _ in range(rows))


def _words(rng, count):
    return rng.sample(WORDS, count)


def _list(rng, low=4, high=9, most=200):
    return [rng.randint(-most if rng.random() < 0.3 else 0, most) for _ in range(rng.randint(low, high))]


def letters(rng):
    word, other = rng.choice(WORDS), rng.choice(WORDS)
    text, mark = " ".join(_words(rng, rng.randint(3, 9))), rng.choice("aeilnrst")
    return rng.choice(
        [
            f'How often does "{mark}" occur in the text: {text}?',
            f"Count the vowels in '{text}'.",
            f"Write {word} backwards.",
            f"Reverse the order of the words: {text}",
            f'Take the last letter of each word in "{text}" and join them.',
            f"Remove every {mark} from: {text}",
            f"Are {word} and {other} anagrams of each other?",
            f"What is the {rng.randint(2, 5)}th letter of {word}?",
            f"Put in alphabetical order: {text}",
            f"Swap the first and the last letter of each word: {text}",
            f"Which of these words is the longest: {', '.join(_words(rng, 5))}?",
            f"Unscramble the letters: {' '.join(rng.sample(word, len(word)))}",
            f"Shift each letter of {word} by {rng.randint(1, 12)} places in the alphabet.",
            f"Decode this message, in which A stands for Z, B for Y and so on: {word.upper()} {other.upper()}",
            (
                f"Change {rng.choice(['cold', 'lead', 'ship'])} into {rng.choice(['warm', 'gold', 'dock'])} one "
                "letter at a time, each step an English word."
            ),
            f"Find a word that fits the pattern {word[0]}{'_' * (len(word) - 2)}{word[-1]}.",
            f"Does the string {''.join(rng.choice('()[]') for _ in range(10))} have balanced brackets?",
            f"Split '{word}{other}' into two words.",
            f"Sort these words by their length, ties by alphabet: {text}",
            f"Keep only the words with an even number of letters: {text}",
            (
                f"Write the string {''.join(rng.choice('ABC') for _ in range(9))} after replacing every AB by C "
                "and every CC by B, again and again until nothing changes."
            ),
            f"Which words of the list contain the letter {mark}? {', '.join(_words(rng, 6))}",
            f"Form a palindrome from these letters: {', '.join(rng.choice('aabbccdde') for _ in range(7))}",
        ]
    )


def lists(rng):
    values = _list(rng)
    return rng.choice(
        [
            f"Sort from largest to smallest: {values}",
            (
                f"Which number comes next: "
                f"{', '.join(str(rng.randint(1, 4) + k * rng.randint(2, 7)) for k in range(6))}, "
                "?"
            ),
            f"Remove all numbers below {rng.randint(5, 60)} from {values}.",
            f"Rotate the list {values} to the right by {rng.randint(1, 4)}.",
            (
                f"What is the missing term in {', '.join(str(k * k + rng.randint(0, 3)) for k in range(1, 6))}, "
                f"__, {rng.randint(40, 90)}?"
            ),
            f"Which pair in {values} has the smallest difference?",
            f"Find the longest increasing subsequence of {values}.",
            f"Interleave {values[:3]} with {values[-3:]}.",
            f"Input: {values[:4]} Output: {values[:4][::-1]}\nInput: {values[-4:]} Output:",
            f"A rule maps {values[:3]} to {[v + 2 for v in values[:3]]}. Apply it to {values[-3:]}.",
            f"Group these numbers into even and odd: {values}",
            f"Start with {values}. Delete the largest, double the smallest, then reverse. What is left?",
            f"Given a list of numbers, say whether it is possible to split it into two parts with equal sums: {values}",
            f"How many swaps of neighbours does it take to sort {values}?",
            f"Which element appears most often in {[rng.randint(1, 4) for _ in range(11)]}?",
        ]
    )


def grids(rng):
    rows, columns = rng.randint(3, 7), rng.randint(3, 7)
    numbers, bits = _grid(rng, rows, columns, range(10)), _grid(rng, rows, columns, [0, 1])
    maze, dots = (
        _grid(rng, rows, columns, rng.choice([".#", "01", "o#"]), rng.choice(["", " "])),
        _grid(rng, rows, rows, ".XO", " "),
    )
    return rng.choice(
        [
            f"Rotate this matrix by 90 degrees to the left:\n{numbers}",
            f"Transpose the grid.\n\n{numbers}",
            f"How many separate groups of 1s does the grid have? Diagonals do not count.\n{bits}",
            f"Find the way from the top left to the bottom right corner. Walls are #.\n\n{maze}",
            f"Read the numbers of the grid along a spiral from the outside in:\n{numbers}",
            (
                "Each cell that has exactly two neighbours with a 1 becomes 1, every other one 0. Show the grid "
                f"after {rng.randint(1, 3)} steps:\n{bits}"
            ),
            f"Here is a board of noughts and crosses. X moves next. What is the best move?\n"
            f"{_grid(rng, 3, 3, '.XO', ' ')}",
            (
                f"Example input:\n{_grid(rng, 3, 3, [0, 1, 2])}\nExample output:\n{_grid(rng, 3, 3, [0, 2])}\nFind "
                f"the rule and apply it to:\n{_grid(rng, 3, 3, [0, 1, 2])}"
            ),
            f"Replace every number by the sum of its neighbours.\n{numbers}",
            f"Fill the empty cells so that each row and column holds 1 to 4 once:\n{_grid(rng, 4, 4, '1234____', ' ')}",
            (
                f"Which cells of the board can the knight in {rng.choice('abcdefgh')}{rng.randint(1, 8)} reach "
                "in two moves?"
            ),
            f"Place {rows} rooks on the board so that none attacks another. Dots are free, X is blocked.\n{dots}",
            f"How many mines touch each empty cell?\n{dots}",
            "Push the box ($) onto the goal (x). You are @.\n######\n#@ $ #\n#  x #\n######",
            f"What is the largest rectangle of 1s?\n{bits}",
            (
                f"The robot starts at ({rng.randint(0, 3)}, {rng.randint(0, 3)}) facing north and runs the "
                "program F F R F L F F. Where does it end?"
            ),
            f"Find the word hidden in the letters:\n{_grid(rng, 5, 5, 'abcdefgilmnoprstu', ' ').upper()}",
            f"Spot the cell in which the two grids differ.\n{numbers}\n\n{numbers}",
            (
                f"Colour the map so that no two neighbours share a colour. Regions: {', '.join('ABCDEF'[:rows])}. "
                f"Borders: {', '.join(rng.choice('ABC') + '-' + rng.choice('DEF') for _ in range(5))}"
            ),
            f"Water fills this skyline of heights: {[rng.randint(0, 6) for _ in range(9)]}. How much stays?",
            f"Draw the mirror image of\n{dots}",
        ]
    )


def logic(rng):
    a, b, c, d = rng.sample(NAMES, 4)
    x, y, z = (word + "s" for word in _words(rng, 3))
    colours, pets = rng.sample(COLOURS, 3), rng.sample(PETS, 3)
    return rng.choice(
        [
            (
                f"On an island everybody either always lies or always tells the truth. {a} says: '{b} lies.' {b} "
                "says: 'We are both of the same kind.' Who is what?"
            ),
            f"All {x} are {y}. Some {y} are {z}. Does it follow that some {x} are {z}?",
            f"No {x} are {y}. Every {z} is one of the {y}. Can a {z} be one of the {x}? Answer yes or no.",
            (
                f"{a}, {b} and {c} own a {pets[0]}, a {pets[1]} and a {pets[2]}. {a} is allergic to the "
                f"{pets[0]}. The owner of the {pets[1]} is not {b}. {c} has no {pets[1]}. Who owns what?"
            ),
            f"{a} is taller than {b}. {c} is shorter than {b}. {d} is taller than {a}. Who is the second tallest?",
            f"{a} is the mother of {b}. {b} is married to {c}. {d} is their son. How is {a} related to {d}?",
            (
                f"In a row of five houses the {colours[0]} one stands next to the {colours[1]} one and the "
                f"{colours[2]} one at the end. {a} lives in the middle and keeps a {pets[0]}. Who may live in "
                f"the {colours[2]} house?"
            ),
            (
                "Only one of these is true. 1: Exactly two statements are false. 2: Statement 1 is false. 3: "
                f"Statement {rng.randint(1, 2)} is true. Which one?"
            ),
            f"If it rains, {a} stays at home. {a} is not at home. What can be concluded?",
            f"Evaluate: not (true and (false or {rng.choice(['true', 'false'])})) or {rng.choice(['true', 'false'])}",
            "Premises: p implies q; q implies not r; r or s. Infer a conclusion about s, given p.",
            (
                f"You have a jug of {rng.randint(3, 5)} litres and one of {rng.randint(6, 9)} litres. Measure "
                f"exactly {rng.randint(1, 2)} litres."
            ),
            (
                f"{a} put the keys into the drawer and left. {b} moved them under the mat. Where will {a} look "
                "for the keys?"
            ),
            (
                f"There are {rng.randint(3, 6)} discs on the first of three pegs. Move them to the last, never a "
                "larger one on a smaller one."
            ),
            (
                f"{a} looks at {b} and {b} looks at {c}. {a} is married and {c} is not. Does a married person "
                "look at an unmarried one?"
            ),
            (
                f"The {pets[0]} likes {x}. If something likes {x} then it is {colours[0]}. If something is "
                f"{colours[0]} and not big then it chases the {pets[1]}. The {pets[0]} is not big. Question: "
                f"does the {pets[0]} chase the {pets[1]}?"
            ),
            (
                f"Today is {rng.choice(['Monday', 'Friday', 'Sunday'])}. Yesterday {a} lied, and {a} lies on "
                "three days in a row each week. On which days might that be?"
            ),
            (
                f"Each letter is a digit: {rng.choice(['SO + SO = TOO', 'NO + ON = ALL', 'EAT + TEA = APES'])}. "
                "Find the digits."
            ),
            (
                f"Guests {a}, {b}, {c} and {d} sit around a table. {a} will not sit beside {b}; {c} sits to the "
                f"right of {d}. Seat them."
            ),
            f"{rng.choice(WORDS)} is to {rng.choice(WORDS)} as {rng.choice(COLOURS)} is to what? Explain the relation.",
            (
                f"A court must decide who of {a}, {b} and {c} did it. If {a} did, so did {b}. Either {b} or {c} "
                f"did, not both. {c} did not. Who did it?"
            ),
        ]
    )


def paths(rng):
    edges = ", ".join(
        f"{rng.choice('ABCD')}-{rng.choice('EFGH')} ({rng.randint(1, 20)})" for _ in range(rng.randint(5, 9))
    )
    tasks = ", ".join(f"{one} {rng.randint(1, 4)} h" for one in _words(rng, 4))
    return rng.choice(
        [
            f"What is the shortest way from A to H? Edges with lengths: {edges}",
            f"Can all of these courses be taken, if "
            f"{', '.join(f'{rng.randint(0, 5)} needs {rng.randint(0, 5)}' for _ in range(5))}?",
            f"Plan the order of these jobs on two machines so that all is done soonest: {tasks}",
            f"How many nodes can be reached from B? {edges}",
            f"Is the graph a tree? {edges}",
            f"You may carry {rng.randint(8, 20)} kg. What should go into the bag: "
            f"{', '.join(f'{one} ({rng.randint(1, 9)} kg, worth {rng.randint(2, 40)})' for one in _words(rng, 5))}?",
            (
                f"A ferry holds two. Crossing times are {_list(rng, 4, 4, 12)} minutes, with one lamp. How fast "
                "can all be across?"
            ),
            (
                f"Stack of blocks: {', '.join(_words(rng, 4))}. You can move only the top one. Bring "
                f"{rng.choice(WORDS)} to the top with as few moves as possible."
            ),
            (
                f"You manage {rng.randint(2, 4)} robot arms, each of which reaches the cells next to it. Give a "
                "plan in JSON that brings every box to the goal of its colour."
            ),
            (
                f"Each button changes the number: A adds {rng.randint(2, 9)}, B multiplies by {rng.randint(2, 4)}, "
                f"C subtracts {rng.randint(1, 5)}. Get from {rng.randint(0, 5)} to {rng.randint(30, 90)} with "
                "the fewest presses."
            ),
            (
                f"Combine these tokens by the rules: two {rng.choice('XYZ')} make one P, a P and a Q make an R. "
                f"You have {rng.randint(3, 9)} X, {rng.randint(2, 9)} Y and {rng.randint(1, 9)} Q. How many R "
                "can be made?"
            ),
            f"A conference has {rng.randint(3, 5)} rooms. Schedule these talks without clashes: {tasks}",
        ]
    )


def sums(rng):
    a, b, c, d = (rng.randint(2, 99) for _ in range(4))
    big, small = rng.randint(200, 99999), rng.randint(2, 12)
    return rng.choice(
        [
            f"{a} + {b} * {c} - {d} =",
            f"What is ({a} - {b}) / {small} + {c}?",
            f"Evaluate {a}.{b} * {c}.{d} to three decimal places.",
            f"gcd({big}, {a * small})",
            f"Find the least common multiple of {a}, {b} and {c}.",
            f"Factorise {big} into primes.",
            f"Is {big} a prime number?",
            f"Simplify {a * small}/{b * small}.",
            f"{a}/{b} + {c}/{d} = ?",
            f"{a}x - {b} = {c}, x = ?",
            f"Solve {small}x^2 + {a}x - {b} = 0 over the reals.",
            f"Solve the system: {a}x + {b}y = {c}, {small}x - y = {d}",
            f"Compute {big} mod {a}.",
            f"Convert {big} from base 10 to base {small}.",
            f"How many primes lie between {a} and {a + b}?",
            f"Compute the derivative of {a}x^{small} - sin({b}x).",
            f"Integrate {a}x^{small} + {b} with respect to x.",
            f"Find the angle between the vectors ({a}, {b}) and ({c}, {d}).",
            f"({a} + {b}i) * ({c} - {d}i)",
            f"What is {small}^{rng.randint(3, 9)}?",
            f"Which is larger, {a}.{b} or {a}.{c}?",
            f"In how many ways can {small} books be placed on a shelf if two of them must stand together?",
            f"How many days lie between {rng.randint(1, 28)} March and {rng.randint(1, 28)} November?",
            f"A meeting starts at {rng.randint(1, 12)}:{b % 60:02d} and lasts {big % 600} minutes. When does it end?",
            f"What is {a} XOR {b} in binary?",
            f"Make {rng.choice([24, 36, 100, a])} from {a}, {b}, {small} and {c}, each used once, with + - * /.",
            f"For which $k$ does $x^2 - {a}x + k$ have a double root?",
            f"Find the remainder when ${small}^{{{a}}}$ is divided by ${b}$.",
            f"Determine all integers $n$ such that $n^2 + {a}n + {b}$ is a perfect square.",
            f"Let $a_1 = {small}$ and $a_{{n+1}} = a_n^2 - {a}$. Compute $a_4$.",
            f"If $\\log_{{{small}}} x = {c}$, what is $x$? Express your answer in simplest form.",
            f"The sum of {small} consecutive integers is {big - big % small}. Find the largest.",
            f"A polygon has {small + 3} sides. How many diagonals?",
            f"Find the area of the circle inscribed in a triangle with sides {a + b}, {b + c} and {a + c}.",
            f"Expand $(x + {small})^4$.",
            f"What is the determinant of [[{a}, {b}], [{c}, {d}]]?",
            f"Round {big / 7:.5f} to two digits.",
            "Prove that $n^3 - n$ is divisible by 6 for each integer $n$.",
            f"Evaluate $\\int_0^{{{small}}} x e^{{-x}}\\,dx$.",
            f"Find the sum of the series {a} + {a}/{small} + {a}/{small * small} + ...",
        ]
    )


def ruled(rng):
    kind = rng.choice(list(GIVEN))
    given, todo = rng.choice(GIVEN[kind]), rng.choice(TODO[kind])
    side = rng.randint(3, 6)
    material = {
        "string": lambda: rng.choice(
            [
                "".join(rng.choice("ABCDE") for _ in range(rng.randint(6, 20))),
                " ".join(_words(rng, 6)),
                "".join(rng.choice("()[]<>") for _ in range(12)),
                " ".join(rng.choice(["A#", "#A", "B#", "*", "+"]) for _ in range(9)),
            ]
        ),
        "list": lambda: rng.choice(
            [str(_list(rng)), ", ".join(_words(rng, 7)), " ".join(rng.choice(COLOURS) for _ in range(8))]
        ),
        "matrix": lambda: _grid(rng, side, side, rng.choice([range(10), [0, 1], ".#SG", "XO.", "■□"])),
        "set": lambda: "\n".join(
            (
                f"{rng.choice(['- ', str(k) + '. ', ''])}{rng.choice(NAMES)} "
                f"{rng.choice(['needs', 'follows', 'accuses', 'feeds', 'is next to', 'says the same as', 'excludes'])} "
                f"{rng.choice(NAMES)}"
            )
            for k in range(rng.randint(3, 7))
        ),
    }[kind]
    rules, result = rng.sample(RULES, rng.choice([0, 1, 2, 3])), rng.choice([*OUTPUTS, ""])
    if rng.random() < 0.4:
        rules = [f"{k}. {rule}" for k, rule in enumerate(rules, 1)]
    opening = rng.choice(
        [
            f"Given {given}, your job is to {todo}.",
            f"You get {given}. {todo.capitalize()}.",
            f"{todo.capitalize()}, for {given}.",
            f"Below is {given}. Please {todo}.",
            f"There is {given} in front of you. The aim: {todo}.",
            f"In this puzzle you see {given}. How would you {todo}?",
        ]
    )
    example = f"Example\nInput: {material()}\nOutput: {material()}" if rng.random() < 0.3 else ""
    parts = [
        opening,
        "\n".join(rules),
        result,
        example,
        rng.choice(["", "Now: ", "Input:\n", "Here it is:\n", "```\n"]) + material(),
    ]
    if rng.random() < 0.3:
        parts = [parts[0], parts[4], *parts[1:4]]
    return rng.choice(["\n\n", "\n", " "]).join(part for part in parts if part)


STORIES = TEXTS["STORIES"]


def stories(rng):
    names = rng.sample(NAMES, 3)
    text = rng.choice(STORIES)
    slots = {
        "a": names[0],
        "b": names[1],
        "c": names[2],
        "things": rng.choice(THINGS),
        "p": rng.randint(2, 12),
        "q": rng.randint(3, 40),
        "r": rng.randint(60, 900),
        "s": rng.randint(12, 90),
    }
    return fill(text, slots)


DOES = TEXTS["DOES"]
LANGUAGES = "Python Python Python Java C++ JavaScript Go Rust C Kotlin SQL TypeScript".split()


def code(rng):
    name, what = rng.choice(DOES)
    lang, values = rng.choice(LANGUAGES), _list(rng, 3, 6, 30)
    stub = (
        f'def {name}(values, k={rng.randint(1, 5)}):\n    """Return {what}.\n\n    >>> '
        f'{name}({values})\n    {rng.randint(0, 90)}\n    """\n'
    )
    broken = (
        f"def {name}(items):\n    out = []\n    for i in range(len(items) {rng.choice(['+', '-'])} 1):\n "
        f"       if items[i] % {rng.randint(2, 5)} == 0:\n            out.append(items[i] * "
        f"{rng.randint(2, 9)})\n    return out"
    )
    table = rng.choice(
        [
            "orders(id, customer_id, total, created_at)",
            "staff(id, name, dept, salary)",
            "visits(user_id, page, seen_at)",
        ]
    )
    return rng.choice(
        [
            stub,
            f"from typing import List\n\n\n{stub}",
            f"Complete the function.\n\n{stub}",
            f"Write a {lang} function that returns {what}.",
            (
                f"Write a function that computes {what}. Your code should pass these tests:\n\nassert "
                f"{name}({values}) == {rng.randint(1, 50)}\nassert {name}([]) == 0"
            ),
            f"Write a function to find {what}.",
            f"Fix the bug:\n\n{broken}",
            f"What does this print?\n\n{broken}\n\nprint({name}({values}))",
            f"Given the following function and input, predict the output.\n{broken}\nInput: {values}",
            f"```python\n{broken}\n```\nWrite unit tests for it.",
            f"Translate this to {lang}:\n{broken}",
            f"Table {table}. Write a SQL query for the three largest groups of last month.",
            f"-- {table}\n-- Question: which rows have no match in the archive?\nSELECT",
            (
                f"You are given an integer n and a list of n integers. Print {what}.\n\nInput\nThe first line "
                f"holds n (1 ≤ n ≤ 10^5).\n\nOutput\nOne line.\n\nExample\n{len(values)}\n{' '.join(map(str, values))}"
            ),
            f"Class Solution:\n    def {name}(self, nums: list[int]) -> int:\n        # {what}",
            f"/**\n * Returns {what}.\n */\nfunction {name}(input) {{",
            f"What is the running time of\n{broken}",
            f"The test fails with IndexError: list index out of range. Find the mistake.\n{broken}",
            f"Refactor so that it has no loop:\n{broken}",
            f"Implement {what} in {lang} with a linear-time algorithm. Explain the complexity.",
            f"public static int {name}(int[] values) {{\n    // TODO: {what}\n}}",
            f"fn {name}(values: &[i64]) -> i64 {{\n    // {what}\n    todo!()\n}}",
            f"Write a regular expression in {lang} that matches dates such as 2024-03-{rng.randint(10, 28)}.",
            (
                f"Our service in {lang} runs out of memory when it computes {what}. Here is the "
                f"code:\n\n{broken}\n\nWhat is wrong and how do I fix it?"
            ),
            f"Build a command-line tool in {lang} that reads a CSV file and prints {what}.",
        ]
    )


KINDS = [
    (letters, "reasoning", "general", 900),
    (lists, "reasoning", "general", 500),
    (grids, "reasoning", "general", 600),
    (logic, "reasoning", "general", 900),
    (paths, "reasoning", "general", 450),
    (ruled, "reasoning", "general", 1200),
    (sums, "math", "mathematics", 700),
    (stories, "math", "mathematics", 600),
    (code, "code", "technology", 700),
]


@distinct
def generate(seed):
    """Prompts with task and domain."""
    rng = random.Random(seed)
    for make, task, domain, count in KINDS:
        for _ in range(count):
            prompt = make(rng)
            # Code ends where it ends: a stub is complete as it is. Rules say themselves what they want.
            if make not in (code, ruled):
                prompt = rng.choice(OPENINGS) + prompt + rng.choice(FORMS)
            yield {"prompt": prompt, "task": task, "domain": domain, "source": "procedural"}
