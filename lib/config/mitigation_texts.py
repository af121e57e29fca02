"""The texts of a mitigation: one text, or the same request in several wordings.

Each group of prompts gets one wording. Which one depends only on the mitigation's name, the group and the
number of wordings. All arms and draws of a group therefore have the same wording, other groups and
mitigations change nothing, and the wordings are about equally frequent. Several wordings cost no more
completions than one, and the effect of a mitigation is the mean over its wordings.
"""

import hashlib
from typing import Annotated, Any

from pydantic import AfterValidator


def texts(value: str | list[str]) -> list[str]:
    """The wordings of a mitigation, given as one text or as a list."""
    return [value] if isinstance(value, str) else list(value)


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
    normalized = [" ".join(text.split()) for text in texts(value)]
    if repeated := next((text for index, text in enumerate(normalized) if text in normalized[:index]), None):
        raise ValueError(f"the wording {repeated!r} stands there twice; word one anew, or take it out")
    return value


Texts = Annotated[Any, AfterValidator(_checked)]  # of one mitigation, in a parameter set
