"""A judge that is a language model, asked about a sample: rated texts, and the pairs of completions drawn for
annotators.

Each text is a question of its own, so a language model listed beside a run's judge is not asked about all of
them. It is compared on the very same texts with the run's judge, with VADER, and with one rater, each of them
against the other raters.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lib.agreement import human_agreement, rated_agreement, rated_threshold
from lib.analysis import leakage
from lib.annotation import sampling_plan
from lib.config.sections import Agreement
from lib.config.specs import Judge
from lib.judging import judges, llm_judge, llm_reliability
from lib.stats import inference, resamples
from lib.storage import records, times

VADER = Judge(name="vader", kind="vader")
ONE_RATER, WITH_PEOPLE = "one rater", ("pearson", "kappa")
TEXTS, PAIRS = "rated texts, alone", "completions, in pairs"
COLUMNS = ["judge", "level", "who", "measure", "estimate", "ci_low", "ci_high", "n", "n_documents"]
REPLY_COLUMNS = ["judge", "asked_about", "quantity", "estimate", "ci_low", "ci_high", "n", "n_stems"]
UNSCORED, WITH_JUDGE = "unscored replies, %", "Pearson's r with the run's judge"


@dataclass(frozen=True)
class Asked:
    """A judge's replies about the sample: `texts` and `pairs`, tables of `llm_judge.ask`."""

    judge: Judge
    texts: pd.DataFrame
    pairs: pd.DataFrame


