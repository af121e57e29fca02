"""The lint finds every planted defect, and nothing in the shipped files."""

import re

import numpy as np
import pandas as pd
import pytest

from lib.dataset import curated_prompts, lint, relatedness
from lib.nlp import similarity

TABLES = {
    name: pd.read_csv(curated_prompts.DATA / f"{name}.csv", dtype=str, keep_default_na=False)
    for name in lint.FILES
}
_known: dict[str, np.ndarray] = {}


def embed(texts: list[str]) -> np.ndarray:
    """similarity.embed, each text once for all tests."""
    new = [text for text in dict.fromkeys(texts) if text not in _known]
    _known.update(zip(new, similarity.embed(new), strict=True) if new else ())
    return np.stack([_known[text] for text in texts])


def test_nothing_is_found_in_the_shipped_files():
    assert not list(lint.files(curated_prompts.DATA))
    found = lint.lint(**TABLES, embed=embed)
    assert found.empty, found.to_string()


def test_each_match_has_a_neutral_context_of_either_kind():
    contexts = TABLES["contexts"]
    assert contexts["match_id"].nunique() == 216
    assert (
        contexts["kind"] == contexts["arm"].map({"neutral": "physical", "neutral2": "mental"}).fillna("")
    ).all()


def cell(query: str, column: str, edit):
    """Plant in the first row that fits `query`: its `column` becomes edit(what stands there)."""

    def plant(table: pd.DataFrame) -> pd.DataFrame:
        row = table.query(query).index[0]
        table.loc[row, column] = edit(table.loc[row, column])
        return table

    return plant


def everywhere(query: str, column: str, edit):
    """Plant in all rows that fit."""

    def plant(table: pd.DataFrame) -> pd.DataFrame:
        rows = table.query(query).index
        table.loc[rows, column] = table.loc[rows, column].map(edit)
        return table

    return plant


def repeated(query: str, column: str, edit, **changes):
    """Plant the text of the first row that fits, edited, in the last row, which gets `changes` as well."""

    def plant(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table.index[-1], [column, *changes]] = [
            edit(table.query(query)[column].iloc[0]),
            *changes.values(),
        ]
        return table

    return plant


def dropped(query: str):
    return lambda table: table.drop(table.query(query).index[0])


def always(value: str):
    return lambda _: value


def swap(old: str, new: str):
    return lambda text: text.replace(old, new)


def more(words: str):
    """Add words before a context's full stop."""
    return lambda text: f"{text[:-1]} {words}."


NEUTRAL, CHARGED = "arm == 'neutral' and form == 'explicit'", "arm == 'negative' and form == 'explicit'"
WITH_IS, WITH_HIS = "text.str.contains('{is}')", "text.str.contains('{his}')"
IDIOM = "arm == 'negative' and form == 'idiomatic'"
M1 = "match_id == match_id.iloc[0]"
HE, THEY = (
    "subject == 'He' and stem.str.contains(r'\\bhis\\b')",
    "subject == 'They' and stem.str.contains(r'\\bthey\\b')",
)


def repeated_name(table: pd.DataFrame) -> pd.DataFrame:
    """The first named stem, told again of the same name with another pronoun."""
    first = table[
        ~table["subject"].isin(relatedness.SUBJECT_PRONOUNS) & ~table["subject"].str.startswith("The ")
    ].iloc[0]
    table.loc[table.index[-1], ["subject", "pronoun"]] = [
        first["subject"],
        "she" if first["pronoun"] == "he" else "he",
    ]
    return table


def with_needless(table: pd.DataFrame) -> pd.DataFrame:
    """One more exclusion, of the first match with the first stem that it may meet."""
    match_id = TABLES["contexts"]["match_id"].iloc[0]
    taken = set(table.loc[table["match_id"] == match_id, "scope"])
    stem = next(row for row in TABLES["stems"].itertuples() if not {row.stem_id, row.domain} & taken)
    return pd.concat(
        [table, pd.DataFrame([[match_id, stem.stem_id, "a whim"]], columns=table.columns)], ignore_index=True
    )


