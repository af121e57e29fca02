"""Rubrics: what a language model is asked as a judge, and how its verdict is read from the reply.

A rubric is a text file: YAML front matter (name, version, labels with what each is worth on the human scale),
then the question under two headings, `# Two texts` with the places {text_1} and {text_2}, and `# One text`
with {text_1}; {labels} is the menu.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from lib.config.specs import ParameterError, rubric_path

HEADINGS = ("# Two texts", "# One text")
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_PLACE = re.compile(r"\{(text_1|text_2|labels)\}")
# a line that means to give the verdict
_SHOULD_BE = re.compile(r"^[\W_]*verdict\b|\bverdict[\W_]*:", re.IGNORECASE)
_VERDICT = re.compile(r"[\W_]*verdict[*_\"'`]*\s*:(.*)", re.IGNORECASE)
_AROUND = " \t*_`\"'“”‘’«»()[]{}<>.,;:!"  # no "?", "-" or "~": what they do to a label changes it
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Rubric:
    """The question in its two forms, and the menu: label, in lower case, to valence."""

    name: str
    version: str
    labels: dict[str, float]
    pair: str
    alone: str
    digest: str  # of the whole file


def question(rubric: Rubric, first: str, second: str | None = None) -> str:
    """What is asked about a pair of texts, or about one; each is put on one line. A place inside a text is no
    place."""
    texts = {"text_1": " ".join(first.split()), "text_2": " ".join((second or "").split())}
    shown = texts | {"labels": ", ".join(rubric.labels)}
    return _PLACE.sub(lambda place: shown[place[1]], rubric.alone if second is None else rubric.pair)


def verdict(rubric: Rubric, reply: str | None, ended: bool, texts: list[str]) -> tuple[str, ...] | None:
    """The labels that `reply` gives to `texts`, one each; None where it is unscored, or missing (None).

    The last verdict line counts, and each label must be on the menu, whatever its case and the marks around
    it; nothing else is forgiven. A reply that was cut off (not `ended`) has no last line, and a verdict that
    stands in one of the texts is taken for theirs, not for the judge's.
    """
    lines = [line for line in (reply or "").splitlines() if _SHOULD_BE.search(line)]
    found = _VERDICT.fullmatch(lines[-1]) if lines and ended else None
    if found is None or any(_words(lines[-1]) in _words(text) for text in texts):
        return None
    labels = tuple(label.strip(_AROUND).lower() for label in found[1].split("|"))
    return labels if len(labels) == len(texts) and all(label in rubric.labels for label in labels) else None


def _words(text: str) -> str:
    return " " + " ".join(_WORD.findall(text.casefold())) + " "


def read(name: str) -> Rubric:
    """A rubric that ships, or one by path; ParameterError, with place and remedy, if it is none."""
    path = rubric_path(name)
    text = path.read_text(encoding="utf-8-sig")
    front = _FRONT.match(text)
    _, two, rest = text.partition(f"\n{HEADINGS[0]}\n")
    pair, one, alone = rest.partition(f"\n{HEADINGS[1]}\n")
    if not (front and two and one):
        raise ParameterError(
            f"{path}: no rubric: it needs front matter between two lines of ---, then the headings "
            f"{HEADINGS[0]!r} and {HEADINGS[1]!r}; lib/data/rubrics/valence.md is one"
        )
    for heading, part, needed in zip(
        HEADINGS, (pair, alone), ({"text_1", "text_2"}, {"text_1"}), strict=True
    ):
        if (found := set(_PLACE.findall(part)) - {"labels"}) != needed:
            raise ParameterError(
                f"{path}: the question under {heading!r} has the places {sorted(found)}; "
                f"it needs {sorted(needed)}, in braces"
            )
    named, version, labels = _front_matter(front[1], path)
    return Rubric(
        named, version, labels, pair.strip(), alone.strip(), hashlib.sha256(text.encode()).hexdigest()
    )


def _front_matter(text: str, path: Path) -> tuple[str, str, dict[str, float]]:
    try:
        given = yaml.safe_load(text)
        named, version, menu = given["name"], given["version"], given["labels"]
        labels = {str(label).lower(): float(valence) for label, valence in menu.items()}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ParameterError(
            f"{path}: its front matter needs name, version and labels, each with a number ({reason})"
        ) from None
    if len(labels) < max(2, len(menu)) or any(
        not label.strip(_AROUND) == label != "" or "|" in label for label in labels
    ):
        raise ParameterError(
            f"{path}: labels {list(menu)}: give two or more, different in any case, without | or marks around"
        )
    if wrong := {label: valence for label, valence in labels.items() if not -4 <= valence <= 4}:
        raise ParameterError(
            f"{path}: labels {wrong}: the human scale runs from -4 to 4; correct the numbers"
        )
    return str(named), str(version), labels
