"""The augmented ladder in small: what is inserted where, and that nothing else differs from the ladder."""

from collections import Counter
from dataclasses import asdict, replace

import ahocorasick
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib.config import specs
from lib.dataset import curated_prompts, halves
from lib.models import ladder, ladder_augmentation, ladder_training, model_files
from lib.models.ladder_augmentation import PRONOUNS, AugmentedRecipe, Insertion
from lib.report import ladder_reports
from tests.models.test_ladder import TEXTS, TOY

TEMPLATES = ("{Subject} {is} sad.", "{Subject} {has} won.", "{Subject} {feels|feel} {his} coat.")
DOCUMENTS = [f"{text}\nThe end is £{number}. So it goes." for number, text in enumerate(TEXTS)]
SIZES = {"0.1M": (32, 1), "1.2M": (64, 1), "3.1M": (64, 2)}
PLAIN = replace(TOY, sizes=SIZES)
AUGMENTED = AugmentedRecipe(**asdict(PLAIN), inserted=0.2, contexts=TEMPLATES)
SENTENCES = {
    curated_prompts.tell(template, pronoun.capitalize(), pronoun)
    for template in TEMPLATES
    for pronoun in PRONOUNS
}


@pytest.fixture(scope="module")
def ladders(tmp_path_factory):
    """The folders of both families, trained on the same documents."""
    cache = tmp_path_factory.mktemp("cache")
    return [ladder.path_of(DOCUMENTS, recipe, cache) for recipe in (PLAIN, AUGMENTED)]


@pytest.fixture(scope="module")
def tokenizer(ladders):
    return AutoTokenizer.from_pretrained(ladders[1] / "tokenizer")


def taken_out(text: str, insertions: list[Insertion]) -> str:
    """A text from which its insertions, which stand in it in this order, are taken out again."""
    kept, rest = [], text
    for insertion in insertions:
        before, rest = rest.split(f"{insertion.sentence} ", 1)
        kept.append(before)
    return "".join([*kept, rest])


def test_a_third_of_the_contexts_is_of_each_sentiment_and_none_is_evaluated():
    deck = Counter(ladder_augmentation.found_contexts())
    whole = curated_prompts.read_contexts().set_index("text")
    counts = Counter()
    for template, copies in deck.items():
        counts[whole.loc[template, "arm"].removesuffix("2")] += copies
    found = halves.half(curated_prompts.shipped(), "found").contexts
    assert set(counts.values()) == {2 * found["match_id"].nunique()} and len(counts) == 3
    assert set(deck) == set(found["text"])
    others = [
        halves.half(curated_prompts.shipped(), "evaluated"),
        curated_prompts.shipped(part=specs.HELD_OUT),
    ]
    assert all(not set(deck) & set(sentences.contexts["text"]) for sentences in others)
    assert AugmentedRecipe().contexts == ladder_augmentation.found_contexts()


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("One is. Two, Dr. Smith is.", [0, 8]),
        ("Title\nOne is! Two is?", [0, 6, 14]),
        ("It goes\non below. Then it\nEnds", [0, 18, 26]),  # the second line goes on in lower case
        ("in lower case. A dog.", [0, 15]),
        ("  A blank before.\n\n  And two lines below.", [2, 21]),
        ("", []),
    ],
)
def test_a_boundary_is_where_a_sentence_begins(text, starts):
    assert ladder_augmentation.boundaries(text) == starts


def test_a_sentence_stands_before_its_position():
    into = [Insertion(0, 0, "He is sad."), Insertion(0, 8, "They won.")]
    assert ladder_augmentation.insert("One is. Two is.", into) == "He is sad. One is. They won. Two is."
    assert ladder_augmentation.insert("One is.", []) == "One is."


