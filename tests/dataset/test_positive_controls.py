"""Texts whose sentiment belongs to what follows: the shipped items, their prompts, planted defects."""

import pandas as pd
import pandera.errors
import pytest

from lib.dataset import curated_prompts, lint, positive_controls

SENTENCES = curated_prompts.shipped(part=None)


@pytest.fixture
def items() -> pd.DataFrame:
    return positive_controls.read()


def found(items: pd.DataFrame) -> list[tuple[str, str]]:
    defects = positive_controls.defects(items, SENTENCES.stems, SENTENCES.contexts)
    return [(finding.check, finding.place.split(",")[0]) for finding in defects]


def test_the_shipped_items_are_many_of_each_kind_and_without_defects(items):
    assert len(items) == 144 and items["kind"].value_counts().tolist() == [24] * 6
    assert found(items) == []


def test_an_item_has_a_prompt_in_each_arm(items):
    table = positive_controls.prompts(items)
    assert len(table) == 3 * len(items) and table["prompt_id"].is_unique
    first = table.iloc[0]
    assert (first.prompt_id, first.group_id, first.arm) == ("feeling-01/negative", "feeling-01", "negative")
    assert first.text == f"{items['negative'][0]} {items['stem'][0]}"
    assert table["arm"].tolist() == list(positive_controls.ARMS) * len(items)


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("stem", "The terrible day was", "sentiment"),
        ("neutral", "He was happy an hour before the boat sailed.", "sentiment"),
        ("positive", "He won.", "length"),
        ("stem", SENTENCES.stems["stem"][0], "repeated"),
        ("negative", curated_prompts.tell(SENTENCES.contexts["text"][0], "He", "he"), "repeated"),
        ("stem", "On a evening like this he feels", "article"),
        ("neutral", "He was measured for a raincoat  an hour before the boat sailed.", "encoding"),
    ],
)
def test_a_planted_defect_is_found(items, column, value, check):
    items.loc[0, column] = value
    assert (check, "feeling-01") in found(items)


def test_uneven_kinds_are_found(items):
    assert ("design", "reply") in found(items[items["item_id"] != "reply-03"])


@pytest.mark.parametrize(
    ("column", "value"),
    [("stem", "He feels."), ("negative", "He was dropped"), ("kind", "mood"), ("item_id", "reply-99")],
)
def test_a_file_that_does_not_fit_is_refused(items, tmp_path, column, value):
    items.loc[0, column] = value
    items.to_csv(tmp_path / positive_controls.FILE, index=False)
    with pytest.raises(pandera.errors.SchemaError):
        positive_controls.read(tmp_path)


def test_the_lint_of_the_dataset_looks_at_them(capsys):
    assert lint.main() == 0
    assert "144 positive controls" in capsys.readouterr().out
