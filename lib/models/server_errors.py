"""What a server's error is about: a filter that stopped one prompt, a parameter that it does not take, or
something else."""

import json
import re
from collections.abc import Iterator
from typing import get_args

import openai

from lib.config.specs import Server

_REPEATED = (
    "input",
    "flagged_input",
    "prompt",
    "messages",
    "ctx",
)  # of a body: the request over again, which may say anything
# half a surrogate pair cannot be written as UTF-8; NUL ends a text for many readers
_HALF = re.compile("[\0\ud800-\udfff]")

_FILTER = re.compile(
    r"content[\s_-]?(filter|polic|moderation|management polic|inspection|safety|exists risk|violat)"
    r"|responsible[\s_-]?ai|data[\s_-]?inspection|moderation[\s_-]?(block|flag|polic|fail|reject)|requires "
    r"moderation"
    r"|(prompt|input|request|content|text|message|output)s? (\w+ ){0,3}flagged"
    r"|(prompt|response|input|output|completion)s? (was|were|is|has been) (filtered|moderated)"
    r"|(block|reject|stop|filter|refus)\w* (\w+ "
    r"){0,8}(safety|moderation)\b|safety[\s_-](system|check|filter|polic|guideline)"
    r"|violat\w*\W(\S+ ){0,6}\S*(polic|guideline|terms of)|usage polic"
    r"|(inappropriate|sensitive|prohibited|harmful|unsafe|disallowed|objectionable)[\s_-]?(or \w+ )?"
    r"(content|text|word|input|information)|new[\s_-]sensitive|guardrail\w*.{0,20}(interven|block|violat|trigger)"
    r"|nsfw|^moderation$|敏感|违规|违禁|不安全|不合规",
    re.IGNORECASE | re.MULTILINE,  # each text of the body is a line
)
_ACCOUNT = re.compile(  # a ban concerns every prompt
    r"(account|organi[sz]ation|api[\s_-]key|subscription|workspace|resource|your access)\b.{0,60}"
    r"(suspend|deactivat|disabl|banned|terminat|block|restrict|flagged)|(suspended|disabled|banned|blocked) "
    r"(your|this|the) "
    r"(account|organi[sz]ation|api[\s_-]key)",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"(unsupported|unrecogni[sz]ed|unknown|unexpected|extra)[\s_-]?(request |keyword |body )?"
    r"(param|arg|field|name|propert|key|input|forbidden)"
    r"|extra_?forbidden|value_error\.extra|additional propert|cannot find field",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    _UNKNOWN.pattern
    + r"|unsupported|\bnot (\w+ ){0,3}(support|permit|allow|accept|recogni[sz]|availab|implement)|n't "
    r"(support|"
    r"accept|allow|recogni[sz])|unrecogni[sz]ed|unexpected|deprecated|only (\S+ "
    r"){0,4}(allowed|supported|permitted|accepted)"
    r"|can(not|'t) (both )?be (both )?(specified|set|used|given)|only one of",
    re.IGNORECASE,
)
_SIZE = re.compile(
    r"too (large|long|many|big|high)|context.(length|window|size)|more than|at most|maximum|exceed",
    re.IGNORECASE,
)
_MENU = re.compile(
    r"\b(allowed|valid|supported|permitted|known|accepted|available)\s+(\w+\s+)?"
    r"(parameter|argument|field|propert|name|key)\w*|(expected|must be) one of",
    re.IGNORECASE,
)
_INSTEAD = re.compile(
    r"(?:\buse|\btakes?|did you mean|\bexpects?|\brenamed to)\s+(?:the\s+)?['\"`]?([A-Za-z]\w*_\w+)",
    re.IGNORECASE,
)
_OUT_OF_TOKENS = re.compile(r"could not finish the message because \S+ or model output limit", re.IGNORECASE)
_NAMES = get_args(get_args(Server.model_fields["parameter_names"].annotation)[0])
_DEFAULTS = {"max_tokens": "max_completion_tokens"}  # what a server that refuses ours is likely to take
_LOST = {
    "seed": "without seed no draw can be repeated",
    "temperature": "without temperature the server's own holds",
    "top_p": "without top_p the server's own holds",
}


