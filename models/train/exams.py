"""Prompts of our own in the manner of exams, reading tests, chat benchmarks and assistants: terms × questions × layouts, seeded.

`layouts.py` lays out anew what the training split has; here are questions that it has none of: subjects by their terms, passages, sentence
endings, instructions with material, conversations, and what people tell a device to do. All of it is invented here, nothing is taken
from a benchmark. `generate` yields dicts with prompt, task, domain. They have no outcomes, and nothing is assumed of their difficulty.
"""

import random

import layouts
from templates import distinct, fill

# (task, domain) of a subject, and its terms with what they mean.
SUBJECTS = {
    "biology": ("knowledge_qa", "science", "osmosis=movement of water through a membrane|ribosome=site of protein synthesis|meiosis=division that halves the chromosomes|allele=variant of a gene|symbiosis=close life of two species|xylem=tissue that carries water|enzyme=protein that speeds up a reaction|phenotype=visible traits of an organism|codon=three bases that code for an amino acid"),
    "chemistry": ("knowledge_qa", "science", "isotope=atom with another number of neutrons|catalyst=substance that lowers the activation energy|oxidation=loss of electrons|molarity=moles of solute in a litre|covalent bond=shared pair of electrons|buffer=mixture that resists a change of pH|entropy=measure of disorder|isomer=compound with the same formula and another structure"),
    "physics": ("knowledge_qa", "science", "inertia=resistance to a change of motion|torque=force times lever arm|half-life=time until half has decayed|diffraction=bending of waves around an edge|capacitance=charge per volt|escape speed=speed needed to leave a planet|superconductor=material without electrical resistance|buoyancy=upward force of a displaced fluid"),
    "engineering": ("knowledge_qa", "science", "stress=force per area|impedance=resistance to alternating current|fatigue=failure under repeated load|transistor=switch made of a semiconductor|Reynolds number=ratio of inertial to viscous forces|duty cycle=share of time that a signal is on|modulus of elasticity=ratio of stress to strain|governor=device that limits speed"),
    "medicine": ("knowledge_qa", "medical", "anaemia=lack of red blood cells|tachycardia=heart rate above normal|hepatitis=inflammation of the liver|embolism=blockage by something carried in the blood|beta blocker=drug that slows the heart|glaucoma=raised pressure in the eye|metastasis=spread of a tumour|jaundice=yellow skin from bilirubin|femur=bone of the thigh"),
    "nutrition": ("knowledge_qa", "medical", "scurvy=disease from lack of vitamin C|fibre=part of plants that is not digested|gluten=protein in wheat|basal metabolic rate=energy used at rest|essential fatty acid=fat that the body cannot make|rickets=soft bones from lack of vitamin D"),
    "law": ("knowledge_qa", "legal", "consideration=what each party gives under a contract|tort=civil wrong|hearsay=statement made out of court|estoppel=bar to going back on one's word|mens rea=guilty mind|easement=right to use another's land|injunction=order to do or not to do something|stare decisis=being bound by earlier decisions|bailment=handing over goods without title"),
    "economics": ("knowledge_qa", "finance", "elasticity=response of demand to price|opportunity cost=value of the next best choice|monopsony=market with one buyer|deflation=fall of the general price level|externality=effect on those outside a deal|comparative advantage=lower opportunity cost|marginal utility=benefit of one more unit|tariff=tax on imports"),
    "accounting": ("knowledge_qa", "finance", "accrual=recording when earned|goodwill=price paid above net assets|depreciation=spreading the cost of an asset|liability=amount owed|working capital=current assets less current liabilities|dividend=share of profit paid out|audit=independent check of the books|deferred tax=tax to be paid later"),
    "computer science": ("knowledge_qa", "technology", "deadlock=processes that wait for one another|hash table=structure with constant expected lookup|recursion=function that calls itself|cache=fast memory for recent data|firewall=filter of network traffic|normal form=design of tables without redundancy|compiler=translator of source code|overfitting=fitting noise in the training data|semaphore=counter that guards a resource"),
    "psychology": ("knowledge_qa", "humanities", "conditioning=learning by association|schema=mental frame for knowledge|attachment=bond of child and carer|placebo=treatment without active substance|bystander effect=less help in larger crowds|confirmation bias=favouring evidence that fits|reinforcement=what makes a behaviour more frequent"),
    "philosophy": ("knowledge_qa", "humanities", "utilitarianism=the view that the best act has the best outcome|a priori=known without experience|dualism=mind and body as two substances|categorical imperative=acting by what could be a universal law|solipsism=doubt of other minds|straw man=attacking what was not claimed|nominalism=denial of universals"),
    "history": ("knowledge_qa", "humanities", "armistice=agreement to stop fighting|feudalism=land held in return for service|Reformation=split of the western church|Silk Road=trade routes across Asia|abolition=end of slavery|Marshall Plan=American aid to Europe|Meiji Restoration=modernisation of Japan|suffrage=right to vote"),
    "geography": ("knowledge_qa", "humanities", "delta=mouth of a river with many arms|steppe=dry grassland|monsoon=seasonal wind with rain|fjord=inlet carved by ice|isthmus=narrow strip of land|plateau=high flat land|tectonic plate=moving piece of the crust"),
    "politics": ("knowledge_qa", "humanities", "filibuster=long speech that blocks a vote|federalism=power shared by two levels|veto=right to reject a bill|coalition=government of several parties|gerrymandering=drawing districts for advantage|bicameral=with two chambers|détente=easing of tension"),
    "business": ("knowledge_qa", "finance", "brand equity=value of a name|supply chain=path from raw material to customer|stakeholder=anyone affected by a firm|outsourcing=buying what was made in house|benchmarking=comparison with the best|liquidity=ability to pay at once|franchise=right to run a business under a name"),
    "mathematics": ("math", "mathematics", "eigenvalue=scalar by which a vector is stretched|injective=mapping different inputs to different outputs|abelian group=group whose operation commutes|variance=mean squared distance from the mean|prime=integer with two divisors|median=value in the middle|bijection=one-to-one and onto map|asymptote=line that a curve approaches|kernel=what is mapped to zero"),
}
TERM_QUESTIONS = "Which term means: {d}?|Which of the following is best described as a {d}?|The {d} is called|In {s}, what is the name for the {d}?|What do we call the {d}?|A student of {s} reads about the {d}. What is meant?"
MEANING_QUESTIONS = "What is meant by {t}?|{T} is|Which statement about {t} is correct?|Which of these best defines {t}?|In {s}, {t} refers to|All of the following concern {s}. Which one explains {t}?|What does a textbook of {s} say of {t}?|Which of the following is NOT true of {t}?"
NUMBER_QUESTIONS = [("math", "mathematics", "What is {a} times {b}?"), ("math", "mathematics", "If 3x + {a} = {b}, what is x?"), ("math", "mathematics", "What is the mean of {a}, {b} and {c}?"), ("knowledge_qa", "science", "A body of {a} kg is pulled with {b} N. What is its acceleration in m/s²?"), ("knowledge_qa", "science", "How many moles are in {a} g of a gas with molar mass {b} g/mol?"),
                    ("knowledge_qa", "science", "A current of {a} A flows through {b} Ω. What is the voltage?"), ("knowledge_qa", "finance", "A firm has fixed costs of ${a}000 and earns ${b} per unit. How many units to break even?"), ("knowledge_qa", "finance", "A bond pays {a} a year and yields {b}%. What is its price?"), ("math", "mathematics", "How many subsets with {c} elements does a set of {a} have?"), ("knowledge_qa", "science", "A beam of length {a} m carries {b} kN at its middle. What is the largest bending moment?"),
                    ("math", "mathematics", "Find the order of the element {a} in Z_{b}."), ("math", "mathematics", "What is the slope of the line through (0, {a}) and ({b}, {c})?"), ("knowledge_qa", "science", "A wave of {a} Hz travels at {b} m/s. How long is it?"), ("knowledge_qa", "technology", "How many bits address {a} kB of memory in words of {b} bytes?")]
