"""The words of the site: every link to one arrives, quotations are left alone, answers are whole."""

import re

import pandas as pd
import pytest

from lib.claims import beyond_prompting
from lib.claims.board import in_words
from lib.claims.claims import PRESPECIFIED
from lib.cli import readme
from lib.site import articles, board, glossary

nodes = pytest.importorskip("docutils.nodes")


@pytest.fixture
def claims():
    """The board of the landing page."""
    return readme.board(readme.SET, readme.MINED_SET)


def test_every_word_has_one_address_and_every_spelling_one_meaning():
    page = glossary.page()
    addresses = re.findall("id='([^']+)'", page)
    assert len(addresses) == len(set(addresses)) > 20
    assert {address for address, _ in glossary.known().values()} <= set(addresses)
    spellings = [each for row in glossary._rows() for each in row["linked"].split(";") if each]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize("heads", [["MDE / margin", "net excess, points", "verdict"]])
def test_the_heads_of_a_board_lead_to_their_words(heads):
    links = [re.findall('href="([^"]+)"', glossary.linked(head, "../../")) for head in heads]
    assert links == [
        ["../../guide/words.html#word-mde", "../../guide/words.html#word-margin"],
        ["../../guide/words.html#word-net-excess"],
        [],
    ]


def test_a_line_with_markup_stays_text():
    assert glossary.linked("<b> & stemming", "") == "&lt;b&gt; &amp; stemming"


def linked(*children):
    """The page of a run after the words are linked."""
    from types import SimpleNamespace

    from docutils.utils import new_document

    from lib.site import linking

    tree = new_document("page")
    tree.extend(children)
    builder = SimpleNamespace(get_relative_uri=lambda page, target: f"../../{target}.html")
    linking.link_words(SimpleNamespace(builder=builder), tree, "runs/x/index")
    return tree


def test_the_first_use_of_a_word_is_linked_and_no_text_is_lost():
    texts = ("The placebo and the net excess,", "again net excess; a placebo, placebos.")
    tree = linked(*(nodes.paragraph("", text) for text in texts))
    links = list(tree.findall(nodes.reference))
    assert [link.astext() for link in links] == ["placebo", "net excess"]
    assert links[0]["refuri"] == "../../guide/words.html#word-placebo" and links[0]["reftitle"]
    assert tuple(paragraph.astext() for paragraph in tree) == texts


@pytest.mark.parametrize("kind", [nodes.title, nodes.literal, nodes.block_quote, nodes.reference])
def test_headings_code_quotations_and_links_are_left_alone(kind):
    tree = linked(
        kind("", nodes.Text("the placebo")) if kind is nodes.block_quote else kind("", "the placebo")
    )
    assert "word" not in str(tree) and tree.astext() == "the placebo"


def test_a_page_about_the_code_is_left_alone():
    from lib.site import linking

    tree = nodes.paragraph("", "the placebo")
    linking.link_words(None, tree, "guide/contributing")
    assert not list(tree.findall(nodes.reference))


def test_the_answers_hold_every_row_with_its_verdict_and_reason(claims):
    text = board.answers(claims)
    asked = [question for claim, question in readme.QUESTIONS.items() if claim in set(claims["claim"])]
    assert re.findall(r"^- \*\*(.*?)\*\*", text, re.MULTILINE) == asked and len(asked) == 6
    for row in claims.itertuples():
        found = f", {row.verdict}" if pd.notna(row.estimate) else ": not estimated"
        assert f"{found} ({row.reason})" in text
    assert text.count("\n  - ") == len(claims)


def test_in_brief_no_range_runs_over_different_quantities(claims):
    lines = board.in_brief(claims).splitlines()
    assert len(lines) == 6
    mined = claims[claims["claim"] == "C5"]
    assert len(mined) == 3 and " to " not in lines[5].split(board.SAYS["C5"])[1]
    assert all(f"{row.estimate:+.2f}".replace("-", "−") in lines[5] for row in mined.itertuples())


def test_every_claim_has_a_question_and_says_what_is_estimated():
    assert set(readme.QUESTIONS) == set(board.SAYS) == {*PRESPECIFIED, beyond_prompting.CLAIM.name}


def test_the_verdict_is_seen_without_unfolding_and_as_judged_is_explained(claims):
    table = board.table(claims, "../../")
    heads = re.findall(r"<th[^>]*>(.*?)</th>", table.partition("<details")[0])
    assert len(heads) == 6 and heads[5] == "verdict"
    assert all(in_words(row) in table for row in claims.itertuples())
    assert "nobody has labelled" in board.how_to_read(claims, "")
    assert "nobody" not in board.how_to_read(claims.assign(as_judged=False), "")


def test_a_drawing_becomes_a_list():
    text = "See:\n```mermaid\nflowchart TD\n    a --> b\n    a --> c\n    d --> a\n```\nafter"
    assert articles.drawn_as_list(text) == "See:\n- `a` → `b`, `c`\n- `d` → `a`\nafter"
