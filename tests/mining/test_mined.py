"""From candidates to groups: what is chosen, how it is matched, gates that fail, and nothing that depends on
order."""

import hashlib
from collections import Counter

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from lib.config import params
from lib.config.sections import Mining
from lib.dataset import curated_prompts
from lib.mining import benchmarks, extract, filters, matching, mined, mined_checks, neutrality
from lib.nlp import similarity
from lib.storage import records
from tests.conftest import call

TOLD = Mining(groups=12, max_per_site=None, url_filter=False, oversample=100)
NOUNS = [
    "apple",
    "bridge",
    "candle",
    "desk",
    "engine",
    "fence",
    "garden",
    "hammer",
    "island",
    "jacket",
    "kettle",
    "ladder",
    "mirror",
    "needle",
    "oven",
    "pencil",
    "quilt",
    "river",
    "saddle",
    "table",
]
PLACES = [
    "Aden",
    "Bari",
    "Cork",
    "Dover",
    "Exeter",
    "Faro",
    "Ghent",
    "Hull",
    "Ivrea",
    "Jena",
    "Kiel",
    "Lund",
    "Mainz",
    "Namur",
    "Oslo",
    "Parma",
    "Quito",
    "Riga",
    "Siena",
    "Turin",
]


def embed(texts: list[str], batch_size: int = 64) -> np.ndarray:
    """A vector of random numbers for each text, the same each time: any two texts are nearly orthogonal."""
    seeds = [int(hashlib.sha1(text.encode()).hexdigest()[:8], 16) for text in texts]
    vectors = np.array([np.random.default_rng(seed).normal(size=384) for seed in seeds]).reshape(-1, 384)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No model: vectors by hash, and the prediction that a charged sentence is felt as 2 points, a neutral
    one as 0.1."""
    monkeypatch.setattr(similarity, "embed", embed)
    monkeypatch.setattr(
        neutrality,
        "predicted",
        lambda sentences, valences, vectors: np.where(
            np.asarray(valences) == 0, 0.1, 2.0 * np.sign(valences)
        ),
    )


def candidates() -> pd.DataFrame:
    """Twenty candidates of each role, each from a page of its own."""
    rows = []
    for noun, place in zip(NOUNS, PLACES, strict=True):
        rows += [
            (
                "stem",
                f"Most buses from {place} turn near the old tower by noon.",
                f"Most buses from {place} turn near the",
                "old tower by noon.",
                0.0,
            ),
            ("negative", f"It was a horrible and disgusting {noun}.", "", "", -3.0),
            ("positive", f"It was a wonderful and delightful {noun}.", "", "", 3.0),
            ("neutral", f"He carried a long wooden {noun} upstairs.", "", "", 0.0),
            ("neutral", f"She found a small plastic {noun} outside.", "", "", 0.0),
        ]
    table = pd.DataFrame(rows, columns=["role", "sentence", "stem", "reference", "valence"])
    table["url"] = [f"http://site{number}.org/page" for number in range(len(table))]
    provenance = {
        "line": 0,
        "place": 0,
        "date": "2024",
        "record_id": "r",
        "refers_to": "q",
        "crawl": "CC-MAIN-2024-22",
        "wet_path": "w",
        "offset": 7,
    }
    return table.assign(**provenance)


def assembled(table: pd.DataFrame, told: Mining = TOLD) -> tuple[pd.DataFrame, pd.DataFrame, Counter]:
    counts = Counter({f"role_{role}": n for role, n in table["role"].value_counts().items()})
    return *mined.assemble(table, told, 1, counts), counts


def test_groups_are_whole_and_their_sources_known():
    table, sources, counts = assembled(candidates())
    assert table["group_id"].nunique() == 12 == table["stem_id"].nunique()
    assert set(table.groupby("group_id")["arm"].agg(tuple)) == {curated_prompts.ARMS}
    assert set(table["context_id"]) - {""} | set(table["stem_id"]) == set(sources["text_id"])
    assert sources["text_id"].is_unique and sources[
        ["url", "crawl", "wet_path", "offset", "record_id"]
    ].notna().all(axis=None)
    assert table.groupby("context_id")["group_id"].nunique().drop("").max() == TOLD.max_stems_per_match
    for row in (
        table[table["arm"] != "none"].merge(sources, left_on="context_id", right_on="text_id").itertuples()
    ):
        assert row.role == {"placebo": "neutral"}.get(row.arm, row.arm)
        assert row.text_x == f"{row.context} {row.stem}"
    assert counts["used"] + sum(n for key, n in counts.items() if key.startswith("dropped_")) == len(
        candidates()
    )


def test_the_order_of_candidates_changes_nothing():
    first, second = assembled(candidates()), assembled(candidates().sample(frac=1, random_state=3))
    pd.testing.assert_frame_equal(first[0], second[0])
    pd.testing.assert_frame_equal(first[1], second[1])
    assert first[2] == second[2]


@pytest.mark.parametrize(
    ("change", "reason", "lost"),
    [
        ({}, "repeated", 100),  # each candidate twice
        (
            {"sentence": lambda t: t["sentence"].str.replace(".", " !").str.upper()},
            "repeated",
            100,
        ),  # the same but for signs and case
    ],
)
def test_repeats_are_dropped_and_counted(change, reason, lost):
    both = pd.concat([candidates(), candidates().assign(**change)], ignore_index=True)
    counts = assembled(both)[2]
    assert counts[f"dropped_{reason}"] == lost


def test_near_repeats_are_dropped():
    words = [f"word{number}" for number in range(40)]
    sentences = pd.Series([" ".join(words), " ".join([*words[:-1], "other"]), " ".join(reversed(words))])
    sentences = sentences.str.replace(
        r"\d+", lambda found: chr(97 + int(found[0]) % 26) * (1 + int(found[0]) // 26), regex=True
    )
    assert filters._nearly_repeated(sentences).tolist() == [False, True, False]


def test_every_second_stem_that_can_be_a_context_is_one():
    table = candidates().query("role == 'stem'")
    # those two are no neutral contexts
    nouns = ["gate" if noun in ("apple", "island") else noun for noun in NOUNS]
    # no names, unlike above
    table["sentence"] = [f"Most buses in the valley have a stop near the {noun}." for noun in nouns]
    table["sentence_sha1"] = [f"{number:x}" for number in range(len(table))]
    assert (filters._shared_out(table) == "neutral").tolist() == [
        number % 2 == 0 for number in range(len(table))
    ]
    table["sentence"] = [f"Most buses in {place} have a stop near the tower." for place in PLACES]
    assert (filters._shared_out(table) == "stem").all()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"max_per_page": 1}, "page_full"),
        ({"max_per_site": 2}, "site_full"),
        ({"oversample": 1}, "not_sampled"),
    ],
)
def test_no_page_or_site_gives_more_than_its_share(told, reason):
    table = candidates().assign(url=[f"http://site.org/{number % 50}" for number in range(100)])
    chosen, _ = filters.choose(table, TOLD.model_copy(update=told), counts := Counter())
    assert counts[f"dropped_{reason}"] > 0
    stems = chosen["role"] == "stem"
    most = {
        "page_full": chosen.groupby(["url", stems]).size().max() == 1,
        "site_full": chosen.groupby(["site", stems]).size().max() == 2,
        "not_sampled": chosen.groupby("role").size().max() == 12,
    }
    assert most[reason]


def test_sentences_that_people_would_feel_otherwise_are_dropped(monkeypatch):
    monkeypatch.setattr(
        neutrality,
        "predicted",
        lambda sentences, valences, vectors: np.where(np.asarray(valences) == 0, 1.0, np.sign(valences)),
    )
    assert filters.choose(candidates(), TOLD, counts := Counter())[0].empty
    assert counts["dropped_felt_otherwise"] == 100


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://www.news.bbc.co.uk/a/b", "bbc.co.uk"),
        ("http://embedded.invalid/nyt/12", "embedded.invalid/nyt"),
        (None, "unknown/"),
    ],
)
def test_a_site_is_the_registered_domain(url, site):
    assert filters.site(url) == site


def test_matched_contexts_are_of_one_length_and_strength_and_of_different_pages():
    chosen, _ = filters.choose(candidates(), TOLD, Counter())
    chosen = matching.describe(chosen)
    found = matching.matches(chosen, np.random.default_rng(0))
    assert len(found) == 20
    assert not found.stack().duplicated().any()
    words = found.apply(lambda column: column.map(chosen["words"]))
    assert (words.max(axis=1) - words.min(axis=1)).max() <= 2


def test_contexts_beyond_the_limits_are_never_matched():
    table = candidates()
    longer = table["role"] == "positive"
    table.loc[longer, "sentence"] = [
        f"It was a wonderful and delightful {noun} that he had brought along from home." for noun in NOUNS
    ]
    chosen, _ = filters.choose(table, TOLD, Counter())
    assert matching.matches(matching.describe(chosen), np.random.default_rng(0)).empty


def test_stem_and_context_share_no_word_and_no_page():
    table = candidates()
    chosen, vectors = filters.choose(table, TOLD, Counter())
    chosen = matching.describe(chosen)
    found = matching.matches(chosen, np.random.default_rng(0))
    assert len(matching.groups(chosen, vectors, found, TOLD)) == 12
    everywhere = chosen.assign(url="http://one.org")
    assert matching.groups(everywhere, vectors, found, TOLD).empty
    sharing = chosen.assign(sentence=chosen["sentence"] + " Harbour.")
    assert matching.groups(sharing, vectors, found, TOLD).empty
    alike = np.tile(vectors[:1], (len(chosen), 1))
    assert matching.groups(chosen, alike, found, TOLD).empty


def gates(table, sources, mined_counts, monkeypatch, told=TOLD, read=None):
    rules = pd.DataFrame(
        {
            "scope": "all that the rules choose",
            "domain": "all",
            "role": ["neutral", "negative", "positive"],
            "share": 0.9,
        }
    )
    monkeypatch.setattr(mined_checks, "felt", lambda *_: rules)
    read = read or Counter(records=5, kept=5)
    return mined_checks.gates(
        table, sources, read, mined_counts + Counter(pages=5, sentences=100), told
    ).set_index("gate")


def test_gates_hold_for_a_good_benchmark(monkeypatch):
    found = gates(*assembled(candidates()), monkeypatch)
    assert found["passed"].all(), found[~found["passed"]]
    mined_checks.demand(found.reset_index())


def spoiled(table, sources, column, value, arm):
    return table.assign(**{column: table[column].mask(table["arm"] == arm, value)}), sources


@pytest.mark.parametrize(
    ("gate", "spoil"),
    [
        ("groups", lambda t, s: (t[t["group_id"] != t["group_id"].iloc[0]], s)),
        ("means of negative and positive", lambda t, s: spoiled(t, s, "context", "It was bad.", "negative")),
        (
            "means of charged and neutral",
            lambda t, s: spoiled(t, s, "context", "He had" + " very" * 9 + " days.", "neutral"),
        ),
        (
            "strengths",
            lambda t, s: (t, s.assign(predicted=s["predicted"].mask(s["role"] == "negative", -2.5))),
        ),
        ("word of a lexicon", lambda t, s: spoiled(t, s, "stem", "The horrible tower stands in", "none")),
        ("one context serves", lambda t, s: spoiled(t, s, "context_id", t["context_id"].iloc[1], "neutral")),
        ("share a page", lambda t, s: (t, s.assign(url="http://one.org/"))),
    ],
)
def test_a_gate_fails_for_what_it_guards_against(gate, spoil, monkeypatch):
    table, sources, counts = assembled(candidates())
    found = gates(*spoil(table, sources), counts, monkeypatch)
    assert [name for name in found.index[~found["passed"]] if gate in name]
    with pytest.raises(ValueError, match=rf"the mined benchmark fails .*{gate}.*must be at (least|most)"):
        mined_checks.demand(found.reset_index())


@pytest.mark.parametrize("counter", ["lines", "sentences", "used", "role_stem", "pages"])
def test_what_is_not_accounted_for_stops_the_build(counter, monkeypatch):
    table, sources, counts = assembled(candidates())
    counts[counter] += 3
    found = gates(table, sources, counts, monkeypatch)
    # a candidate too many is missing from the sentences and from what became of the candidates
    assert found.loc["records, lines, sentences and candidates unaccounted for", "value"] == (
        6 if counter == "role_stem" else 3
    )
    assert not found["passed"].all()


def test_the_table_of_counts_starts_each_stage_with_its_total():
    read = Counter(records=10, kept=8, skip_lang=2)
    done = Counter(
        lines=4, line_read=3, line_short=1, sentences=3, sentence_form=2, role_stem=1, dropped_unmatched=1
    )
    table = mined_checks.counts(read, done)
    assert table.groupby("stage", sort=False)["share"].first().tolist() == [1, 1, 1, 1]
    rest = table[table.duplicated("stage")].groupby("stage", sort=False)["count"].sum()
    assert rest.tolist() == [10, 4, 3, 1]


def test_rated_sentences_are_scored_by_a_model_that_did_not_see_their_document():
    table = neutrality.rated()
    assert table.groupby("document")["fold"].nunique().max() == 1
    assert table["fold"].value_counts(normalize=True).between(0.15, 0.25).all()
    weights = np.zeros((2, neutrality.FOLDS + 1, 3))
    weights[:, :, -1] = [
        [0, 1, 2, 3, 4, 5],
        [10, 11, 12, 13, 14, 15],
    ]  # the intercept tells which model was asked
    told = neutrality._apply(weights, np.zeros((3, 2)), [False, True, True], np.array([1, 4, 5]))
    assert told.tolist() == [1, 14, 15]


def test_a_sentence_is_recognised_whatever_its_case_and_signs():
    assert neutrality.key("I'm  Here, now.") == neutrality.key("im here now")
    text = neutrality.rated().iloc[0]
    assert neutrality.felt(pd.Series([text["text"].upper(), "Nobody rated this one."]))["mean"].round(
        9
    ).tolist()[0] == round(text["mean"], 9)
    assert neutrality._folds()[neutrality.key(text["text"])] == text["fold"]


def test_the_rules_of_both_roles_look_at_the_same_words():
    assert extract.is_bare("The bridge was built by two brothers.")
    assert not extract.is_bare("The HORRIBLE bridge was built by two brothers.")


def test_notebook_01b_shows_what_became_of_what_and_whence_the_sentences_are(copy, tmp_path, monkeypatch):
    table, sources, counts = assembled(candidates())
    felt = pd.DataFrame(
        {"scope": "in the benchmark", "role": ["neutral", "negative"], "domain": "all", "share": [0.9, 0.75]}
        | {"ci_low": 0.7, "ci_high": 1.0, "n": 20, "documents": 10}
    )
    passed = gates(table, sources, counts, monkeypatch).reset_index()
    tables = mined_checks.counts(Counter(records=5, kept=5), counts), passed, felt
    monkeypatch.setattr(records, "ROOT", copy)
    benchmarks.write_origin("commoncrawl", mined.Benchmark(table, sources, *tables))
    values, page = tmp_path / "values.yaml", tmp_path / "01b_mining.ipynb"
    of_set = params.cell_values(params.load("commoncrawl"), "commoncrawl", "01b_mining")
    values.write_text(yaml.safe_dump(of_set))
    done = call(copy, "notebook", "01b_mining", str(values), str(page))
    assert done.returncode == 0, done.stdout
    shown = str([cell.get("outputs") for cell in nbformat.read(page, 4).cells])
    assert "neutral 90 % [70, 100] (n 20 in 10 documents), negative 75 %" in shown
    assert shown.count("http://site") >= 8
    assert all(gate in shown for gate in passed["gate"])
