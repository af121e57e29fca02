"""The texts of a mitigation: one text, or the same request in several wordings.

A text stands before the prompt, unless it says where: `{context}` and `{stem}` in it stand for the two parts
of the prompt, and a text that begins with `{system}` is sent as a system message.

Each group of prompts gets one wording. Which one depends only on the mitigation's name, the group and the
number of wordings. All arms and draws of a group therefore have the same wording, other groups and
mitigations change nothing, and the wordings are about equally frequent. Several wordings cost no more
completions than one, and the effect of a mitigation is the mean over its wordings.

Some mitigations are *controls*, which ask nothing about mood. Every other one is compared with the controls
of its form (`controls_of`): those that stand where it does and, of these, the NEAREST nearest to it in
length. There are three places: before the prompt, within it (a text with `{context}` and `{stem}`), and a
system message. On which side of the context a text within the prompt stands makes no difference, because a
strategy that puts words between context and stem is best compared with as many words before the context.
"""

import hashlib
import re
from fractions import Fraction
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator

SYSTEM, CONTEXT, STEM = "{system}", "{context}", "{stem}"
NEAREST = 3  # controls that a mitigation is compared with, at most
_PLACE = re.compile(r"\{[^{}\s]*\}")


class Placed(NamedTuple):
    """A prompt with the text of a mitigation in its place.

    Attributes:
        system: The system message; empty if there is none.
        before: What stands before the instruction and the prompt.
        prompt: Context and stem, with what stands among them.
    """

    system: str
    before: str
    prompt: str

    @property
    def plain(self) -> str:
        """The prompt as plain text, which has no system message."""
        return f"{self.before} {self.prompt}".strip()


def placed(text: str, context: str, stem: str) -> Placed:
    """Put the text of a mitigation (empty for none) into its place in a prompt."""
    prompt = f"{context} {stem}".strip()
    if text.startswith(SYSTEM):
        return Placed(text.removeprefix(SYSTEM).strip(), "", prompt)
    if STEM in text:
        return Placed(
            "", "", re.sub(" {2,}", " ", text.replace(CONTEXT, context).replace(STEM, stem)).strip()
        )
    return Placed("", text, prompt)


def find_places(text: str) -> list[str]:
    """The places in a text, such as "{context}", in their order."""
    return _PLACE.findall(text)


def words(text: str) -> str:
    """The text of a mitigation without its places."""
    return re.sub(" {2,}", " ", _PLACE.sub("", text)).strip() if _PLACE.search(text) else text


def texts(value: str | list[str]) -> list[str]:
    """The wordings of a mitigation, given as one text or as a list."""
    return [value] if isinstance(value, str) else list(value)


def controls_of(mitigations: dict[str, str | list[str]], controls: list[str]) -> dict[str, list[str]]:
    """Choose the controls that each other mitigation is compared with: those of its form.

    These are the NEAREST controls in the mean number of words over the wordings, among the controls in the
    same place (`stand_alike`); among all controls if none stands there. Of equally near ones, the first in
    `controls` count.

    Args:
        mitigations: The texts of every mitigation by name.
        controls: Names of the mitigations that are controls.

    Returns:
        For each mitigation that is no control, at most NEAREST names, in the order of `controls`.
    """
    asked = {name: mitigations[name] for name in controls}
    return {name: _of_form(value, asked) for name, value in mitigations.items() if name not in asked}


def _of_form(value: str | list[str], controls: dict[str, str | list[str]]) -> list[str]:
    alike = [name for name, control in controls.items() if stand_alike(value, control)] or list(controls)
    nearest = sorted(alike, key=lambda name: abs(_mean_words(controls[name]) - _mean_words(value)))[:NEAREST]
    return [name for name in controls if name in nearest]


def stand_alike(first: str | list[str], second: str | list[str]) -> bool:
    """Whether two mitigations stand in one place: before the prompt, within it, or in a system message.

    Where wordings of one mitigation stand in several places, one in common is enough.
    """
    return any(_position(one) == _position(other) for one in texts(first) for other in texts(second))


def _position(text: str) -> str | None:
    return next((place for place in (SYSTEM, STEM) if place in text), None)


def _mean_words(value: str | list[str]) -> Fraction:
    """The mean number of words over wordings, exact, so that equal distances are equal."""
    return Fraction(sum(len(words(text).split()) for text in texts(value)), len(texts(value)))


def of_group(mitigation: str, group_id: str, count: int) -> int:
    """The number, from 1 to `count`, of the wording that a group of prompts gets under a mitigation."""
    return int.from_bytes(hashlib.sha256(f"{mitigation}\n{group_id}".encode()).digest()) % count + 1


def asked_once(mitigations: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    """Check that no two mitigations have the same text, and return them.

    Raises:
        ValueError: If a text has two names, because the same completions would be compared with themselves.
    """
    name_of_text: dict[str, str] = {}
    for name, value in mitigations.items():
        for text in texts(value):
            normalized = " ".join(text.split())
            if (other := name_of_text.setdefault(normalized, name)) != name:
                raise ValueError(
                    f"{other} and {name} hold the same text, {normalized!r}; word one anew, or take it out"
                )
    return mitigations


def _checked(value: Any) -> Any:
    remedy = "give a text, or a list of texts that ask the same in other words"
    if not isinstance(value, str | list):
        raise ValueError(f"{value!r} is no text; {remedy}")
    if not texts(value):
        raise ValueError(f"holds no text; {remedy}, or take the mitigation out")
    for number, text in enumerate(texts(value), start=1):
        if not isinstance(text, str):
            raise ValueError(f"wording {number}, {text!r}, is no text; {remedy}")
        if not text.strip():
            raise ValueError(f"wording {number} is empty, and would ask the bare prompt once more; {remedy}")
        _check_places(text, f"wording {number}")
    normalized = [" ".join(text.split()) for text in texts(value)]
    if repeated := next((text for index, text in enumerate(normalized) if text in normalized[:index]), None):
        raise ValueError(f"the wording {repeated!r} stands there twice; word one anew, or take it out")
    return value


def _check_places(text: str, name: str) -> None:
    places = find_places(text)
    if unknown := next((place for place in places if place not in (SYSTEM, CONTEXT, STEM)), None):
        raise ValueError(
            f"{name} holds the unknown place {unknown}; write {CONTEXT} and {STEM} for the parts of the "
            f"prompt, or begin with {SYSTEM}"
        )
    if not places:
        return
    if not words(text):
        raise ValueError(f"{name}, {text!r}, adds nothing to the prompt; write what it is to say")
    if SYSTEM in places and (not text.startswith(SYSTEM) or len(places) > 1):
        raise ValueError(
            f"{name}: {SYSTEM} stands at the beginning, and without another place; mend {text!r}"
        )
    if SYSTEM not in places and places != [CONTEXT, STEM]:
        raise ValueError(f"{name} needs {CONTEXT} and after it {STEM}, each once; mend {text!r}")


def needs_chat(text: str) -> str | None:
    """Why a model in completion mode cannot be asked with this text; None if it can."""
    if text.startswith(SYSTEM):
        return "is a system message"
    if STEM in text and not text.endswith(STEM):
        return f"does not end in {STEM}, where the model has to go on"
    return None


Texts = Annotated[Any, AfterValidator(_checked)]  # of one mitigation, in a parameter set
