"""Chat templates: render messages identically on every day, and find out how a template handles thoughts."""

import datetime
import inspect
from functools import cache

from jinja2 import meta
from jinja2.exceptions import TemplateError

from lib.config.specs import Model, ParameterError, nearest

# some templates insert the date of today, but a prompt must not change from day to day
_DAY = datetime.datetime(2024, 7, 26)
_DATE = f"{_DAY:%d %b %Y}"
_SWITCHES = ("enable_thinking", "thinking")  # what templates call the switch that turns thoughts off
_MARK = "0123456789"
_OF_EVERY_TEMPLATE = {"messages", "strftime_now", "raise_exception", "namespace", "range", "dict"}


@cache
def _reserved() -> set[str]:
    """The names that a template gets from transformers or from this project."""
    from transformers import PreTrainedTokenizerBase

    return _OF_EVERY_TEMPLATE | {*inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters}


def _compiled(template: str):
    from transformers.utils import chat_template_utils

    return chat_template_utils._compile_jinja_template(template)


def messages(spec: Model, text: str, system: str = "") -> list[dict[str, str]]:
    """A message of the user, after a system message if the model has one or `system` gives its text."""
    whole = "\n\n".join(filter(None, (spec.system_prompt, system)))
    # an empty system prompt is sent too: it takes the place of the one that a template has by itself
    first = [{"role": "system", "content": whole}] if whole or spec.system_prompt is not None else []
    return [*first, {"role": "user", "content": text}]


def apply(tokenizer, spec: Model, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    """Render messages in the model's chat template, with its `chat_template_kwargs` and a fixed date.

    Raises:
        ParameterError: If the template refuses the messages; it quotes the message of the template.
    """
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
            "set system_prompt to null, or put its text into a mitigation without {system}, which stands "
            "before the user's text"
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
    """Make the template's `strftime_now` return the fixed day.

    A function cannot be passed as an argument, because transformers removes it. transformers caches compiled
    templates, so this affects everything that uses the template.
    """
    _compiled(tokenizer.get_chat_template()).globals["strftime_now"] = _DAY.strftime


def known(tokenizer) -> set[str]:
    """The names that the chat template reads from its arguments."""
    template = tokenizer.get_chat_template()
    variables = meta.find_undeclared_variables(_compiled(template).environment.parse(template))
    return variables - _reserved() - set(tokenizer.special_tokens_map)


def check(tokenizer, spec: Model, messages: list[dict[str, str]]) -> None:
    """Check that the template accepts the messages and each name of `chat_template_kwargs`.

    Raises:
        ParameterError: If the template refuses the messages, or if a name of `chat_template_kwargs` would
            have no effect or is set by the project itself.
    """
    location = f"model {spec.name}: chat_template_kwargs"
    if spec.mode != "chat":
        if spec.chat_template_kwargs:
            raise ParameterError(
                f"{location} have no effect in mode {spec.mode!r}; take them out, or set mode to 'chat'"
            )
        return
    for name in sorted(_reserved() & set(spec.chat_template_kwargs)):
        raise ParameterError(f"{location}.{name} is given by the project itself; take it out")
    apply(tokenizer, spec, messages)
    variables = known(tokenizer)
    for name in sorted(set(spec.chat_template_kwargs) - variables):
        raise ParameterError(
            f"{location}.{name}: its chat template reads no such name{nearest(name, variables)}; it reads "
            f"{', '.join(sorted(variables)) or 'none'}"
        )


def switch(tokenizer) -> str | None:
    """Name of the template's argument that switches thoughts off; None if it has none."""
    return next((name for name in _SWITCHES if name in known(tokenizer)), None)


def opens_thought(rendered: str, tail: str, markers: list[str]) -> bool:
    """Whether a rendered prompt ends inside a thought, that is, its last opening marker is not closed.

    Args:
        rendered: The rendered prompt.
        tail: What the template puts after the user's words. Markers in the prompt before it are ignored.
        markers: The two strings that enclose a thought.
    """
    index = rendered.rfind(tail) if tail else -1
    ending = rendered[max(index, 0) :]
    opened_at = ending.rfind(markers[0])
    return opened_at >= 0 and opened_at > ending.rfind(markers[1])


def tail(tokenizer, spec: Model, messages: list[dict[str, str]]) -> str:
    """What the template puts after the words of the last message; empty if these are not in the prompt."""
    rendered = apply(tokenizer, spec, [*messages[:-1], {**messages[-1], "content": _MARK}])
    return rendered.rpartition(_MARK)[2] if _MARK in rendered else ""
