"""Instructions in front of published prompts are taken off test and control alike, and named; what is no
instruction stays."""

import pandas as pd
import pytest

from lib.config.specs import ParameterError
from lib.dataset import instructions, prompt_tables
from tests.dataset.test_prompt_tables import LIST, changed, found, prior, read

ASKED = "Complete the sentence:"


def pairs(*rows: tuple[str, str], concept="yellow") -> pd.DataFrame:
    """Pairs of test and control in rows 2, 3, …"""
    table = pd.DataFrame(rows, columns=["prompt", "control"])
    return table.assign(row=range(2, 2 + len(table)), concept=concept)


def bare(*rows: tuple[str, str], **columns) -> tuple[list[tuple], dict]:
    table, taken = instructions.without(pairs(*rows, **columns))
    return list(zip(table["prompt"], table["control"], strict=True)), taken


TEST, CONTROL = "He likes yellow. He works as a", "He works as a"


@pytest.mark.parametrize(
    "asked",
    [
        ASKED,
        "complete the sentence: ",
        "COMPLETE THE SENTENCE :",
        "Please finish the following sentence.",
        "Continue the text:",
        "Fill in the blank:",
        "Complete this sentence with one word:",
        "Now write a continuation of the story:",
        "Please complete the following:",
        f"{ASKED} {ASKED}",
        "**Complete the sentence:**",
        "“Complete the sentence:”",
        "1. Finish the sentence:",
        "Complete the sentence：",
        "Complete the sentence;",
        "Complete the sentence -",
        "Finish this sentence —",
        "Can you complete the sentence?",
        "Could you please continue the text?",
        "Your task is to complete the sentence.",
        "Complete the following sentence",
    ],
)
@pytest.mark.parametrize("both", [True, False])
def test_what_asks_for_a_text_to_be_completed_is_taken_off(asked, both):
    """Also where one row alone has it, and where the control is bare already."""
    asked_control = f"{asked} {CONTROL}" if both else CONTROL
    rows, taken = bare((f"{asked} {TEST}", asked_control), ("The sky is yellow. It", "It"))
    assert rows == [(TEST, CONTROL), ("The sky is yellow. It", "It")]
    shown = asked.removesuffix(f" {ASKED}").strip()
    assert taken == {
        f"instruction taken off the {arm}: {shown!r}": [2] for arm in ("test", "control")[: 1 + both]
    }


def test_case_and_control_only_are_counted_under_one_name():
    rows, taken = bare((f"{ASKED} {TEST}", f"complete the sentence: {CONTROL}"), (TEST, f"{ASKED} {CONTROL}"))
    assert rows == [(TEST, CONTROL)] * 2
    assert list(taken.values()) == [[2], [2, 3]]


def test_a_beginning_with_a_colon_that_all_tests_share_is_taken_off():
    rows, taken = bare(
        ("Task one: He likes yellow. He", "Task one: He"), ("TASK ONE: A yellow sky. It", "It")
    )
    assert rows == [("He likes yellow. He", "He"), ("A yellow sky. It", "It")]
    assert taken == {
        "instruction taken off the test: 'Task one:'": [2, 3],
        "instruction taken off the control: 'Task one:'": [2],
    }


@pytest.mark.parametrize(
    "rows",
    [
        [(TEST, CONTROL), ("He likes yellow. She", "She")],  # a context that all share is none
        [("It was clear: he likes yellow. He", "He"), (TEST, CONTROL)],  # a colon in some
        [("On yellow: he paints. He", "He"), ("On yellow: she paints. She", "She")],  # holds the concept
        [("Write a sentence about yellow: He", "He"), (TEST, CONTROL)],
        [("It was clear: he likes yellow. He", "He")],  # of one prompt nobody can tell
        [("Complete the sentence:", "He"), (TEST, CONTROL)],  # nothing would be left
        [(f"{ASKED} {TEST}", ASKED), (TEST, CONTROL)],  # of the control
        [
            ("Complete the yellow sentence: He", f"{ASKED} He"),
            (TEST, CONTROL),
        ],  # a control is not changed alone
        [("The complete sentence was yellow: He", "He"), ("Continue as you were. A yellow He", "He")],
    ],
)
def test_what_is_no_instruction_stays(rows):
    assert bare(*rows) == (rows, {})


@pytest.mark.parametrize("concept", ["ten", "text", "plete", "Sente"])
def test_a_concept_is_held_only_as_a_word(concept):
    rows, taken = bare((f"{ASKED} He has {concept}. He", f"{ASKED} He"), concept=concept)
    assert rows == [(f"He has {concept}. He", "He")] and len(taken) == 2
    assert bare((f"{ASKED} A sentence. He", f"{ASKED} He"), concept="Sentence")[1] == {}


