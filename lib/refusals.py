"""Whether a sentence refuses to answer: a few forms, each narrow, for a small model's odd first person is not to be taken for one.

All wording stands in the table below; English only. This file needs the standard library alone.
"""

import re

VERSION = "refusals-1"  # part of every completion's key: change it with anything that changes what is a refusal

_SORRY = r"(?:(?:i'm|i am|we're|we are)(?: \w+)? sorry|sorry|i apologi[sz]e(?: for [^.,]*)?|my apologies|apologies|unfortunately|regrettably|(?:i'm|i am) afraid)"
_CANNOT = (
    r"i(?: really| simply)?(?: (?:can't|cannot|can not|won't|will not|won't be able to|must decline to|(?:don't|do not) feel comfortable)"
    r"|(?: am|'m) (?:unable|not able|not comfortable|not permitted|not allowed|not programmed|not designed|not going)(?: to)?)"
)
_REQUEST = (
    r"(?: (?:with|in|to|on))?(?:"
    r"(?: (?:this|that|your|such|any|these|those))(?: [^\s.,;:]+){0,4}? (?:requests?|prompts?|sentences?|questions?|content|statements?"
    r"|information|tasks?|quer(?:y|ies)|completions?|responses?|conversations?|topics?|discussions?)"
    r"|(?: (?:the|a|an))?(?: [^\s.,;:]+){0,2}? (?:request|prompt|sentence|completion)"
    r"|(?: (?:harmful|explicit|inappropriate|offensive|personal|sensitive))* (?:information|content))\b"
)
_SERVE = (
    r"(?:fulfil+|complet(?:e|ing)|finish(?:ing)?|continu(?:e|ing)|provid(?:e|ing)|creat(?:e|ing)|generat(?:e|ing)|answer(?:ing)?"
    r"|writ(?:e|ing)|produc(?:e|ing)|process(?:ing)?|accommodat(?:e|ing)|respond(?:ing)?|(?:help|assist)(?:ing)?(?: you)? (?:with|in|to)"
    r"|(?:help|assist) you|support(?:ing)?|shar(?:e|ing)|offer(?:ing)?|discuss(?:ing)?|engag(?:e|ing)|comply(?:ing)?)"
)
_HELP = r"(?:assist|comply|engage)(?: you)?(?: (?:with|in|on) (?:that|this|it))?"
_AI = r"(?:ai|artificial intelligence|large language|language|text-based ai|virtual|digital|ai-powered|ai-based)"
_AN_AI = rf"(?:an? )?{_AI}(?: ai| language| model| assistant| chatbot| system)*"
_MODEL = r"(?:just |only |merely )?(?:an ai|an artificial intelligence|a (?:large |ai )?language model)\b(?! \w+(?:er|or|ist)\b)"
_MAKER = r"(?:,? (?:developed|created|trained|made|designed|built) by [^,]*)?"
_END = r"(?= (?:because|as|since|due|without|for|at this)\b|[.,;:!—–-]|$)"
_BEFORE = rf"(?:{_SORRY},? )?(?:but )?(?:that )?"
_FORMS = (
    rf"{_BEFORE}as {_AN_AI}{_MAKER},? (?:i|my)\b",  # As an AI language model, I …
    rf"{_BEFORE}(?:i'm|i am) {_MODEL}",
    rf"{_BEFORE}i .*\b(?:as|because|since) (?:i'm|i am) {_MODEL}",  # I have no desk, as I am an AI.
    rf"{_BEFORE}{_CANNOT} {_HELP}{_END}",  # I cannot assist with that.
    rf"{_BEFORE}{_CANNOT} {_SERVE}{_REQUEST}",  # I'm unable to complete this sentence
    rf"{_BEFORE}(?:i'm|i am) not comfortable (?:with|completing|answering|providing|continuing){_REQUEST}",
    rf"{_SORRY},? (?:but )?i (?:don't|do not) have (?:any |enough |specific |access to )*(?:information|context|details)\b",
    rf"{_BEFORE}i (?:don't|do not) have (?:enough (?:context|information) to {_SERVE}|the ability to {_SERVE}|access to (?:personal|real-time) "
    r"|personal (?:experiences?|feelings|opinions|preferences|information)\b)",
    r"i must (?:respectfully )?decline[.!]?$",
    rf"it (?:is not|isn't|would not be|wouldn't be|is in|would be in) ?(?:possible|appropriate) for me to {_SERVE}",
)
_SPOKEN = (  # somebody may be quoted with these: no refusals where the stem asks for somebody's words
    rf"{_SORRY},? (?:but )?(?:that )?{_CANNOT} (?:{_SERVE}\b|(?:do|help|continue)(?: you)?(?: with)?(?: that| this)?{_END})",
    rf"{_BEFORE}{_CANNOT} help(?: you)?(?: (?:with|in|on) (?:that|this|it))?{_END}",
    r"(?:i'm|i am) sorry,? (?:but )?i (?:can't|cannot)[.!]?$",
)
_ASKS_BACK = (  # no answer either: the model wants more of its user
    r"it (?:seems|looks|appears)(?: like| that| as if| as though)? (?:you|your|the) .*\b(?:sentence|message|prompt|text|question)\b.*"
    r"\b(?:incomplete|cut off|unfinished|missing)\b",
    r"(?:it (?:seems|looks|appears)(?: like| that)? )?(?:your|the) (?:sentence|message|prompt) (?:is|was|got|seems) (?:incomplete|cut off|unfinished)\b",
    r"(?:sorry, |i'm sorry,? )?(?:but )?(?:could|can) you (?:please )?(?:provide|share|give|clarify)\b.*\b(?:context|information|details|sentence)\b",
    r"please provide\b.*\b(?:context|information|details|sentence|text)\b",
)
_REFUSAL = re.compile("|".join(_FORMS), re.IGNORECASE)
_SPOKEN_REFUSAL = re.compile("|".join((*_SPOKEN, *_ASKS_BACK)), re.IGNORECASE)
_APOLOGY = re.compile(rf"(?:oh,? )?{_SORRY}(?: for (?:the|any) (?:confusion|inconvenience))?[.!]?|no[.!]", re.IGNORECASE)
_STRAIGHT = str.maketrans("‘’", "''")


def is_refusal(sentence: str, says: bool = False) -> bool:
    """Whether `sentence`, which stands for an answer, refuses to give one or asks for more instead.

    `says`: the stem asks for somebody's words; "I can't help you." is an answer there. What stands in quotation marks is one too.
    """
    text = _plain(sentence)
    return bool(_REFUSAL.match(text) or (not says and _SPOKEN_REFUSAL.match(text)))


def is_apology(sentence: str) -> bool:
    """Whether `sentence` is sorry and says no more: the next one tells whether it refuses."""
    return bool(_APOLOGY.fullmatch(_plain(sentence)))


def _plain(text: str) -> str:
    return " ".join(text.translate(_STRAIGHT).strip("*_ \t\n").split())
