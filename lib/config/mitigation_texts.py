"""The texts of a mitigation: one, or the same request in several wordings, of which each group of prompts is
asked in one.

Which one depends on the mitigation's name, the group and how many wordings there are, and on nothing else:
all arms and draws of a group have the same, other groups and mitigations change nothing, and wordings come
about equally often. So several cost no more completions than one, and what a prompt does is the mean over its
wordings.
"""

import hashlib
from typing import Annotated, Any

from pydantic import AfterValidator


def texts(value: str | list[str]) -> list[str]:
    """The wordings of a mitigation, of which `value` gives one or a list."""
    return [value] if isinstance(value, str) else list(value)


def of_group(mitigation: str, group_id: str, count: int) -> int:
    """The number of the wording, of `count` from 1 on, in which a group of prompts is asked under a
    mitigation."""
    return int.from_bytes(hashlib.sha256(f"{mitigation}\n{group_id}".encode()).digest()) % count + 1


def asked_once(mitigations: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    """The mitigations, checked; ValueError for a text of two names: the same completions would be compared
    with themselves."""
    named: dict[str, str] = {}
    for name, value in mitigations.items():
        for text in texts(value):
            read = " ".join(text.split())
            if (other := named.setdefault(read, name)) != name:
                raise ValueError(
                    f"{other} and {name} hold the same text, {read!r}; word one anew, or take it out"
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
    read = [" ".join(text.split()) for text in texts(value)]
    if again := next((text for place, text in enumerate(read) if text in read[:place]), None):
        raise ValueError(f"the wording {again!r} stands there twice; word one anew, or take it out")
    return value


Texts = Annotated[Any, AfterValidator(_checked)]  # of one mitigation, in a parameter set
