"""Everyday and demanding prompts of our own whose kind of difficulty is known by construction (`assumed.py`): templates × slots, seeded.

They stand beside `synthetic.py`, whose templates tell tasks apart; these tell what a helpdesk, a shop or a desk worker asks all day from what
takes an expert. `generate` yields dicts with prompt, task, domain, level. None of them is taken from tests/data/prompts.jsonl.
"""

import random

THINGS = "parcel|kettle|jacket|subscription|invoice|gift card|printer|phone|bike|laptop|account|booking|ticket|lamp|dishwasher|membership|blender|mattress|router|loyalty points".split("|")
TOPICS = "rainbows|bees|rice|Iceland|sleep|coffee|the tides|yeast|maple syrup|credit cards|recycling|Bluetooth|zebras|the euro|thunder|public holidays|vitamin C|spreadsheets|vinegar|penguins|passports|sourdough".split("|")
PEOPLE = "my boss|a customer|my landlord|a new colleague|my neighbour|the teacher|my aunt|our team|a supplier|my flatmate".split("|")
TOOLS = "Excel|Word|Outlook|Gmail|my phone|Windows|a Mac|Google Sheets|Zoom|PowerPoint|Slack|the app".split("|")
ACTS = "freeze the top row|change my signature|share my screen|take a screenshot|turn off notifications|sort by date|print on both sides|block a number|add a page number|make text bold|delete an old file|reset my password|mute a chat".split("|")
SYSTEMS = "a payment ledger|a chat service|a metrics pipeline|a search index|a job scheduler|a file sync service|a feature store|an ad exchange|a fleet tracker|an electronic health record".split("|")
LIMITS = "exactly-once processing|a regional outage|ten million writes a second|strict audit rules|a budget cut of 40 %|clients that go offline for days|data that may not leave the country|schema changes without downtime".split("|")
MATHS = "every continuous function on a compact metric space|the spectrum of a bounded self-adjoint operator|a finite group of order p^2 q|the eigenvalues of a random symmetric matrix|a strictly convex function on R^n|primes congruent to 1 modulo 4|a martingale with bounded increments|a planar graph of girth five".split("|")
CODES = "a garbage collector|a B-tree with concurrent readers|a regular expression engine|a Raft log with snapshots|a type checker with generics|a wait-free counter|an incremental parser|a constraint solver|a register allocator|a copy-on-write filesystem".split("|")
LANGS = "C|Rust|Go|Java|Haskell|Zig|Scala|TypeScript".split("|")
FIELDS = "employment law|tax law|maritime law|antitrust law|patent law|insolvency law".split("|")
CASES = "a rare metabolic disorder|an unclear fever after travel|two drugs that interact|a child with recurrent seizures|kidney failure and sepsis".split("|")