# The beginning of an everyday scene, its sensible end, and others.
SCENES = "Lena wanted to wash the dog, so she=filled the tub with warm water~painted the fence~rang the church bell~ate the soap|The baker took the bread out of the oven because it=was done~was raw~was asleep~was cheaper|To dry a wet shirt quickly, you should=hang it in the sun~fold it in a drawer~put it in water~sing to it|The trophy did not fit into the case since the=trophy was too large~case was too large~door was open~lamp was dim|After the tyre burst, the driver=pulled over~sped up~closed the book~bought a boat|Where would you keep milk so that it stays fresh?=in the fridge~in the oven~in the garage~on the roof|People carry an umbrella when=rain is expected~they swim~the moon is full~they are hungry|A man kneels, opens a toolbox and=begins to fix the sink~flies away~turns into a tree~writes a will|What happens to ice left in the sun?=it melts~it burns~it grows~it rusts|The nurse thanked the patient because the=patient had been kind~nurse had been rude~window was tall~chair was late".split("|")
PASSAGES = """The ferry to the island runs twice a day in winter and every hour in summer. In {y} it carried {n} passengers, a third more than the year before. The captain, {w}, put this down to the new lighthouse museum.|{w} opened the first bicycle workshop of the town in {y}. It employed {m} people. After the flood the family moved the shop uphill, where it stands today.|In {y} the council voted {m} to {k} for a tram line along the canal. Critics said that it would cost {n} million. {w} promised that fares would stay the same.
A study of {n} households found that those with gardens slept {k} minutes longer. The authors, led by {w}, warn that richer people have more gardens. A follow-up is planned for {y}.|The recipe came from {w}, who cooked for the railway. It asks for {k} onions, {m} grams of lentils and a spoon of vinegar, simmered for an hour.|Company {w} & Sons reported a loss of {n} thousand in {y} after two ships were delayed. It closed {k} offices and hired {m} engineers.
The glacier lost {n} metres between {y} and last summer. {w}, a guide for {k} years, has marked its edge with paint. Scientists use {m} of these marks.|At half-time the home side led by {k}. {w} scored twice after the break, and {n} spectators stayed for the songs. It was the {m}th win since {y}.""".replace("\n", "|").split("|")
READING = "When did this happen?|Who is named in the text?|How many were there?|Why did it change?|What did {w} do?|Is it true that {w} left the town?|Which year is mentioned?|What is the best title?|What can be inferred about {w}?|By how much did it differ?|What does \"it\" refer to?|Where does the story take place?|Which statement is supported by the passage?"
READING_FRAMES = "Passage: {p}\n\nQuestion: {q}\nAnswer:|{p}\n\nQ: {q}\nA:|Context: {p}\nQuestion: {q}|Read the passage and answer the question.\n\n{p}\n\n{q}|Given the context, answer. If the answer is not in the context, say \"unanswerable\".\nContext: {p}\nQuestion: {q}\nAnswer:|Article: {p}\n\nBased on the article, {q}|{q}\n\nUse only this text: {p}|Document [1]: {p}\n\nUsing the document, answer with a short span: {q}|Extract the answer from the paragraph.\nParagraph: {p}\nQuestion: {q}|{p}\n{q} Answer yes or no."
WORKED = {
    "summarization": "Article: {p}\n\nSummary:|Summarize the above article in {k} sentences.\n{p}|{p}\n\nTL;DR:|Write a headline for the text.\n{p}|Document: {p}\nOne-sentence summary:|Dialogue:\n{d}\nSummary of the dialogue:|Give the main points of the report: {p}|Generate a summary of {k} words.\n\nText: {p}\n\nSummary:",
    "translation": "English: {p}\n{l}:|Translate the following from English to {l}.\nEnglish: {p}\n{l}:|{l} translation of \"{p}\":|Source (English): {p}\nTarget ({l}):|Translate into {l}. Only output the translation.\n\n{p}|Give a faithful {l} version of this paragraph.\n{p}",
    "extraction": "Text: {p}\nList all named entities as JSON with type.|Sentence: {p}\nEntities:|From the text below fill in the form: name, year, amount.\n{p}|Given the report, output a table with each number and what it counts.\n{p}|{p}\n\nReturn {\"person\": ..., \"year\": ...}.|Pull every date and amount out of this: {p}|Find the person responsible. {p}|Mark each place and person in the text with tags.\n{p}",
    "classification": "Review: {r}\nSentiment:|Text: {r}\nLabel (positive/negative):|Premise: {p}\nHypothesis: {w} was present.\nEntailment, neutral or contradiction?|Classify the topic as World, Sports, Business or Science.\n{p}\nTopic:|Tweet: {r}\nIs this offensive? Answer yes or no.|Question: {q}\nWhich type of answer is wanted: person, number, place or reason?|Do these two sentences mean the same?\n1. {r}\n2. {r2}\nAnswer:|Message: {r}\nIntent:|Is the sentence grammatical? \"{r}\"|Which emotion does the writer feel? {r}\nOptions: joy, anger, fear, sadness|Judge which answer is better, A or B.\nQuestion: {q}\nA: {r}\nB: {r2}",
    "rewriting": "Sentence: {r}\nFormal version:|Original: {p}\nSimplified:|Correct the grammar.\nInput: {r}\nOutput:|Paraphrase so that the meaning stays.\n{r}\nParaphrase:|Rewrite the text for a ten-year-old.\n{p}|Edit the essay and keep its length. {p}|Turn into the passive: {r}|Make the tone warmer without adding facts.\n{r}",
    "creative_writing": "Continue the story.\n{p}|Write a story of about {n} words that starts with: \"{r}\"|Make a sentence with the words: {words}|Words: {words}\nSentence:|You are {role}. Stay in character. I begin: {r}|Act as {role} and answer my questions. First: {q}|Write a {form} in the voice of {role}|Draft a {form} for {w}, with a twist at the end|Write a {form} without the letter e|Compose a {form} about {thing} in exactly {k} lines|Concepts: {words}. Write one coherent sentence that uses all of them.|Write a scene in which {role} meets {w}|Long screenplay: {role} and {w} argue about {thing}|I need a {form} on {thing} for our newsletter, playful and warm|Write fan fiction in which {role} inherits {thing}, with lots of dialogue|A script in which {role} and {role2} get stuck at {thing}|Write a long, detailed scene of {n} words in which {role} teases {role2} about {thing}. Lots of dialogue.|Continue: {p} Then {role} entered.|An alternate universe in which {w} is {role}: write the first episode|Schreibe eine Kurzgeschichte über {role} und {thing}|Napisz opowiadanie o tym, jak {w} znajduje stary zegar|Escribe un cuento sobre {thing} desde el punto de vista de {role}|Écris un poème sur {thing}|写一个关于{w}的短篇故事|Напиши рассказ, в котором {w} встречает дракона|You are a professional novelist. Write chapter {k}: {role} confesses to {role2}|Parody a news bulletin about {thing}, as told by {role}|Rewrite the ending so that {role} wins: {p}|Write rap verses between {role} and {role2} about {thing}|Give me {k} story ideas about {thing}, each with a twist|Worldbuilding: describe the customs, food and feuds around {thing} in an invented kingdom|Write an article for a local magazine on {thing}, vivid and personal, around {n} words|Dear diary entry of {role} after {thing}|Write a beginner-friendly guide to {thing} for a leaflet, warm in tone|Eulogy for {role}, funny and touching|Script for a two-minute video on {thing}, with stage directions",
    "reasoning": "You have to organise {thing} in {k} days with {n} euros. Make a plan with steps, risks and fallbacks.|{w} thinks the key is in the jar; while {w} is out, {role} hides it in the shoe. What does {w} believe when coming back, and what does {role} think that {w} believes?|What would have happened if {thing} had never existed? Argue step by step.|Which hypothesis explains the data best? {p}|Judge the argument: {p} Therefore {thing} should be banned. Which assumption does it need?|Claim: {r}\nGive the strongest counterargument and weigh both.|Here are the observations: {p}\nPropose {k} hypotheses and an experiment that tells them apart.|Decide between two offers for {thing}; list the criteria, weigh them and justify the choice.|Find the contradiction: {p} {r}|{w} says that {r} Which conclusion can be drawn, and which cannot?|As an agent you can call search(query), book(id), mail(to, text). Write the sequence of calls that arranges {thing} for {w}.|Break the goal \"{thing} by next month\" into sub-tasks with their dependencies.|Estimate how many {things} there are in a large city. State each assumption.|{p}\n\nWhy did {w} act like this? Consider at least two explanations.|Initial state: {p}\nPredict what happens next if {thing} is cancelled, and explain each step.|Goal: prepare {thing}.\nAvailable: two helpers, one van, {n} euros.\nWrite down a sequence of actions, and what could go wrong.|{w} told {role} a joke at a funeral and nobody laughed. Explain what went wrong socially and what each of them feels.|Is the following argument valid, and is it sound?\n1. All visitors of {thing} wear badges.\n2. {w} wears a badge.\n3. So {w} visited {thing}.|We observe that {things} vanish each spring. Come up with {k} competing explanations and rank them.|Evaluate this proof and find the first wrong step: {p}|Compare three ways to run {thing} under these constraints: {n} euros, {k} weeks, no volunteers. Recommend one.|You are given these clues about {thing}. {p} Deduce who did it.|Apply the rule to the case. Rule: whoever damages {things} pays for them unless they were warned. Case: {p}|Weigh the ethical considerations: {role} finds a wallet at {thing}. What should be done and why?|{w} believes {r} but {role} knows better. Given this, what will {w} do first?|Diagnose why the plan for {thing} failed, from this log: {p}|Revise the plan: the van broke down and {thing} starts in {k} hours.|What is the most likely cause, and what evidence would change your mind? {p}|Draw up a weekly schedule for {role} who has to handle {thing} and {k} appointments, none of which may overlap.|Suppose gravity were half as strong. How would {thing} change? Reason it through.|Here are two accounts of the same evening. A: {p} B: {r} Which is more credible?|Find the pattern behind these cases and predict the next: {p}",
    "knowledge_qa": "Explain {t} as in a lecture on {s}, with an example.|Q: What is the {d} called?\nA:|How does {t} differ from {t2}? Which matters more in {s}?|Answer in one word: what is the {d}?|Discuss the role of {t} in {s}. Include evidence and its limits.|Describe two methods to measure {t}.|{T}?|Question: What is {t}?\nShort answer:|Complete: in {s}, {t} is known as the|Compare {t} and {t2} in a table.|What are the implications of {t} for policy?",
}
REVIEWS = "The soup was cold and nobody said sorry.|Best concert I have been to in years!|It does what it says, no more.|Battery died after an hour, shipping took weeks.|My kids loved the puppet show.|I expected more from the sequel.|Staff went out of their way to help us.|he go to market yesterday and buyed fish|They was late because of the train are broken.|Honestly, a waste of an evening.|The lamp is lovely but the switch sticks.|What a view, what a breakfast!".split("|")
ROLES = "a retired sea captain|a nervous dragon|a museum guard|a detective in 1920s Cairo|a barista who knows everything|the last librarian on Mars|a grumpy gardener|a chess coach|an old elevator|the mayor of a tiny village|a travel agent for ghosts|a medieval cook".split("|")
CONTENT = "a flea market|the harbour festival|a school trip|a beekeeping course|night trains|a power cut|a lost suitcase|village cinemas|cargo bikes|a wedding for sixty|rooftop gardens|an old clock".split("|")
FORMS = "sonnet|short story|limerick|monologue|ballad|product announcement|speech|diary entry|letter|fable|sketch|opening paragraph|song|toast|horoscope".split("|")
COMMANDS = """what's the balance of my {acc} account|move {n} from {acc} to savings|did my {bill} bill get paid|when is my {bill} due|how much did i spend on {buy} last month|freeze my card please|my card was stolen in {city}|what's my credit limit|raise the limit on my card|order new checks|what is the routing number of my bank|book a table for {k} at {place} tonight|does {place} take reservations|how long should i cook {food}|can i swap butter for oil in {food}|how many calories are in {food}|is {food} still good after a week|find me a recipe for {food}|what goes into {food}
book a flight from {city} to {city2} on {day}|is my flight to {city} on time|do i need a visa for {city}|what's the weather in {city} on {day}|what plugs do they use in {city}|find a hotel near {place}|rent a car in {city} from {day}|how far is {city} from here|is it safe to travel to {city} now|which shots do i need for {city}|where did i put my luggage|call me a taxi to {place}|how's the traffic on the way to {place}|directions to the nearest {place}|is there gas left in my car|what's my tire pressure|when do i need my next oil change|what kind of gas does this car take|jump start my car, how
remind me to {do} on {day}|what's on my calendar for {day}|move my {k} pm meeting to {day}|cancel the meeting with {w}|do i have anything to do on {day}|put {buy} on my list|what is on my shopping list|take {buy} off the list|set an alarm for {k} am|start a timer for {n} minutes|what time is it in {city}|how many vacation days do i have left|put in time off for {day}|did my boss approve my leave|when is payday|how do i roll over my 401k|what's my salary after tax|do i have health insurance|who do i call about benefits|how do i file my taxes
play {song} in the kitchen|next song|what song is this|turn the volume to {k}|dim the lights|lock the front door|make it warmer in here|text {w} that i am on my way|call {w}|where is my phone|spell {word} for me|what does {word} mean|flip a coin|roll a die|pick a number up to {n}|change your name to {w}|speak slower|talk in a {acc2} accent|switch to {lang}|who made you|how old are you|what are your hobbies|do you work for anyone|are you a robot|can you learn new things|that's right|nope|maybe|say that again|stop|go back|i don't know|thank you for that|see you tomorrow|what is the meaning of life|tell me something funny
how do you say {word} in {lang}|track my package|where's my order|when will the {buy} arrive|is the library open on {day}|read my messages|sync my phone|reset the settings to factory|whisper from now on|what can i ask you|report fraud on my account|why was my card declined|what's the apr on my card|when does my card expire|how do i improve my credit score|what's the exchange rate from dollars to {money}|redeem my points|i want a new pin|how do i build up credit|apply for a card|is there an international fee|transfer the payment to {day}|how long does a transfer take|who won the game|what's the date {k} days from now|how much is {n} miles in kilometers|schedule a repair for my {thing}|what's the mileage of my car""".replace("\n", "|").split("|")
OPEN = "which {what} {did} {thing} in {y}|who {did} the {what} of {city}|where does the word {word} come from|when was the {what} of {city} built|what is the name of the {what} in {city}|how many people {did} {thing}|who plays the {what} in the film about {thing}|in which year did the {what} of {city} open|what was the first {what} to have {thing}|who is credited with {thing}|Which {what}, born in {y}, {did} {thing}?|What {what} connects {city} with {city2}?|The {what} of {city} is known for which event of {y}?"
SLOTS = {
    "acc": "checking|joint|business|old|main".split("|"), "bill": "water|power|phone|internet|rent".split("|"), "buy": "shoes|coffee|groceries|batteries|soap|books|eggs|toys".split("|"), "city": "Lisbon|Osaka|Denver|Cairo|Oslo|Lima|Accra|Kyiv|Hanoi|Perth|Quito|Turin".split("|"), "place": "the station|a pharmacy|Rosa's|the airport|the Blue Door|a gym|the museum".split("|"),
    "food": "lasagna|lentil soup|trout|fried rice|pumpkin pie|an omelette|tofu|chili".split("|"), "day": "monday|friday|june 3|the weekend|tomorrow|march 12|next tuesday".split("|"), "do": "water the plants|pay rent|feed the cat|stretch|call home|bring a cake".split("|"), "song": "some jazz|my running mix|the new album|something calm|the radio".split("|"), "word": "marble|quarantine|cheese|courage|lantern|goodbye|procrastinate|hello".split("|"),
    "lang": "Spanish|French|Korean|Polish|German|Hindi".split("|"), "acc2": "british|texan|scottish|pirate".split("|"), "money": "euros|yen|pesos|pounds".split("|"), "what": "bridge|mayor|painter|band|river|tower|captain|newspaper|club|treaty|king|ship".split("|"), "did": "founded|crossed|won|recorded|lost|discovered|inspired".split("|"),
}
TALK = "{a}: Did you get the tickets?\n{b}: Not yet, the site is down.\n{a}: Try again after lunch.\n{b}: Will do.|{a}: We should paint the hall.\n{b}: In what colour?\n{a}: Anything but grey.|{a}: The bus is late again.\n{b}: Shall I pick you up?\n{a}: Please, at the corner."


