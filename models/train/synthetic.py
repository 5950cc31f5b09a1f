"""Prompts of our own for tasks of which the outcome data has hardly any: translation, summarising, rewriting, extraction,
classification, and plain forms of the others. Templates × texts × layouts, seeded.

The texts to be worked on are partly ours (below) and partly prompts of the training split, so that what is to be done is told by
the instruction, not by the material. `generate` yields dicts with prompt, task, domain.
"""

import random

import layouts
from templates import distinct, fill, split

LANGUAGES = """English French Spanish German Italian Portuguese Dutch Polish Russian Ukrainian Turkish Arabic Hebrew Hindi Bengali
Urdu Chinese Japanese Korean Vietnamese Thai Indonesian Swedish Norwegian Danish Finnish Greek Czech Romanian Hungarian Latin
Swahili Tamil Persian Catalan Mandarin""".split()

# (domain, sentences that can stand together in any order)
TEXTS = {
    "general": """The village bakery opens at six and sells out of rye bread before eight.|Our train was delayed, so we walked along the river instead.
The museum extends its opening hours during the school holidays.|Neighbours complained about the noise from the new skate park.|She packed two sweaters, a raincoat and a torch for the hike.
The old bridge will be closed for repairs until the end of October.|He adopted a three-legged cat named Biscuit from the shelter.|Volunteers planted four hundred trees along the ring road last weekend.
The hotel room was clean but the air conditioning rattled all night.|Breakfast was excellent and the staff were friendly.|The delivery arrived two days late and the box was damaged.
I love this backpack, the zips are sturdy and it fits under the seat.|The headphones stopped working after a week and support never answered.|Great value for the price, would buy again.""",
    "medical": """The patient is a 54-year-old man with chest pain radiating to the left arm.|She was started on 5 mg of amlodipine daily for hypertension.
Vaccination is recommended for adults over sixty-five with chronic lung disease.|The biopsy showed no evidence of malignancy.|Symptoms improved after two weeks of physiotherapy.|He reports nausea, dizziness and blurred vision since Tuesday.
The ward admitted twelve cases of influenza in January.|Blood pressure was 150 over 95 and the pulse was regular.""",
    "legal": """The tenant shall pay the rent on the first day of each calendar month.|Either party may terminate this agreement with thirty days' written notice.
The court held that the clause was unenforceable for lack of consideration.|The plaintiff seeks damages for breach of contract.|Confidential information shall not be disclosed to any third party without prior written consent.
This agreement is governed by the laws of the State of New York.|The defendant filed a motion to dismiss on jurisdictional grounds.|Liability under this licence is limited to the fees paid in the preceding year.""",
    "finance": """Quarterly revenue rose 12 percent to $4.3 billion on strong cloud demand.|The central bank left its key interest rate unchanged at 3.5 percent.
Shares of the airline fell after it cut its profit forecast.|Operating margin narrowed as freight costs increased.|The fund charges an annual fee of 0.2 percent.|Inflation slowed to 2.9 percent in March from 3.4 percent in February.
The company will pay a dividend of 45 cents per share.|Invoice 20391 for 1,250 euros is due on 30 June.""",
    "science": """Photosynthesis converts light energy into chemical energy stored in glucose.|The probe entered orbit around Jupiter after a five-year voyage.
Researchers sequenced the genome of a deep-sea sponge.|The reaction is exothermic and proceeds rapidly at room temperature.|Coral bleaching occurs when water stays too warm for several weeks.|The telescope detected water vapour in the planet's atmosphere.
Mitochondria produce most of the cell's adenosine triphosphate.|Glaciers in the region have lost a third of their volume since 1980.""",
    "technology": """The update fixes a memory leak in the networking stack.|After the migration the database answered twice as fast.
Users report that the app crashes when they rotate the screen.|The router drops packets whenever the queue exceeds its limit.|We deploy to the Kubernetes cluster every Thursday.|The new laptop has a 14-inch display and sixteen gigabytes of memory.
Passwords were stored without salt until the 2019 release.|The API returns a 429 status when the rate limit is reached.""",
    "humanities": """The treaty of 1648 ended three decades of war in central Europe.|The poet spent her last years in exile in Lisbon.
Kant distinguishes between acting from duty and acting in accordance with duty.|The cathedral's nave was rebuilt after the fire of 1194.|Voters in rural districts turned out in record numbers.|The novel is told by three narrators who contradict each other.
Trade along the coast brought new religions to the island.|The senator argued that the reform would weaken local government.""",
}

