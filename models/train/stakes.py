"""Prompts of our own about medicine, law and money as people ask: the sources know these subjects from exams alone, and a rule for them must not miss one.

Each domain has templates, words and its own contrasts: prompts with the same words that are about something else. The task is known, difficulty
is not assumed. Not one stands in tests/data/prompts.jsonl, and the names of its drugs are left out so that they can tell whether words generalise.
"""

import random

from templates import distinct, fill, split

DRUGS = "amoxicillin|ibuprofen|metoprolol|lisinopril|omeprazole|insulin glargine|sertraline|prednisone|atorvastatin|apixaban|levothyroxine|methotrexate|lithium|diazepam|tramadol|aspirin|salbutamol|doxycycline|clopidogrel|gabapentin|heparin|digoxin|furosemide|morphine|naproxen|citalopram|rivaroxaban|dabigatran|itraconazole|voriconazole|clarithromycin|rifampicin|phenytoin|carbamazepine|valproate|simvastatin|tacrolimus|ciclosporin|amiodarone|verapamil|azathioprine|tamoxifen|haloperidol|fluoxetine|linezolid|ciprofloxacin|empagliflozin|semaglutide|an oral contraceptive|grapefruit juice|St John's wort|vancomycin|oxycodone|adalimumab".split("|")
ILLS = "asthma|gout|a migraine|shingles|high blood pressure|atrial fibrillation|pneumonia|eczema|a urinary tract infection|depression|osteoporosis|appendicitis|a concussion|anaemia|hepatitis B|coeliac disease|a kidney stone|measles|sciatica|sepsis|endometriosis|an overactive thyroid|stroke|tonsillitis".split("|")
SIGNS = "chest pain|a stiff neck and fever|numb fingers|blood in the urine|a swollen ankle|dizziness when standing up|shortness of breath|a rash that spreads|blurred vision|night sweats|palpitations|a cough for six weeks|stomach cramps|a lump under the arm|vomiting|jaundice".split("|")
WHO = "my son|my mother|a 70-year-old man|a pregnant woman|a toddler|I|my wife|a diabetic patient|a smoker of 45|a newborn|an athlete|a nurse on my ward".split("|")
DISPUTES = "my landlord|my employer|a contractor|my ex-husband|a debt collector|the insurer|a neighbour|an online shop|my business partner|the police|the school|a former client".split("|")
ACTS = "keeps my deposit|dismissed me without notice|did not pay the last invoice|wants sole custody|sued me|searched my car|copied our logo|broke the lease|refuses a refund|shared my data|reads my mail|breached a non-disclosure agreement".split("|")
LAWS = "a non-compete clause|a power of attorney|a prenuptial agreement|limited liability|adverse possession|the statute of limitations|hearsay|a subpoena|force majeure|fair use|negligence|a class action|data protection|probate|bail|an injunction|a restraining order|intestate succession|squatters' rights|consideration in a contract".split("|")
MONEY = "a fixed-rate mortgage|an index fund|a pension|a balance sheet|capital gains tax|a credit score|compound interest|a bond yield|depreciation|a stock option|inflation|a savings account|an annuity|working capital|a dividend|bankruptcy|a bridging loan|value added tax|a short position|an emergency fund".split("|")
FIRMS = "a bakery|a start-up|a landlord with three flats|a freelancer|a family of four|a retired couple|an exporter|a restaurant chain|a student|a charity".split("|")

