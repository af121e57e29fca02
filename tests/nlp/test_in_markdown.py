"""What a model wrote stays text in Markdown, whatever it holds."""

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from lib.cli import readme
from lib.nlp.text import in_markdown
from lib.report import card
from tests.site.hostile import HOSTILE

MORE = (
    "[a link](javascript:alert(1))",
    "![x](http://nowhere.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "**bold** _and_ `code` $x^2$ ~~gone~~",
    "one\n\n# two\n\n| a | b |\n|---|---|\n",
    "a \\ b \\* c",
    "\x1b[31mred\x1b[0m \x07",
)


@pytest.mark.parametrize("text", [*HOSTILE, *MORE])
def test_no_text_becomes_markup(text):
    """Read as GitHub and the site read Markdown, there is one paragraph, and in it the text."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(f"x {in_markdown(text)} y")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    inside = tokens[1].children
    assert {token.type for token in inside} <= {"text", "text_special"}
    shown = "".join(token.content for token in inside)
    plain = "".join(letter if letter.isprintable() else " " for letter in f"x {text} y")
    assert shown.split() == plain.split()
    assert "\x1b" not in shown


def test_ordinary_text_stays_as_it_is():
    text = "“It's 50 % – really (no joke)!”, he said; 3.5 + 1 = 4.5: so?"
    assert in_markdown(text) == text


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "[a](http://b.example)", "a **b"])
def test_cards_and_the_readme_show_text(text):
    pair = {"context": text, "stem": text, "completion": text, "shift": 1.0, "random": False}
    pair |= {"context_neutral": text, "completion_neutral": text}
    assert card._pair_told(pair).count(in_markdown(text)) == 6
    assert text not in card._pair_told(pair)
    row = {"model": "m", "group_id": "g", "sample_index": 0} | pair
    quoted = readme._pair(pd.Series(row), pd.DataFrame([row | {"arm": "neutral"}]))
    assert quoted.count(in_markdown(text)) == 6 and text not in quoted
