"""Detection of sentences that refuse to answer, by a few narrow forms.

The forms are narrow because a small model's odd first person must not be taken for a refusal. All wording is
in the table below. It is English; a refusal in another language is judged as a completion. This file needs
lib.nlp.text and the standard library only.
"""

import re

from lib.nlp.text import normalize

# part of every completion's key: change it with anything that changes what is a refusal
VERSION = "refusals-2"

_SORRY = (
    r"(?:(?:i'm|i am|we're|we are)(?: \w+)? sorry|sorry|i apologi[sz]e(?: for [^.,]*)?|my apologies|apologies"
    r"|unfortunately|regrettably|(?:i'm|i am) afraid)"
)
_CANNOT = (
    r"i(?: really| simply)?(?: (?:can't|cannot|can not|won't be able to|won't|will not|must decline to)"
    r"| (?:don't|do not) feel comfortable"
    r"|(?: am|'m) (?:unable|not able|not comfortable|not permitted|not allowed|not programmed|not "
    r"designed|not going)(?: to)?)"
)
_REQUEST = (  # what a model is asked for
    r"(?: (?:with|in|to|on))?(?:"
    r"(?: (?:this|that|your|such|any|these|those))(?: [^\s.,;:]+){0,4}? "
    r"(?:requests?|prompts?|sentences?|questions?|content"
    r"|statements?|information|tasks?|quer(?:y|ies)|completions?|responses?|conversations?|topics?|discussions?)"
    r"|(?: (?:the|a|an))?(?: [^\s.,;:]+){0,2}? (?:request|prompt|sentence|completion)"
    r"|(?: (?:harmful|explicit|inappropriate|offensive|personal|sensitive))* (?:information|content))\b"
)
_SERVE = (  # what a model does for its user
    r"(?:fulfil+|complet(?:e|ing)|finish(?:ing)?|continu(?:e|ing)|provid(?:e|ing)|creat(?:e|ing)|generat(?:e|ing)"
    r"|answer(?:ing)?|writ(?:e|ing)|produc(?:e|ing)|process(?:ing)?|accommodat(?:e|ing)|respond(?:ing)?|support(?:ing)?"
    r"|shar(?:e|ing)|offer(?:ing)?|discuss(?:ing)?|engag(?:e|ing)|comply(?:ing)?"
    r"|(?:help|assist)(?:ing)?(?: you)? (?:with|in|to)|(?:help|assist) you)"
)
_WITH_THAT = r"(?: you)?(?: (?:with|in|on) (?:that|this|it)(?: one)?)?"
_KIND = (
    r"(?:ai|artificial intelligence|large language|language|text-based "
    r"ai|virtual|digital|ai-powered|ai-based)"
)
_AN_AI = rf"(?:an? )?{_KIND}(?: ai| language| model| assistant| chatbot| system)*"
_MAKER = r"(?:,? (?:developed|created|trained|made|designed|built) by [^,]*)?"
_MODEL = (
    r"(?:just |only |merely )?(?:an ai|an artificial intelligence|a (?:large |ai )?language "
    r"model)\b(?! \w+(?:er|or|ist)\b)"
)
_NO = r"i (?:don't|do not) have"
_END = r"(?= (?:because|as|since|due|without|for|at this)\b|[.,;:!—–-]|$)"
_LACK = r"(?:incomplete|cut off|unfinished|missing)\b"
_TEXT = r"(?:sentence|message|prompt)"
_FIND = r"(?:determine|identify|infer|specify|complete|finish)"
_FINISH_THAT = r"(?:complet|finish|continu)\w* (?:this|that|the|your) (?:\w+ )?sentence"
_POLITE = rf"(?:(?:i'd be|i would be|i'm|i am) (?:happy|glad) to|i'd love to) (?:help|assist){_WITH_THAT}"
_BEFORE = rf"(?:(?:{_SORRY}|{_POLITE}),? )?(?:but )?(?:that )?"
_FORMS = (
    rf"{_BEFORE}as {_AN_AI}{_MAKER},? (?:i|my)\b",  # As an AI language model, I …
    rf"{_BEFORE}(?:i'm|i am) (?:[a-z0-9. -]{{1,30}}, )?{_MODEL}",  # I'm Qwen, a large language model …
    rf"{_BEFORE}i .*\b(?:as|because|since) (?:i'm|i am) {_MODEL}",  # I have no desk, as I am an AI.
    rf"{_BEFORE}{_CANNOT} (?:assist|comply|engage){_WITH_THAT}{_END}",  # I cannot assist with that.
    rf"{_BEFORE}{_CANNOT} {_SERVE}{_REQUEST}",  # I'm unable to complete this sentence
    rf"{_BEFORE}(?:i'm|i am) not comfortable (?:with|completing|answering|providing|continuing){_REQUEST}",
    rf"{_SORRY},? (?:but )?{_NO} (?:any |enough |specific |access to )*(?:information|context|details)\b",
    rf"{_BEFORE}{_NO} (?:enough (?:context|information) to {_SERVE}|the ability to {_SERVE}|access to "
    rf"(?:personal|real-time) )",
    rf"{_BEFORE}{_NO} personal (?:experiences?|feelings|opinions|preferences|information)\b",
    rf"{_SORRY},? (?:but )?{_CANNOT} assist\b",
    rf"there (?:is not|isn't|is no)(?: enough| sufficient)? (?:context|information)\b.* to {_FINISH_THAT}",
    rf"{_BEFORE}i(?:'d| would)? (?:need|require) (?:more|additional|further) "
    rf"(?:context|information|details) to {_FINISH_THAT}",
    r"i must (?:respectfully )?decline[.!]?$",
    rf"it (?:is not|isn't|would not be|wouldn't be|is in|would be in) ?(?:possible|appropriate) for me to "
    rf"{_SERVE}",
)
_SPOKEN = (  # quotable sentences: no refusals where the stem asks for somebody's words
    rf"{_SORRY},? (?:but )?(?:that )?{_CANNOT} (?:{_SERVE}\b|(?:do|help|continue)(?: you)?(?: with)?(?: "
    rf"that| this)?{_END})",
    rf"{_BEFORE}{_CANNOT} help{_WITH_THAT}{_END}",
    r"(?:i'm|i am) sorry,? (?:but )?i (?:can't|cannot)[.!]?$",
    rf"{_SORRY},? (?:but )?{_CANNOT} (?:determine|identify|infer|specify) "
    rf"(?:the|what|which|how|if|whether)\b",
)
_SEEMS = r"it (?:seems|looks|appears)(?: like| that| as if| as though)?"
_ASKS_BACK = (  # no answer either: the model asks its user for more
    rf"{_SEEMS} (?:you|your|the) .*\b(?:sentence|message|prompt|text|question)\b.*\b{_LACK}",
    rf"{_SEEMS} (?:this|the|your) {_TEXT}(?: (?:is|was|got))? {_LACK}",
    rf"{_BEFORE}{_NO} (?:enough|sufficient|(?:any )?specific) (?:context|information|details) "
    rf"(?:about|on|to {_FIND})\b",
    rf"{_BEFORE}{_NO} access to (?:(?:any|the|specific|further) "
    rf")*(?:information|details|context|identity|material)"
    r" (?:about|of|on|regarding)\b",
    rf"{_BEFORE}i (?:didn't|did not|don't|do not)(?: quite| fully)? understand your "
    rf"(?:request|message|question|{_TEXT})\b",
    rf"{_BEFORE}you (?:haven't|have not|didn't|did not) "
    rf"(?:provided?|given?|included?|shared?|finish(?:ed)?)\b.*\b{_TEXT}\b",
    rf"{_BEFORE}(?:(?:this|the) (?:sentence|prompt)|your (?:sentence|prompt|message))"
    r"(?: (?:you|that you|you have|you've) (?:provided|gave|given|sent|shared))?"
    r" (?:is|was|got|seems|appears|looks)(?: to (?:be|have been))? (?:incomplete|cut off|unfinished)\b",
    rf"without (?:more|additional|further|any|enough) (?:context|information|details),? (?:{_CANNOT}|it "
    rf"(?:is|would be|'s) )",
    rf"(?:{_SORRY},? )?(?:but )?(?:could|can) you (?:please "
    rf")?(?:provide|share|give|clarify)\b.*\b(?:context|details|sentence)\b",
    r"(?:could|can|would) you (?:please )?(?:tell me|let me know|specify|explain) what (?:you(?:'re| are) "
    r"(?:looking|asking) for"
    r"|you(?:'d| would) like|you (?:want|need))\b",
    r"(?:could you |can you )?please rephrase\b|(?:could|can) you rephrase\b",
    r"(?:what|which) (?:kind|type|sort|style) of (?:completion|continuation|ending|sentence|response)s? "
    r"(?:would|do) you\b",
    r"please provide\b.*\b(?:context|information|details|sentence|text)\b",
    r"(?:could|can) you (?:please )?clarify (?:what|which)\b|(?:how|what) (?:can|may) i (?:help|assist)\b",
    r"what (?:would you like|do you want) me to\b|(?:i'm|i am) not sure what you(?:'re| are) "
    r"(?:asking|looking)\b",
)
_REFUSAL = re.compile("|".join(_FORMS), re.IGNORECASE)
_QUESTION = re.compile("|".join(_ASKS_BACK), re.IGNORECASE)
_SPOKEN_REFUSAL = re.compile("|".join((*_SPOKEN, *_ASKS_BACK)), re.IGNORECASE)
_APOLOGY = re.compile(
    rf"(?:oh,? )?{_SORRY}(?: for (?:the|any) (?:confusion|inconvenience))?[.!]?|no[.!]"
    r"|(?:hello|hi|hi there|hey|sure|sure thing|of course|certainly|absolutely|great|thank you|thanks)!"
    r"|(?:i'm|i am|i'd be) (?:here|happy|glad) to (?:help|assist)(?: you)?[.!]"
    rf"|{_POLITE}, but\b.*"
    rf"|(?:i(?: notice|'ve noticed| see)(?: that)?|{_SEEMS}) "
    rf".*\b(?:sentence|prompt|message|request|question)s?\b.*",
    re.IGNORECASE,
)


def is_refusal(sentence: str, says: bool = False, names: bool = False) -> bool:
    """Whether `sentence`, given in place of an answer, refuses to answer or asks for more instead.

    A sentence in quotation marks is an answer.

    Args:
        sentence: The first sentence of the reply.
        says: Whether the stem asks for somebody's words; "I can't help you." is then an answer.
        names: Whether the stem asks for a name, such as that of a song. A name may have the words of a
            refusal too, but it does not ask for more.
    """
    text = _plain(sentence)
    spoken = None if says else (_QUESTION if names else _SPOKEN_REFUSAL).match(text)
    return bool(spoken or _REFUSAL.match(text))


def is_apology(sentence: str) -> bool:
    """Whether `sentence` is an apology, a politeness or a remark on the prompt.

    The next sentence then decides whether the reply is a refusal.
    """
    return bool(_APOLOGY.fullmatch(_plain(sentence)))


def _plain(text: str) -> str:
    return normalize(text).strip("*_ ")
