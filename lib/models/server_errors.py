"""Classification of server errors: a filter stopped one prompt, a parameter is refused, or something else."""

import json
import re
from collections.abc import Iterator
from typing import get_args

import openai

from lib.config.specs import Server

# fields of a body that repeat the request, which may contain anything
_REPEATED = ("input", "flagged_input", "prompt", "messages", "ctx")
# half a surrogate pair cannot be written as UTF-8, and NUL ends a text for many readers
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
_ACCOUNT = re.compile(  # a ban affects every prompt
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
# what a server that refuses the canonical name is likely to accept
_DEFAULTS = {"max_tokens": "max_completion_tokens"}
_LOST = {
    "seed": "without seed no draw can be repeated",
    "temperature": "without temperature the server's own holds",
    "top_p": "without top_p the server's own holds",
}


def clean(text: str) -> str:
    """Replace halves of surrogate pairs and NUL in `text` by U+FFFD, so that it can be written anywhere."""
    return _HALF.sub("\ufffd", text)


class NoCompletion(openai.OpenAIError):
    """An answer with status 200 that holds an error in place of a completion; `body` is that error."""

    status_code = 200

    def __init__(self, body):
        super().__init__(f"an answer without a completion: {body}")
        self.body = body.get("error") or body if isinstance(body, dict) else None


def _body(error: Exception):
    """The body of the server's answer; None for an error that has none."""
    return getattr(error, "body", None)


def reason(error: Exception) -> str:
    """The server's message on one line, or the reason why there is none."""
    message = _body(error) or error.__cause__ or error
    message = message[0] if isinstance(message, list) and len(message) == 1 else message
    while isinstance(message, dict) and (
        inner := message.get("message") or message.get("detail") or message.get("error")
    ):
        message = inner
    status = f"{error.status_code}: " if isinstance(error, openai.APIStatusError) else ""
    return status + clean(" ".join(str(message).split()))


def is_filter(error: Exception) -> bool:
    """Whether a content filter stopped this one prompt; a ban of the key or the account is not a filter."""
    if getattr(error, "status_code", 401) in (401, 404, 429):
        return False
    text = _text(_body(error))
    stopped = isinstance(error, NoCompletion) and _is_flagged(error.body)
    return stopped or (bool(_FILTER.search(text)) and not (_UNKNOWN.search(text) or _ACCOUNT.search(text)))


def _is_flagged(body) -> bool:
    """Whether an answer says that its prompt was stopped, as in prompt_filter_results or blockReason."""
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
    """Whether the server answered correctly but without any choice, as Gemini does for a blocked prompt."""
    return (
        isinstance(error, NoCompletion) and isinstance(error.body, dict) and error.body.get("choices") == []
    )


def is_too_long(error: Exception) -> bool:
    """Whether the request asks for more tokens than the model has room for."""
    text = _text(_body(error))
    return (
        getattr(error, "status_code", 0) in (400, 413, 422)
        and bool(_SIZE.search(text))
        and bool(re.search("token|context", text))
    )


def is_out_of_tokens(error: Exception) -> bool:
    """Whether the model's hidden thought used all tokens of this request, an error with some servers."""
    return bool(_OUT_OF_TOKENS.search(_text(_body(error))))


def refused_parameters(error: Exception, sent: list[str]) -> list[str]:
    """Find the parameters that the server refuses.

    Args:
        error: The error of the server.
        sent: Names of the parameters in the request.

    Returns:
        The refused names in the order of `sent`; empty if the error has another cause.
    """
    if getattr(error, "status_code", 401) in (401, 403, 404, 429):
        return []
    located = [field for field, text in _located(_body(error)) if _REFUSED.search(text)]
    if not located:
        text = _text(_body(error))
        if not _REFUSED.search(text) or (_SIZE.search(text) and not _UNKNOWN.search(text)):
            return []
        located = _named(_body(error), text, sent)
    return [name for name in sent if name in located]


def _named(body, text: str, sent: list[str]) -> list[str]:
    """The names in the error's field `param`, or otherwise in its text before it lists what is allowed."""
    if matches := [name for name in _fields(body, "param") if name in sent]:
        return matches
    before_menu = text[: menu.start()] if (menu := _MENU.search(text)) else text
    matches = [name for name in sent if _mentions(before_menu, name)] or [
        name for name in sent if _mentions(text, name)
    ]
    if {"temperature", "top_p"} <= set(matches) and re.search(r"\b(both|only one)\b", text):
        return ["top_p"]
    return matches


def _mentions(text: str, name: str) -> bool:
    flags = re.IGNORECASE if len(name) > 1 else 0
    return bool(re.search(rf"(?<![\w\\-]){re.escape(name)}(?![\w-])", text, flags))


def remedy(refused: list[str], error: Exception, server: Server) -> str:
    """What to change in the parameter set so that the refused parameters are renamed or omitted.

    Args:
        refused: The refused parameters, under the names in the request.
        error: The error of the server.
        server: The server's entry in the parameter set.
    """
    canonical = {name: name for name in _NAMES} | {
        server_name: name for name, server_name in server.parameter_names.items() if server_name
    }
    names, steps = dict(server.parameter_names), []
    hint = _INSTEAD.search(_text(_body(error))) if len(refused) == 1 else None
    for name in refused:
        if name not in canonical or name in server.extra_body:
            steps.append(f"take {name} out of {'extra_body' if name in server.extra_body else 'the model'}")
            continue
        replacement = hint[1] if hint and hint[1] != name else _DEFAULTS.get(name)
        names[canonical[name]] = (
            None if replacement in canonical and replacement != canonical[name] else replacement
        )
    names = {name: server_name for name, server_name in names.items() if server_name != name}
    if set(refused) & set(canonical) - set(server.extra_body):
        mapping = ", ".join(
            f"{name}: {'null' if server_name is None else server_name}" for name, server_name in names.items()
        )
        consequences = [
            _LOST[canonical[name]]
            for name in refused
            if canonical.get(name) in _LOST and names.get(canonical[name], "") is None
        ]
        steps.insert(
            0,
            f"write server: {{parameter_names: {{{mapping}}}}}"
            + f" ({'; '.join(consequences)})" * bool(consequences),
        )
    return ", and ".join(steps)


def _text(body) -> str:
    return clean("\n".join(_strings(body)))


def _strings(body) -> Iterator[str]:
    """Every text in a body, however nested, except what it repeats from the request."""
    if isinstance(body, dict):
        for name, value in body.items():
            yield from () if name in _REPEATED else _strings(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from _strings(value)
    elif isinstance(body, str):
        yield body


def _located(body) -> Iterator[tuple[str, str]]:
    """Each fault that a server located in the request: name of the parameter, and message."""
    if isinstance(body, dict):
        if isinstance(body.get("loc"), list) and body["loc"]:
            yield str(body["loc"][-1]), f"{body.get('type')} {body.get('msg')}"
        for value in body.values():
            yield from _located(value)
    elif isinstance(body, list):
        for value in body:
            yield from _located(value)


def _fields(body, name: str) -> Iterator[str]:
    """Last word of every text under the key `name`, such as seed for body.seed."""
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
    """Parse the JSON of an answer, even if a byte of its text is broken.

    Raises:
        json.JSONDecodeError: If it is not JSON.
    """
    return json.loads(content.decode("utf-8-sig", errors="replace"))