def _terms(subject):
    return [tuple(pair.split("=")) for pair in SUBJECTS[subject][2].split("|")]


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
    task, domain, _ = SUBJECTS[subject]
    terms = _terms(subject)
    term, meaning = rng.choice(terms)
    count = rng.choice([2, 3, 4, 4, 4, 5, 6, 8, 10])
    if rng.random() < 0.5:
        question, place, right = rng.choice(TERM_QUESTIONS.split("|")), 0, term
    else:
        question, place, right = rng.choice(MEANING_QUESTIONS.split("|")), 1, meaning
    question = question.replace("{d}", meaning).replace("{t}", term).replace("{T}", term.capitalize()).replace("{s}", subject)
    return layouts.lay_out(rng, question, _others(rng, terms, place, right, count), subject), task, domain


def _number(rng):
    task, domain, question = rng.choice(NUMBER_QUESTIONS)
    for name in "abc":
        question = question.replace("{" + name + "}", str(rng.randint(2, 60)))
    unit = rng.choice(["", "", " m", " J", "%"]) if task != "math" else ""
    options = [f"{rng.choice([rng.randint(1, 900), round(rng.random() * 90, 2)])}{unit}" for _ in range(rng.choice([4, 4, 5, 8, 10]))]
    return layouts.lay_out(rng, question, options, {"mathematics": "mathematics", "science": "physics"}.get(domain, domain)), task, domain