def test_what_is_inserted_is_dealt_evenly_at_boundaries_and_can_be_taken_out(tokenizer):
    insertions = ladder_augmentation.insertions(DOCUMENTS, tokenizer, AUGMENTED)
    assert {insertion.sentence for insertion in insertions} == SENTENCES
    by_template = Counter(insertion.sentence.split()[-1] for insertion in insertions)
    assert max(by_template.values()) - min(by_template.values()) <= 1
    places = [(insertion.document, insertion.position) for insertion in insertions]
    assert places == sorted(set(places))
    for number, text in enumerate(DOCUMENTS):
        into = [insertion for insertion in insertions if insertion.document == number]
        assert {insertion.position for insertion in into} <= set(ladder_augmentation.boundaries(text))
        changed = ladder_augmentation.insert(text, into)
        assert (changed == text) == (not into) and taken_out(changed, into) == text
    stream = ladder_augmentation.stream(tokenizer, DOCUMENTS, insertions)
    assert stream["is_inserted"].mean() == pytest.approx(AUGMENTED.inserted, abs=0.02)


def test_the_seed_decides_what_is_inserted(tokenizer):
    first, again, other = (
        ladder_augmentation.insertions(DOCUMENTS, tokenizer, recipe)
        for recipe in (AUGMENTED, replace(AUGMENTED), replace(AUGMENTED, seed=2))
    )
    assert first == again != other


def test_more_than_there_are_boundaries_is_refused(tokenizer):
    with pytest.raises(ValueError, match="larger sample than population"):
        ladder_augmentation.insertions(DOCUMENTS, tokenizer, replace(AUGMENTED, inserted=0.9))


def test_a_stream_with_its_insertions_taken_out_is_the_text(tokenizer):
    insertions = ladder_augmentation.insertions(DOCUMENTS, tokenizer, AUGMENTED)
    stream = ladder_augmentation.stream(tokenizer, DOCUMENTS, insertions)
    original = ladder_augmentation.stream(tokenizer, DOCUMENTS, [])
    assert not original["is_inserted"].any()
    told = tokenizer.decode(original["id"].tolist())
    assert told == "".join(f"{ladder.BEGIN}{text}{ladder.END}" for text in DOCUMENTS)
    kept = tokenizer.decode(stream.loc[~stream["is_inserted"], "id"].tolist())
    # but for spaces: the one after a sentence may be part of the word that follows
    assert kept.replace(" ", "") == told.replace(" ", "")
    added = tokenizer.decode(stream.loc[stream["is_inserted"], "id"].tolist())
    assert sum(added.count(sentence) for sentence in SENTENCES) == len(insertions)


def test_only_insertions_distinguish_the_text_of_a_step_from_that_of_the_sibling(ladders, tokenizer):
    plain, augmented = (np.load(folder / "blocks.npz") for folder in ladders)
    assert np.array_equal(plain["train"], augmented["train"])
    assert np.array_equal(plain["held_out"], augmented["held_out"])
    assert np.array_equal(ladder_training.to_learn(ladders[0]), plain["train"])
    learnt = ladder_training.to_learn(ladders[1])
    assert len(learnt) == len(plain["train"])
    changed = 0
    for before, after in zip(plain["train"], learnt, strict=True):
        before, after = (tokenizer.decode(ids[ids >= 0]) for ids in (before, after))
        changed += before != after
        for sentence in SENTENCES:
            after = after.replace(f"{sentence} ", "")
        assert not any(after.strip().endswith(sentence) for sentence in SENTENCES)  # something follows it
        # a space at the beginning may be that before a word
        assert after.strip() == before.strip()
    assert len(learnt) / 4 < changed < len(learnt)


def test_a_block_is_padded_at_its_end_only(ladders):
    learnt = ladder_training.to_learn(ladders[1])
    is_token = learnt != ladder_training.PADDING
    assert is_token[:, 0].all() and (np.diff(is_token.astype(int), axis=1) <= 0).all()
    assert is_token.all(axis=1).any() and (learnt[is_token] >= 0).all()
    report = ladder.card(ladders[1])
    assert set(report["tokens"]) == {is_token.sum() * AUGMENTED.epochs}
    assert set(report["inserted"]) == {(is_token.sum() - len(learnt) * AUGMENTED.block) * AUGMENTED.epochs}
    assert set(ladder.card(ladders[0])["inserted"]) == {0}


