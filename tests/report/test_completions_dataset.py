"""The dataset of a run: what was judged comes back, and its card is read by the Hub."""

import pandas as pd
import pytest
import yaml

from lib.cli import publish
from lib.config import params
from lib.report import completions_dataset
from tests import published
from tests.published import model


@pytest.fixture
def judgements() -> pd.DataFrame:
    return published.judgements()


def test_the_dataset_holds_what_was_judged(tmp_path, judgements):
    table = completions_dataset.table(model(), params.load("smoke"), judgements)
    publish._write_parquet(tmp_path / "data" / "m.parquet", table)
    back = pd.read_parquet(tmp_path / "data" / "m.parquet")
    shared = [name for name in judgements if name in back]
    assert set(judgements) == set(shared)
    left, right = (
        each[shared].astype(object).where(each[shared].notna(), None) for each in (back, judgements)
    )
    pd.testing.assert_frame_equal(left, right, check_dtype=False)
    assert set(back["model_id"]) == {"org/some-model"} and set(back["mitigation_text"]) == {""}


def test_a_mitigation_is_published_in_the_wording_that_was_asked(judgements):
    smoke = params.load("smoke")
    asked = judgements.assign(mitigation=["ignore-feelings", "control"] * 4, wording=[2, 1] * 4)
    texts = completions_dataset.table(model(), smoke, asked)["mitigation_text"]
    assert texts[0] == smoke.mitigations["ignore-feelings"][1] and texts[1] == smoke.mitigations["control"]


def test_the_card_is_read_by_the_hub(judgements):
    smoke = params.load("smoke")
    tables = {"m": completions_dataset.table(model(), smoke, judgements)}
    claims = pd.DataFrame({"claim": ["C0"], "model": ["m"], "measured": ["shift"], "verdict": ["supported"]})
    text = completions_dataset.card("smoke", smoke, tables, claims)
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "cc-by-4.0" and header["size_categories"] == ["n<1K"]
    assert [each["config_name"] for each in header["configs"]] == ["completions", "m", "claims"]
    kinds = {each["name"]: each["dtype"] for each in header["dataset_info"][0]["features"]}
    assert (kinds["completion"], kinds["valence"], kinds["charged"]) == ("string", "float64", "bool")
    assert "$" not in text and "mock models: nothing here allows a conclusion" in text
    assert "| m       | org/some-model |             8 |         1 |" in text
