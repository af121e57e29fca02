"""How the judge was chosen: agreement with people on texts that a candidate had not seen.

`make bench-judges` measures it. Fitting all candidates again takes too long for a run, so the results are
stored in lib/data/judge_selection.csv with the version of the judge that they describe.
"""

import pandas as pd

from lib.config.specs import ROOT, Judge
from lib.judging import judges
from lib.report.reports import interval

FILE = ROOT / "lib" / "data" / "judge_selection.csv"
DOCUMENTS, DOMAIN, NULL_VALUE = "unseen documents", "unseen domain", "nothing to learn"
CEILING, FROZEN = "one rater", "mpnet, layers 7, 9, 11, mean and max"
CHOSEN = f"{FROZEN}, adapter"  # the judge in use
UNTRIED = "not tried"  # no adapter was trained without this domain
COLUMNS = [
    "judge",
    "learnt_from",
    "tested_on",
    "domain",
    "estimate",
    "ci_low",
    "ci_high",
    "n",
    "n_documents",
    "version",
]


def read() -> pd.DataFrame:
    """Read Pearson's r of each candidate with the other raters.

    Returns:
        A long table with COLUMNS. learnt_from counts texts; version is that of the learned judge.
    """
    return pd.read_csv(FILE)


def format_table(table: pd.DataFrame) -> pd.DataFrame:
    """Format a table of `read`: a row for each judge and test, a column for each domain.

    The last row holds the number of texts.
    """
    rows = ["judge", "learnt_from", "tested_on"]
    cells = table.assign(cell=[interval(row, 2, sign=False) for row in table.itertuples()])
    order = dict.fromkeys(table[rows].itertuples(index=False, name=None))
    wide = cells.pivot(index=rows, columns="domain", values="cell").loc[
        list(order), list(dict.fromkeys(table["domain"]))
    ]
    wide = wide.fillna(UNTRIED)
    texts = table.groupby("domain")["n"].max().map("{:,}".format).rename(("texts", "", ""))
    return pd.concat([wide, texts.to_frame().T]).rename_axis(index=rows)


def summary(table: pd.DataFrame, judge: Judge) -> str:
    """Say where the chosen judge has the highest r, whether it reaches one rater and whether it is in use."""
    sentences = []
    for split in (DOCUMENTS, DOMAIN):
        tested = table[table["tested_on"].isin([split, NULL_VALUE]) & (table["judge"] != CEILING)]
        best = tested.loc[tested.groupby("domain", sort=False)["estimate"].idxmax()]
        won = best[best["judge"] == CHOSEN]["domain"].tolist()
        others = [f"*{row.judge}* in {row.domain}" for row in best[best["judge"] != CHOSEN].itertuples()]
        sentences.append(f"On an {split}, " if split == DOMAIN else f"On {split}, ")
        sentences[-1] += f"*{CHOSEN}* has the highest r of the candidates in {', '.join(won) or 'no domain'}"
        sentences[-1] += f"; {', '.join(others)}." if others else "."
        tried = set(tested.loc[tested["judge"] == CHOSEN, "domain"])
        untried = [domain for domain in dict.fromkeys(table["domain"]) if domain not in tried]
        sentences[-1] += f" It was not tried there on {', '.join(untried)}." if untried else ""
    ceiling = table[table["judge"] == CEILING].set_index("domain")["estimate"]
    chosen = table[(table["judge"] == CHOSEN) & (table["tested_on"] == DOCUMENTS)].set_index("domain")[
        "estimate"
    ]
    missed = [domain for domain in chosen.index if chosen[domain] < ceiling[domain]]
    outcome = f"missed in {', '.join(missed)}" if missed else "reached"
    sentences.append(f"The aim, one rater's worth in every domain, is {outcome} by *{CHOSEN}*.")
    return " ".join([*sentences, _whose(table, judge)])


def _whose(table: pd.DataFrame, judge: Judge) -> str:
    measured = table["version"].iloc[0]
    if judge.kind != "learned":
        return f"The judge of this run is {judge.name}; the learned one measured here is {measured}."
    version_in_use = judges.version(judge)
    if version_in_use == measured:
        return f"It is the judge in use, {measured}."
    return (
        f"**It is not the judge in use**: measured was {measured}, in use is {version_in_use}; `make "
        "bench-judges` measures anew."
    )
