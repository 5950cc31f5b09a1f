"""What the generators of prompts write their templates with."""


def split(text):
    """The parts of a list in one text, divided by bars and line ends."""
    return [part for part in text.replace("\n", "|").split("|") if part]


def fill(text, slots):
    """`text` with each `{name}` replaced by what `slots` has for it. In their order, so that one may bring the next."""
    for name, value in slots.items():
        text = text.replace("{" + name + "}", str(value))
    return text
