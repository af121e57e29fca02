"""What a set may say of interventions; what is wrong is named with its place and remedy before anything
loads."""

import pytest
import yaml

from lib.config import interventions, params, specs
from tests.conftest import ROOT


def changed(tmp_path, monkeypatch, change):
    """The quick set with a change, loaded."""
    values = yaml.safe_load((ROOT / "params" / "quick.yaml").read_text())
    change(values)
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    return params.load("mine")


def of(name, **spec):
    return lambda values: values["interventions"].update({name: spec})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (of("mine", kind="magic"), "interventions.mine.kind: 'magic'"),
        (of("mine", strength=0.5), "interventions.mine.kind"),
        (of("mine", kind="contrast", strength=3.0), "interventions.mine.strength: 3.0"),
        (of("mine", kind="contrast"), "interventions.mine.strength: is missing"),
        (of("mine", kind="ablate", layers="some"), "interventions.mine.layers: 'some' is not one of"),
        (of("mine", kind="heads_off", count=0), "interventions.mine.count: 0"),
        (of("mine", kind="consistency", rate=-1.0), "interventions.mine.rate"),
        (of("mine", kind="own", function="os.system"), "interventions.mine.function: 'os.system'"),
        (of("mine", kind="adapter"), "interventions.mine.path: is missing"),
        (of("mine", kind="contrast", strength=0.5, strenght=1), "interventions.mine.strenght: unknown key"),
        (of("neutral-tone", kind="ablate"), "'neutral-tone' is also the name of a mitigation"),
        (
            of("mine", kind="ask_first", instruction="{context} {stem}", then="{reply}"),
            "interventions.mine asks a question first, and model smollm2-135m is in completion mode",
        ),
        (
            lambda values: values["models"][0].update(intervene=["ablate-directoin"]),
            "intervene: 'ablate-directoin' is not one of the interventions; did you mean 'ablate-direction'",
        ),
        (
            lambda values: values["models"][0].update(
                id="gpt", server={"url": "http://localhost:1/v1"}, parameters=1
            ),
            "intervene needs a model whose weights run here",
        ),
        (
            lambda values: values["models"][0].update(id="mock:leak-0"),
            "intervene needs a model whose weights",
        ),
        (
            lambda values: values["generation"].update(mitigation_samples=0),
            "mitigation_samples: 0 asks nothing of the charged arms",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, monkeypatch, change, told):
    with pytest.raises(specs.ParameterError) as caught:
        changed(tmp_path, monkeypatch, change)
    assert told in str(caught.value), str(caught.value)
    assert "params/mine.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_may_name_some_of_them(tmp_path, monkeypatch):
    loaded = changed(
        tmp_path, monkeypatch, lambda values: values["models"][0].update(intervene=["contrast-half"])
    )
    assert list(loaded.interventions_of(loaded.models[0])) == ["contrast-half"]
    cell = params.cell_values(loaded, "mine", "06b_interventions", "smollm2-135m")
    assert list(cell["interventions"]) == ["contrast-half"]
    whole = params.cell_values(loaded, "mine", "06c_mitigation_compared")
    assert list(whole["interventions"]) == ["contrast-half", "ablate-direction"]


def test_without_interventions_a_set_is_what_it_was():
    assert not params.load("embedded").intervened and not params.load("smoke").interventions


def test_every_kind_has_its_fields():
    assert set(interventions.KINDS) == {
        "ask_first",
        "contrast",
        "ablate",
        "heads_off",
        "consistency",
        "adapter",
        "own",
    }
    for kind, schema in interventions.KINDS.items():
        assert schema.model_fields["kind"].annotation.__args__ == (kind,)


def test_mined_and_published_sentences_have_no_halves(tmp_path, monkeypatch):
    def mined(values):
        values["dataset"] |= {"mining": {}, "half": "evaluated"}

    with pytest.raises(specs.ParameterError, match="only curated or own sentences are halved"):
        changed(tmp_path, monkeypatch, mined)