def clean(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair and each NUL, so that it can be written
    anywhere."""
    return _HALF.sub("\ufffd", text)


class NoCompletion(openai.OpenAIError):
    """An answer, status 200, that holds an error in place of a completion; `body` is that error."""

    status_code = 200

    def __init__(self, body):
        super().__init__(f"an answer without a completion: {body}")
        self.body = body.get("error") or body if isinstance(body, dict) else None


def reason(error: Exception) -> str:
    """On one line, what the server said, or why nothing could be heard from it."""
    said = getattr(error, "body", None) or error.__cause__ or error
    said = said[0] if isinstance(said, list) and len(said) == 1 else said
    while isinstance(said, dict) and (
        inner := said.get("message") or said.get("detail") or said.get("error")
    ):
        said = inner
    status = f"{error.status_code}: " if isinstance(error, openai.APIStatusError) else ""
    return status + clean(" ".join(str(said).split()))


def is_filter(error: Exception) -> bool:
    """Whether a content filter stopped this one prompt; a ban of the key or the account is none."""
    if getattr(error, "status_code", 401) in (401, 404, 429):
        return False
    text = _text(error.body)
    stopped = isinstance(error, NoCompletion) and _is_flagged(error.body)
    return stopped or (bool(_FILTER.search(text)) and not (_UNKNOWN.search(text) or _ACCOUNT.search(text)))


def _is_flagged(body) -> bool:
    """Whether an answer without a completion says that its prompt was stopped, as in prompt_filter_results or
    blockReason."""
    if isinstance(body, dict):
        flags = (
            body.get("filtered"),
            body.get("detected"),
            body.get("blockReason"),
            body.get("block_reason"),
        )
        return any(flag is True or (isinstance(flag, str) and flag) for flag in flags) or any(
            map(_is_flagged, body.values())
        )
    return isinstance(body, list) and any(map(_is_flagged, body))


def is_without_choices(error: Exception) -> bool:
    """Whether the server answered as it should, but with no choice at all, as Gemini does to a prompt that it
    blocks."""
    return (
        isinstance(error, NoCompletion) and isinstance(error.body, dict) and error.body.get("choices") == []
    )


def is_too_long(error: Exception) -> bool:
    """Whether the request asks for more tokens than the model has room for."""
    text = _text(getattr(error, "body", None))
    return (
        getattr(error, "status_code", 0) in (400, 413, 422)
        and bool(_SIZE.search(text))
        and bool(re.search("token|context", text))
    )


def is_out_of_tokens(error: Exception) -> bool:
    """Whether the model's hidden thought took all tokens of this one request, which some servers answer with
    an error."""
    return bool(_OUT_OF_TOKENS.search(_text(getattr(error, "body", None))))


def refused_parameters(error: Exception, sent: list[str]) -> list[str]:
    """Which of the names `sent` with the request the server does not take, in their order; none if it is
    about something else."""
    if getattr(error, "status_code", 401) in (401, 403, 404, 429):
        return []
    located = [place for place, text in _located(error.body) if _REFUSED.search(text)]
    if not located:
        text = _text(error.body)
        if not _REFUSED.search(text) or (_SIZE.search(text) and not _UNKNOWN.search(text)):
            return []
        located = _named(error.body, text, sent)
    return [name for name in sent if name in located]


def _named(body, text: str, sent: list[str]) -> list[str]:
    """The names that an error has in its field `param`, or else in its text before it lists what is
    allowed."""
    if found := [name for name in _fields(body, "param") if name in sent]:
        return found
    before = text[: menu.start()] if (menu := _MENU.search(text)) else text
    found = [name for name in sent if _mentions(before, name)] or [
        name for name in sent if _mentions(text, name)
    ]
    if {"temperature", "top_p"} <= set(found) and re.search(r"\b(both|only one)\b", text):
        return ["top_p"]
    return found


def _mentions(text: str, name: str) -> bool:
    flags = re.IGNORECASE if len(name) > 1 else 0
    return bool(re.search(rf"(?<![\w\\-]){re.escape(name)}(?![\w-])", text, flags))


def remedy(refused: list[str], error: Exception, server: Server) -> str:
    """What to write into the set so that `refused`, names as they were sent, are called otherwise or left
    out."""
    ours = {name: name for name in _NAMES} | {
        theirs: name for name, theirs in server.parameter_names.items() if theirs
    }
    names, steps = dict(server.parameter_names), []
    hint = _INSTEAD.search(_text(error.body)) if len(refused) == 1 else None
    for name in refused:
        if name not in ours or name in server.extra_body:
            steps.append(f"take {name} out of {'extra_body' if name in server.extra_body else 'the model'}")
            continue
        instead = hint[1] if hint and hint[1] != name else _DEFAULTS.get(name)
        names[ours[name]] = None if instead in ours and instead != ours[name] else instead
    names = {name: theirs for name, theirs in names.items() if theirs != name}
    if set(refused) & set(ours) - set(server.extra_body):
        shown = ", ".join(f"{name}: {'null' if theirs is None else theirs}" for name, theirs in names.items())
        lost = [
            _LOST[ours[name]]
            for name in refused
            if ours.get(name) in _LOST and names.get(ours[name], "") is None
        ]
        steps.insert(
            0, f"write server: {{parameter_names: {{{shown}}}}}" + f" ({'; '.join(lost)})" * bool(lost)
        )
    return ", and ".join(steps)


def _text(body) -> str:
    return clean("\n".join(_strings(body)))


def _strings(body) -> Iterator[str]:
    """Every text in a body, however nested, but what it repeats of the request."""
    if isinstance(body, dict):
        for name, value in body.items():
            yield from () if name in _REPEATED else _strings(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from _strings(value)
    elif isinstance(body, str):
        yield body


def _located(body) -> Iterator[tuple[str, str]]:
    """Each fault that a server located in the request: the name of the parameter, and what it says of it."""
    if isinstance(body, dict):
        if isinstance(body.get("loc"), list) and body["loc"]:
            yield str(body["loc"][-1]), f"{body.get('type')} {body.get('msg')}"
        for value in body.values():
            yield from _located(value)
    elif isinstance(body, list):
        for value in body:
            yield from _located(value)


def _fields(body, name: str) -> Iterator[str]:
    """Last word of every text under the key `name`: seed of body.seed."""
    if isinstance(body, dict):
        for key, value in body.items():
            if key == name and isinstance(value, str):
                yield re.split(r"\W+", value.strip(" ]'\""))[-1]
            else:
                yield from _fields(value, name)
    elif isinstance(body, list):
        for value in body:
            yield from _fields(value, name)


def parsed(content: bytes) -> dict:
    """The JSON of an answer, also where a byte of its text is broken; json.JSONDecodeError if it is none."""
    return json.loads(content.decode("utf-8-sig", errors="replace"))
