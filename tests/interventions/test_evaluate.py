"""A whole notebook's worth of interventions on a tiny model: found on one half, evaluated on the other."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.config import params
from lib.config.sections import Interventions
from lib.config.specs import ParameterError
from lib.dataset import curated_prompts, halves, own_sentences, positive_controls
from lib.generation import runner
from lib.interventions import costs, evaluate, found, perplexity, registry
from lib.models import registry as models
from lib.runtime import progress

SPECS = {
    "contrast": {"kind": "contrast", "strength": 0.5},
    "ablate": {"kind": "ablate"},
    "ablate-all": {"kind": "ablate", "layers": "all", "strength": 2.0},
    "heads": {"kind": "heads_off", "count": 2},
    "trained": {"kind": "consistency", "steps": 2},
}


def parameters(tiny, **changes) -> Interventions:
    values = params.cell_values(params.load("quick"), "quick", "06b_interventions")
    values["model"] |= {"id": str(tiny), "name": "tiny"}
    return Interventions.model_validate({**values, "max_new_tokens": 6, "interventions": SPECS, **changes})


@pytest.fixture(scope="module")
def run(tiny):
    return parameters(tiny)


@pytest.fixture(scope="module")
def half(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("interventions")
    return found.Found(models.load(run.model), params.dataset("quick"), run, folder)


@pytest.fixture(scope="module")
def made(run, half):
    return registry.make(run.interventions, half)


@pytest.fixture(scope="module")
def prompts(half):
    return own_sentences.evaluated(curated_prompts.build(20251118, 40, 2), half.dataset)


def test_what_is_evaluated_shares_nothing_with_what_it_is_found_on(half, prompts):
    for column in ("stem_id", "domain", "match_id"):
        both = (curated_prompts.with_match(table)[column] for table in (half.prompts, prompts))
        assert not set.intersection(*map(set, both)), column
    evaluated = halves.half(curated_prompts.shipped(), "evaluated")
    assert set(prompts["stem_id"]) <= set(evaluated.stems["stem_id"]) and len(prompts) >= 20


def test_prompts_of_the_other_half_alone_are_refused(half):
    with pytest.raises(ParameterError, match=r"params/quick\.yaml: interventions: none of its prompts"):
        own_sentences.evaluated(half.prompts, half.dataset)


def test_every_intervention_changes_completions_and_has_rows_of_its_own(run, half, made, prompts):
    table = evaluate.completions(prompts, run, half, made)
    charged = prompts[prompts["arm"].isin(["negative", "positive"])]
    assert table.groupby("mitigation").size().to_dict() == dict.fromkeys(SPECS, len(charged))
    assert not table.duplicated(["prompt_id", "mitigation", "sample_index"]).any()
    plain = run.model_copy(update={"mitigations": {}, "samples": 1})
    requested = runner.requests(charged, plain, half.model)
    bare = runner.generate(requested, plain, half.model, half.folder / "bare.jsonl").set_index("prompt_id")
    for name in ("contrast", "ablate-all", "heads"):
        rows = table[table["mitigation"] == name].set_index("prompt_id")
        assert (rows["completion"] != bare.loc[rows.index, "completion"]).any(), name
    journal = (half.folder / "tiny.jsonl").read_text().splitlines()
    again = evaluate.completions(prompts, run, half, made)
    pd.testing.assert_frame_equal(again, table)
    assert (half.folder / "tiny.jsonl").read_text().splitlines() == journal, "nothing was asked again"
    assert all("completion" in json.loads(line) for line in journal[:3])


def test_controls_are_asked_bare_and_under_every_prompt_and_intervention(run, half, made):
    table = evaluate.completions(evaluate.control_prompts(), run, half, {"heads": made["heads"]}, bare=True)
    items = len(positive_controls.read())
    counts = table.groupby(["mitigation", "arm"]).size()
    asked = [name for name in run.mitigations if name not in run.controls]
    assert set(table["mitigation"]) == {"none", "heads", *asked}
    assert counts["none"].to_dict() == dict.fromkeys(("negative", "neutral", "positive"), items)
    assert all(counts[name].sum() >= 2 * items for name in ("heads", *asked))


def test_one_bar_counts_what_is_asked_and_what_was_there_before(run, half, made, tmp_path, monkeypatch):
    monkeypatch.setenv(progress.FILE, str(tmp_path / "job.jsonl"))
    two = {name: made[name] for name in ("heads", "contrast")}
    prompts = evaluate.control_prompts().head(9)
    here = SimpleNamespace(model=half.model, folder=tmp_path)
    for asked, initial in (({"heads": made["heads"]}, 0), (two, 6), (two, 12)):
        (tmp_path / "job.jsonl").unlink(missing_ok=True)
        table = evaluate.completions(prompts, run, here, asked)
        lines = [json.loads(line) for line in (tmp_path / "job.jsonl").read_text().splitlines()]
        bars = [line for line in lines if line.get("phase") == evaluate.PHASES[0]]
        assert {line["total"] for line in bars} == {len(table)} and bars[-1]["done"] == len(table)
        assert {line["initial"] for line in bars} == {initial}


def test_costs_are_told_of_every_strategy_and_kept(run, half, made, prompts, monkeypatch):
    measure, calls = perplexity.measure, []

    def killed(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments)
        return measure(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(perplexity, "measure", killed)
        costs.of_strategies(prompts, run, half, made)
    with monkeypatch.context() as patch:
        patch.setattr(
            perplexity, "measure", lambda *arguments: calls.append(arguments) or measure(*arguments)
        )
        table = costs.of_strategies(prompts, run, half, made).set_index("mitigation")
    asked = [name for name in run.mitigations if name not in run.controls]
    assert list(table.index) == [*asked, *SPECS] and len(calls) == 1 + len(table)
    assert (table["passages"] == len(perplexity.passages())).all()
    assert (table[["perplexity", "seconds"]] > 0).all(axis=None)
    assert np.isfinite(table["memory"]).all()
    monkeypatch.setattr(perplexity, "measure", None)
    again = costs.of_strategies(prompts, run, half, made).set_index("mitigation")
    pd.testing.assert_frame_equal(again, table)


def test_more_heads_than_there_are_is_refused(half):
    specs = parameters(
        "bundled:SmolLM2-135M-Instruct", interventions={"h": {"kind": "heads_off", "count": 900}}
    ).interventions
    with pytest.raises(ParameterError, match=r"interventions\.h: count 900, but tiny has \d+ heads"):
        registry.make(specs, half)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"kind": "adapter", "path": "no/such/folder"}, "no adapter there"),
        ({"kind": "own", "function": "no_such_module:build"}, "is not found"),
        ({"kind": "own", "function": "json:dumps", "options": {"nothing": 1}}, "cannot be called"),
        ({"kind": "own", "function": "builtins:divmod"}, "cannot be called"),
        ({"kind": "own", "function": "builtins:max"}, "cannot be called"),
        ({"kind": "own", "function": "collections:deque"}, "cannot be called"),
    ],
)
def test_what_cannot_be_made_is_named(half, spec, told):
    specs = parameters("bundled:SmolLM2-135M-Instruct", interventions={"mine": spec}).interventions
    with pytest.raises(ParameterError, match=r"interventions\.mine: ") as caught:
        registry.make(specs, half)
    assert told in str(caught.value)
    if told != "cannot be called":  # what can be seen before weights load
        with pytest.raises(ParameterError, match=r"interventions\.mine: "):
            registry.check(specs, models.load(half.model.spec))


def test_what_fits_passes_the_check_and_loads_no_weights(run):
    model = models.load(run.model)
    registry.check(run.interventions, model)
    assert "weights" not in vars(model)


def test_a_function_that_gives_something_else_is_refused(half, monkeypatch):
    monkeypatch.setattr(json, "something", lambda model, found: "text", raising=False)
    mine = {"mine": {"kind": "own", "function": "json:something"}}
    specs = parameters("bundled:SmolLM2-135M-Instruct", interventions=mine).interventions
    with pytest.raises(ParameterError, match="gives a str, not a"):
        registry.make(specs, half)
