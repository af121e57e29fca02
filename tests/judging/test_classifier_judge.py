"""A classifier's labels as valences: against the transformers pipeline, in any batch, and what is refused
before weights load."""

import json
import shutil

import numpy as np
import pytest

from lib.config import specs
from lib.judging import classifier_judge, judges
from tests.judging.test_judges import CURLY_AND_STRAIGHT

LABELS = {"bad": -3.0, "so-so": 0.0, "good": 3.0}
TEXTS = [
    "good",
    "a terrible tragedy on a cold and rainy day in November",
    "oak and pine.",
    "14.",
    "oak and pine." * 400,
]


@pytest.fixture(scope="module")
def classifier(tiny, tmp_path_factory):
    """A folder with a classifier of random weights."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.model_max_length = 128
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(
        vocab_size=len(tokenizer),
        id2label=dict(enumerate(LABELS)),
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=1.0,
        max_position_embeddings=128,
        **shape,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path))


def judge(id_, **changes) -> specs.Judge:
    return specs.JUDGE_SCHEMA.validate_python(
        {"name": "mine", "kind": "classifier", "id": str(id_), "labels": LABELS} | changes
    )


def test_valence_is_the_expectation_that_the_pipeline_gives(classifier):
    from transformers import pipeline

    ask = pipeline("text-classification", model=str(classifier), top_k=None)
    expected = [
        sum(LABELS[row["label"]] * row["score"] for row in rows) for rows in ask(TEXTS, truncation=True)
    ]
    given = judges.valences(judge(classifier), TEXTS)
    np.testing.assert_allclose(given, expected, atol=1e-4)
    assert given.std() > 0.1, "the random model must tell texts apart, or this shows nothing"


def test_curly_marks_are_judged_like_straight_ones(classifier, monkeypatch):
    curly, straight = map(list, zip(*CURLY_AND_STRAIGHT, strict=True))
    given = judges.valences(judge(classifier), straight)
    monkeypatch.setattr(
        classifier_judge, "valences", lambda *_: pytest.fail("an equal text was judged again")
    )
    np.testing.assert_array_equal(judges.valences(judge(classifier), curly), given)


def test_a_text_is_judged_as_if_alone(classifier, monkeypatch):
    alone = [classifier_judge.valences(judge(classifier), [text])[0] for text in TEXTS]
    for size in (2, 64):
        monkeypatch.setattr(classifier_judge, "BATCH", size)
        np.testing.assert_allclose(classifier_judge.valences(judge(classifier), TEXTS), alone, atol=1e-5)


def test_another_label_value_or_weight_is_another_version(classifier, tmp_path, monkeypatch):
    version = judges.version(judge(classifier))
    assert version.startswith("mine-")
    assert version == judges.version(judge(classifier))
    with monkeypatch.context() as patch:
        patch.setattr(classifier_judge, "TEXT_VERSION", "another")
        assert version != judges.version(judge(classifier))
    assert version != judges.version(judge(classifier, labels=LABELS | {"good": 2.0}))
    copied = shutil.copytree(classifier, tmp_path / "copy")
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert version != judges.version(judge(copied))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"bad": -3.0, "good": 3.0}, ["labels lacks so-so", "has the labels bad, good, so-so"]),
        (LABELS | {"goood": 1.0}, ["'goood' is none of its labels; did you mean 'good'"]),
        ({"LABEL_0": -1.0, "LABEL_1": 1.0}, ["labels lacks bad, good, so-so", "'LABEL_0' is none"]),
    ],
)
def test_labels_that_do_not_fit_are_named_before_weights_load(classifier, monkeypatch, labels, told):
    monkeypatch.setattr(classifier_judge, "_loaded", lambda *_: pytest.fail("weights were loaded"))
    with pytest.raises(specs.ParameterError, match="judge mine: ") as caught:
        judges.valences(judge(classifier, labels=labels), ["good"])
    assert all(part in str(caught.value) for part in told)


def test_what_is_no_classifier_is_refused(tiny, classifier, tmp_path):
    with pytest.raises(
        specs.ParameterError, match=r"gives no text one label of several \(LlamaForCausalLM\)"
    ):
        judges.version(judge(tiny))
    copied = shutil.copytree(classifier, tmp_path / "copy")
    config = json.loads((copied / "config.json").read_text()) | {"problem_type": "multi_label_classification"}
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(specs.ParameterError, match="multi_label_classification"):
        judges.version(judge(copied))


def test_a_model_that_is_not_there_is_named_with_a_remedy(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        specs.ParameterError, match="judge mine: id 'nobody/nothing' cannot be loaded"
    ) as caught:
        judges.valences(judge("nobody/nothing"), ["good"])
    assert "check the spelling and the network, or give a folder" in str(caught.value)


@pytest.mark.parametrize("loader", ["AutoConfig", "AutoTokenizer"])
def test_a_package_that_the_model_needs_is_named(classifier, monkeypatch, loader):
    import transformers

    def lacking(*_, **__):
        raise ImportError("this tokenizer requires sentencepiece")

    monkeypatch.setattr(getattr(transformers, loader), "from_pretrained", lacking)
    with pytest.raises(
        specs.ParameterError, match=r"needs a package that is missing .*sentencepiece.*; install it"
    ):
        judges.version(judge(classifier))


def changed(classifier, folder, **changes):
    """A copy of the classifier with other values in its configuration."""
    copied = shutil.copytree(classifier, folder)
    config = json.loads((copied / "config.json").read_text()) | changes
    (copied / "config.json").write_text(json.dumps(config))
    return copied


@pytest.mark.parametrize(
    ("changes", "labels", "told"),
    [
        (
            {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}, "problem_type": "regression"},
            {"LABEL_0": 1.0},
            "1 output",
        ),
        (
            {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}},
            {"LABEL_0": 1.0},
            "scale that its files do not state",
        ),
        ({"problem_type": "regression"}, LABELS, "scale that its files do not state"),
        (
            {"id2label": {"0": "bad", "1": "bad", "2": "good"}},
            {"bad": -1.0, "good": 1.0},
            "calls several of its outputs 'bad'",
        ),
        (
            {"id2label": {"1": "bad", "2": "so-so", "3": "good"}},
            LABELS,
            "labels of outputs 1, 2, 3, not of 0 to 2",
        ),
    ],
)
def test_outputs_that_are_no_labels_are_refused_before_weights_load(
    classifier, tmp_path, monkeypatch, changes, labels, told
):
    monkeypatch.setattr(classifier_judge, "_loaded", lambda *_: pytest.fail("weights were loaded"))
    mine = judge(changed(classifier, tmp_path / "copy", **changes), labels=labels)
    for ask in (judges.version, lambda mine: judges.valences(mine, ["good"])):
        with pytest.raises(specs.ParameterError, match=f"judge mine: .*{told}"):
            ask(mine)


def rewritten(classifier, folder, change):
    """A copy of the classifier with other weights."""
    from safetensors.torch import load_file, save_file

    copied = shutil.copytree(classifier, folder)
    weights = load_file(copied / "model.safetensors")
    change(weights)
    save_file(weights, copied / "model.safetensors", {"format": "pt"})
    return copied


def test_weights_of_half_precision_do_not_overflow(classifier, tmp_path):
    import torch

    def widen(weights):
        weights["bert.pooler.dense.weight"] *= 1e5  # beyond float16, but not beyond what tanh takes
        for name in weights:
            weights[name] = weights[name].to(torch.bfloat16)

    half = changed(rewritten(classifier, tmp_path / "wide", widen), tmp_path / "half", dtype="float16")
    assert np.isfinite(judges.valences(judge(half), TEXTS)).all()


def test_logits_that_are_not_finite_name_the_text(classifier, tmp_path):
    broken = rewritten(
        classifier, tmp_path / "broken", lambda weights: weights["classifier.bias"].fill_(float("nan"))
    )
    with pytest.raises(
        specs.ParameterError, match=r"no finite logits in float32 for 2 of 2 texts, the first 'bad'"
    ):
        judges.valences(judge(broken), ["bad", "good"])


def test_a_head_without_weights_is_refused(classifier, tmp_path):
    headless = rewritten(classifier, tmp_path / "headless", lambda weights: weights.pop("classifier.weight"))
    with pytest.raises(
        specs.ParameterError, match=r"lack 1 of its weights .classifier.weight., which would be drawn"
    ):
        judges.valences(judge(headless), ["good"])