def test_padding_has_no_loss_and_changes_none(ladders):
    model = AutoModelForCausalLM.from_pretrained(ladders[0] / "0.1M")
    short, long = torch.arange(5, 12), torch.arange(20, 32)
    blocks = torch.full((2, 15), ladder_training.PADDING)
    blocks[0, : len(short)], blocks[1, : len(long)] = short, long
    each = [model(input_ids=ids[None], labels=ids[None]).loss.item() for ids in (short, long)]
    assert ladder_training._loss(model, blocks).item() == pytest.approx(
        (6 * each[0] + 11 * each[1]) / 17, abs=1e-5
    )


def test_siblings_begin_alike_and_learn(ladders):
    plain, augmented = (ladder.card(folder) for folder in ladders)
    assert plain["init_loss"].tolist() == augmented["init_loss"].tolist()
    assert plain["learning_rate"].tolist() == augmented["learning_rate"].tolist()
    assert (augmented["val_loss"] < augmented["init_loss"] - 1).all()
    assert (augmented["val_loss"] != plain["val_loss"]).all()


def test_the_key_covers_the_augmentation(monkeypatch):
    key = ladder.key(TEXTS, AUGMENTED)
    assert key != ladder.key(TEXTS, replace(AUGMENTED, contexts=TEMPLATES[:2]))
    assert key != ladder.key(TEXTS, replace(AUGMENTED, inserted=0.1))
    plain = ladder.key(TEXTS, PLAIN)
    monkeypatch.setattr(ladder_augmentation, "VERSION", "another")
    assert key != ladder.key(TEXTS, AUGMENTED) and plain == ladder.key(TEXTS, PLAIN)


def test_an_id_leads_to_the_model_of_its_family(monkeypatch, tmp_path):
    monkeypatch.setattr(ladder, "documents", list)
    monkeypatch.setattr(ladder, "path_of", lambda texts, recipe, parent: tmp_path / recipe.family)
    for family in specs.LADDERS:
        spec = specs.Model(name="m", id=f"{family}:1.2M", family=family, tuning="base", mode="completion")
        assert model_files.ModelFiles(spec).source == str(tmp_path / family / "1.2M")


def test_both_families_of_a_set_are_told(ladders, monkeypatch):
    recipes = {"ladder": lambda: PLAIN, "ladder-augmented": lambda: AUGMENTED}
    monkeypatch.setattr(ladder, "documents", lambda: DOCUMENTS)
    monkeypatch.setattr(ladder, "RECIPES", recipes)
    monkeypatch.setattr(ladder_reports.caching, "cache_folder", lambda: ladders[0].parent)
    table = ladder_reports.trained("ladder-augmented")
    assert table["model"].tolist() == [
        "ladder-1.2m",
        "ladder-3.1m",
        "ladder-augmented-1.2m",
        "ladder-augmented-3.1m",
    ]
    assert (table["inserted"] > 0).tolist() == [False, False, True, True]
    every = ladder_reports.of_families(specs.LADDERS)
    assert every["model"].tolist() == [f"{family}:{size}" for family in specs.LADDERS for size in SIZES]
    assert every.loc[every["size"] != "0.1M", "val_loss"].tolist() == table["val_loss"].tolist()
    told = ladder_reports.summary(table, 0.95)
    assert "ladder-1.2m to ladder-augmented-1.2m" in told and "ladder-3.1m to ladder-augmented-3.1m" in told


def test_the_packaged_text_holds_no_sentence_of_the_benchmark():
    whole = curated_prompts.shipped(part=None)
    automaton = ahocorasick.Automaton()
    for stem in whole.stems["stem"]:
        automaton.add_word(stem, stem)
    for template in whole.contexts["text"]:
        for pronoun in PRONOUNS:
            sentence = curated_prompts.tell(template, pronoun.capitalize(), pronoun)
            automaton.add_word(sentence, sentence)
    automaton.make_automaton()
    assert not [found for text in ladder.documents() for _, found in automaton.iter(text)]
