"""A confirmatory run: what may be confirmed, what is frozen and what is new, both boards side by side, made
once."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

from lib.claims import benchmark, board, rules
from lib.cli import confirm, confirmatory, readme, reproduce
from lib.config import params, specs
from lib.config.specs import HELD_OUT, ParameterError
from lib.dataset import curated_prompts
from lib.report import claims_text, forest, reports
from lib.storage import caching, records
from tests import parted
from tests.conftest import ROOT

NAME = "smoke_confirmatory"


def row(claim: str, model: str, measured: str, estimate: float, verdict: str, **other) -> dict:
    """A row of a board as headline.csv has it, its interval 0.1 to each side."""
    numbers = {
        "estimate": estimate,
        "ci_low": estimate - 0.1,
        "ci_high": estimate + 0.1,
        "n": 96,
        "margin": 0.1,
    }
    words = {
        "claim": claim,
        "statement": f"statement of {claim}",
        "model": model,
        "measured": measured,
        "verdict": verdict,
        "reason": f"why {verdict}",
        "unit": "scale points",
        "as_judged": True,
    }
    return dict.fromkeys(board.COLUMNS) | numbers | words | other


EXPLORATORY = [
    row("C0", "a", "mean shift", 0.3, "supported"),
    row("C1", "judge", "rated texts: r, worst domain (reviews)", -0.01, "supported", as_judged=False),
    row("C1", "judge", "completions: kappa", np.nan, "inconclusive", as_judged=False),
    row("C3", "a", "calm: change of the leak", -0.4, "contradicted"),
    row("C3", "a", "brief: change of the leak", 0.0, "inconclusive"),
]
CONFIRMATORY = [
    row("C0", "a", "mean shift", 0.2, "supported"),
    row("C1", "judge", "rated texts: r, worst domain (tweets)", -0.01, "supported", as_judged=False),
    row("C1", "judge", "completions: kappa", np.nan, "inconclusive", as_judged=False),
    row("C3", "a", "brief: change of the leak", 0.05, "inconclusive"),
    row("C3", "a", "calm: change of the leak", -0.1, "inconclusive"),
]


def finish(set_name: str, rows: list[dict] = EXPLORATORY, version: str | None = rules.RULES_VERSION) -> None:
    """Leave a run folder as a finished run leaves it, as far as a confirmatory run reads it."""
    folder = records.run_folder(set_name)
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    (table.assign(rules=version) if version else table).to_csv(folder / "headline.csv", index=False)
    made_of = {"parameters": caching.sha256(specs.ROOT / "params" / f"{set_name}.yaml")}
    (folder / "manifest.json").write_text(json.dumps(made_of))


def change(set_name: str, **sections) -> None:
    path = specs.ROOT / "params" / f"{set_name}.yaml"
    values = yaml.safe_load(path.read_text())
    for section, changes in sections.items():
        values[section] |= changes
    path.write_text(yaml.safe_dump(values))


@pytest.fixture
def finished(project, monkeypatch, tmp_path_factory) -> curated_prompts.Sentences:
    """A project whose smoke set has run, with a third of the sentences held out."""
    folder = tmp_path_factory.mktemp("data")
    tables = parted.write(folder)
    monkeypatch.setattr(curated_prompts, "DATA", folder)
    change("smoke", dataset={"stems": None})
    finish("smoke")
    return tables


def test_the_set_is_derived_by_rule_and_nothing_else_is_changed(finished):
    assert confirmatory.prepared("smoke") == (NAME, True)
    assert confirmatory.prepared("smoke") == (NAME, False)
    before, after = (params.load(name).model_dump() for name in ("smoke", NAME))
    assert after["confirms"] == {"set": "smoke", "rules": rules.RULES_VERSION}
    assert after["title"] == "mock models, confirmatory"
    assert after["dataset"] == before["dataset"] | {
        "part": HELD_OUT,
        "seed": 20251119,
        "contexts_per_stem": 3,
    }
    assert after["generation"] == before["generation"] | {"seed": 2}
    same = set(before) - {"confirms", "title", "dataset", "generation"}
    assert {key: after[key] for key in same} == {key: before[key] for key in same}


def test_a_stem_meets_as_many_matches_as_the_exclusions_allow(finished):
    stem = finished.stems.loc[finished.stems["part"] == HELD_OUT, "stem_id"].iloc[0]
    held_out = finished.contexts.loc[finished.contexts["part"] == HELD_OUT, "match_id"].unique()
    rows = [{"match_id": match, "scope": stem, "reason": "for a test"} for match in held_out[:-2]]
    others = finished.exclusions[finished.exclusions["scope"] != stem]
    others = others[
        ~(others["match_id"].isin(held_out[-2:]) & others["scope"].isin(finished.stems["domain"]))
    ]
    pd.concat([others, pd.DataFrame(rows)]).to_csv(curated_prompts.DATA / "exclusions.csv", index=False)
    assert confirmatory.values("smoke")["dataset"]["contexts_per_stem"] == 2


def refused(set_name: str = "smoke") -> str:
    """What a call says that is refused before anything runs or is written."""
    before = set(specs.set_names())
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ParameterError) as caught:
        patch.setattr(reproduce, "run", None)
        confirm.run(set_name, 1)
    assert set(specs.set_names()) == before
    return str(caught.value)


def test_a_set_without_a_run_of_its_own_is_refused(finished):
    (records.run_folder("smoke") / "manifest.json").unlink()
    assert (
        "no finished run of its own to confirm" in (said := refused())
        and "make reproduce SET=smoke, first" in said
    )


@pytest.mark.parametrize(
    ("version", "told"), [("rules-0", "rules-0"), (None, "rules whose version was not recorded yet")]
)
def test_a_board_of_other_rules_is_refused(finished, version, told):
    finish("smoke", version=version)
    said = refused()
    assert f"was made under {told}, and the rules of the code are {rules.RULES_VERSION}" in said
    assert "make reproduce SET=smoke, first" in said


def test_a_set_that_was_changed_after_its_run_is_refused(finished):
    change("smoke", scaling={"margin": 0.2})
    assert "params/smoke.yaml has changed since its run" in refused()


@pytest.mark.parametrize("source", ["mining", "published_prompts", "stems_file", "contexts_file"])
def test_sentences_of_which_nothing_is_held_out_are_refused(finished, source):
    given = {"mining": {}, "published_prompts": {"path": "a.csv"}}.get(source, "a.csv")
    change("smoke", dataset={source: given})
    assert (
        f"params/smoke.yaml: dataset.{source}: nothing is held out of" in (said := refused())
        and "as embedded" in said
    )


def test_what_is_confirmatory_or_has_seen_the_held_out_sentences_is_refused(finished):
    confirmatory.prepared("smoke")
    assert "is itself confirmatory; give SET=smoke" in refused(NAME)
    change("smoke", dataset={"part": HELD_OUT})
    assert "is for confirmatory runs alone" in refused()


def test_a_set_that_asks_more_stems_than_are_held_out_is_refused(finished):
    change("smoke", dataset={"stems": 300})
    finish("smoke")
    assert re.search(r"stems: 300 requested, but there are \d+;", refused())


def test_without_sentences_held_out_nothing_can_be_confirmed(finished):
    for name in ("stems", "contexts"):
        getattr(finished, name).drop(columns="part").to_csv(curated_prompts.DATA / f"{name}.csv", index=False)
    assert "lib/data/stems.csv holds 0 such stems" in refused()


def test_a_file_in_the_way_is_named(finished):
    shutil.copy(specs.ROOT / "params" / "smoke.yaml", specs.ROOT / "params" / f"{NAME}.yaml")
    assert f"params/{NAME}.yaml is in the way: it is no confirmatory set" in refused()


@pytest.mark.parametrize(
    "judged", [None, "judgements", "headline.csv"]
)  # a copy of the project has the board alone
def test_rules_or_values_that_changed_since_are_named_with_the_remedy(finished, judged, monkeypatch):
    confirmatory.prepared("smoke")
    if judged:
        (records.run_folder(NAME) / judged).mkdir(parents=True)
    remedy = "hold out new stems and contexts" if judged else f"remove params/{NAME}.yaml and call again"
    change("smoke", scaling={"margin": 0.2}, generation={"workers": 2})
    finish("smoke")
    said = refused()
    assert (
        f"params/{NAME}.yaml: rules have changed since: scaling.margin 0.1, now 0.2\n" in said
        and remedy in said
    )
    with pytest.raises(ParameterError, match="rules have changed since"):
        reproduce.run(NAME, 1)
    change("smoke", scaling={"margin": 0.1})
    monkeypatch.setattr(rules, "RULES_VERSION", "rules-99")
    finish("smoke", version="rules-99")
    said = refused()
    assert (
        f"rules have changed since: {params.load(NAME).confirms.rules}, now rules-99\n" in said
        and remedy in said
    )


def test_how_many_matches_a_stem_meets_is_frozen_too(finished):
    """More after a look would go on until a board is as wished; those of the exploratory set are its own
    affair."""
    confirmatory.prepared("smoke")
    change("smoke", dataset={"contexts_per_stem": 2})
    confirmatory.check_frozen(NAME)
    change(NAME, dataset={"contexts_per_stem": 5})
    with pytest.raises(
        ParameterError, match=r"rules have changed since: dataset\.contexts_per_stem 5, now 3\n"
    ):
        confirmatory.check_frozen(NAME)


def test_a_confirmatory_set_of_the_main_part_is_no_set(finished):
    confirmatory.prepared("smoke")
    change(NAME, dataset={"part": "main"})
    with pytest.raises(
        ParameterError, match=r"confirms: a confirmatory set needs dataset.part: held_out, and has 'main'"
    ):
        params.load(NAME)


def test_rows_of_both_boards_stand_beside_each_other_by_model_and_measure(finished):
    confirmatory.prepared("smoke")
    finish(NAME, CONFIRMATORY)
    table = confirm.side_by_side("smoke")
    assert table[["claim", "estimate_exploratory", "estimate_confirmatory"]].fillna(
        9
    ).to_numpy().tolist() == [
        ["C0", 0.3, 0.2],
        ["C1", -0.01, -0.01],
        ["C1", 9, 9],
        ["C3", -0.4, -0.1],
        ["C3", 0.0, 0.05],
    ]
    assert table["same"].astype(object).fillna("–").tolist() == [True, True, "–", False, True]
    shown = confirm.shown(table)
    assert shown.iloc[0].tolist() == [
        "C0 statement of C0",
        "a",
        "mean shift",
        "+0.30 [+0.20, +0.40] scale points, n 96",
        "supported, as judged: why supported",
        "+0.20 [+0.10, +0.30] scale points, n 96",
        "supported, as judged: why supported",
        "yes",
    ]
    assert shown["measured"][1] == (
        "rated texts: r, worst domain (reviews); confirmatory: rated texts: r, worst domain (tweets)"
    )
    assert shown["same verdict"].tolist() == ["yes", "yes", "–", "**no**", "yes"]
    assert max(map(len, confirm.text(table).splitlines())) <= 100


def test_a_row_that_one_board_lacks_is_empty_there(finished):
    confirmatory.prepared("smoke")
    finish(NAME, CONFIRMATORY[1:])
    shown = confirm.shown(confirm.side_by_side("smoke"))
    assert shown.iloc[0, 3:].tolist() == [
        "+0.30 [+0.20, +0.40] scale points, n 96",
        "supported, as judged: why supported",
        "not estimated",
        "–",
        "–",
    ]


def test_a_confirmatory_board_says_so_where_an_exploratory_one_says_that(finished, monkeypatch):
    confirmatory.prepared("smoke")
    versions = f"sentences of {benchmark.NAME}, judge vader, {rules.RULES_VERSION}"
    said = f"confirmatory, {versions}: rules and margins were fixed before; stems, contexts and seed are new"
    before = rules.EXPLORATORY.replace(f"{benchmark.NAME}, {rules.RULES_VERSION}", versions)
    assert (rules.board_kind(NAME), rules.board_kind("smoke"), rules.board_kind("no set")) == (
        said,
        before,
        rules.EXPLORATORY,
    )
    other = {
        "fault": "",
        "detectable": 0.1,
        "clusters": 24,
        "cluster_unit": "stems",
        "test": "above 0",
        "verdict_vader": None,
    }
    table = pd.DataFrame(EXPLORATORY).assign(**other)
    assert reports.verdicts_summary(table, said).endswith(f"({said}).")
    assert forest.title_of(said) == f"What became of the claims (confirmatory, {versions})"
    assert forest.svg(table, kind=said) != forest.svg(table)
    assert forest.markdown(table, "claims.svg", said).startswith(f"The claims board ({said}).")
    monkeypatch.setattr(reports, "board", lambda _: table)
    told = [" ".join(claims_text.board(name).split()) for name in ("smoke", NAME)]
    assert f"This board is {said}." in told[1] and "exploratory" not in told[1] and before in told[0]
    monkeypatch.setattr(rules, "RULES_VERSION", "rules-99")
    assert ", rules-99: it was to confirm under rules-" in rules.board_kind(NAME)
    assert rules.board_kind(NAME).startswith("exploratory, ")


def test_the_readme_shows_both_boards_or_says_that_there_is_one(finished):
    assert confirm.markdown("smoke") == confirm.NONE_MADE
    assert (
        readme.fill((ROOT / "README.md").read_text(), "confirmatory", "both").count(
            "both\n<!-- /confirmatory -->"
        )
        == 1
    )
    confirmatory.prepared("smoke")
    finish(NAME, CONFIRMATORY)
    made = confirm.markdown("smoke")
    assert "rows about the model" in confirm.summary("smoke")
    assert f"`{NAME}`: confirmatory, sentences of {benchmark.NAME}, " in made and made.count("\n| C") == len(
        EXPLORATORY
    )


def test_a_second_call_shows_what_the_first_found_and_runs_nothing(finished, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(
        reproduce, "run", lambda name, cores: calls.append(name) or finish(name, CONFIRMATORY)
    )
    assert confirm.main(["smoke"]) == 0
    first, folder = capsys.readouterr().out, records.run_folder(NAME)
    made = {name: (folder / name).read_bytes() for name in ("confirmation.csv", "confirmation.md")}
    assert confirm.main(["smoke"]) == 0
    second = capsys.readouterr().out
    assert calls == [NAME]
    assert "written" in first and "was run already" not in first
    assert "is there" in second and "was run already: a confirmatory run is made once" in second
    assert first[first.index("claim  ") :] == second[second.index("claim  ") :]
    assert {name: (folder / name).read_bytes() for name in made} == made
    assert (
        made["confirmation.md"].startswith(b"**TOY: no conclusion") and b"| yes " in made["confirmation.md"]
    )


def test_a_mistake_of_the_user_is_one_message(project, capsys):
    assert confirm.main(["smoke"]) == 1
    assert capsys.readouterr().err.startswith("error: SET=smoke has no finished run of its own to confirm")


def called(folder) -> subprocess.CompletedProcess:
    """`python -m lib.cli.confirm smoke` in a project of its own."""
    command, given = (
        [sys.executable, "-m", "lib.cli.confirm", "smoke"],
        {**os.environ, "PYTHONPATH": str(folder)},
    )
    return subprocess.run(
        command, cwd=folder, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.fixture
def one_model(smoke, tmp_path):
    """A project whose smoke set has run, as if with its first model alone, and with a third of the sentences
    held out."""
    folder = tmp_path / "project"
    shutil.copytree(smoke.parents[1], folder, ignore=shutil.ignore_patterns(".snakemake"))
    parted.write(folder / "lib" / "data")
    path, run_folder = folder / "params" / "smoke.yaml", folder / "outputs" / "smoke"
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(values | {"models": values["models"][:1]}))
    (run_folder / "manifest.json").write_text(json.dumps({"parameters": caching.sha256(path)}))
    rows = pd.read_csv(smoke / "headline.csv")
    rows[~rows["model"].isin([model["name"] for model in values["models"][1:]])].to_csv(
        run_folder / "headline.csv", index=False
    )
    return folder


def test_a_finished_mock_set_is_confirmed_on_sentences_that_it_has_not_seen(one_model):
    done = called(one_model)
    assert done.returncode == 0, done.stdout
    assert "This board is confirmatory" in done.stdout and "Written: " in done.stdout
    made = one_model / "outputs" / NAME
    table, held_out = (
        pd.read_parquet(made / "prompts.parquet"),
        curated_prompts.shipped(one_model / "lib" / "data", HELD_OUT),
    )
    assert set(table["stem_id"]) <= set(held_out.stems["stem_id"]) and table["group_id"].nunique() == 3 * 24
    assert set(table["context_id"]) - {""} <= set(held_out.contexts["context_id"])
    found, before = (pd.read_csv(one_model / "outputs" / name / "headline.csv") for name in (NAME, "smoke"))
    assert set(found["rules"]) == {rules.RULES_VERSION}
    both = pd.read_csv(made / "confirmation.csv")
    assert len(both) == len(found) == len(before) and both["verdict_confirmatory"].notna().all()
    pages = ("executed/05_scaling_analysis.ipynb", "executed/06_prompting_mitigation_ablation.ipynb")
    for name in ("headline.md", "card.md", *pages):
        said = (made / name).read_text()
        assert (
            "confirmatory, " in said and f", {rules.RULES_VERSION}: " in said and "exploratory, " not in said
        ), name
    assert "was run already" in called(one_model).stdout
