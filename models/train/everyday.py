"""Everyday and demanding prompts of our own whose kind of difficulty is known by construction (`assumed.py`): templates × slots, seeded.

They stand beside `synthetic.py`, whose templates tell tasks apart; these tell what a helpdesk, a shop or a desk worker asks all day from what
takes an expert. `generate` yields dicts with prompt, task, domain, level. None of them is taken from tests/data/prompts.jsonl.
"""

import random

from templates import OF_ITSELF, distinct, fill, split

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

WORDS = {
    "term": "inflation|Wi-Fi|cholesterol|a leap second|a podcast|gluten|a mortgage|an adjective|a cookie in a browser|VAT|a haiku|a firewall|compost|jet lag|an IBAN|photosynthesis|a deposit|a sequel|humidity|a pension|a virus|a browser tab|a PDF|an allergy|sarcasm".split("|"),
    "book": "Hamlet|Don Quixote|Moby-Dick|The Odyssey|Frankenstein|Pride and Prejudice|Faust|The Hobbit|Les Misérables|1984|Anna Karenina|Dracula|Emma".split("|"),
    "event": "the moon landing|the French Revolution|the sinking of the Titanic|the first Olympic Games of modern times|the end of the Second World War|the fall of Rome|the great fire of London|Brexit".split("|"),
    "found": "penicillin|the telephone|gravity|America|the light bulb|radium|dynamite|the World Wide Web|the steam engine|oxygen".split("|"),
    "work": "the Ninth Symphony|Guernica|The Starry Night|The Magic Flute|Ulysses|War and Peace|Macbeth|The Little Prince|Gulliver's Travels|Jane Eyre|Oliver Twist|Treasure Island|The Great Gatsby|The Divine Comedy|The Iliad|The Scream|Girl with a Pearl Earring|the Sistine Chapel ceiling|Swan Lake|The Four Seasons|Carmen|Psycho|Citizen Kane|Jurassic Park|The Trial|One Hundred Years of Solitude|Things Fall Apart|Crime and Punishment|Candide|The Thinker|Bohemian Rhapsody|Imagine|Robinson Crusoe|The Canterbury Tales|Brave New World|Animal Farm|The Name of the Rose|Doctor Zhivago|The Tin Drum|Madame Bovary".split("|"),
    "made": "wrote|painted|composed|created|made|directed|is the author of".split("|"), "maker": "author|writer|painter|composer|artist|director".split("|"),
    "place": "the Eiffel Tower|Mount Kilimanjaro|Machu Picchu|the Colosseum|Lake Baikal|the Sahara|Stonehenge|Angkor Wat|the Taj Mahal|the Golden Gate Bridge|Petra|Mount Fuji|the Acropolis|Big Ben|Niagara Falls|Transylvania|the Louvre".split("|"),
    "land": "Norway|Peru|Vietnam|Kenya|Hungary|Argentina|South Korea|New Zealand|Egypt|Sweden|Indonesia|Ukraine|Colombia|Senegal|Nepal|Bulgaria|Jamaica|Iraq|Belgium|Laos".split("|"),
    "famous": "Marie Curie|Mozart|Napoleon|Cleopatra|Isaac Newton|Frida Kahlo|Gandhi|Abraham Lincoln|Galileo|Queen Victoria|Charles Darwin|Socrates|Nelson Mandela|Ada Lovelace|Marco Polo|Neil Armstrong|Pelé|Bach|Genghis Khan|Florence Nightingale".split("|"),
    "element": "gold|iron|helium|sodium|mercury|silver|carbon|tin|potassium|lead".split("|"), "parts": "strings|players|legs|sides|bones|letters|days|teeth|keys|wheels".split("|"),
    "whole": "a violin|a football team|an octopus|a hexagon|the human body|the alphabet|a fortnight|an adult|a piano|a tricycle".split("|"), "coloured": "an emerald|a flamingo|the sky on Mars|a ruby|a school bus in America|saffron".split("|"),
    "most": "fastest|tallest|heaviest|longest-lived|loudest|smallest".split("|"), "longest": "longest river|highest mountain|deepest lake|largest desert|biggest island|oldest university".split("|"),
    "gear": "a shuttlecock|a puck|a bat and three stumps|a foil|an oar|a sponge and chalk".split("|"), "beast": "kangaroo|goat|swan|horse|frog|bear|seal|owl|deer|pig".split("|"),
    "song": "Yesterday|Dancing Queen|Hotel California|Billie Jean|Waterloo|Hey Jude".split("|"), "past": "the Battle of Waterloo|the Black Death|the Boston Tea Party|the Russian Revolution|the Great Depression|the first flight of the Wright brothers|the Chernobyl accident".split("|"),
    "country": "Portugal|Chile|Austria|Morocco|Thailand|Finland|Mexico|Ireland|India|Greece|Cuba|Turkey".split("|"),
    "why": "cats purr|leaves turn yellow|onions make us cry|we yawn|birds sing in the morning|people snore|apples turn brown".split("|"),
    "why2": "ice float|bread rise|the moon change its shape|salt melt ice|milk go sour|metal feel cold".split("|"),
    "small": "read a file|join two strings|get the length of a list|print the date|loop over a dict|round a number|sort an array|make a random number|convert a string to int|list files in a folder|remove a folder|copy a file|check if a key exists|open a URL|split on commas".split("|"),
    "cmd": "ls -la|grep -r|tar xzf|ps aux|sudo|cat|mkdir -p|kill -9|df -h|ssh|touch|find . -name".split("|"),
    "git": "rename a branch|discard local changes|see the last commit|push a tag|delete a branch|pull from main|clone a repository".split("|"),
    "css": "make text red|round the corners|hide an element|change the font|add a border".split("|"),
    "sql": "select all rows of a table|order by name|count the users|delete rows older than a year|join two tables|find the newest entry".split("|"),
    "pattern": "an email|a phone number|a post code|digits only|a time like 12:30|a hex colour".split("|"),
    "tongue": "French|German|Spanish|Italian|Dutch|Polish|Japanese|Swedish|Greek|Turkish".split("|"),
    "line": "The shop is closed on Monday.|See you at the airport at nine.|he dont like when it rain|Can I have the bill please?|The room was small but clean.|Please call Sandra before 5 pm.|We meet on 3 June in Leeds.|the keys is on the table|I waited forty minutes for a cold pizza.|Save changes?|Good luck with the exam!|Bring a towel, sun cream and a hat.|Win a free cruise now!!!|The lift is out of order, please use the stairs until Thursday.|Send the files now.".split("|"),
    "zeile": "Der Bus fährt heute nicht.|Wir treffen uns um acht vor dem Kino.|Die Bücherei sucht Freiwillige für den Flohmarkt am Samstag.|Ich habe gestern den Zug verpast.".split("|"),
    "ligne": "Le magasin ferme à dix-huit heures.|Je serai en retard de dix minutes.".split("|"),
    "linea": "La reunión se ha cambiado al jueves.|El museo abre a las diez y cierra los lunes.".split("|"),
    "ding": "Paket|Abo|Ticket|Handy|Konto|Fahrrad|Geschenk".split("|"), "chose": "colis|billet|téléphone|compte|vélo".split("|"), "cosa": "pedido|paquete|reserva|factura".split("|"),
}
EASY = {
    "chat": """hello|hello!!|hi :)|hey hey|good evening|good afternoon, nice to meet you|how's it going|how was your weekend?|thank you so much|thx|cheers, bye|ok, got it|perfect|great, that works|never mind|yes|no, not yet|are you a person or a program?|is somebody there to talk to?|can I speak to a human
I would like to talk to an agent please|I'm so tired today|it's my birthday|we got a puppy!|say something nice|cheer me up|good night|sorry, wrong chat|haha nice one|are you still here?|one moment please|tell me a fun fact|I'm nervous about my interview tomorrow|happy new year|what do you think of {topic}?
salut, ça va ?|hallo, wie geht's?|danke schön!|hola, buenas|ciao, grazie mille|bom dia|merci beaucoup""",
    "support": """Where is my {thing}?|My {thing} has not arrived yet|I want to return my {thing}|How do I cancel my {thing}?|my {thing} is broken, what now?|Can I change the address for my {thing}?|Do you have the {thing} in blue?|How long does delivery take?|How much does the {thing} cost?|Is the {thing} still under warranty?
Which payment methods do you accept?|I forgot my password|I can't log in|the app keeps crashing on my phone|I was charged twice for my {thing}|When will I get my refund?|Please send me a copy of the receipt|What are your opening hours on Sunday?|Do you ship to {topic}?|Can I pay for the {thing} in instalments?
Is there a student discount?|How do I change my email address?|please delete my account|My discount code does not work|I got the wrong {thing}|The {thing} came without a manual|Can I collect the {thing} in the store?|How can I contact you by phone?|Do I need an account to order a {thing}?|Wo ist mein Paket?|Mon colis n'est pas arrivé
what's the status of order {n}?|Can I get a bigger size instead?|How do I clean the {thing}?|Which battery does the {thing} need?|How do I update the {thing}?|My {thing} does not turn on|Where do I find my customer number?""",
    "howto": """How do I {act} in {tool}?|how to {act}|where can I {act} on {tool}|Can you tell me how to {act} in {tool}?|what's the shortcut to {act}|How long do I boil an egg?|How do I get wax out of a tablecloth?|What should I wear to a wedding?|How many grams are in {n} ounces?|what's {n} plus {p}|what is {p} times {p}
Convert {n} cm to inches|What day comes after Thursday?|What time is it in Tokyo when it is noon in London?|Another word for happy|What does asap stand for?|what is the plural of leaf|Where do {topic} come from?|What are {topic}?|Give me a fact about {topic}|tell me briefly about {topic}|Is it true that {topic} are good for you?
What's a quick dinner with potatoes?|A recipe for pancakes|Name three fruits|Which month has 28 days?|What's the boiling point of water?|who painted the Mona Lisa|how many days are in a leap year|Comment dit-on bonjour en anglais ?|¿Cuántos minutos tiene una hora?""",
    "facts": """What is {term}?|what does {term} mean|Explain {term} in one sentence|define {term}|What's the difference between {term} and {term2}?|Who wrote {book}?|who is the author of {book}|When did {event} happen?|In what year was {event}?|Who discovered {found}?|who invented {found}|What is the capital of {country}?|Which currency is used in {country}?
What continent is {country} on?|What do they speak in {country}?|Why do {why}?|why does {why2}|How far is the moon?|How many legs does a spider have?|Which planet is closest to the sun?|What is the largest ocean?|What is H2O?|Wer schrieb {book}?|Was ist {term}?|Qu'est-ce que {term} ?|¿Qué es {term}?|¿Cuál es la capital de {country}?|Quelle est la capitale de {country} ?
什么是{term}？|{country}の首都はどこですか。|Cos'è {term}?|Wat is {term}?|Hur många ben har en spindel?""",
    "trivia": """Who {made} {work}?|who {made} {work}|{work}: who {made} it?|Which {maker} {made} {work}?|Do you know who {made} {work}|Who was it that {made} {work}?|Name the {maker} of {work}|When was {work} made?|Tell me who {made} {work}.|I forgot who {made} {work}
Where is {place}?|In which country is {place}?|which city is {place} in|How tall is {place}?|How old is {place}?|What is {place} known for?|What is the capital of {land}?|capital of {land}|What currency does {land} have?|Which language do people speak in {land}?|On which continent is {land}?|What is the flag of {land} like?|Is {land} bigger than {land2}?
When was {famous} born?|Where was {famous} born?|What is {famous} famous for?|who was {famous}|In which century did {famous} live?|What did {famous} do?|Was {famous} older than {famous2}?|What is the chemical symbol of {element}?|atomic number of {element}|Is {element} a metal?|How many {parts} does {whole} have?|how many {parts} are in {whole}
What colour is {coloured}?|Which animal is the {most}?|What is the {most} animal in the world?|What is the {longest} in the world?|name of the {longest} in Europe|Which sport is played with {gear}?|In which sport do you use {gear}?|What do you call a baby {beast}?|What does a {beast} eat?|Where do {beast}s live?|Who sang {song}?|which band sang {song}
In what year did {past} happen?|when was {past}|What started {past}?|Wer hat {work} gemacht?|Wo liegt {place}?|Hauptstadt von {land}|¿Quién fue {famous}?|¿Dónde está {place}?|Où se trouve {place} ?|Qui était {famous} ?|Dov'è {place}?""",
    "sums": """{n} / {p}|What is {p} % of {n}?|How much is {n} minus {p}?|A box holds {p} eggs, how many are in {p} boxes?|How many hours are {n} minutes?|I pay {n} and get {p} back, what did it cost?|Round {n} to the nearest hundred|Is {n} even or odd?|half of {n}
Was ist {p} mal {p}?|¿Cuánto es {p} por {p}?""",
    "code": """how to {small} in {lang}|{lang} {small}|How do I {small} with {lang}?|one-liner to {small}|{lang} example: {small}|syntax for a for loop in {lang}|What does `{cmd}` do?|what is {cmd} for|How do I use `{cmd}`?|git {git}|how to {git} in git|How do I {css} in CSS?|SQL: {sql}|Write a query that can {sql}|What is the difference between == and === ?|regex for {pattern}|how do I exit vim""",
    "texts": """Translate to {tongue}: {line}|{line} - in {tongue} please|How do I say "{line}" in {tongue}?|Correct: {line}|Make it friendlier: {line}|Is this positive or negative: {line}|In three words: {line}|Shorten this: {line}|What is the main point? {line}|Find the names in: {line}|Which number is mentioned? {line}|List the places in: {line}|Spam or not? {line}
Spelling check: {line}|As bullet points: {line}|One sentence summary: {line}|Label as question, order or complaint: {line}|Übersetze ins Englische: {zeile}|Fasse kurz zusammen: {zeile}|Traduis en anglais : {ligne}|Korrigiere: {zeile}|Resume en una frase: {linea}|Traduce al inglés: {linea}|翻译成英文：今天的会议改到周三。|把这句话翻译成英语：谢谢你的帮助。|英語に訳して：明日は休みです。""",
    "abroad": """Ich möchte mein {ding} zurückgeben|Wie kann ich mein {ding} stornieren?|Mein {ding} ist kaputt, was nun?|Wann kommt mein {ding} an?|Ich kann mich nicht anmelden|Wie ändere ich meine Adresse?|Ich habe den Code nicht bekommen|Wie viel kostet der Versand?|Je voudrais rendre mon {chose}|Comment changer l'adresse de mon {chose} ?|Mon {chose} ne marche plus
À quelle heure ouvrez-vous ?|Est-ce que mon {chose} est garanti ?|Je n'arrive pas à me connecter|Quiero devolver mi {cosa}|¿Dónde está mi {cosa}?|¿Cómo cambio mi correo?|No puedo entrar en mi cuenta|Quanto costa la spedizione?|Vorrei cambiare la data|Onde está a minha encomenda?|我的包裹在哪里？|怎么退货？|営業時間を教えてください。|Gdzie jest moja paczka?|Hoe zeg ik mijn abonnement op?|Где мой заказ?""",
    "desk": """Write a short email to {person} that I'm ill today|Thank {person} in two sentences|Write a one-line reply to {person}: yes, Tuesday works|Give me a subject line for a mail about the {thing}|Write a short text message to {person} that I will be late|Name five gift ideas for {person}
Write a packing list for a weekend|Suggest a name for my {thing} shop|make a shopping list for tacos|Suggest three icebreakers for {person}|a caption for a photo of {topic}|Remind {person} politely about the {thing}""",
}
MIDDLE = {
    "reasoning": """Plan a week of dinners for a family of four under {n} euros, one of us eats no gluten|Compare leasing and buying a {thing} for a small firm in a table|Help me decide between two job offers: one pays {n} more, the other is remote|Draft an agenda and a timeline for moving our team to {tool}|What are the pros and cons of {topic} for a small café, with reasons?
Explain how {topic} changed daily life, with two examples and one objection|Erkläre, wie {topic} und Löhne zusammenhängen, mit einem Beispiel und einem Gegenargument|Compara dos opciones para mudarse con un presupuesto de {n} euros y recomienda una|Explique les causes de {event} et ses conséquences en deux paragraphes|比较两种方案，说明各自的优点和缺点，并给出建议。
Why did {event} happen, and which cause mattered most?|Would {why} if there were no wind? Explain why|Summarise both sides of the debate about {topic} for someone undecided""",
    "code": """Write a {lang} program that reads a CSV of orders and prints the total per customer, with error handling and tests|Build a small REST service in {lang} with two endpoints for a {thing} and input validation|Explain the difference between threads and async tasks in {lang} with an example|Add pagination to this {lang} endpoint and explain the choice of cursor""",
    "knowledge_qa": """Explain to a beginner how {topic} and interest rates are connected, in three paragraphs|What should I look out for before signing a contract for a {thing}? Explain each point|How do vaccines against influenza get chosen every year, and why do they sometimes miss?""",
}
HARD = {
    "code": """Implement {code} in {lang}, justify each invariant, and analyse the worst case|Design {system} that survives {limit}. Give the data model, the failure modes and the trade-offs|Our {lang} implementation of {code} deadlocks under load once a day. List the hypotheses in order of likelihood and an experiment that separates them
Review the architecture of {system}: where does it break with {limit}, and how would you migrate without downtime?|Write {code} in {lang} from scratch without libraries, with property-based tests and a benchmark plan|Prove that {code} terminates and write it in {lang}""",
    "math": """Prove or disprove: {maths} attains its bound. Give a full proof or a counterexample|Let X be given by {maths}. Derive a sharp upper bound and show that it cannot be improved|Derive the asymptotic behaviour of {maths} and state precisely which assumptions are needed|Generalise the classical result about {maths} and prove each step rigorously
Formulate the problem of {limit} as an integer program, derive its dual and interpret the multipliers""",
    "reasoning": """Advise a company under {field}: it faces {limit} and two contradictory precedents. Weigh both sides, quantify the risk and recommend a strategy|A patient presents with {case}. Develop a ranked differential diagnosis, say which finding would change it, and plan the next tests with their risks
Critically assess the identification strategy of a study on {topic}: name each threat to validity and design a better one|Build a valuation model of a firm that runs {system}, with three scenarios, and defend each assumption|Reconcile these conflicting requirements for {system}: {limit} and {limit2}. Show what is impossible and prove it
Entwirf {system} so, dass {limit} beherrscht wird, und beweise die Grenzen deines Entwurfs|Démontrez rigoureusement une borne optimale et discutez le cas d'égalité pour {maths}
An auditor finds that {system} lost {n} records under {limit}. Reconstruct what may have happened, rank the causes and say what evidence would refute each|Find an optimal strategy for a game with hidden information and {p} players, prove that it is optimal, and say what changes with one more player
Draft a clause under {field} that allocates the risk of {limit} between three parties, and explain how each word would be litigated|Design an experiment that separates two causal explanations of {case}, with power analysis and stopping rules""",
    "knowledge_qa": """Discuss in depth how {event} would look to a Marxist, a liberal and a conservative historian, with the evidence each would have to explain away|Explain the proof idea behind a deep theorem about {maths} to a graduate student, including where the naive approach breaks|Derive from first principles why {why2}, with the governing equations and the limits of the model
Which open problems remain in the theory of {maths}, and why have the known methods not settled them?|Evaluate the evidence for and against a monetary policy that targets nominal income under {limit}|Explain the mechanism of {case} at the molecular level and how it guides the choice among second-line treatments|Compare how {field} treats the same dispute in three jurisdictions and argue which solution is best""",
    "creative_writing": """Write a satire on {field} in heroic couplets that a specialist would find exact|Compose a scene of an opera libretto about {topic} in which three voices sing different texts at once that rhyme across voices|Write a chapter told by two unreliable narrators who disagree about {topic}, each with a distinct idiolect and no dialogue tags""",
}
TASK_OF = {"support": "chat", "howto": "knowledge_qa", "desk": "creative_writing", "facts": "knowledge_qa", "trivia": "knowledge_qa", "sums": "math", "abroad": "chat"}
# What "texts" asks for differs from one to the next.
UNLABELLED = {"texts"}
# A kind of its own: few among all that is easy, and what the outcomes say of trivia is about rarer facts.
FACTS = {"facts", "trivia"}
BEFORE = ["", "", "", "", "Hi, ", "Hello, ", "Please help: ", "quick question: "]
AFTER = ["", "", "", "", "", " Thanks", " please", " thank you!"]


