"""One's own stems and contexts: the page that shows how, files as people save them, and what is wrong named
by line."""

import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from lib.cli import batch, export
from lib.config import params, sections, specs
from lib.config.specs import ParameterError
from lib.dataset import assignment, curated_prompts, own_sentences
from lib.mining import benchmarks
from lib.models import registry
from lib.report import manifest
from lib.storage import caching, records
from tests.dataset.test_lint import embed

PAGE = (curated_prompts.DATA / "OWN_SENTENCES.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL))
STEMS = BLOCKS["csv"]
CONTEXTS = """\
context_id,match_id,arm,emotion,intensity,form,literal_senses,text
m01-neg,m01,negative,sadness,strong,explicit,,{Subject} {is} completely heartbroken and full of sorrow.
m01-pos,m01,positive,joy,strong,explicit,,{Subject} {is} completely overjoyed and full of glee.
m01-neu1,m01,neutral,none,strong,explicit,,{Subject} {is} completely motionless and facing sideways.
m01-neu2,m01,neutral2,none,strong,explicit,,{Subject} {is} halfway upstairs and out of earshot.
m02-neg,m02,negative,sadness,plain,explicit,,{Subject} {is} feeling sad and downhearted again.
m02-pos,m02,positive,joy,plain,explicit,,{Subject} {is} feeling glad and lighthearted again.
m02-neu1,m02,neutral,none,plain,explicit,,{Subject} {is} walking back and forth again.
m02-neu2,m02,neutral2,none,plain,explicit,,{Subject} {is} sitting upright and still again.
"""
KEY = {STEMS: "stems_file", CONTEXTS: "contexts_file"}


@pytest.fixture(autouse=True)
def each_text_is_embedded_once(monkeypatch):
    monkeypatch.setattr(own_sentences, "similarity", SimpleNamespace(embed=embed))


def run(contexts_per_stem: int | None = 1, stems: int | None = None, **files) -> sections.Dataset:
    named = {key: str(path) for key, path in files.items()}
    return sections.Dataset(
        set_name="mine", is_mock=True, seed=1, stems=stems, contexts_per_stem=contexts_per_stem, **named
    )


def saved(folder: Path, content: str | bytes, name: str = "own.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project that has a set `mine` on mock models, with the page's values of the section
    `dataset`."""
    values = yaml.safe_load((specs.ROOT / "params" / "smoke.yaml").read_text())
    values["dataset"] |= yaml.safe_load(BLOCKS["yaml"])
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "data").mkdir()
    for module in (specs, records):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def test_who_follows_the_page_has_a_domain_in_a_benchmark(project, capsys):
    assert len(PAGE.splitlines()) < 20
    saved(project, STEMS, "data/garden.csv")
    assert own_sentences.main("mine") == 0
    assert "data/garden.csv: 0 errors, 0 warnings" in capsys.readouterr().out
    told = params.dataset("mine")
    sentences = own_sentences.read(told)
    table, _ = benchmarks.build(told, sentences)
    count = STEMS.count("\n") - 1
    assert set(table["domain"]) == {"garden"}
    assert table.groupby("stem_id")["group_id"].nunique().to_dict() == dict.fromkeys(
        sentences.stems["stem_id"], told.contexts_per_stem
    )
    assert len(table) == count * told.contexts_per_stem * len(curated_prompts.ARMS)
    free = assignment.allowed(
        sentences.stems, sorted(sentences.contexts["match_id"].unique()), sentences.exclusions
    )
    assert not free.all(axis=None), "some curated match speaks of what is in a garden"
    assert all(free.at[tuple(group.split("+"))] for group in table["group_id"])


def test_the_curated_files_given_as_ones_own_make_the_curated_benchmark():
    own = run(
        stems_file=curated_prompts.DATA / "stems.csv", contexts_file=curated_prompts.DATA / "contexts.csv"
    )
    assert own_sentences.check(own)[1].empty
    sentences, pairs = (
        own_sentences.read(run(stems_file=curated_prompts.DATA / "stems.csv")),
        ["match_id", "scope"],
    )
    curated = curated_prompts.shipped()
    as_set = [
        set(map(tuple, table[pairs].to_numpy())) for table in (sentences.exclusions, curated.exclusions)
    ]
    assert as_set[0] == as_set[1]
    pd.testing.assert_frame_equal(
        curated_prompts.build(1, 24, 1, of=sentences), curated_prompts.build(1, 24, 1)
    )


def test_few_matches_of_ones_own_meet_the_curated_stems(tmp_path):
    told = run(contexts_per_stem=2, stems=24, contexts_file=saved(tmp_path, CONTEXTS))
    with pytest.raises(
        ParameterError, match=r"contexts_per_stem: 2 requested, but stem \S+ may meet 1 of the 2 matches"
    ):
        benchmarks.build(told)
    sentences = own_sentences.read(told)
    table, _ = benchmarks.build(told.model_copy(update={"contexts_per_stem": None}), sentences)
    assert table["stem_id"].nunique() == 24
    assert set(table["context_id"]) == {"", *sentences.contexts["context_id"]}
    left_out = len(curated_prompts.shipped().stems) - len(sentences.stems)
    assert left_out > 0
    assert f"curated ({left_out} more are related to every match" in own_sentences.summary(
        told, sentences, sentences.stems[:0]
    )


def test_two_stems_and_one_match_are_a_benchmark(tmp_path):
    stems = saved(tmp_path, "\n".join(STEMS.splitlines()[:3]), "stems.csv")
    contexts = saved(tmp_path, "\n".join(CONTEXTS.splitlines()[:5]), "contexts.csv")
    table, _ = benchmarks.build(run(stems_file=stems, contexts_file=contexts))
    assert len(table) == 2 * len(curated_prompts.ARMS)


DIALECTS = {
    "semicolons, a byte-order mark and CRLF": lambda text: (
        b"\xef\xbb\xbf" + text.replace(",", ";").replace("\n", "\r\n").encode()
    ),
    "UTF-16 with tabs": lambda text: text.replace(",", "\t").encode("utf-16"),
    "empty columns and rows at the end": lambda text: "".join(
        f"{line},,\n" for line in [*text.splitlines(), ",,,,,"]
    ).encode(),
    "columns in another order": lambda text: (
        pd.read_csv(pd.io.common.StringIO(text)).iloc[:, ::-1].to_csv(index=False).encode()
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_file_is_read_as_people_save_it(dialect, tmp_path):
    named = STEMS.replace("Marisol", "Zoë")
    own, warnings = own_sentences.check(run(stems_file=saved(tmp_path, DIALECTS[dialect](named))))
    assert warnings.empty
    expected = pd.DataFrame(
        [line.split(",") for line in named.splitlines()[1:]], columns=named.splitlines()[0].split(",")
    )
    assert own["stems"].to_numpy().tolist() == expected.to_numpy().tolist()
    assert list(own["stems"]) == list(expected)


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


SITS = swap(CONTEXTS, "{is} completely motionless", "{sits} completely motionless")
NO_SORROW = swap(CONTEXTS, "heartbroken and full of sorrow", "so")
ONE_MILD = CONTEXTS.replace("strong", "mild", 1)
NO_PLACEBO = "\n".join(CONTEXTS.splitlines()[:-1])
JOY = swap(CONTEXTS, "negative,sadness", "negative,joy")
PARK = CONTEXTS.replace("m02", "park")
LOVELY = swap(STEMS, "The width", "The lovely width")
BAD = {  # the file's key, what stands in it, what the message says
    "stem with sentiment": (STEMS, LOVELY, ["own.csv line 2 (garden-01)", "lovely"]),
    "unknown placeholder": (
        CONTEXTS,
        SITS,
        ["own.csv line 4 (m01-neu1)", "{sits} is unknown", "use one of is, was"],
    ),
    "unknown slot": (
        STEMS,
        swap(STEMS, "open,They", "opn,They"),
        ["line 4 (garden-03), slot", "open; did you mean 'open'?"],
    ),
    "an id twice": (
        STEMS,
        swap(STEMS, "garden-02", "garden-01"),
        ["line 3", "'garden-01'", "stands in line 2 too"],
    ),
    "an id that is a domain": (
        STEMS,
        swap(STEMS, "garden-02", "garden"),
        ["line 3", "domain's name", "call the stem otherwise"],
    ),
    "another person": (
        STEMS,
        swap(STEMS, "he digs", "she digs"),
        ["line 2", "'she' is not its subject's", "use a form of 'he'"],
    ),
    "full stop": (
        STEMS,
        swap(STEMS, "digs is", "digs is."),
        ["line 2 (garden-01), stem", "end it in a letter"],
    ),
    "empty cell": (
        STEMS,
        swap(STEMS, "garden,closed,M", ",closed,M"),
        ["line 3 (garden-02), domain", "is empty; fill it in"],
    ),
    "column missing": (STEMS, swap(STEMS, "slot", "slt"), ["no column 'slot'; did you mean 'slt'?"]),
    "column too many": (STEMS, swap(STEMS, "\n", ",mine\n"), ["unknown column 'mine'; take it out"]),
    "comma in a cell": (
        STEMS,
        swap(STEMS, "digs is", "digs, is"),
        ["line 2 has 7 cells, the header 6", "quote"],
    ),
    "Windows-1252": (
        STEMS,
        swap(STEMS, "Marisol", "Zoë").encode("cp1252"),
        ["line 3", "0xeb", "'ë'", "CSV UTF-8"],
    ),
    "nothing": (STEMS, "", ["no column 'stem_id'", "its columns must be stem_id, domain"]),
    "one stem": (STEMS, "\n".join(STEMS.splitlines()[:2]), ["holds 1 of the 2 stems"]),
    "charged neutral context": (
        CONTEXTS,
        swap(CONTEXTS, "motionless and", "happy and"),
        ["line 4 (m01-neu1)", "happy"],
    ),
    "uncharged negative context": (CONTEXTS, NO_SORROW, ["line 2 (m01-neg)", "VADER: "]),
    "emotion of the other polarity": (CONTEXTS, JOY, ["(m01-neg)", "give sadness or"]),
    "match without placebo": (CONTEXTS, NO_PLACEBO, ["lines 6, 7, 8 (m02)", "neutral2"]),
    "match of two intensities": (CONTEXTS, ONE_MILD, ["2, 3, 4, 5 (m01)", "differs in intensity"]),
    "match_id in words": (CONTEXTS, PARK, ["line 6 (park-neg), match_id", "as m01", "and 2 more; python -m"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_by_line_before_any_weights_load(name, tmp_path, monkeypatch):
    key, content, told = BAD[name]
    monkeypatch.setattr(own_sentences, "similarity", None)
    with pytest.raises(ParameterError) as caught:
        benchmarks.build(run(**{KEY[key]: saved(tmp_path, content)}))
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    assert all(part in message for part in told), message


def test_a_run_with_a_bad_file_stops_before_anything_is_loaded_and_loses_nothing(
    project, monkeypatch, capsys
):
    saved(project, BAD["stem with sentiment"][1], "data/garden.csv")
    finished = project / "outputs" / "mine" / "manifest.json"
    finished.parent.mkdir(parents=True)
    finished.write_text("{}")
    monkeypatch.setattr(registry, "load", None)
    assert batch.main(["run", "mine"]) == 1
    assert "error: data/garden.csv line 2 (garden-01)" in capsys.readouterr().err
    assert list(finished.parent.iterdir()) == [finished]
    assert own_sentences.main("mine") == 1
    assert "data/garden.csv: 1 errors, 0 warnings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "told"),
    [("data/gardn.csv", "no such file"), ("data/garden.xlsx", "'.xlsx' is neither .csv nor .tsv")],
)
def test_a_file_that_is_none_is_named_with_its_key(project, name, told):
    saved(project, STEMS, "data/garden.xlsx")
    with pytest.raises(ParameterError, match=rf"dataset.stems_file: {name}: {told}"):
        own_sentences.check(run(stems_file=name))


def test_what_may_be_right_is_a_warning(tmp_path):
    told = run(
        stems_file=saved(
            tmp_path, swap(STEMS, "On the gate of my allotment I have painted", "The gate I painted")
        )
    )
    _, warnings = own_sentences.check(told)
    assert warnings.empty, "four words are enough"
    told = run(
        stems_file=saved(tmp_path, swap(STEMS, "On the gate of my allotment I have painted", "My gate is"))
    )
    _, warnings = own_sentences.check(told)
    assert warnings[["check", "place"]].to_numpy().tolist() == [["length", "line 5 (garden-04)"]]
    assert "The lint found no error and has 1 warning, below." in own_sentences.summary(
        told, own_sentences.read(told), warnings
    )


def test_a_stem_related_to_every_match_is_refused(tmp_path):
    stems = saved(
        tmp_path,
        swap(STEMS, "The width of the flower bed he digs is", "In the motionless queue he is facing"),
        "stems.csv",
    )
    contexts = saved(tmp_path, "\n".join(CONTEXTS.splitlines()[:5]), "contexts.csv")
    with pytest.raises(
        ParameterError, match=r"1 of 4 stems are related to every match: garden-01 \(m01-neu1: both speak of"
    ) as caught:
        own_sentences.read(run(stems_file=stems, contexts_file=contexts))
    assert "reword it" in str(caught.value)


def test_curated_exclusions_hold_for_no_own_stem_of_the_same_id(tmp_path):
    scope = curated_prompts.read_exclusions().query("scope.str.contains('-')").iloc[0]
    told = run(stems_file=saved(tmp_path, swap(STEMS, "garden-01", scope["scope"])))
    found = own_sentences.read(told).exclusions
    assert found[(found["scope"] == scope["scope"]) & (found["reason"] == scope["reason"])].empty


def test_own_sentences_go_neither_with_mined_ones_nor_into_the_export(project):
    with pytest.raises(ValueError, match="stems_file and mining are both given"):
        sections.Dataset(
            set_name="mine",
            is_mock=True,
            seed=1,
            stems=None,
            contexts_per_stem=1,
            stems_file="a.csv",
            mining={},
        )
    with pytest.raises(ParameterError, match="sentences of your own are not exported"):
        export.export("mine")


def test_the_manifest_tells_which_file_it_was(project):
    path = saved(project, STEMS, "data/garden.csv")
    assert manifest.of_run("mine")["inputs"] == {"data/garden.csv": caching.sha256(path)}