EASY = {
    "chat": """hello|hello!!|hi :)|hey hey|good evening|good afternoon, nice to meet you|how's it going|how was your weekend?|thank you so much|thx|cheers, bye|ok, got it|perfect|great, that works|never mind|yes|no, not yet|are you a person or a program?|is somebody there to talk to?|can I speak to a human
I would like to talk to an agent please|I'm so tired today|it's my birthday|we got a puppy!|say something nice|cheer me up|good night|sorry, wrong chat|haha nice one|are you still here?|one moment please|tell me a fun fact|I'm nervous about my interview tomorrow|happy new year|what do you think of {topic}?
salut, ça va ?|hallo, wie geht's?|danke schön!|hola, buenas|ciao, grazie mille|bom dia|merci beaucoup""",
    "support": """Where is my {thing}?|My {thing} has not arrived yet|I want to return my {thing}|How do I cancel my {thing}?|my {thing} is broken, what now?|Can I change the address for my {thing}?|Do you have the {thing} in blue?|How long does delivery take?|How much does the {thing} cost?|Is the {thing} still under warranty?
Which payment methods do you accept?|I forgot my password|I can't log in|the app keeps crashing on my phone|I was charged twice for my {thing}|When will I get my refund?|Please send me a copy of the receipt|What are your opening hours on Sunday?|Do you ship to {topic}?|Can I pay for the {thing} in instalments?
Is there a student discount?|How do I change my email address?|please delete my account|My discount code does not work|I got the wrong {thing}|The {thing} came without a manual|Can I collect the {thing} in the store?|How can I contact you by phone?|Do I need an account to order a {thing}?|Wo ist mein Paket?|Mon colis n'est pas arrivé
what's the status of order {n}?|Can I get a bigger size instead?|How do I clean the {thing}?|Which battery does the {thing} need?|How do I update the {thing}?|My {thing} does not turn on|Where do I find my customer number?""",
    "howto": """How do I {act} in {tool}?|how to {act}|where can I {act} on {tool}|Can you tell me how to {act} in {tool}?|what's the shortcut to {act}|How long do I boil an egg?|How do I get wax out of a tablecloth?|What should I wear to a wedding?|How many grams are in {n} ounces?|what's {n} plus {p}|what is {p} times {p}
Convert {n} cm to inches|What day comes after Thursday?|What time is it in Tokyo when it is noon in London?|how do you spell necessary|Another word for happy|What does asap stand for?|what is the plural of leaf|Where do {topic} come from?|What are {topic}?|Give me a fact about {topic}|tell me briefly about {topic}|Is it true that {topic} are good for you?
What's a quick dinner with potatoes?|A recipe for pancakes|Name three fruits|Which month has 28 days?|What's the boiling point of water?|who painted the Mona Lisa|how many days are in a leap year|Comment dit-on bonjour en anglais ?|¿Cuántos minutos tiene una hora?""",
    "desk": """Write a short email to {person} that I'm ill today|Thank {person} in two sentences|Write a one-line reply to {person}: yes, Tuesday works|Give me a subject line for a mail about the {thing}|Write a short text message to {person} that I will be late|Draft an out-of-office note for Friday|Name five gift ideas for {person}
Write a packing list for a weekend|Suggest a name for my {thing} shop|A birthday greeting for {person}|make a shopping list for tacos|Suggest three icebreakers for {person}|a caption for a photo of {topic}|Remind {person} politely about the {thing}""",
}
MIDDLE = {
    "reasoning": """Plan a week of dinners for a family of four under {n} euros, one of us eats no gluten|Compare leasing and buying a {thing} for a small firm in a table|Help me decide between two job offers: one pays {n} more, the other is remote|Draft an agenda and a timeline for moving our team to {tool}|What are the pros and cons of {topic} for a small café, with reasons?
Explain how {topic} changed daily life, with two examples and one objection""",
    "code": """Write a {lang} program that reads a CSV of orders and prints the total per customer, with error handling and tests|Build a small REST service in {lang} with two endpoints for a {thing} and input validation|Explain the difference between threads and async tasks in {lang} with an example|Add pagination to this {lang} endpoint and explain the choice of cursor""",
    "knowledge_qa": """Explain to a beginner how {topic} and interest rates are connected, in three paragraphs|What should I look out for before signing a contract for a {thing}? Explain each point|How do vaccines against influenza get chosen every year, and why do they sometimes miss?""",
}
HARD = {
    "code": """Implement {code} in {lang}, justify each invariant, and analyse the worst case|Design {system} that survives {limit}. Give the data model, the failure modes and the trade-offs|Our {lang} implementation of {code} deadlocks under load once a day. List the hypotheses in order of likelihood and an experiment that separates them
Rewrite {code} in {lang} so that it needs no locks, and argue why it is linearizable|Review the architecture of {system}: where does it break with {limit}, and how would you migrate without downtime?|Write {code} in {lang} from scratch without libraries, with property-based tests and a benchmark plan|Prove that {code} terminates and write it in {lang}""",
    "math": """Prove or disprove: {maths} attains its bound. Give a full proof or a counterexample|Let X be given by {maths}. Derive a sharp upper bound and show that it cannot be improved|Derive the asymptotic behaviour of {maths} and state precisely which assumptions are needed|Generalise the classical result about {maths} and prove each step rigorously
Formulate the problem of {limit} as an integer program, derive its dual and interpret the multipliers""",
    "reasoning": """Advise a company under {field}: it faces {limit} and two contradictory precedents. Weigh both sides, quantify the risk and recommend a strategy|A patient presents with {case}. Develop a ranked differential diagnosis, say which finding would change it, and plan the next tests with their risks
Critically assess the identification strategy of a study on {topic}: name each threat to validity and design a better one|Build a valuation model of a firm that runs {system}, with three scenarios, and defend each assumption|Reconcile these conflicting requirements for {system}: {limit} and {limit2}. Show what is impossible and prove it
Draft a clause under {field} that allocates the risk of {limit} between three parties, and explain how each word would be litigated|Design an experiment that separates two causal explanations of {case}, with power analysis and stopping rules""",
    "creative_writing": """Write a sestina about {topic} whose six end words also form a sentence, and comment on the metre|Write a chapter told by two unreliable narrators who disagree about {topic}, each with a distinct idiolect and no dialogue tags|Parody three authors of different centuries on {topic}, keep the same plot, and make each recognisable""",
}
TASK_OF = {"support": "chat", "howto": "knowledge_qa", "desk": "creative_writing"}
BEFORE = ["", "", "", "", "Hi, ", "Hello, ", "Please help: ", "quick question: "]
AFTER = ["", "", "", "", "", " Thanks", " please", " thank you!"]


def _slots(rng):
    lists = {"thing": THINGS, "topic": TOPICS, "person": PEOPLE, "tool": TOOLS, "act": ACTS, "system": SYSTEMS, "limit": LIMITS, "limit2": LIMITS,
             "maths": MATHS, "code": CODES, "lang": LANGS, "field": FIELDS, "case": CASES}
    return {name: rng.choice(values) for name, values in lists.items()} | {"n": str(rng.randint(20, 9000)), "p": str(rng.randint(2, 12))}


def generate(seed, easy=450, middle=120, hard=220):
    """Prompts with task, domain (unknown) and level; duplicates are left out, so a kind may have fewer than its count."""
    rng, seen = random.Random(seed), set()
    for level, kinds, count in (("easy", EASY, easy), ("middle", MIDDLE, middle), ("hard", HARD, hard)):
        for name, templates in kinds.items():
            templates = templates.replace("\n", "|").split("|")
            for _ in range(count):
                prompt = rng.choice(templates)
                for slot, value in _slots(rng).items():
                    prompt = prompt.replace("{" + slot + "}", value)
                prompt = rng.choice(BEFORE) + prompt + rng.choice(AFTER)
                prompt = prompt.lower() if rng.random() < 0.25 else prompt
                if prompt not in seen:
                    seen.add(prompt)
                    # Code and mathematics are about themselves; what the others are about was not written down.
                    domain = {"code": "technology", "math": "mathematics"}.get(name)
                    yield {"prompt": prompt, "task": TASK_OF.get(name, name), "domain": domain, "source": "synthetic", "level": level}
