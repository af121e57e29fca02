"""How well replies are read: precision and recall of each rule on the cases in tests/data/, our cut beside
that of a library.

`python -m tests.benches.bench_replies` prints both for the cases that the rules were written with and for
those held out. (make bench-replies)
"""

import sys
from pathlib import Path

import pandas as pd
import sentencex

from lib.nlp import sentences
from lib.replies import outcomes
from lib.replies.reply import Reply

DATA = Path(__file__).parents[1] / "data"
FILES = ("reply_cases", "reply_cases_held_out")
RULES = ("thought", "preamble", "refusal", "empty", "cut")


def cases(name: str) -> pd.DataFrame:
    """rules (those that must act, or what the case tries), context, stem, mitigation, reply, thinking, ended,
    outcome and completion, as they should be. In the file ⏎ stands for a line break.
    """
    table = pd.read_csv(DATA / f"{name}.csv", dtype=str, keep_default_na=False)
    texts = table[["reply", "completion"]].apply(lambda column: column.str.replace("⏎", "\n"))
    return table.assign(**texts, thinking=table["thinking"] == "1", ended=table["ended"] == "1")


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with what is made of each reply: found_outcome, found_completion, found_rules."""
    rows = []
    for row in table.itertuples():
        prompt = (row.context, row.stem, row.mitigation, outcomes.THOUGHT_MARKERS, row.thinking)
        found = outcomes.settle(Reply(row.reply, 1, row.ended), *prompt)
        rules = {"preamble" if rule == "echo" else rule for rule in outcomes.read(row.reply, *prompt).rules}
        rules |= {"refusal"} & {found.outcome.replace("refused", "refusal")}
        rows.append((found.outcome, found.completion or "", " ".join(sorted(rules))))
    return table.assign(
        **dict(
            zip(("found_outcome", "found_completion", "found_rules"), zip(*rows, strict=True), strict=True)
        )
    )


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """By rule: cases that need it, times it acted, precision and recall, %; a cut that acts is a
    completion."""
    rows = []
    for rule in RULES:
        needed, acted, right = _acted(table, rule)
        hits = 100 * (needed & acted & right).sum()
        rows.append(
            (rule, needed.sum(), acted.sum(), hits / max(acted.sum(), 1), hits / max(needed.sum(), 1))
        )
    return pd.DataFrame(rows, columns=["rule", "cases", "acted", "precision", "recall"]).set_index("rule")


def _acted(table: pd.DataFrame, rule: str) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Where the rule is needed, where it acted, and where what it made of the reply is right."""
    outcome, completion = (table[name] == table[f"found_{name}"] for name in ("outcome", "completion"))
    if rule == "empty":
        return table["outcome"] == rule, table["found_outcome"] == rule, outcome
    if rule == "cut":
        return table["completion"] != "", table["found_completion"] != "", completion
    needed, acted = (table[name].str.contains(rf"\b{rule}\b") for name in ("rules", "found_rules"))
    return needed, acted, outcome & completion


def cuts(table: pd.DataFrame) -> pd.Series:
    """% of the answers that nothing stands before (rules cut or natural) which each of two ways cuts where
    they should be."""
    part = table[table["rules"].isin(["cut", "natural"]) & ~table["reply"].str.contains("<think>")]
    ours = part["reply"].map(sentences.first_sentence)
    library = part["reply"].map(_first_by_library)
    lines = library.str.split("\n").str[0].str.strip()
    found = {"first_sentence": ours, "sentencex": library, "sentencex, then its first line": lines}
    shares = {name: 100 * (texts == part["completion"]).mean() for name, texts in found.items()}
    return pd.Series({"answers": len(part), **shares})


def _first_by_library(text: str) -> str:
    return next((found.strip() for found in sentencex.segment("en", text) if found.strip()), "")


def wrong(table: pd.DataFrame) -> pd.DataFrame:
    """The cases whose outcome or completion is not as it should be."""
    return table[
        (table["outcome"] != table["found_outcome"]) | (table["completion"] != table["found_completion"])
    ]


def main() -> int:
    """Print the scores for each file, then the cases that went wrong."""
    for name in FILES:
        table = settled(cases(name))
        print(
            f"{name}: {len(table)} cases, {(table['rules'] == 'natural').sum()} of them answers that "
            "nothing may touch"
        )
        print(scores(table).round(1).to_string(), cuts(table).round(1).to_string(), sep="\n")
        columns = [
            "rules",
            "stem",
            "reply",
            "outcome",
            "completion",
            "found_outcome",
            "found_completion",
            "found_rules",
        ]
        for row in wrong(table)[columns].to_dict("records"):
            print("wrong:", row)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