TRANSLATE = """Translate {the} into {lang}|Translate {the} to {lang}|Please translate {the} into {lang}|Can you translate {the} to {lang}?|How do you say {the} in {lang}?|What is {the} in {lang}?
Give me the {lang} translation of {the}|Provide a {lang} translation for {the}|Translate from {lang2} to {lang}|I need {the} in {lang}|Render {the} in idiomatic {lang}|Convert {the} to {lang}, keeping the tone
Write {the} in {lang}|{lang} translation please|What does {the} mean in {lang}?|Translate to {lang}, keep names unchanged|You are a professional translator. Translate {the} from {lang2} into {lang}|Localise {the} for {lang} speakers
how would a native {lang} speaker say {the}|Traduce {the} al español|Traduisez {the} en français|Übersetze {the} ins Deutsche|Traduci {the} in italiano|Traduza {the} para o português|Переведи на русский|翻译成中文|次の文を英語に翻訳してください"""
SUMMARIZE = """Summarize {the}|Summarise {the} in {n} sentences|Give me a short summary of {the}|Write a one-paragraph summary of {the}|TL;DR|tl;dr of {the} please|What are the key points of {the}?|Condense {the} to {n} bullet points|Sum up {the} for a busy executive
Provide a brief overview of {the}|Shorten {the} to under {m} words|What is the main idea of {the}?|Summarize {the} for a ten year old|Create an abstract of at most {m} words for {the}|Boil {the} down to its essentials|List the main takeaways of {the}|Can you give me the gist of {the}?
Write meeting minutes from {the}|Summarize the conversation|Produce an executive summary|Write a headline and a two-sentence summary for {the}|In a few sentences, what is {the} about?|recap {the}|Make {the} shorter without losing the facts|Outline the argument of {the}"""
REWRITE = """Rewrite {the} in a more formal tone|Rephrase {the}|Paraphrase {the}|Fix the grammar in {the}|Proofread {the}|Correct the spelling mistakes in {the}|Make {the} sound friendlier|Make {the} more concise|Improve the wording of {the}|Rewrite {the} in simple English
Polish {the} for a business email|Edit {the} for clarity|Change {the} to the passive voice|Turn {the} into the past tense|Rewrite {the} in the first person|Rewrite {the} so that a child understands it|Reword {the} without using the letter z|Make {the} sound more professional
Improve {the}|Rewrite {the} in the style of a news report|Convert {the} into bullet points|Please correct my English|Is {the} grammatically correct? If not, fix it|Rewrite {the} to remove jargon|Tone {the} down|Expand {the} into a full paragraph|Rewrite as a polite request|Reformat {the} as Markdown"""
EXTRACT = """Extract all {what} from {the}|List every {what} mentioned in {the}|Which {what} are mentioned in {the}?|Find the {what} in {the} and return them as JSON|Pull out the {what} from {the}|Return a JSON object with the {what} in {the}|Identify the named entities in {the}|What {what} does {the} mention?
Get the {what} from {the}, one per line|Extract the relevant fields (name, date, amount) from {the}|From {the}, extract {what} as a comma-separated list|Based on the passage, answer: which {what} are given?|Read {the} and tell me the {what}|Using only {the}, list the {what}|Make a table of the {what} in {the}
According to {the}, what happened first?|Answer the question using the context. Question: which {what} are named?|Parse {the} into CSV with a column for {what}|Highlight the {what} in {the}|Find all {what}|Convert {the} to structured JSON|Given the context, who is involved? Quote the text."""
WHAT = "names dates places organisations numbers amounts products symptoms medications deadlines people companies emails phone numbers|prices|locations|job titles|events|keywords|action items|ingredients|parties to the contract".replace(" ", "|", 10).split("|")
CLASSIFY = """Classify the sentiment of {the} as positive, negative or neutral|Is {the} positive or negative?|Is {the} spam or not spam?|Which category does {the} belong to: {classes}?|Classify {the} into one of: {classes}|Label {the} with one of the following tags: {classes}|What is the topic of {the}? Choose from {classes}
Determine whether {the} is {a} or {b}|Assign one label ({classes}) to {the}|Is the tone of {the} angry, happy or sad?|Decide if {the} is fact or opinion|Does {the} contain hate speech? Answer yes or no|Categorize {the}|Tag {the} with its department: {classes}|Identify the intent of {the}. Options: {classes}
Rate the sentiment of {the} from 1 to 5|Which of these is a {a} and which is a {b}?|Answer with exactly one word, the class of {the}: {classes}|You are a classifier. Output only the label. Labels: {classes}|What emotion does {the} express?|Is this review positive?|Classify each line as {a} or {b}|Detect the language of {the}
Does the second sentence follow from the first? Answer entailment, contradiction or neutral|Is {the} relevant to {a}? yes/no|Choose the best category"""
CLASSES = "sports politics business science|billing technical sales other|urgent normal low|bug feature question|travel food health finance|complaint praise request|news fiction review|toxic safe|legal medical technical|positive negative mixed".split("|")