def _scene(rng):
    start, ends = rng.choice(SCENES).split("=")
    options = ends.split("~")
    rng.shuffle(options)
    if rng.random() < 0.3:
        return f"{start}\nOption 1: {options[0]}\nOption 2: {options[1]}\nWhich is more sensible?", "knowledge_qa", "general"
    return layouts.lay_out(rng, rng.choice(["", "Complete the sentence: ", "What happens next? ", "Goal or event: "]) + start, options, "common sense"), "knowledge_qa", "general"


def _fill(rng, template):
    subject = rng.choice(list(SUBJECTS))
    (term, meaning), (other, _) = rng.sample(_terms(subject), 2)
    talk = rng.choice(TALK.split("|")).replace("{a}", "Mia").replace("{b}", "Tom")
    passage = " ".join(rng.sample(PASSAGES, rng.choice([1, 1, 2, 3])))
    words = rng.sample("ball river chair clean throw old hat dance market snow cut tree stage wait crowd boat fire jump bread laugh".split(), rng.randint(3, 9))
    slots = {"p": passage, "d": talk if "Dialogue" in template else meaning, "q": rng.choice(READING.split("|")), "r": rng.choice(REVIEWS), "r2": rng.choice(REVIEWS), "t": term, "t2": other, "T": term.capitalize(), "s": subject, "l": rng.choice(layouts_languages()),
             "words": ", ".join(words), "role": rng.choice(ROLES), "thing": rng.choice(CONTENT), "role2": rng.choice(ROLES), "things": "bakers pianos lifts buses dogs".split()[rng.randrange(5)], "form": rng.choice(FORMS), "w": rng.choice("Okafor Lindqvist Marta Reyes Haan Ines Petrov Ling Abdi".split())}
    slots |= {name: rng.choice(values) for name, values in SLOTS.items()} | {"city2": rng.choice(SLOTS["city"])}
    template = fill(template, slots)
    for name, low, high in (("y", 1820, 2023), ("n", 20, 900), ("m", 12, 60), ("k", 2, 9), ("w", 0, 0)):
        template = template.replace("{" + name + "}", str(rng.randint(low, high)) if high else "Marta")
    return template, SUBJECTS[subject][1]


