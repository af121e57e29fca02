"""The explorer: what its script computes is what Python computes, no text becomes markup, its errors help."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from lib.config.specs import ParameterError
from lib.report import pairs
from lib.runtime.errors import DataError
from lib.site import explorer
from lib.storage import records
from tests.report.test_pairs import MODELS, ROWS, SET, judged, run

__all__ = ["run"]  # a fixture
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def node(tmp_path):
    """Runs a line of JavaScript that may use the exports of the explorer as `e`, and `given`; its value."""
    if shutil.which("node") is None:
        pytest.skip("needs node, which is not installed")
    (tmp_path / "explorer.mjs").write_text(explorer.script(), encoding="utf-8")

    def evaluate(line: str, given=None):
        (tmp_path / "given.json").write_text(json.dumps(given))
        code = (
            "import * as e from './explorer.mjs'; import { readFileSync } from 'fs';\n"
            "const given = JSON.parse(readFileSync('given.json', 'utf8'));\n"
            f"console.log(JSON.stringify({line}));\n"
        )
        (tmp_path / "line.mjs").write_text(code, encoding="utf-8")
        done = subprocess.run(
            ["node", "line.mjs"], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
        )
        return json.loads(done.stdout)

    return evaluate


@pytest.mark.parametrize("confidence", [0.95, 0.9])
def test_the_interval_is_that_of_a_clustered_regression(node, confidence):
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, 23, 400)
    values = pd.Series(rng.normal(0.3, 1, 400) + rng.normal(0, 0.5, 23)[clusters])
    values[rng.random(400) < 0.1] = np.nan
    given = [
        values.astype(object).where(values.notna(), None).tolist(),
        clusters.tolist(),
        pairs.quantiles(confidence),
    ]
    found = node("e.estimate(...given)", given)
    scored = values.dropna()
    fit = sm.OLS(scored, np.ones(len(scored))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters[scored.index]}
    )
    reach = stats.t.ppf((1 + confidence) / 2, 22) * fit.bse.iloc[0]
    mean = scored.mean()
    assert (found["n"], found["clusters"]) == (len(scored), 23)
    assert [found["mean"], found["se"]] == pytest.approx([mean, fit.bse.iloc[0]], rel=1e-9)
    assert [found["low"], found["high"]] == pytest.approx([mean - reach, mean + reach], abs=1e-4)


def test_beyond_the_last_quantile_the_last_one_is_used(node):
    values = np.random.default_rng(2).normal(size=2000)
    found = node("e.estimate(...given)", [values.tolist(), list(range(2000)), pairs.quantiles(0.95)])
    assert found["high"] - found["mean"] == pytest.approx(stats.t.ppf(0.975, 300) * found["se"], rel=1e-4)


@pytest.mark.parametrize(
    ("values", "clusters", "mean", "n"),
    [([], [], None, 0), ([None], [1], None, 0), ([1, 2], [1, 1], 1.5, 2), ([1, 1], [1, 2], 1, 2)],
)
def test_there_is_no_interval_without_two_clusters_that_differ(node, values, clusters, mean, n):
    found = node("e.estimate(...given)", [values, clusters, pairs.quantiles(0.95)])
    assert (found["mean"], found["n"], found["low"], found["high"]) == (mean, n, None, None)


NONE = dict.fromkeys([*explorer.CHOICES, "low", "high", "text"], "") | {"order": "benchmark"}


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({}, "draw > 0"),
        ({"arm": "positive"}, "arm == 'positive'"),
        ({"mitigation": "own"}, "mitigation == 'own'"),
        ({"outcome": "refused"}, "outcome == 'refused' or neutral_outcome == 'refused'"),
        ({"low": "0.5"}, "shift >= 0.5"),
        ({"low": "-1", "high": "2"}, "shift >= -1 and shift <= 2"),
        ({"text": " HORRIBLE "}, "completion == 'horrible.'"),
        ({"text": "at home"}, "neutral_completion == 'at home.'"),
        ({"slot": "no such"}, "draw < 0"),
        ({"emotion": "joy", "text": "cat", "order": "rising"}, "emotion == 'joy'"),
    ],
)
def test_filters_select_what_a_query_selects(node, filters, query):
    table = pairs.table(judged(ROWS))
    chosen = node("e.select(e.open(given[0]), given[1])", [pairs.columnar(table), NONE | filters])
    assert sorted(chosen) == table.query(query).index.tolist()


@pytest.mark.parametrize(("order", "ascending"), [("falling", False), ("rising", True)])
def test_pairs_are_sorted_by_shift_and_what_has_none_stands_last(node, order, ascending):
    table = pairs.table(judged(ROWS))
    chosen = node("e.select(e.open(given[0]), given[1])", [pairs.columnar(table), NONE | {"order": order}])
    expected = table.sort_values("shift", ascending=ascending, kind="stable", na_position="last")
    assert chosen == expected.index.tolist()


def test_a_pair_is_found_again_by_its_name(node):
    data = pairs.columnar(pairs.table(judged(ROWS)))
    places = "given.columns.draw.map((_, row) => table.rowOf(table.id(row)))"
    assert node(f"((table) => {places})(e.open(given))", data) == list(range(7))


TEXTS = [
    "A Happy dog :( and isn’t GOOD; can’t",
    "constructor __proto__",
    HOSTILE,
    "好 😀 great-ish",
    "",
    "x\n y",
]


def test_charged_words_are_marked_and_no_text_is_lost(node):
    found = node("given[0].map((text) => e.pieces(text, given[1]))", [TEXTS, pairs.lexicon_of(TEXTS)])
    assert ["".join(piece for piece, _ in pieces) for pieces in found] == TEXTS
    ratings = [{piece: rating for piece, rating in pieces if rating is not None} for pieces in found]
    assert ratings[0]["Happy"] > 0 and ratings[0][":("] < 0 < ratings[0]["GOOD"]
    assert ratings[1] == {}


def test_control_characters_are_shown_as_signs(node):
    shown = node("e.visible(given)", "\x1b[31mred\x00\x7f\x9b\na\tb\r\nc\u202e 😀 é")
    assert shown == "␛[31mred␀␡⟨9b⟩⏎ a⇥ b⏎ c⟨202e⟩ 😀 é"


def data_of(completion: str, title: str = "made up") -> dict:
    rows = [*ROWS, ("elk+1", "none", "neutral", 0, "x"), ("elk+1", "none", "negative", 0, completion)]
    about = {"set": SET, "title": title, "mock": "", "judge": {"name": "vader", "version": "v"}}
    return {
        **about,
        "confidence": 0.95,
        "t": pairs.quantiles(0.95),
        **pairs.columnar(pairs.table(judged(rows))),
    }


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "</script><img src=x onerror=alert(1)>", "<!--<script>", "\u2028\x00\uffff", "$title ${data}"],
)
def test_no_text_becomes_markup(text):
    page = explorer.html(data_of(text, title=f"{HOSTILE} & co"))
    assert "<script>alert" not in page and "<img" not in page and "<!--" not in page
    assert page.count("</script>") == 2
    (held,) = re.findall(
        r'<script type="application/json" id="explorer-data">(.*?)</script>', page, re.DOTALL
    )
    assert json.loads(held) == data_of(text, title=f"{HOSTILE} & co")
    page.encode("utf-8")


def test_the_page_asks_no_host_and_allows_no_other_script():
    page = explorer.html(data_of("fine"))
    assert not re.search(r"https?://|url\(|@import|src=", page)
    assert "default-src 'none'; style-src 'sha256-" in page and "script-src 'sha256-" in page
    assert "unsafe" not in page


def test_the_script_is_one_module():
    script = explorer.script()
    assert not re.search(r"^import", script, re.MULTILINE)
    assert "innerHTML" not in script and "</script" not in script
    assert "export function mount(" in script and "export default { render" in script


def test_a_set_without_tables_and_kept_pairs_names_the_remedy(project):
    with pytest.raises(DataError, match=f"(?s)set {SET}: .* neither .* make reproduce SET={SET}"):
        explorer.read(SET)
    with pytest.raises(ParameterError, match=r"smok\.yaml: no such parameter set"):
        explorer.read("smok")


def test_without_tables_the_kept_pairs_are_read(run):
    kept = pairs.to_json(SET)
    pairs.save(SET)
    records.table_path(SET, f"judgements/{MODELS[0]}").unlink()
    assert explorer.read(SET) == kept


def test_the_command_writes_the_page_and_prints_its_path(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["explorer", SET])
    assert explorer.main() == 0
    path = records.run_folder(SET) / explorer.PAGE
    assert capsys.readouterr().out.strip() == str(path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_widget_begins_with_the_filters(run):
    shown = explorer.widget(SET, model="mock-10", arm="negative", low=-1.5, mitigation="", order="falling")
    assert shown.filters == {
        "model": "mock-10",
        "arm": "negative",
        "low": "-1.5",
        "mitigation": "",
        "order": "falling",
    }
    assert shown.data["set"] == SET


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"modle": "x"}, "filter 'modle': .*did you mean 'model'"),
        ({"model": "mock-5"}, "filter model='mock-5': set smoke has mock-10, mock-30, mock-50; did you mean"),
        ({"order": "up"}, "filter order='up': set smoke has benchmark, falling, rising"),
        ({"low": "much"}, "filter low='much': is no number"),
    ],
)
def test_a_filter_that_is_not_there_is_named(run, filters, message):
    with pytest.raises(ParameterError, match=message):
        explorer.widget(SET, **filters)
