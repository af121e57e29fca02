"""What is held out of stems and contexts meets no run but a confirmatory one, and the other way round."""

import shutil

import numpy as np
import pandas as pd
import pandera.errors
import pytest

from lib.agreement import face_validity
from lib.claims import rules
from lib.cli import export
from lib.config import sections, specs
from lib.config.specs import HELD_OUT, MAIN, PARTS, ParameterError
from lib.dataset import curated_prompts, lint, own_sentences
from lib.lab import stems as lab_stems
from lib.measure import answers
from lib.storage import records
from tests import parted


@pytest.fixture
def parts(tmp_path, monkeypatch) -> curated_prompts.Sentences:
    """The shipped files with a third of the stems and matches held out."""
    tables = parted.write(tmp_path)
    shutil.copy(curated_prompts.DATA / "README.md", tmp_path)
    monkeypatch.setattr(curated_prompts, "DATA", tmp_path)
    return tables


def run(part: str = MAIN, stems: int | None = None, **other) -> sections.Dataset:
    return sections.Dataset(
        set_name="mine", is_mock=True, seed=1, stems=stems, contexts_per_stem=1, part=part, **other
    )


def ids(tables: curated_prompts.Sentences, part: str) -> tuple[set, set]:
    stems, contexts = (table[table["part"] == part] for table in (tables.stems, tables.contexts))
    return set(stems["stem_id"]), set(contexts["match_id"])


@pytest.mark.parametrize(("part", "other"), [PARTS, PARTS[::-1]])
def test_a_run_takes_no_stem_and_no_match_of_the_other_part(parts, part, other):
    sentences = own_sentences.read(run(part))
    table = curated_prompts.with_match(curated_prompts.build(1, None, 2, of=sentences))
    mine, others = ids(parts, part), ids(parts, other)
    assert (set(table["stem_id"]), set(table["match_id"])) == mine
    assert not mine[0] & others[0] and not mine[1] & others[1]
    assert set(sentences.exclusions["match_id"]) <= mine[1]
    assert set(sentences.exclusions["scope"]) <= mine[0] | set(parts.stems["domain"])


def test_whoever_names_no_part_takes_the_main_one(parts):
    for table in (
        curated_prompts.build(1, None, 1),
        answers.benchmark({"dataset": {"seed": 1, "stems": None, "contexts_per_stem": 1}})[0],
    ):
        assert set(table["stem_id"]) == ids(parts, MAIN)[0]
    assert len(curated_prompts.shipped().contexts) == 4 * len(ids(parts, MAIN)[1])
    assert (
        len(curated_prompts.shipped(part=None).stems) == len(curated_prompts.read_stems()) == len(parts.stems)
    )
    assert (
        set(face_validity.scores([specs.JUDGE_SCHEMA.validate_python("vader")])["match_id"])
        == ids(parts, MAIN)[1]
    )


def test_files_without_the_column_are_all_of_the_main_part():
    bare = curated_prompts.read_stems().drop(columns="part", errors="ignore")
    assert (
        len(curated_prompts.of_part(bare, MAIN)) == len(bare)
        and curated_prompts.of_part(bare, HELD_OUT).empty
    )


def test_a_match_in_two_parts_is_refused(parts):
    torn = parts.contexts.assign(part=[MAIN, *parts.contexts["part"][1:]])
    with pytest.raises(pandera.errors.SchemaError, match="a part that differs inside a match"):
        curated_prompts.CONTEXTS.validate(torn)
    assert [found.reason for found in lint.pairing(torn)] == ["differs in part"]


def test_the_lint_reads_all_parts(parts):
    held_out, main = (parts.stems[parts.stems["part"] == part].iloc[0] for part in (HELD_OUT, MAIN))
    same = parts.stems.assign(
        stem=parts.stems["stem"].mask(parts.stems["stem_id"] == main["stem_id"], held_out["stem"])
    )
    found = lint.lint(same, parts.contexts, parts.exclusions, embed=lambda texts: np.zeros((len(texts), 2)))
    assert {"near-duplicate", "schema"} <= set(found["check"]), "one of them is held out"


def test_more_stems_than_the_part_has_are_refused(parts):
    with pytest.raises(
        ParameterError, match=f"stems: 200 requested, but there are {len(ids(parts, HELD_OUT)[0])}"
    ):
        curated_prompts.build(1, 200, 1, of=own_sentences.read(run(HELD_OUT)))