PLAIN = {
    "creative_writing": """Write a short story about {x}|Write a poem about {x}|Compose a haiku about {x}|Write a funny limerick about {x}|Write song lyrics about {x}|Come up with a slogan for {x}|Invent a fairy tale with {x}|Write a dialogue between {x} and {y}|Write the opening chapter of a novel about {x}
Write a horror story set in {x}|Pretend you are {x} and tell me about your day|Give me five taglines for {x}|Write a birthday message for {x}|Write a screenplay scene with {x} and {y}|Describe {x} in vivid, poetic language|Write a monologue for {x}|tell me a story about {x} and {y}|Role-play as {x}; I am {y}
Write a product description for {x}|Create a character profile for {x}|Write an engaging blog post about {x}|Write a love letter from {x} to {y}|Draft a humorous speech about {x}|Brainstorm ten names for {x}|Write a cover letter as {x}|Write a persuasive essay about {x}""",
    "code": """Write a {l} function that {do}|How do I {do} in {l}?|Implement {do} in {l}|Write a {l} script to {do}|Fix this {l} code: it should {do}|Why does my {l} code fail to {do}?|Give me a SQL query to {do}|Write unit tests for a {l} function that {do}|Refactor this {l} class so that it can {do}
Explain what this {l} code does|Write a regex to {do}|Convert this {l} code to {l2}|What is the time complexity of code that {do}?|Create a REST API endpoint in {l} to {do}|Debug: {l} throws an exception when I {do}|Optimize my {l} loop that {do}|Write a bash one-liner to {do}|Show me a {l} example to {do}|What is the difference between a list and a tuple in {l}?
Write a Dockerfile for a {l} service|Add type hints to this {l} module|write code to {do}|def solve(items):\n    pass\n\nComplete this so that it can {do}""",
    "math": """What is {p} percent of {q}?|Calculate {q} times {p}|What is {q} + {p}?|Solve {p}x + {q} = 0|Solve for x: x^2 - {p}x + {q} = 0|Find the derivative of x^{p} + {q}x|What is the integral of {p}x^2?|Compute {q} / {p}|If a shirt costs ${q} and is {p} percent off, what is the final price?|Convert {q} miles to kilometers
What is the square root of {q}?|Prove that the sum of two even numbers is even|A train travels {q} km in {p} hours. What is its average speed?|What is the probability of rolling {p} twice with two dice?|Find the area of a circle with radius {p}|Simplify ({p}x + {q})/(x - {p})|How many ways can {p} people sit around a table?|What is the greatest common divisor of {p} and {q}?
Anna has {q} apples and gives {p} to each of her friends. How many friends can she serve?|Evaluate the limit of sin({p}x)/x as x goes to 0|Find the determinant of [[{p}, 2], [3, {q}]]|what's {p}*{q}|Prove by induction that 1+2+...+n = n(n+1)/2|The sum of two numbers is {q} and their difference is {p}. Find the numbers.""",
    "reasoning": """If all {x} are {y} and no {y} are red, can a red thing be one of {x}? Explain step by step|Solve this riddle: what has keys but no locks?|Three friends finished a race. {x} finished before {y}. Who was last?|Plan a three-day schedule for {x} with a budget of ${q}|A farmer must cross a river with a wolf, a goat and a cabbage. How?
There are {p} boxes and only one holds the prize. Each has a statement. Which is it?|Compare {x} and {y} and decide which is the better choice under these constraints|What comes next in the sequence 2, 6, 12, 20?|If it takes {p} machines {p} minutes to make {p} parts, how long do {q} machines need for {q} parts?|Arrange these meetings so that nobody has two at once
Which conclusion follows logically from these statements?|Is the argument valid? All {x} are tall. Some tall things are {y}. Therefore some {x} are {y}|Create a detailed project plan to launch {x}|Five people sit in a row. {x} is left of {y}. Who sits in the middle?|Find the flaw in this argument about {x}""",
    "knowledge_qa": """What is {x}?|Who invented {x}?|When was {x} first described?|Explain {x} to me|What is the difference between {x} and {y}?|Where does {x} come from?|Why is {x} important?|How does {x} work?|Tell me about the history of {x}|What are the symptoms of {d}?|What causes {d}?|Which country has the most {x}?|Is {x} safe?
What are the main causes of {d}?|Describe the role of {x}|what year did {x} start|Name three examples of {x}|What is the capital of {c}?|Who is the president of {c}?|How many people live in {c}?|What language is spoken in {c}?|Who wrote the book about {x}?|Can you explain why {x} matters?|What does the term {x} mean?|What are the side effects of treatment for {d}?""",
    "chat": """hi|hello there|hey, how are you?|good morning|thanks, that helped a lot|ok great|who are you?|what can you do?|tell me a joke|I'm bored|I had a bad day today|let's talk about {x}|do you like {x}?|you're funny|bye|see you later|what's up|I feel lonely|do you have feelings?|can you help me with something?|yes please|no thanks|sorry, I didn't get that
turn on the lights|set a timer for {p} minutes|remind me to call {x} tomorrow|play some music|add milk to my shopping list|wake me up at {p}|what's your favourite {x}?|I just got a new {x}!|my friend is mad at me, what should I do?|congratulate me, I passed!""",
}
X = """the sea|a lonely robot|a dragon|my grandmother|autumn leaves|the moon|a coffee shop|a brave mouse|time travel|friendship|a haunted lighthouse|two rival chefs|a lost dog|the city at night|a wizard|an astronaut|a pirate|climate change|the printing press|black holes|photosynthesis|the French Revolution|democracy|inflation|the immune system
quantum computing|blockchain|the Silk Road|jazz|the stock market|machine learning|volcanoes|the Roman Empire|vaccines|gravity|electric cars|chess|the internet|tea|football|the Great Wall|coral reefs|a mortgage|copyright law|a patent|habeas corpus|the Constitution|bonds|antibiotics|enzymes|the periodic table|existentialism|impressionism|a startup|a bakery""".replace("\n", "|").split("|")
DO = """reverse a string|parse a CSV file|sort a list of dictionaries by key|connect to a PostgreSQL database|find duplicates in an array|read a file line by line|send an HTTP request|merge two sorted lists|validate an email address|compute the nth Fibonacci number|traverse a binary tree|cache results|handle errors|count words in a text|flatten a nested list
download images|schedule a cron job|implement a queue|check for palindromes|group rows by month|update a React state|authenticate users with JWT|mock a database|remove whitespace|find the shortest path in a graph|resize an image|log to a file|parse JSON""".replace("\n", "|").split("|")
CODE = "Python JavaScript TypeScript Java C++ C# Go Rust Ruby PHP Kotlin Swift Scala R Perl Bash".split()
DISEASES = "diabetes|asthma|hypertension|migraine|anaemia|pneumonia|influenza|arthritis|measles|depression|inflation|erosion|a recession|a stroke".split("|")
COUNTRIES = "France Brazil Kenya Japan Canada Norway Egypt Peru Vietnam Poland Ghana Iceland".split()
POLITE = ["", "", "", "", "", "", "Please ", "Hi, ", "Hello! ", "Could you help me? ", "hey ", "I need help: "]
AFTER = ["", "", "", "", "", "", " Thanks!", " please", " Thank you in advance.", " Be brief.", " Answer in one line."]