def layouts_languages():
    return "German French Spanish Chinese Japanese Hindi Swahili Portuguese Czech Romanian Korean Turkish".split()


def _reading(rng):
    frame = rng.choice(READING_FRAMES.split("|")).replace("{q}", rng.choice(READING.split("|")))
    return _fill(rng, frame)[0], "extraction", None


def _worked(rng):
    task = rng.choice(list(WORKED))
    text, domain = _fill(rng, rng.choice(WORKED[task].split("|")))
    if rng.random() < 0.25:
        text = layouts.framed(rng, text, None)
    return text, task, domain if task == "knowledge_qa" else None


def _command(rng):
    template = rng.choice(COMMANDS)
    text = _fill(rng, template)[0].lower()
    return rng.choice(["", "", "", "", "please ", "hey, ", "can you ", "i want to know ", "could you tell me "]) + text, "translation" if template.startswith("how do you say") else "chat", None


def _open(rng):
    text = _fill(rng, rng.choice(OPEN.split("|")))[0]
    return (text.lower() if rng.random() < 0.5 else text[0].upper() + text[1:]) + rng.choice(["", "", "?"]), "knowledge_qa", None


KINDS = [(_subject, 1100), (_number, 350), (_scene, 200), (_reading, 450), (_worked, 3400), (_command, 900), (_open, 250)]


@distinct
def generate(seed):
    """Prompts with task and domain."""
    rng = random.Random(seed)
    for make, count in KINDS:
        for _ in range(count):
            prompt, task, domain = make(rng)
            yield {"prompt": prompt, "task": task, "domain": domain, "source": "procedural"}
