"""Chat templates: messages as a model sees them, the same on any day, and what a template says of
thoughts."""

import datetime
import inspect

from jinja2 import meta
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from lib.config.specs import Model, ParameterError, nearest

# some templates tell the date of today, but a prompt must not change from day to day
_DAY = datetime.datetime(2024, 7, 26)
_DATE = f"{_DAY:%d %b %Y}"
_SWITCHES = ("enable_thinking", "thinking")  # how templates call the switch that turns thoughts off
_MARK = "0123456789"
_OURS = {
    *inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters,
    "messages",
    "strftime_now",
    "raise_exception",
    "namespace",
    "range",
    "dict",
}


def apply(tokenizer, spec: Model, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    """The messages in the model's chat template, with its `chat_template_kwargs` and a fixed date;
    ParameterError, with the template's own words, if the template refuses them."""
    options = {"date_string": _DATE, **spec.chat_template_kwargs}
    try:
        _pin_date(tokenizer)
        return tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt, **options
        )
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
    roles = [message["role"] for message in messages]
    remedy = "set mode to 'completion', or give a folder with a chat template that takes them"
    if "system" in roles and _renders(
        tokenizer, spec, [message for message in messages if message["role"] != "system"]
    ):
        remedy = (
            "set system_prompt to null, or put its text into a mitigation, which stands before the "
            "user's text"
        )
    raise ParameterError(
        f"model {spec.name}: its chat template takes no messages of {' and '.join(roles)} ({reason}); "
        f"{remedy}"
    )


def _renders(tokenizer, spec: Model, messages) -> bool:
    try:
        apply(tokenizer, spec, messages)
    except ParameterError:
        return False
    return True


def _pin_date(tokenizer) -> None:
    """Let the template's `strftime_now` tell the fixed day; a compiled template is kept, so this holds for
    all that use it.

    It cannot be passed as an argument: transformers takes functions out.
    """
    compiled = chat_template_utils._compile_jinja_template(tokenizer.get_chat_template())
    compiled.globals["strftime_now"] = _DAY.strftime


def known(tokenizer) -> set[str]:
    """The names that the chat template reads from its arguments."""
    template = tokenizer.get_chat_template()
    environment = chat_template_utils._compile_jinja_template(template).environment
    return (
        meta.find_undeclared_variables(environment.parse(template))
        - _OURS
        - set(tokenizer.special_tokens_map)
    )


def check(tokenizer, spec: Model, messages: list[dict[str, str]]) -> None:
    """ParameterError if the template refuses the messages, or a name of `chat_template_kwargs` would have no
    effect there, or is not the parameter set's to give."""
    place = f"model {spec.name}: chat_template_kwargs"
    if spec.mode != "chat":
        if spec.chat_template_kwargs:
            raise ParameterError(
                f"{place} have no effect in mode {spec.mode!r}; take them out, or set mode to 'chat'"
            )
        return
    for name in sorted(_OURS & set(spec.chat_template_kwargs)):
        raise ParameterError(f"{place}.{name} is given by the project itself; take it out")
    apply(tokenizer, spec, messages)
    reads = known(tokenizer)
    for name in sorted(set(spec.chat_template_kwargs) - reads):
        raise ParameterError(
            f"{place}.{name}: its chat template reads no such name{nearest(name, reads)}; it reads "
            f"{', '.join(sorted(reads)) or 'none'}"
        )


def switch(tokenizer) -> str | None:
    """How the chat template calls the argument that turns thoughts off; None if it has none."""
    return next((name for name in _SWITCHES if name in known(tokenizer)), None)


def opens_thought(rendered: str, tail: str, markers: list[str]) -> bool:
    """Whether a rendered prompt ends inside a thought: its last opening marker is not closed.

    `tail` is what the template puts after the user's words; what the prompt itself says of markers does not
    count.
    """
    place = rendered.rfind(tail) if tail else -1
    after = rendered[max(place, 0) :]
    opened = after.rfind(markers[0])
    return opened >= 0 and opened > after.rfind(markers[1])


def tail(tokenizer, spec: Model, messages: list[dict[str, str]]) -> str:
    """What the template puts after the words of the last message; empty where these are not found in the
    prompt."""
    rendered = apply(tokenizer, spec, [*messages[:-1], {**messages[-1], "content": _MARK}])
    return rendered.rpartition(_MARK)[2] if _MARK in rendered else ""
