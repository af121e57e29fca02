"""What is owed, what is reused, and that nothing is paid for twice or taken stale."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from lib.config import draws, params, sections
from lib.config.specs import ARMS, MITIGATED_ARMS, ParameterError
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import mock, registry, sampling
from lib.nlp import sentences


@pytest.fixture(scope="module")
def benchmark() -> pd.DataFrame:
    return curated_prompts.build(seed=1, stems=6, contexts_per_stem=1)


def generation(**changes) -> sections.Generation:
    """The smoke set's generation parameters, with changes; those of the model as model_<field>."""
    values = params.cell_values(params.load("smoke"), "smoke", "02_generation")
    of_model = {
        key.removeprefix("model_"): changes.pop(key) for key in list(changes) if key.startswith("model_")
    }
    return params.from_cell("02_generation", values | {"model": values["model"] | of_model} | changes)


class Counting(mock.MockModel):
    """The mock model, counting what it is asked."""

    asked = 0

    def reply(self, requests, *arguments):
        self.asked += len(requests)
        return super().reply(requests, *arguments)


def paid(benchmark, parameters, folder, model=None):
    """Completions of a run and how many the model was asked for."""
    model = model or Counting(parameters.model)
    before = model.asked
    table = runner.generate(
        runner.requests(benchmark, parameters, model), parameters, model, folder / "j.jsonl"
    )
    return table, model.asked - before


def test_what_is_owed(benchmark):
    parameters = generation(samples=3, mitigation_samples=2)
    requested = runner.requests(benchmark, parameters, registry.load(parameters.model))
    # 6 groups: 5 arms x 3 samples bare, and 3 arms x 2 samples under each of 4 mitigations
    assert len(requested) == 6 * (5 * 3 + 4 * 3 * 2)
    assert requested["key"].is_unique
    assert set(requested.loc[requested["mitigation"] != "none", "arm"]) == set(MITIGATED_ARMS)


BY_ARM = {"negative": 4, "positive": 4, "neutral": 2, "placebo": 1, "none": 1}


@pytest.mark.parametrize(
    ("mitigated", "expected"),
    [  # completions of a group under each of 4 mitigations, by arm
        (0, {}),
        (1, {"negative": 1, "positive": 1, "neutral": 1}),
        ({"negative": 2, "positive": 2}, {"negative": 2, "positive": 2}),
        ({"negative": 2, "positive": 2, "neutral": 0}, {"negative": 2, "positive": 2}),
        ({"negative": 3, "positive": 3, "neutral": 1}, {"negative": 3, "positive": 3, "neutral": 1}),
    ],
)
def test_each_arm_is_asked_as_often_as_it_says(benchmark, mitigated, expected):
    parameters = generation(samples=BY_ARM, mitigation_samples=mitigated)
    requested = runner.requests(benchmark, parameters, registry.load(parameters.model))
    counts = requested.groupby(["mitigation", "arm"]).size()
    assert counts["none"].to_dict() == {arm: 6 * number for arm, number in BY_ARM.items()}
    for name in parameters.mitigations:
        assert counts.get(name, pd.Series(dtype=int)).to_dict() == {
            arm: 6 * number for arm, number in expected.items()
        }
    assert (requested["sample_index"] == requested.groupby(["prompt_id", "mitigation"]).cumcount()).all()
    assert len(requested) == draws.count(benchmark["arm"], parameters.model_dump())


def test_a_draw_has_the_same_key_however_many_other_arms_have(benchmark):
    keys = []
    for samples in (4, BY_ARM):
        parameters = generation(samples=samples, mitigation_samples=1)
        requested = runner.requests(benchmark, parameters, registry.load(parameters.model))
        keys.append(requested.set_index(["prompt_id", "mitigation", "sample_index"])["key"])
    pd.testing.assert_series_equal(keys[1], keys[0].loc[keys[1].index])


def test_an_arm_without_a_number_is_refused(benchmark):
    odd = benchmark.assign(arm=benchmark["arm"].astype(str).replace({"none": "concept"}))
    parameters = generation(samples=BY_ARM)
    with pytest.raises(
        ParameterError, match="the arm 'concept', for which no number is given; give one number"
    ):
        runner.requests(odd, parameters, registry.load(parameters.model))
    assert set(ARMS) == set(BY_ARM)