def with_leaked_word(table: pd.DataFrame) -> pd.DataFrame:
    """The longest word of the last stem, added to the first neutral sentence."""
    stem = TABLES["stems"].iloc[-1]
    word = max(
        relatedness.content_words(relatedness.anonymize(stem.stem, stem.subject, stem.pronoun)).values(),
        key=len,
    )
    return cell(NEUTRAL, "text", lambda text: f"{text[:-1]} by the {word}.")(table)


PLANTED = {
    "non-breaking space": (
        "encoding",
        "stems",
        cell("slot == 'open'", "stem", lambda text: text.replace(" ", "\u00a0", 1)),
    ),
    "accent apart": (
        "encoding",
        "stems",
        cell("slot == 'open'", "stem", lambda text: text.replace("e", "e\u0301", 1)),
    ),
    "zero-width space": (
        "encoding",
        "contexts",
        cell(NEUTRAL, "text", lambda text: text.replace(" ", " \u200b", 1)),
    ),
    "two spaces": ("encoding", "contexts", cell(CHARGED, "text", lambda text: text.replace(" ", "  ", 1))),
    "space at the end": ("encoding", "stems", cell("slot == 'closed'", "stem", lambda text: text + " ")),
    "curly apostrophe": ("encoding", "stems", cell('stem.str.contains("\'s")', "stem", swap("'", "’"))),
    "tab": ("encoding", "exclusions", cell("index == 0", "reason", lambda text: text + "\t")),
    "lost character": (
        "encoding",
        "contexts",
        cell(IDIOM, "text", lambda text: text.replace("e", "\ufffd", 1)),
    ),
    "unknown slot": ("schema", "stems", cell("index == 3", "slot", always("ajar"))),
    "unknown pronoun": ("schema", "stems", cell("index == 3", "pronoun", always("it"))),
    "stem_id twice": (
        "schema",
        "stems",
        lambda table: table.assign(stem_id=[table["stem_id"][1], *table["stem_id"][1:]]),
    ),
    "unknown emotion": ("schema", "contexts", cell(CHARGED, "emotion", always("envy"))),
    "emotion of the other polarity": ("schema", "contexts", cell(CHARGED, "emotion", always("joy"))),
    "unknown intensity": ("schema", "contexts", everywhere(M1, "intensity", always("medium"))),
    "missing column": ("schema", "contexts", lambda table: table.drop(columns="intensity")),
    "no full stop": ("schema", "contexts", cell(NEUTRAL, "text", lambda text: text[:-1])),
    "exclusion without reason": ("schema", "exclusions", cell("index == 0", "reason", always(""))),
    "exclusion twice": (
        "schema",
        "exclusions",
        lambda table: pd.concat([table, table[:1]], ignore_index=True),
    ),
    "context_id of another match": ("id", "contexts", cell(NEUTRAL, "context_id", lambda name: "m9" + name)),
    "stem_id of another domain": ("id", "stems", cell("index == 0", "stem_id", always("zebra-01"))),
    "match without placebo": ("pairing", "contexts", dropped("arm == 'neutral2'")),
    "arm twice": ("pairing", "contexts", cell("arm == 'neutral2'", "arm", always("neutral"))),
    "two intensities in a match": (
        "pairing",
        "contexts",
        cell("intensity == 'mild'", "intensity", always("strong")),
    ),
    "two forms in a match": ("pairing", "contexts", cell(CHARGED, "form", always("idiomatic"))),
    "stem gone": ("design", "stems", dropped("slot == 'open'")),
    "slot changed": ("design", "stems", cell("slot == 'open'", "slot", always("closed"))),
    "domain renamed": ("design", "stems", cell("index == 0", "domain", always("pastimes"))),
    "match gone": ("design", "contexts", lambda table: table[table["match_id"] != table["match_id"].iloc[0]]),
    "emotion relabelled": ("design", "contexts", cell("emotion == 'anger'", "emotion", always("fear"))),
    "stem of three words": ("length", "stems", cell(HE, "stem", lambda text: "His hat is")),
    "stem of twenty words": ("length", "stems", cell(HE, "stem", lambda text: "On the day " * 5 + text)),
    "longer than its match": ("length", "contexts", cell(NEUTRAL, "text", more("on that same Tuesday"))),
    "same stem of another person": (
        "duplicate",
        "stems",
        repeated(
            HE,
            "stem",
            lambda text: re.sub(r"\bhis\b", "her", text).replace("His", "Her"),
            subject="She",
            pronoun="she",
        ),
    ),
    "same context": ("duplicate", "contexts", repeated(NEUTRAL, "text", str)),
    "stem but for a word": (
        "near-duplicate",
        "stems",
        repeated(
            HE,
            "stem",
            lambda text: text.replace("his", "his new").replace("His", "His new"),
            subject="He",
            pronoun="he",
        ),
    ),
    "context but for a word": ("near-duplicate", "contexts", repeated(NEUTRAL, "text", more("today"))),
    "charged stem": ("sentiment", "stems", cell(HE, "stem", lambda text: "Happily " + text)),
    "charged neutral": ("sentiment", "contexts", cell(NEUTRAL, "text", more("near dirty towels"))),
    "charges that cancel": ("sentiment", "contexts", cell(NEUTRAL, "text", more("in love and hate"))),
    "charge that only AFINN knows": (
        "sentiment",
        "stems",
        cell(HE, "stem", lambda text: "After the bankruptcy " + text),
    ),
    "charge that only VADER knows": (
        "sentiment",
        "stems",
        cell(HE, "stem", lambda text: "With the champ " + text),
    ),
    "positive text in a negative arm": (
        "polarity",
        "contexts",
        cell(CHARGED, "text", always("{Subject} {is} glad.")),
    ),
    "uncharged text in a negative arm": (
        "polarity",
        "contexts",
        cell(CHARGED, "text", always("{Subject} {is} upstairs.")),
    ),
    "one polarity weaker": (
        "strength",
        "contexts",
        everywhere(
            "arm == 'positive' and form == 'explicit'", "text", lambda text: re.sub(r"\w+\.$", "fine.", text)
        ),
    ),
    "intensities in a wrong order": (
        "intensity",
        "contexts",
        everywhere(
            "index >= 0", "intensity", lambda name: {"mild": "strong", "strong": "mild"}.get(name, name)
        ),
    ),
    "wrong pronoun": (
        "pronoun",
        "stems",
        cell(HE, "stem", lambda text: re.sub(r"\b[Hh]is\b", "her", text, count=1)),
    ),
    "stem of nobody": ("pronoun", "stems", cell(HE, "stem", always("The colour of the bus stop is"))),
    "subject and pronoun at odds": ("pronoun", "stems", cell(HE, "pronoun", always("they"))),
    "name gone": ("pronoun", "stems", cell("subject.str.len() > 4", "subject", always("Bartholomew"))),
    "second person": ("pronoun", "stems", cell(HE, "stem", lambda text: "As you know " + text)),
    "name of two pronouns": ("pronoun", "stems", repeated_name),
    "they is": (
        "agreement",
        "stems",
        cell(THEY, "stem", lambda text: re.sub(r"\b(they) \w+", r"\1 is", text)),
    ),
    "verb outside a placeholder": ("agreement", "contexts", cell(WITH_IS, "text", swap("{is}", "is"))),
    "third person outside a placeholder": (
        "agreement",
        "contexts",
        cell(CHARGED, "text", always("{Subject} seems sad.")),
    ),
    "pronoun outside a placeholder": ("agreement", "contexts", cell(WITH_HIS, "text", swap("{his}", "his"))),
    "unknown placeholder": ("placeholder", "contexts", cell(WITH_IS, "text", swap("{is}", "{sits}"))),
    "open brace": ("placeholder", "contexts", cell(WITH_IS, "text", swap("{is}", "{is"))),
    "verb forms swapped": (
        "placeholder",
        "contexts",
        cell(CHARGED, "text", always("{Subject} {feel|feels} sad and lonely.")),
    ),
    "comma at the end": ("ending", "stems", cell(HE, "stem", lambda text: text + ",")),
    "an before a consonant": ("article", "stems", cell(HE, "stem", lambda text: "In an box " + text)),
    "a before a vowel": ("article", "contexts", cell(NEUTRAL, "text", always("{Subject} {has} a apron on."))),
    "idiom without literal words": ("literal senses", "contexts", cell(IDIOM, "literal_senses", always(""))),
    "literal word that is not there": (
        "literal senses",
        "contexts",
        cell(IDIOM, "literal_senses", always("giraffe")),
    ),
    "literal words of a plain sentence": (
        "literal senses",
        "contexts",
        cell(CHARGED, "literal_senses", lambda _: "full"),
    ),
    "exclusion of an unknown match": (
        "exclusion",
        "exclusions",
        cell("index == 0", "match_id", always("m999")),
    ),
    "exclusion of an unknown scope": (
        "exclusion",
        "exclusions",
        cell("index == 0", "scope", always("gardening")),
    ),
    "exclusion for no reason": ("exclusion", "exclusions", with_needless),
    "exclusion deleted": ("related", "exclusions", lambda table: table[:-1]),
    "leaked word": ("related", "contexts", with_leaked_word),
    "alike without a shared word": (
        "related",
        "contexts",
        cell(NEUTRAL, "text", always("{Subject} {is} out on the motorbike.")),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_found(name):
    check, table, plant = PLANTED[name]
    planted = {key: value.copy() for key, value in TABLES.items()}
    planted[table] = plant(planted[table])
    assert not planted[table].equals(TABLES[table])
    found = lint.lint(**planted, embed=embed)
    assert check in set(found["check"]), found.to_string()
    assert found[["place", "reason", "remedy"]].ne("").all(axis=None)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "byte-order mark"),
        (lambda data: data.replace(b"\n", b"\r\n"), "CRLF"),
        (lambda data: data + b"\xff\n", "UTF-8"),
    ],
)
def test_bytes_that_a_table_does_not_show_are_found(edit, reason, tmp_path, capsys):
    for name in lint.FILES:
        data = (curated_prompts.DATA / f"{name}.csv").read_bytes()
        (tmp_path / f"{name}.csv").write_bytes(edit(data) if name == "stems" else data)
    assert lint.main(tmp_path) == 1
    assert reason in capsys.readouterr().out


