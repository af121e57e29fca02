"""What is cached has a version beside its code: a change that alters a result must change the version too.

If a test fails: is the new result meant? Then raise the VERSION that it names, and put the new value here.
"""

import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest

from lib.agreement import rated_threshold
from lib.config.specs import VaderJudge
from lib.corpora import packaged_text, wet
from lib.mining import extract, neutrality
from lib.models import ladder, ladder_augmentation
from lib.nlp import similarity

COLOURS = ("red", "green", "blue", "grey", "white", "black", "brown", "yellow")


def digest(rows) -> str:
    return hashlib.sha256("\x1f".join(map(str, rows)).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def texts() -> list[packaged_text.Text]:
    rated = [text for kind in packaged_text.KINDS.values() for text in packaged_text.rated(kind)[:40]]
    return rated + list(itertools.islice(packaged_text.wikipedia(), 8))


def test_packaged_text(texts):
    found = digest(cell for text in texts for cell in text)
    assert (packaged_text.VERSION, found) == ("packaged-text-1", "7c93fbdfb4b47476")


def test_extraction(texts):
    counts = Counter()
    found = [one for text in texts for one in extract.candidates(text.text, 1.6, counts)]
    assert (extract.VERSION, digest(found), digest(sorted(counts.items()))) == (
        "extract-1",
        "bebf8990be1c2ec6",
        "d7304df53ab51c82",
    )


def test_pages_of_a_file(tmp_path):
    members = [
        packaged_text.page_record(
            "http://a.example/", "2020-01-01T00:00:00Z", "It is a street.\nIt is long."
        ),
        packaged_text.page_record("http://b.example/", "2020-01-01T00:00:00Z", "Это улица.", "rus"),
        packaged_text.page_record("http://c.example/", "2020-01-01T00:00:00Z", "This street is calm.", None),
    ]
    path = tmp_path / "pages.warc.wet.gz"
    path.write_bytes(b"".join(members))
    counts = Counter()
    found = [(page.url, page.text) for page in wet.pages(path, counts)]
    assert wet.VERSION == "pages-1"
    assert [url for url, _ in found] == ["http://a.example/", "http://c.example/"]
    assert (digest(found), counts["skip_lang"]) == ("f7d77d3b7f405a1e", 1)


def test_sentence_vectors():
    vectors = similarity.embed(["The street is long.", "She is delighted with her garden."])[:, :4]
    assert similarity.VERSION == "minilm-1"
    assert vectors.tolist() == [
        pytest.approx([0.0616, 0.0376, 0.0398, 0.0042], abs=2e-4),
        pytest.approx([0.0808, 0.0540, 0.0524, -0.0178], abs=2e-4),
    ]


def test_threshold_from_ratings():
    threshold = rated_threshold.threshold(VaderJudge(name="vader"))
    assert (rated_threshold.VERSION, threshold) == ("rated-threshold-1", pytest.approx(0.309))


def test_predicted_ratings():
    texts = neutrality.training_texts()
    few = texts.iloc[::40].reset_index(drop=True)
    weights, predictions = neutrality.fit(few)  # not `learnt`, which may be cached
    assert weights.shape == (2, neutrality.FOLDS + 1, 386)
    assert (neutrality.VERSION, digest(texts.round(6).itertuples(index=False))) == (
        "neutrality-1",
        "a45fdaabadda4623",
    )
    assert predictions[:3].tolist() == pytest.approx([0.7921, 0.8167, 0.8998], abs=2e-3)
    assert weights[:, -1, -1].tolist() == pytest.approx([0.8426, 0.1867], abs=2e-3)


def test_ladder(tmp_path):
    """One small model; the recipe is part of the key of what is cached, so it needs no version."""
    texts = [
        f"The {size} house is {colour}. She likes it." for size in ("small", "old") for colour in COLOURS
    ]
    recipe = ladder.Recipe(sizes={"small": (32, 1)}, vocabulary=280, block=16, batch=4, epochs=2)
    folder = ladder.path_of(texts, recipe, tmp_path)
    blocks = np.load(folder / "blocks.npz")
    report = ladder.card(folder).loc["small", ["init_loss", "train_loss", "val_loss"]]
    assert (ladder.VERSION, digest([*blocks["train"].ravel(), *blocks["held_out"].ravel()])) == (
        "ladder-1",
        "104ee4edc1359b05",
    )
    assert report.tolist() == pytest.approx([5.6646, 4.5773, 4.6321], abs=1e-3)


def test_augmentation():
    """The blocks of a text with insertions; the templates are part of the key, so they need no version."""
    texts = [f"The house is {colour}. She likes it.\nIt is old." for colour in COLOURS]
    recipe = ladder.AugmentedRecipe(
        vocabulary=280, block=16, contexts=("{Subject} {is} sad.", "{Subject} won.")
    )
    found = ladder_augmentation.blocks(ladder._tokenizer(texts, recipe), texts, recipe)
    assert (ladder_augmentation.VERSION, digest(found.ravel())) == ("augmentation-1", "8b4eb476b42998bb")
