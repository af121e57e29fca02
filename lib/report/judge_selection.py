"""How the judge was chosen: agreement with people on what a candidate had not seen, as `make bench-judges`
measured and kept it.

Fitting all candidates again takes too long for a run, so the figures lie in lib/data/judge_selection.csv with
the version of the judge that they speak of.
"""

import pandas as pd

from lib.config.specs import ROOT, Judge
from lib.judging import judges
from lib.report.reports import interval

FILE = ROOT / "lib" / "data" / "judge_selection.csv"
DOCUMENTS, DOMAIN, NULL_VALUE = "unseen documents", "unseen domain", "nothing to learn"
CEILING, FROZEN = "one rater", "mpnet, layers 7, 9, 11, mean and max"
CHOSEN = f"{FROZEN}, adapter"  # the judge in use
UNTRIED = "not tried"  # a domain without which no adapter was trained
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
    """Pearson's r with the other raters, long: COLUMNS; learnt_from counts texts, version is the learned
    judge's."""
    return pd.read_csv(FILE)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """As people read it: a row for each judge and way of testing, a column for each domain, then the number
    of texts."""
    rows = ["judge", "learnt_from", "tested_on"]
    cells = table.assign(cell=[interval(row, 2, sign=False) for row in table.itertuples()])
    order = dict.fromkeys(table[rows].itertuples(index=False, name=None))
    wide = cells.pivot(index=rows, columns="domain", values="cell").loc[
        list(order), list(dict.fromkeys(table["domain"]))
    ]
    wide = wide.fillna(UNTRIED)
    texts = table.groupby("domain")["n"].max().map("{:,}".format).rename(("texts", "", ""))
    return pd.concat([wide, texts.to_frame().T]).rename_axis(index=rows)


def reading(table: pd.DataFrame, judge: Judge) -> str:
    """Where the chosen judge has the highest r, whether it reaches one rater, and whether it is the one in
    use."""
    said = []
    for way in (DOCUMENTS, DOMAIN):
        tested = table[table["tested_on"].isin([way, NULL_VALUE]) & (table["judge"] != CEILING)]
        best = tested.loc[tested.groupby("domain", sort=False)["estimate"].idxmax()]
        won = best[best["judge"] == CHOSEN]["domain"].tolist()
        others = [f"*{row.judge}* in {row.domain}" for row in best[best["judge"] != CHOSEN].itertuples()]
        said.append(f"On an {way}, " if way == DOMAIN else f"On {way}, ")
        said[-1] += f"*{CHOSEN}* has the highest r of the candidates in {', '.join(won) or 'no domain'}"
        said[-1] += f"; {', '.join(others)}." if others else "."
        mine = set(tested.loc[tested["judge"] == CHOSEN, "domain"])
        untried = [domain for domain in dict.fromkeys(table["domain"]) if domain not in mine]
        said[-1] += f" It was not tried there on {', '.join(untried)}." if untried else ""
    ceiling = table[table["judge"] == CEILING].set_index("domain")["estimate"]
    used = table[(table["judge"] == CHOSEN) & (table["tested_on"] == DOCUMENTS)].set_index("domain")[
        "estimate"
    ]
    missed = [domain for domain in used.index if used[domain] < ceiling[domain]]
    outcome = f"missed in {', '.join(missed)}" if missed else "reached"
    said.append(f"The aim, one rater's worth in every domain, is {outcome} by *{CHOSEN}*.")
    return " ".join([*said, _whose(table, judge)])


def _whose(table: pd.DataFrame, judge: Judge) -> str:
    measured = table["version"].iloc[0]
    if judge.kind != "learned":
        return f"The judge of this run is {judge.name}; the learned one measured here is {measured}."
    load_model = judges.version(judge)
    if load_model == measured:
        return f"It is the judge in use, {measured}."
    return (
        f"**It is not the judge in use**: measured was {measured}, in use is {load_model}; `make "
        "bench-judges` measures anew."
    )