DOMAIN_OF = {"code": "technology", "math": "mathematics"}


def _material(rng, corpus):
    """A text to be worked on, its domain, and the source of the training split that it is from, if any."""
    if corpus and rng.random() < 0.35:
        row = rng.choice(corpus)
        # Nobody has an exam's options translated: with them in the material, lettered options would tell of translation.
        exam = layouts.options_of(row["prompt"])
        return (exam[0] if exam else row["prompt"])[: rng.choice([200, 600, 1500])], row["domain"], row["source"]
    domain = rng.choice(list(TEXTS))
    sentences = split(TEXTS[domain])
    count = rng.choice([1, 1, 2, 3, 4, 6, 8])
    return " ".join(rng.choice(sentences) for _ in range(count)), domain, None


def _lay_out(rng, instruction, text):
    noun = rng.choice(["text", "sentence", "paragraph", "passage", "article", "email", "message", "document", "review", "following"])
    if "{the}" in instruction and rng.random() < 0.25 and len(text) < 120:
        return instruction.replace("{the}", f'"{text}"')
    the = rng.choice([f"this {noun}", f"the {noun} below", f"the following {noun}"]) if noun != "following" else "the following"
    instruction = instruction.replace("{the}", the)
    quoted = rng.choice([text, text, f'"{text}"', f"```\n{text}\n```", f"<text>{text}</text>", f"Text: {text}"])
    forms = [f"{instruction}: {quoted}", f"{instruction}.\n\n{quoted}", f"{instruction}\n{quoted}", f"{quoted}\n\n{instruction}", f"{quoted}\n{instruction}."]
    return rng.choice(forms)