def test_nothing_held_out_is_told_by_file_and_remedy(tmp_path, monkeypatch):
    for name, table in curated_prompts.shipped()._asdict().items():
        table.drop(columns="part", errors="ignore").to_csv(tmp_path / f"{name}.csv", index=False)
    monkeypatch.setattr(curated_prompts, "DATA", tmp_path)
    with pytest.raises(
        ParameterError, match=r"dataset\.part: 'held_out': lib/data/stems\.csv holds 0 such stems"
    ) as caught:
        own_sentences.check(run(HELD_OUT))
    assert "mark rows of it with held_out in a column part, or set dataset.part" in str(caught.value)


def test_own_files_are_divided_as_the_curated_ones_are(parts, tmp_path):
    files = {"stems_file": str(tmp_path / "stems.csv"), "contexts_file": str(tmp_path / "contexts.csv")}
    for part in PARTS:
        own, _ = own_sentences.check(run(part, **files))
        assert (set(own["stems"]["stem_id"]), set(own["contexts"]["match_id"])) == ids(parts, part)
        apart = [len(getattr(parts, name)) - len(table) for name, table in own.items()]
        said = own_sentences.summary(
            run(part, **files), own_sentences.read(run(part, **files)), parts.stems[:0]
        )
        assert [f"({count} more are not of the part {part} and left out)" in said for count in apart] == [
            True,
            True,
        ]
    parts.stems.drop(columns="part").to_csv(tmp_path / "bare.csv", index=False)
    with pytest.raises(ParameterError, match=r"dataset.part: 'held_out': \S+bare.csv holds 0 such stems"):
        own_sentences.check(run(HELD_OUT, stems_file=str(tmp_path / "bare.csv")))


@pytest.mark.parametrize(
    ("column", "value", "known"), [("part", "", "main, held_out"), ("kind", "bodily", "'', physical, mental")]
)
def test_a_part_or_kind_that_there_is_not_is_named_with_those_there_are(tmp_path, column, value, known):
    contexts = curated_prompts.shipped().contexts
    contexts.assign(**{column: [value, *contexts[column][1:]]}).to_csv(tmp_path / "contexts.csv", index=False)
    with pytest.raises(ParameterError) as caught:
        own_sentences.check(run(MAIN, contexts_file=str(tmp_path / "contexts.csv")))
    place = f"contexts.csv line 2 ({contexts['context_id'][0]}), {column}: "
    assert f"{place}{value!r}: is not one of {known}; give one of them" in str(caught.value)


@pytest.mark.parametrize("other", ["mining", "published_prompts"])
def test_nothing_is_held_out_of_mined_and_published_prompts(other):
    given = {"mining": {}, "published_prompts": {"path": "table.csv"}}[other]
    with pytest.raises(ValueError, match=f"part: 'held_out' and {other} are both given"):
        run(HELD_OUT, **{other: given})


@pytest.mark.parametrize("part", PARTS)
def test_the_export_tells_the_part_in_every_table(parts, part, project):
    path = project / "params" / "smoke.yaml"
    confirms = f"confirms: {{set: embedded, rules: {rules.RULES_VERSION}}}\n" * (part == HELD_OUT)
    path.write_text(confirms + path.read_text().replace("dataset:\n", f"dataset:\n  part: {part}\n"))
    folder = export.export("smoke")
    tables = {
        name: pd.read_json(folder / "data" / f"{name}.jsonl", lines=True)
        for name in ("stems", "contexts", "prompts")
    }
    assert all(set(table["part"]) == {part} for table in tables.values())
    assert [list(table.columns[:4]).index("part") for table in tables.values()] == [1, 2, 3]
    assert set(tables["stems"]["stem_id"]) <= ids(parts, part)[0]
    pd.testing.assert_frame_equal(
        tables["prompts"], records.read_table("smoke", "export/data/prompts"), check_dtype=False
    )


def test_a_stem_of_the_lab_joins_the_main_part(parts):
    made = lab_stems.row("His cap is", "hobby", "closed", "", "", parts.stems)
    assert made["part"] == MAIN and list(made) == list(parts.stems.columns)