def test_a_second_run_asks_nothing_and_gives_the_same(benchmark, tmp_path):
    first, asked = paid(benchmark, generation(), tmp_path)
    again, asked_again = paid(benchmark, generation(), tmp_path)
    assert asked == len(first)
    assert asked_again == 0
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batch_size_and_order_change_nothing(benchmark, tmp_path, batch_size):
    expected, _ = paid(benchmark, generation(), tmp_path)
    shuffled, _ = paid(
        benchmark.sample(frac=1, random_state=3), generation(batch_size=batch_size), tmp_path / "other"
    )
    columns = ["key", "completion"]
    assert (
        shuffled[columns].sort_values("key").values.tolist()
        == expected[columns].sort_values("key").values.tolist()
    )


def test_an_interrupted_run_pays_only_for_the_rest(benchmark, tmp_path):
    class Tired(Counting):
        def reply(self, requests, *arguments):
            if self.asked >= 40:
                raise KeyboardInterrupt
            return super().reply(requests, *arguments)

    undisturbed, _ = paid(benchmark, generation(), tmp_path / "undisturbed")
    parameters = generation(batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        paid(benchmark, parameters, tmp_path, Tired(parameters.model))
    resumed, asked = paid(benchmark, parameters, tmp_path)
    assert asked == len(resumed) - 40
    pd.testing.assert_frame_equal(resumed, undisturbed)


def test_what_an_older_version_left_in_the_journal_is_made_again(benchmark, tmp_path, capsys):
    expected, _ = paid(benchmark, generation(), tmp_path / "expected")
    older = [
        {"key": key, "completion": "red.", "tokens": 1, "ended": True}
        for key in (*expected["key"][:3], "of another cut")
    ]
    (tmp_path / "j.jsonl").write_text("".join(json.dumps(record) + "\n" for record in older))
    table, asked = paid(benchmark, generation(), tmp_path)
    assert asked == len(table)
    assert "4 records of an older version are ignored" in capsys.readouterr().out
    pd.testing.assert_frame_equal(table, expected)


def test_more_samples_pay_only_for_the_new_ones(benchmark, tmp_path):
    few, _ = paid(benchmark, generation(samples=2), tmp_path)
    more, asked = paid(benchmark, generation(samples=3), tmp_path)
    assert asked == len(more) - len(few)
    assert set(few["key"]) < set(more["key"])


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"temperature": 1.0}, {"max_new_tokens": 9}, {"model_id": "mock:leak-10"}],
    ids=str,
)
def test_a_change_of_anything_that_matters_reuses_nothing(benchmark, tmp_path, change):
    paid(benchmark, generation(), tmp_path)
    table, asked = paid(benchmark, generation(**change), tmp_path)
    assert asked == len(table)


def test_a_model_may_have_a_temperature_of_its_own(benchmark, tmp_path):
    assert [generation(model_temperature=own).sampled_at for own in (None, 0.0, 1.0)] == [0.7, 0.0, 1.0]
    hot, asked = paid(benchmark, generation(temperature=1.0), tmp_path)
    again, more = paid(benchmark, generation(model_temperature=1.0), tmp_path)
    assert (asked, more) == (len(hot), 0), "the same completions, whoever names the temperature"
    pd.testing.assert_frame_equal(hot, again)


@pytest.mark.parametrize("module", [sampling, sentences])
def test_a_new_sampler_or_cut_reuses_nothing(benchmark, tmp_path, monkeypatch, module):
    paid(benchmark, generation(), tmp_path)
    monkeypatch.setattr(module, "VERSION", "another")
    table, asked = paid(benchmark, generation(), tmp_path)
    assert asked == len(table)


def test_one_changed_mitigation_pays_for_that_one(benchmark, tmp_path):
    paid(benchmark, generation(), tmp_path)
    table, asked = paid(
        benchmark, generation(mitigations=dict(generation().mitigations) | {"control": "Please."}), tmp_path
    )
    assert asked == (table["mitigation"] == "control").sum() > 0


def test_a_hundred_thousand_completions_add_at_most_100_megabytes(tmp_path):
    script = """
import resource, sys
from pathlib import Path
from lib.config import params
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import registry

def generation(samples):
    values = params.cell_values(params.load("smoke"), "smoke", "02_generation")
    few = {"samples": samples, "mitigation_samples": 0, "mitigations": {}}
    return params.from_cell("02_generation", values | few)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

benchmark = curated_prompts.build(seed=1, stems=None, contexts_per_stem=1)
model = registry.load(generation(1).model)
for samples, journal in ((1, "few.jsonl"), (63, "many.jsonl")):
    before = peak()
    owed = runner.requests(benchmark, generation(samples), model)
    paid = runner.generate(owed, generation(samples), model, Path(sys.argv[1]) / journal)
print(len(paid), peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    count, megabytes = done.stdout.split()
    assert int(count) >= 100_000
    assert float(megabytes) < 100