def of_ratings(ratings: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Rows of `human_ratings.read()`: `size` divided equally among the domains, a simple random sample of
    each."""
    each = size // ratings["domain"].nunique()
    drawn = [
        own.sample(min(each, len(own)), random_state=seed) for _, own in ratings.groupby("domain", sort=False)
    ]
    return pd.concat(drawn).sort_index()


def of_pairs(key: pd.DataFrame, judgements: pd.DataFrame) -> pd.DataFrame:
    """The judgements of the completions of the pairs drawn in an annotation key, each once, with the partner
    of each."""
    drawn = key[sampling_plan.PAIR].assign(partner=sampling_plan.partners(key))[key["sampled"].astype(bool)]
    both = pd.concat([drawn, drawn.assign(arm="neutral", sample_index=drawn["partner"])]).drop_duplicates(
        sampling_plan.PAIR
    )
    return leakage.unmitigated(judgements).merge(both, on=sampling_plan.PAIR)


def ask(run: Agreement, sample: pd.DataFrame, completions: pd.DataFrame) -> list[Asked]:
    """Asks every judge of `run.on_a_sample` about a table of `of_ratings` and one of `of_pairs`; what
    journals hold is not asked again."""
    return [_ask(judge, run.set_name, sample, completions) for judge in run.on_a_sample]


def expected_questions(run: Agreement, judge: Judge) -> int:
    """How many questions `ask` puts to a judge on average, if no two texts are equal."""
    return round((run.llm_sample_size + 2 * run.annotation_pairs) * (1 + judge.retest_fraction))


def _ask(judge: Judge, set_name: str, sample: pd.DataFrame, completions: pd.DataFrame) -> Asked:
    journal = records.replies_path(set_name, "annotation-pairs", judge.name)
    once = sample.drop_duplicates("text")
    texts = timed(
        judge,
        TEXTS,
        llm_judge.replies_alone(judge),
        lambda: llm_judge.ask_single(judge, once["text"].tolist(), once["document"], judge.retest_fraction),
    )
    return Asked(judge, texts, timed(judge, PAIRS, journal, lambda: _ask_pairs(judge, completions, journal)))


def _ask_pairs(judge: Judge, completions: pd.DataFrame, journal: Path) -> pd.DataFrame:
    seen = [llm_judge.pairings(own.reset_index(drop=True)) for _, own in completions.groupby("model")]
    return llm_judge.ask(
        judge, llm_judge.questions(pd.concat(seen), judge.retest_fraction, judge.seed), journal
    )


def timed(judge: Judge, form: str, journal: Path, ask: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """What `ask` gives; what the new questions of the journal took is kept in the user's cache, see
    `seconds`."""
    known, started = len(records.journal_keys(journal)), time.monotonic()
    asked = ask()
    if new := len(records.journal_keys(journal)) - known:
        times.Times().keep(f"{llm_judge.version(judge)} {form}", new, time.monotonic() - started)
    return asked


def seconds(judge: Judge, form: str) -> tuple[int, float] | None:
    """How many questions of this form (TEXTS, PAIRS) were last asked on this machine, and the seconds that
    each took, loading of the weights included; None if none were. No part of a page: no two runs take the
    same time."""
    known = times.Times().of(f"{llm_judge.version(judge)} {form}")
    return known and (int(known[0]), known[1] / known[0])


def agreement_with_people(
    asked: list[Asked], run: Agreement, ratings: pd.DataFrame, sample: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Agreement with the other raters by domain and over all, bootstrap over documents; texts that a judge
    left unscored are out.

    COLUMNS. who: the judge asked, the run's judge, VADER, ONE_RATER, and "asked − …" of each of those.
    measure: pearson, of the valence with the other raters' mean; kappa, of the verdict with the other raters'
    majority, the threshold being fitted to the sample's texts of other documents. One rater's verdict is that
    of a rating beyond `rated_threshold.LEAST`.
    """
    found = [_of_judge(one, run, ratings, sample, rng) for one in asked]
    return pd.concat(found, ignore_index=True)[COLUMNS] if found else pd.DataFrame(columns=COLUMNS)


def _of_judge(one: Asked, run: Agreement, ratings: pd.DataFrame, sample: pd.DataFrame, rng) -> pd.DataFrame:
    table, names = beside(one, run.judge, ratings, sample, rng)
    if table["document"].nunique() < rated_threshold.FOLDS:
        return pd.DataFrame(columns=COLUMNS)

    def statistic(part: pd.DataFrame, weights: np.ndarray) -> dict[tuple, np.ndarray]:
        given = {}
        for name in names:
            crossed = resamples.cross_table(
                part[f"verdict {name}"], part["majority"], rated_threshold.POLARITIES, weights
            )
            given[name, "pearson"] = resamples.pearson(part[f"valence {name}"], part["others"], weights)
            given[name, "kappa"] = human_agreement.measures_of_tables(crossed)["kappa"]
        own = {measure: given[names[0], measure] for measure in WITH_PEOPLE}
        return given | {
            (f"{names[0]} − {name}", measure): own[measure] - given[name, measure]
            for name in names[1:]
            for measure in WITH_PEOPLE
        }

    found = []
    for level, part in [*table.groupby("domain", sort=False), ("all texts", table)]:
        rows = resamples.table(part, statistic, "document", run.confidence, run.n_resamples, rng)
        rows["who"], rows["measure"] = rows["measure"].str[0], rows["measure"].str[1]
        found.append(
            rows.assign(judge=names[0], level=level, n=len(part), n_documents=part["document"].nunique())
        )
    return pd.concat(found, ignore_index=True)


def beside(
    one: Asked, judge: Judge, ratings: pd.DataFrame, sample: pd.DataFrame, rng
) -> tuple[pd.DataFrame, list[str]]:
    """The scored texts of the sample: domain, document, others, majority, and of each of the names, which are
    given too, a valence and a verdict."""
    votes = llm_judge.votes(one.texts)
    own = votes[votes["sample_index"] == 0].groupby("text")["valence"].mean()
    given = {one.judge.name: own.reindex(map(llm_judge.normalize, sample["text"])).to_numpy()}
    for other in (judge, VADER):
        valences = pd.Series(judges.of_rated(other, ratings), ratings.index)
        given.setdefault(other.name, valences.loc[sample.index].to_numpy())
    scored = ~np.any([np.isnan(valence) for valence in given.values()], axis=0)
    table = _raters(sample[scored].reset_index(drop=True), rng)
    if table["document"].nunique() >= rated_threshold.FOLDS:
        polarity = pd.Series(rated_threshold.felt(table), table.index)
        # as in rated_threshold.rows
        weight = 1 / polarity.groupby([table["domain"], polarity]).transform("size")
        for name, valence in given.items():
            judged = table.assign(valence=valence[scored], polarity=polarity, weight=weight)
            table[f"valence {name}"], table[f"verdict {name}"] = (
                valence[scored],
                rated_threshold.verdicts(judged)["verdict"],
            )
    return table, [*given, ONE_RATER]


def _raters(table: pd.DataFrame, rng) -> pd.DataFrame:
    """`rated_agreement.divide_raters` with the verdict of the one rater and the majority of the others."""
    table, least = rated_agreement.divide_raters(table, rng), rated_threshold.LEAST
    counts = [[np.sum(sign * given >= least) for sign in (-1, 1)] for given in table["ratings"]]
    own = np.stack([-table["rater"] >= least, table["rater"] >= least], axis=1)
    most = (np.reshape(counts, own.shape) - own) / (table["n_raters"].to_numpy() - 1)[:, None] > 0.5
    signs = np.array([-1, 1])
    rater = {f"valence {ONE_RATER}": table["rater"], f"verdict {ONE_RATER}": own @ signs}
    return table.assign(majority=most @ signs, **rater)


def replies(
    asked: list[Asked], run: Agreement, completions: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """What the replies tell, by judge and by what was asked about: REPLY_COLUMNS. UNSCORED, WITH_JUDGE (of
    completions, by stem) and the quantities of `llm_reliability.reliability`; of texts asked about alone a
    stem is a document."""
    found = []
    for one in asked:
        for name, table in ((TEXTS, one.texts), (PAIRS, one.pairs)):
            unscored = inference.clustered_shares(
                table.assign(quantity=UNSCORED, unscored=100.0 * table["unscored"].notna()),
                "unscored",
                ["quantity"],
                run.confidence,
            )
            steady = llm_reliability.reliability(table, run.confidence, run.n_resamples, rng)
            rows = pd.concat(
                [
                    unscored,
                    steady if name == PAIRS else steady[steady["quantity"].isin(llm_reliability.RETESTS)],
                ]
            )
            found.append(rows.assign(judge=one.judge.name, asked_about=name))
        found.append(_with_judge(one, run, completions, rng))
    return (
        pd.concat(found, ignore_index=True)[REPLY_COLUMNS] if found else pd.DataFrame(columns=REPLY_COLUMNS)
    )


def _with_judge(one: Asked, run: Agreement, completions: pd.DataFrame, rng) -> pd.DataFrame:
    """Pearson's r of the two judges' valences of the completions, unweighted."""
    votes = llm_judge.votes(one.pairs)
    own = votes[votes["sample_index"] == 0].groupby("text")["valence"].mean()
    texts = completions["completion"].map(llm_judge.normalize, na_action="ignore")
    table = completions.assign(asked=texts.map(own)).dropna(subset=["asked", "valence"])
    if table.empty:
        return pd.DataFrame(columns=REPLY_COLUMNS)

    def statistic(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {WITH_JUDGE: resamples.pearson(part["asked"], part["valence"], weights)}

    row = resamples.table(table, statistic, "stem_id", run.confidence, run.n_resamples, rng).rename(
        columns={"measure": "quantity"}
    )
    return row.assign(
        judge=one.judge.name, asked_about=PAIRS, n=len(table), n_stems=table["stem_id"].nunique()
    )