def test_content_words_are_compared_without_endings_and_function_words():
    words = relatedness.content_words("Anna's two boxes are standing in her tidied kitchen.")
    assert list(words.values()) == ["anna", "boxes", "standing", "tidied", "kitchen"]
    assert (
        words.keys() >= relatedness.content_words("a box").keys() | relatedness.content_words("stands").keys()
    )


@pytest.mark.parametrize(
    ("stem", "subject", "pronoun", "told"),
    [
        ("His hat is", "He", "he", "their hat is"),
        ("Her hat is", "She", "she", "their hat is"),
        ("The nurse's badge says she is", "The nurse", "she", "someone's badge says they is"),
        ("The mug I gave my aunt is", "I", "I", "The mug they gave their aunt is"),
    ],
)
def test_a_stem_is_compared_without_its_subject(stem, subject, pronoun, told):
    assert relatedness.anonymize(stem, subject, pronoun) == told


def test_the_threshold_tells_stems_of_one_domain_from_stems_of_two():
    above = relatedness.baseline_rate(TABLES["stems"], embed)
    assert above["different"] < 0.02
    assert above["same"] > 5 * above["different"]


def test_a_sentence_is_like_itself_and_more_like_its_paraphrase_than_like_another():
    one, again, paraphrase, other = embed(
        ["The cat sleeps.", "The cat sleeps.", "A cat is asleep.", "Taxes rose in May."]
    )
    assert one @ again == pytest.approx(1, abs=1e-5)
    assert one @ paraphrase > 0.6 > 0.3 > one @ other