def _transforms(rng, corpus, count):
    kinds = {"translation": TRANSLATE, "summarization": SUMMARIZE, "rewriting": REWRITE, "extraction": EXTRACT, "classification": CLASSIFY}
    for task, templates in kinds.items():
        templates = split(templates)
        for _ in range(count):
            text, domain, material = _material(rng, corpus)
            classes = rng.choice(CLASSES).split()
            slots = {
                "lang": rng.choice(LANGUAGES), "lang2": rng.choice(LANGUAGES), "n": rng.choice("2 3 4 5 three two".split()),
                "m": str(rng.choice([20, 30, 50, 100, 200])), "what": rng.choice(WHAT), "classes": ", ".join(classes), "a": classes[0], "b": classes[-1],
            }
            instruction = rng.choice(templates)
            yield _lay_out(rng, fill(instruction, slots), text), task, domain, material


def _plain(rng, count):
    for task, templates in PLAIN.items():
        templates = split(templates)
        for _ in range(count):
            slots = {
                "x": rng.choice(X), "y": rng.choice(X), "p": str(rng.randint(2, 20)), "q": str(rng.randint(15, 2000)), "l": rng.choice(CODE),
                "l2": rng.choice(CODE), "do": rng.choice(DO), "d": rng.choice(DISEASES), "c": rng.choice(COUNTRIES),
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