@pytest.mark.parametrize("controls", [True, False])
def test_a_published_list_comes_out_as_it_would_without(tmp_path, controls):
    """As one real table has it, with it before the controls or not: nothing differs but what the report
    names."""
    before = LIST["is_control_item"].map(lambda control: "" if control and not controls else f"{ASKED}  ")
    plain, _ = read(LIST, tmp_path)
    asked, defects = read(LIST.assign(prompt=before + LIST["prompt"] + " "), tmp_path)
    pd.testing.assert_frame_equal(asked, plain)
    taken = {
        f"instruction taken off the {arm}: {ASKED!r}": [3, 4, 6]
        for arm in ("test", "control")[: 1 + controls]
    }
    assert found(defects) == taken | {"completions of a test that repeat its concept": [3]}
    assert prompt_tables.report(defects)["count"].tolist() == [3] * len(taken) + [1]
    texts = prompt_tables.build(prior(tmp_path / "published.xlsx"))["text"]
    assert not texts.str.contains(ASKED).any()


def test_unmarked_rows_that_are_controls_are_no_tests_without_one(tmp_path):
    unmarked = LIST.drop(columns="is_control_item")
    pairs, defects = read(unmarked, tmp_path)
    assert len(pairs) == 3
    assert found(defects) == {"completions of a test that repeat its concept": [3]}
    lonely = changed(2, n_control="none").drop(columns="is_control_item")
    assert read(lonely, tmp_path)[1]["tests without a control, left out"] == [4], (
        "no test uses it, so it is one"
    )
    marked = changed(3, is_control_item=False)
    assert read(marked, tmp_path)[1]["tests without a control, left out"] == [5], (
        "the table says that it is a test"
    )


def test_unmarked_controls_beside_pairs_are_no_tests_without_one(tmp_path):
    table = pd.DataFrame(
        {
            "prompt": [CONTROL, TEST, "Her dog"],
            "concept": ["none", "yellow", "x"],
            "control": [None, CONTROL, None],
        }
    )
    pairs, defects = read(table, tmp_path)
    assert pairs["row"].tolist() == [3]
    assert found(defects) == {"tests without a control, left out": [4]}


@pytest.mark.parametrize(
    ("yes", "no"), [("y", "n"), ("X", None), ("1.0", "0.0"), (1, 0), ("control", "test"), ("TRUE", "FALSE")]
)
def test_controls_are_told_whatever_their_mark(tmp_path, yes, no):
    marked = LIST.assign(is_control_item=[yes if control else no for control in LIST["is_control_item"]])
    unused = pd.concat([marked, marked.iloc[[3]].assign(prompt="The tree is")], ignore_index=True)
    assert found(read(unused, tmp_path)[1]) == {
        "controls that no test uses": [7],
        "completions of a test that repeat its concept": [3],
    }


@pytest.mark.parametrize("repeated", ["He works as a", f"{ASKED} He works as a", "HE  works as a"])
def test_a_control_that_stands_there_again_is_no_test_without_one(tmp_path, repeated):
    unmarked = LIST.drop(columns="is_control_item")
    again = pd.concat([unmarked, unmarked.iloc[[0]].assign(prompt=repeated)], ignore_index=True)
    pairs, defects = read(again, tmp_path)
    assert len(pairs) == 3
    assert found(defects) == {"completions of a test that repeat its concept": [3]}
    beside = pd.DataFrame(
        {"prompt": [repeated, TEST], "concept": ["none", "yellow"], "control": [None, CONTROL]}
    )
    assert found(read(beside, tmp_path)[1]) == {}


def test_a_row_is_no_control_of_its_own(tmp_path):
    pairs, defects = read(changed(0, n_control=0), tmp_path)
    assert pairs["row"].tolist() == [3, 4, 6] and "controls that are not marked as such" not in found(defects)
    assert read(changed(4, n_control=4), tmp_path)[1]["tests without a control, left out"] == [6]


def test_cells_that_are_no_text_are_counted_or_refused_by_row(tmp_path):
    _, defects = read(changed(0, generation_1="=A1"), tmp_path)
    assert defects["pairs with completions that are no text (a formula, an error, a date), left out"] == [
        3,
        4,
    ]
    _, defects = read(changed(4, generation_1="#NAME?"), tmp_path)
    assert defects["pairs with completions that are no text (a formula, an error, a date), left out"] == [6]
    with pytest.raises(
        ParameterError, match=r"1 row whose n_control is no text: a formula \(=A1\)\nrow 4; write"
    ):
        read(changed(2, n_control="=A1"), tmp_path)
