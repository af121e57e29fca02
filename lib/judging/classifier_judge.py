"""A judge that is a text classifier of the transformers library.

Each label of the classifier has a valence; the valence of a text is their mean, weighted by the labels'
probabilities.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from lib.config.specs import ClassifierJudge, ParameterError, nearest
from lib.models.checkpoints import identity, load, trained
from lib.nlp import batches
from lib.nlp.text import VERSION as TEXT_VERSION

VERSION = 2  # of this code: change it with any change that alters a valence
BATCH = 64  # texts per forward pass, of similar length
MOST_TOKENS = 256  # of a longer text only the beginning is judged


def version(judge: ClassifierJudge) -> str:
    """Return the judge's name with a hash of its weights, labels and this code.

    Raises:
        ParameterError: If the model or its tokenizer cannot be loaded, or the labels do not fit the model.
    """
    _config(judge)
    # the tokenizer may need a package that is missing: fail here, before any work
    load("AutoTokenizer", *_asked(judge), **_place(judge))
    code = {"code": VERSION, "text": TEXT_VERSION, "tokens": MOST_TOKENS}
    depends_on = {**code, "weights": identity(judge.id, judge.revision), "labels": judge.labels}
    return f"{judge.name}-{hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:8]}"


def valences(judge: ClassifierJudge, texts: list[str]) -> np.ndarray:
    """Return Σ p(label) · valence of the label for each text, shape (texts,).

    Raises:
        ParameterError: If the model and the labels do not fit, or the model gives no finite logits.
    """
    config = _config(judge)
    label_valences = np.array([judge.labels[config.id2label[index]] for index in range(len(config.id2label))])
    return _probabilities(judge, texts) @ label_valences


def _config(judge: ClassifierJudge):
    """Return the model's configuration, checked: a single-label classifier with a valence for each label."""
    config = load("AutoConfig", *_asked(judge), **_place(judge))
    if fault := _unfit(config):
        raise ParameterError(f"judge {judge.name}: id {judge.id!r} {fault}")
    source, canonical = set(config.id2label.values()), set(judge.labels)
    if source != canonical:
        missing = f"labels lacks {', '.join(sorted(source - canonical))}; " * bool(source - canonical)
        unexpected = [
            f"{label!r} is none of its labels{nearest(label, source)}; "
            for label in sorted(canonical - source)
        ]
        raise ParameterError(
            f"judge {judge.name}: {missing}{''.join(unexpected)}id {judge.id!r} has the labels "
            f"{', '.join(sorted(source))}; give each a valence"
        )
    return config


def _unfit(config) -> str | None:
    """Explain why a model is not a single-label classifier, and the remedy; None if it is one."""
    kinds, names = config.architectures or [], config.id2label or {}
    remedy = "name a model for text classification with a label for each of its outputs"
    if (
        not any("SequenceClassification" in kind for kind in kinds)
        or config.problem_type == "multi_label_classification"
    ):
        return (
            "gives no text one label of several "
            f"({config.problem_type or ', '.join(kinds) or 'of unknown kind'}); {remedy}"
        )
    if config.problem_type == "regression" or len(names) < 2:
        return (
            f"gives a number on a scale that its files do not state ({len(names)} output, no labels to "
            f"weigh); {remedy}"
        )
    if sorted(names) != list(range(len(names))):
        return (
            f"names the labels of outputs {', '.join(map(str, sorted(names)))}, not of 0 to "
            f"{len(names) - 1}; fix id2label"
        )
    if repeated := sorted({name for name in names.values() if list(names.values()).count(name) > 1}):
        return (
            f"calls several of its outputs {', '.join(map(repr, repeated))}; give each a label of its "
            "own in id2label"
        )
    return None


def _asked(judge: ClassifierJudge) -> tuple[str, str, str]:
    return f"judge {judge.name}", judge.id, judge.id


def _place(judge: ClassifierJudge) -> dict[str, str]:
    return {} if Path(judge.id).is_dir() else {"revision": judge.revision}


@lru_cache(maxsize=1)
def _loaded(asked: tuple[str, str, str], place: tuple, pickled: bool):
    """Return tokenizer and model."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = load("AutoTokenizer", *asked, **dict(place))
    options = {"device_map": "auto", "dtype": "float32", **dict(place)}
    model = trained("AutoModelForSequenceClassification", *asked, pickled, **options).eval()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # a decoder finds the last token of a text by it
    model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model


def _probabilities(judge: ClassifierJudge, texts: list[str]) -> np.ndarray:
    """Return the label probabilities, shape (texts, labels); texts are batched by length."""
    import torch

    tokenizer, model = _loaded(_asked(judge), tuple(_place(judge).items()), judge.pickled_weights)
    encoded = tokenizer(texts, truncation=True, max_length=min(MOST_TOKENS, tokenizer.model_max_length))
    probabilities = np.empty((len(texts), model.config.num_labels))
    with torch.inference_mode():
        for rows in batches.by_length([len(ids) for ids in encoded.input_ids], BATCH):
            subset = {name: [encoded[name][row] for row in rows] for name in encoded}
            batch = tokenizer.pad(subset, padding_side="right", return_tensors="pt").to(model.device)
            probabilities[rows] = model(**batch).logits.softmax(dim=-1).cpu().numpy()
    bad = ~np.isfinite(probabilities).all(axis=1)  # NaN or +inf among the logits
    if bad.any():
        first = texts[bad.argmax()][:60]
        raise ParameterError(
            f"judge {judge.name}: id {judge.id!r} gives no finite logits in float32 for {bad.sum()} of "
            f"{len(texts)} texts, the first {first!r}; its weights are damaged, fetch them again"
        )
    return probabilities