TEMPLATES = {
    "medical": (
        """Can I take {drug} together with {drug2}?|Is it safe to stop {drug} suddenly?|What is the usual dose of {drug} for {who}?|{who} forgot a dose of {drug}, what now?|side effects of {drug}|Does {drug} interact with alcohol?|{who} with {ill} is prescribed {drug}. What has to be monitored?
{who} has {sign}. When is it an emergency?|I have {sign} since yesterday, should I see a doctor?|what causes {sign}|How is {ill} diagnosed?|What is the first-line treatment of {ill}?|Is {ill} contagious?|Which tests should be ordered for {who} with {sign} and {sign2}?|How long does it take to recover from {ill}?
Explain to a patient what {ill} is|home remedies for {ill}|Contraindications of {drug} in {ill}|By which mechanism does {drug} help in {ill}?|{who} takes {drug} and now has {sign}. What is the likely cause?|Can {ill} come back after treatment?|Differential diagnosis of {sign} in {who}|Is {drug} allowed while breastfeeding?
How should {drug} be adjusted in renal impairment?|What vaccine protects against {ill}?|Which blood values does {drug} change?|My doctor mentioned {ill}, what should I ask?|Diet for {ill}|Can children get {ill}?|ab wann ist {sign} gefährlich?|¿Puedo tomar {drug} con {drug2}?|What happens if {who} takes too much {drug}?|Interaction between {drug} and {drug2}: how bad is it?|Pharmacy question: {drug} with {drug2}, any problem?
{drug2} was added to {drug} yesterday. What must be watched, and for how long?|Why does {drug2} raise the level of {drug}?|Which foods should be avoided with {drug}?|{drug} plus {drug2}: which enzyme is involved, and is a dose reduction needed?|Patient of {age}, {ill}, on {drug} for years; now {drug2} is planned. Comment.
{age}-year-old with {ill} and {sign}: next step?|{age} y/o, takes {drug} and {drug2}, complains of {sign}. Management?|How is {drug} reversed after an overdose?|What laboratory control does treatment with {drug} need?|Mechanism, half-life and elimination of {drug}|The level of {drug} is too high. What do I do?|Combining {drug} with {drug2} in {who}: benefit and risk
Which antibiotic for {ill} if {who} already takes {drug}?|Does {drug} prolong the QT interval, and with {drug2}?|Switching from {drug} to {drug2}: how?|Is bleeding more likely with {drug} and {drug2}?|Explain how {drug} is metabolised and what {drug2} does to that""", "knowledge_qa"),
    "legal": (
        """{other} {act}. What are my rights?|Can {other} really do that: {other} {act}?|What does {law} mean?|Is {law} enforceable in my state?|Do I need a lawyer for {law}?|How do I challenge {law} in court?|{other} {act}, can I sue?|What are the elements of {law}?|How long do I have to file a claim after {other} {act}?
Explain {law} with an example|What is the difference between {law} and {law2}?|Which court decides about {law}?|Am I liable if {other} gets hurt on my property?|Can I be fined for recording a call with {other}?|What should a contract with {other} say about {law}?|Review this clause: the parties agree to {law} for five years
Is a verbal agreement with {other} binding?|How does {law} apply to {firm}?|What happens to the house if there is no will?|Can a minor sign a contract?|Can my employer read my e-mails?|What counts as harassment at work?|Do I have to let the police in?|Kann {other} mir fristlos kündigen?|What notice does {other} have to give?
Under which conditions does {law} fail?|How do I get out of {law}?|Draft a letter to {other}, who {act}|What evidence do I need because {other} {act}?|Which exceptions does {law} have?|Can I appeal a parking ticket?|Is it legal to resell software licences?|What is the penalty for tax evasion?""", "knowledge_qa"),
    "finance": (
        """Should {firm} choose {money} or {money2}?|How does {money} work?|What is the difference between {money} and {money2}?|Is {money} a good idea for {firm}?|How much should {firm} put into {money}?|What are the risks of {money}?|How is {money} taxed?|explain {money} like I'm new to investing|How do interest rates change {money}?
What happens to {money} when inflation rises?|Can {firm} deduct {money} from tax?|Which costs does {firm} have to watch?|How do I compare two offers for {money}?|When should {firm} refinance?|Should I pay off debt or invest in {money}?|What is a sensible budget for {firm}?|How do I read {money} in an annual report?
How do I move money from my account to {money}?|My bank refused {money}, what now?|Was ist besser, {money} oder {money2}?|Compute the monthly rate of a loan of {n} at 4 % over 10 years|What is my return if I bought at {n} and sold at {m}?|Why did the stock fall after good earnings?|Is gold a hedge?""", "knowledge_qa"),
}
# The same words where something else is meant.
CONTRASTS = {
    "technology": """My computer has a virus, what now?|The server is healthy again after the patch|How do I treat missing values in pandas?|The drive is sick of errors, run a diagnosis|Write a unit test for the class Patient|Parse a table of drugs from a CSV in Python|SQL: count prescriptions by month|Which licence does this library have?|How do I mock a payment service?|The cache expires too early|Deploy the court booking app|Model a bank account in Java""",
    "general": """Cast of the medical drama on Monday night?|A birthday present for a nurse|Best board game about trading|How do I get to the court square?|What time does the bank close?|Play doctor's theme song|Name ideas for a lawyer's cat|How do I treat a stain on the sofa?|My plant looks sick, its leaves are yellow|Where can I buy a first-aid kit?""",
    "science": """How do enzymes bind a substrate?|Draw the structure of {drug}|Which bonds are in a benzene ring?|What is the boiling point of ethanol?|How do viruses replicate in bacteria?|How does a laser work?|Why is the sky blue?|How do plants make sugar?|How strong is gravity on Mars?|What is the molar mass of {drug}?""",
    "humanities": """How did medieval doctors see the plague?|Who wrote the code of Hammurabi?|How did the Great Depression change art?|What did Kant say about moral law?|How did merchants shape Renaissance Florence?|Was Socrates' trial fair?|What was medicine like in ancient Egypt?""",
}


def _fill(rng, template):
    slots = {"drug": DRUGS, "drug2": DRUGS, "ill": ILLS, "sign": SIGNS, "sign2": SIGNS, "who": WHO, "other": DISPUTES, "act": ACTS, "law": LAWS, "law2": LAWS,
             "money": MONEY, "money2": MONEY, "firm": FIRMS, "age": [str(k) for k in range(18, 95)], "n": [str(100 * k) for k in range(5, 90)], "m": [str(110 * k) for k in range(5, 90)]}
    template = fill(template, {name: rng.choice(values) for name, values in slots.items()})
    return template[0].upper() + template[1:] if rng.random() < 0.7 else template


@distinct
def generate(seed, count=600):
    """Prompts with task and domain."""
    rng = random.Random(seed)
    kinds = [(domain, text, task, count) for domain, (text, task) in TEMPLATES.items()] + [(domain, text, None, count // 5) for domain, text in CONTRASTS.items()]
    for domain, text, task, wanted in kinds:
        templates = split(text)
        for _ in range(wanted):
            prompt = _fill(rng, rng.choice(templates))
            yield {"prompt": prompt, "task": task, "domain": domain, "source": "stakes"}
