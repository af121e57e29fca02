"""Completions are shown as text in notebooks; the explorer, the site and cards have tests of their own."""

import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lib.config import params
from lib.report import reports
from tests.conftest import ROOT
from tests.site.hostile import HOSTILE, judgements

MORE = ("<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "=1+1", "$x^2$ and \\(y\\)")


@pytest.fixture
def shown(monkeypatch):
    """The options of pandas as a notebook sets them, undone afterwards."""
    monkeypatch.setattr(reports, "display", lambda _: None)
    before = pd.get_option("display.html.use_mathjax")
    values = params.cell_values(params.load("smoke"), "smoke", "03_judging", "mock-50")
    reports.setup_notebook("03_judging", values)
    yield
    pd.set_option("display.html.use_mathjax", before)


@pytest.mark.parametrize("text", [*HOSTILE, *MORE])
def test_a_table_of_samples_holds_the_text_and_no_markup_of_it(shown, text):
    table = judgements(np.random.default_rng(1), groups=4).assign(completion=text, context=text, stem=text)
    html = reports.samples(table, 2, 1)._repr_html_()
    page = BeautifulSoup(html, "html.parser")
    assert {tag.name for tag in page.find_all()} <= {
        "div",
        "style",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
    }
    assert not [tag for tag in page.find_all() if any(name.startswith("on") for name in tag.attrs)]
    assert "mathjax_ignore" in page.table["class"], "no formula is set of it"
    cells = {cell.get_text().split()[0] for cell in page.select("td") if cell.get_text().split()}
    assert text.split()[0] in cells


@pytest.mark.parametrize("name", ["lib/data/annotation_form.js", "lib/lab/lab.js", "lib/site/explorer.js"])
def test_no_script_makes_html_of_text(name):
    script = (ROOT / name).read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", script
    )
    assert re.search(r"textContent|createTextNode|\.append\(", script)
