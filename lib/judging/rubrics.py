"""Rubrics: the question put to a language model as a judge, and how its verdict is read from the reply.

A rubric is a text file. YAML front matter gives name, version and labels with the valence of each on the
human scale. The question follows under two headings: `# Two texts` with the placeholders {text_1} and
{text_2}, and `# One text` with {text_1}. {labels} is replaced by the list of labels.
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
# a line that is meant to give the verdict
_SHOULD_BE = re.compile(r"^[\W_]*verdict\b|\bverdict[\W_]*:", re.IGNORECASE)
_VERDICT = re.compile(r"[\W_]*verdict[*_\"'`]*\s*:(.*)", re.IGNORECASE)
_AROUND = " \t*_`\"'“”‘’«»()[]{}<>.,;:!"  # without "?", "-" and "~", which change the meaning of a label
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Rubric:
    """A rubric: the question in its two forms (`pair`, `alone`), and the labels.

    `labels` maps each label, in lower case, to its valence.
    """

    name: str
    version: str
    labels: dict[str, float]
    pair: str
    alone: str
    digest: str  # SHA-256 of the whole file


def question(rubric: Rubric, first: str, second: str | None = None) -> str:
    """Return the question about a pair of texts, or about one.

    Each text is put on one line. A placeholder inside a text is not replaced.
    """
    texts = {"text_1": " ".join(first.split()), "text_2": " ".join((second or "").split())}
    values = texts | {"labels": ", ".join(rubric.labels)}
    return _PLACE.sub(
        lambda placeholder: values[placeholder[1]], rubric.alone if second is None else rubric.pair
    )


def verdict(rubric: Rubric, reply: str | None, ended: bool, texts: list[str]) -> tuple[str, ...] | None:
    """Read the labels that `reply` gives to `texts`.

    The last verdict line counts. Each label must be one of the rubric's, whatever its case and the
    punctuation around it; any other deviation makes the reply unscored. A reply that was cut off (not
    `ended`) has no last line. A verdict line that occurs in one of the texts is taken as part of that text,
    not as the judge's.

    Args:
        rubric: The rubric that was asked.
        reply: The reply; None where it is missing.
        ended: Whether the reply is complete.
        texts: The texts that were asked about.

    Returns:
        One label per text; None where the reply is unscored or missing.
    """
    lines = [line for line in (reply or "").splitlines() if _SHOULD_BE.search(line)]
    match = _VERDICT.fullmatch(lines[-1]) if lines and ended else None
    if match is None or any(_words(lines[-1]) in _words(text) for text in texts):
        return None
    labels = tuple(label.strip(_AROUND).lower() for label in match[1].split("|"))
    return labels if len(labels) == len(texts) and all(label in rubric.labels for label in labels) else None


def _words(text: str) -> str:
    return " " + " ".join(_WORD.findall(text.casefold())) + " "


def read(name: str) -> Rubric:
    """Read a rubric that ships, by name, or another one, by path.

    Raises:
        ParameterError: If the file is not a rubric; the message names the place and the remedy.
    """
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
    for heading, body, needed in zip(
        HEADINGS, (pair, alone), ({"text_1", "text_2"}, {"text_1"}), strict=True
    ):
        if (placeholders := set(_PLACE.findall(body)) - {"labels"}) != needed:
            raise ParameterError(
                f"{path}: the question under {heading!r} has the places {sorted(placeholders)}; "
                f"it needs {sorted(needed)}, in braces"
            )
    rubric_name, version, labels = _front_matter(front[1], path)
    return Rubric(
        rubric_name, version, labels, pair.strip(), alone.strip(), hashlib.sha256(text.encode()).hexdigest()
    )


def _front_matter(text: str, path: Path) -> tuple[str, str, dict[str, float]]:
    try:
        values = yaml.safe_load(text)
        name, version, menu = values["name"], values["version"], values["labels"]
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
    return str(name), str(version), labels