def _slots(rng):
    lists = {"thing": THINGS, "topic": TOPICS, "person": PEOPLE, "tool": TOOLS, "act": ACTS, "system": SYSTEMS, "limit": LIMITS, "limit2": LIMITS,
             "maths": MATHS, "code": CODES, "lang": LANGS, "field": FIELDS, "case": CASES}
    lists |= WORDS | {"term2": WORDS["term"], "lines": WORDS["line"], "land2": WORDS["land"], "famous2": WORDS["famous"]}
    return {name: rng.choice(values) for name, values in lists.items()} | {"n": str(rng.randint(20, 9000)), "p": str(rng.randint(2, 12))}


@distinct
def generate(seed, easy=450, middle=220, hard=300):
    """Prompts with task, domain (where the task tells it) and level."""
    rng = random.Random(seed)
    for level, kinds, count in (("easy", EASY, easy), ("middle", MIDDLE, middle), ("hard", HARD, hard)):
        for name, templates in kinds.items():
            templates = split(templates)
            for _ in range(count):
                prompt = fill(rng.choice(templates), _slots(rng))
                prompt = rng.choice(BEFORE) + prompt + rng.choice(AFTER)
                prompt = prompt.lower() if rng.random() < 0.25 else prompt
                yield {"prompt": prompt, "task": None if name in UNLABELLED else TASK_OF.get(name, name), "domain": OF_ITSELF.get(name), "source": "synthetic", "level": "fact" if name in FACTS else level}
