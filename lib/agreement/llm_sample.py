"""A language model as judge, asked about a sample: rated texts, and the pairs drawn for annotators.

Each text is a separate question, so a language model listed next to a run's judge is not asked about all
texts. It is compared on the same texts with the run's judge, with VADER and with one rater. Each of these is
compared with the other raters.
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
from lib.config.specs import Judge, LLMJudge, VaderJudge
from lib.judging import judges, llm_judge, llm_reliability
from lib.stats import inference, resamples
from lib.storage import records, times

VADER = VaderJudge(name="vader")
ONE_RATER, WITH_PEOPLE = "one rater", ("pearson", "kappa")
TEXTS, PAIRS = "rated texts, alone", "completions, in pairs"
COLUMNS = ["judge", "level", "who", "measure", "estimate", "ci_low", "ci_high", "n", "n_documents"]
REPLY_COLUMNS = ["judge", "asked_about", "quantity", "estimate", "ci_low", "ci_high", "n", "n_stems"]
UNSCORED, WITH_JUDGE = "unscored replies, %", "Pearson's r with the run's judge"


@dataclass(frozen=True)
class Asked:
    """A judge's replies about the sample: `texts` and `pairs`, tables of `llm_judge.ask`."""

    judge: LLMJudge
    texts: pd.DataFrame
    pairs: pd.DataFrame


def of_ratings(ratings: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Draw a sample of rows of `human_ratings.read()`, a simple random sample of each domain.

    `size` is divided equally among the domains.
    """
    per_domain = size // ratings["domain"].nunique()
    samples = [
        texts.sample(min(per_domain, len(texts)), random_state=seed)
        for _, texts in ratings.groupby("domain", sort=False)
    ]
    return pd.concat(samples).sort_index()


def of_pairs(key: pd.DataFrame, judgements: pd.DataFrame) -> pd.DataFrame:
    """Return the judgements of the completions of the pairs drawn in an annotation key.

    Each completion occurs once, with its partner.
    """
    sampled = key[sampling_plan.PAIR].assign(partner=sampling_plan.partners(key))[key["sampled"].astype(bool)]
    both = pd.concat(
        [sampled, sampled.assign(arm="neutral", sample_index=sampled["partner"])]
    ).drop_duplicates(sampling_plan.PAIR)
    return leakage.unmitigated(judgements).merge(both, on=sampling_plan.PAIR)


def ask(run: Agreement, sample: pd.DataFrame, completions: pd.DataFrame) -> list[Asked]:
    """Ask every judge of `run.on_a_sample` about a table of `of_ratings` and one of `of_pairs`.

    Questions that the journals hold are not asked again.
    """
    return [_ask(judge, run.set_name, sample, completions) for judge in run.on_a_sample]


def expected_questions(run: Agreement, judge: LLMJudge) -> int:
    """Return how many questions `ask` puts to a judge on average, if no two texts are equal."""
    return round((run.llm_sample_size + 2 * run.annotation_pairs) * (1 + judge.retest_fraction))


def _ask(judge: LLMJudge, set_name: str, sample: pd.DataFrame, completions: pd.DataFrame) -> Asked:
    journal = records.replies_path(set_name, "annotation-pairs", judge.name)
    distinct = sample.drop_duplicates("text")
    texts = timed(
        judge,
        TEXTS,
        llm_judge.replies_alone(judge),
        lambda: llm_judge.ask_single(
            judge, distinct["text"].tolist(), distinct["document"], judge.retest_fraction
        ),
    )
    return Asked(judge, texts, timed(judge, PAIRS, journal, lambda: _ask_pairs(judge, completions, journal)))


def _ask_pairs(judge: LLMJudge, completions: pd.DataFrame, journal: Path) -> pd.DataFrame:
    pairings = [
        llm_judge.pairings(of_model.reset_index(drop=True)) for _, of_model in completions.groupby("model")
    ]
    return llm_judge.ask(
        judge, llm_judge.questions(pd.concat(pairings), judge.retest_fraction, judge.seed), journal
    )


def timed(judge: LLMJudge, form: str, journal: Path, ask: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return the result of `ask`.

    The time that new questions of the journal took is kept in the user's cache, see `seconds`.
    """
    n_known, started = len(records.journal_keys(journal)), time.monotonic()
    result = ask()
    if new := len(records.journal_keys(journal)) - n_known:
        times.Times().keep(f"{llm_judge.version(judge)} {form}", new, time.monotonic() - started)
    return result


def seconds(judge: LLMJudge, form: str) -> tuple[int, float] | None:
    """Return how many questions of a form were last asked on this machine, and the seconds for each.

    The form is TEXTS or PAIRS. The seconds include loading of the weights. None if no questions were asked.
    The result is not part of a page, because no two runs take the same time.
    """
    recorded = times.Times().of(f"{llm_judge.version(judge)} {form}")
    return recorded and (int(recorded[0]), recorded[1] / recorded[0])


def agreement_with_people(
    asked: list[Asked], run: Agreement, ratings: pd.DataFrame, sample: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Estimate agreement with the other raters by domain and over all texts, bootstrap over documents.

    Texts that a judge left unscored are left out.

    Args:
        asked: The replies of each judge.
        run: The parameters of the run.
        ratings: All rated texts, as `human_ratings.read()` returns them.
        sample: The table of `of_ratings`.
        rng: Source of the resamples and of the one rater.

    Returns:
        A table with COLUMNS. who: the judge asked, the run's judge, VADER, ONE_RATER, and "asked − …" for
        each of the others. measure: pearson, of the valence with the other raters' mean; kappa, of the
        verdict with the other raters' majority. The threshold is fitted to the sample's texts of other
        documents. One rater's verdict is charged from a rating of `rated_threshold.LEAST` on.
    """
    tables = [_of_judge(judged, run, ratings, sample, rng) for judged in asked]
    return pd.concat(tables, ignore_index=True)[COLUMNS] if tables else pd.DataFrame(columns=COLUMNS)


def _of_judge(one: Asked, run: Agreement, ratings: pd.DataFrame, sample: pd.DataFrame, rng) -> pd.DataFrame:
    table, names = beside(one, run.judge, ratings, sample, rng)
    if table["document"].nunique() < rated_threshold.FOLDS:
        return pd.DataFrame(columns=COLUMNS)

    def statistic(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
        values = {}
        for name in names:
            crossed = resamples.cross_table(
                part[f"verdict {name}"], part["majority"], rated_threshold.POLARITIES, weights
            )
            values[f"pearson {name}"] = resamples.pearson(part[f"valence {name}"], part["others"], weights)
            values[f"kappa {name}"] = human_agreement.measures_of_tables(crossed)["kappa"]
        judge_values = {measure: values[f"{measure} {names[0]}"] for measure in WITH_PEOPLE}
        return values | {
            f"{measure} {names[0]} − {name}": judge_values[measure] - values[f"{measure} {name}"]
            for name in names[1:]
            for measure in WITH_PEOPLE
        }

    tables = []
    for level, part in [*table.groupby("domain", sort=False), ("all texts", table)]:
        rows = resamples.table(part, statistic, "document", run.confidence, run.n_resamples, rng)
        parts = rows["measure"].str.split(" ", n=1)
        rows["measure"], rows["who"] = parts.str[0], parts.str[1]
        tables.append(
            rows.assign(judge=names[0], level=level, n=len(part), n_documents=part["document"].nunique())
        )
    return pd.concat(tables, ignore_index=True)


def beside(
    one: Asked, judge: Judge, ratings: pd.DataFrame, sample: pd.DataFrame, rng
) -> tuple[pd.DataFrame, list[str]]:
    """Return the scored texts of the sample with a valence and a verdict of each judge and of one rater.

    Returns:
        A table with domain, document, others, majority, and a valence and a verdict for each name; and the
        names.
    """
    votes = llm_judge.votes(one.texts)
    judge_valence = votes[votes["sample_index"] == 0].groupby("text")["valence"].mean()
    by_name = {one.judge.name: judge_valence.reindex(map(llm_judge.normalize, sample["text"])).to_numpy()}
    for other in (judge, VADER):
        valences = pd.Series(judges.of_rated(other, ratings), ratings.index)
        by_name.setdefault(other.name, valences.loc[sample.index].to_numpy())
    scored = ~np.any([np.isnan(valence) for valence in by_name.values()], axis=0)
    table = _raters(sample[scored].reset_index(drop=True), rng)
    if table["document"].nunique() >= rated_threshold.FOLDS:
        polarity = pd.Series(rated_threshold.felt(table), table.index)
        # as in rated_threshold.rows
        weight = 1 / polarity.groupby([table["domain"], polarity]).transform("size")
        for name, valence in by_name.items():
            judged = table.assign(valence=valence[scored], polarity=polarity, weight=weight)
            table[f"valence {name}"], table[f"verdict {name}"] = (
                valence[scored],
                rated_threshold.verdicts(judged)["verdict"],
            )
    return table, [*by_name, ONE_RATER]


def _raters(table: pd.DataFrame, rng) -> pd.DataFrame:
    """Return `rated_agreement.divide_raters` with the one rater's verdict and the others' majority."""
    table, least = rated_agreement.divide_raters(table, rng), rated_threshold.LEAST
    counts = [[np.sum(sign * ratings >= least) for sign in (-1, 1)] for ratings in table["ratings"]]
    own = np.stack([-table["rater"] >= least, table["rater"] >= least], axis=1)
    majority = (np.reshape(counts, own.shape) - own) / (table["n_raters"].to_numpy() - 1)[:, None] > 0.5
    signs = np.array([-1, 1])
    rater = {f"valence {ONE_RATER}": table["rater"], f"verdict {ONE_RATER}": own @ signs}
    return table.assign(majority=majority @ signs, **rater)


def replies(
    asked: list[Asked], run: Agreement, completions: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Summarise the replies by judge and by what was asked about.

    Args:
        asked: The replies of each judge.
        run: The parameters of the run.
        completions: The table of `of_pairs`.
        rng: Source of the resamples.

    Returns:
        A table with REPLY_COLUMNS. quantity: UNSCORED, WITH_JUDGE (for completions, by stem) and the
        quantities of `llm_reliability.reliability`. For texts asked about alone, a stem is a document.
    """
    tables = []
    for judged in asked:
        for name, table in ((TEXTS, judged.texts), (PAIRS, judged.pairs)):
            unscored = inference.clustered_shares(
                table.assign(quantity=UNSCORED, unscored=100.0 * table["unscored"].notna()),
                "unscored",
                ["quantity"],
                run.confidence,
            )
            reliability = llm_reliability.reliability(table, run.confidence, run.n_resamples, rng)
            rows = pd.concat(
                [
                    unscored,
                    reliability
                    if name == PAIRS
                    else reliability[reliability["quantity"].isin(llm_reliability.RETESTS)],
                ]
            )
            tables.append(rows.assign(judge=judged.judge.name, asked_about=name))
        tables.append(_with_judge(judged, run, completions, rng))
    return (
        pd.concat(tables, ignore_index=True)[REPLY_COLUMNS] if tables else pd.DataFrame(columns=REPLY_COLUMNS)
    )


def _with_judge(one: Asked, run: Agreement, completions: pd.DataFrame, rng) -> pd.DataFrame:
    """Estimate Pearson's r of the two judges' valences of the completions, unweighted."""
    votes = llm_judge.votes(one.pairs)
    judge_valence = votes[votes["sample_index"] == 0].groupby("text")["valence"].mean()
    texts = completions["completion"].map(llm_judge.normalize, na_action="ignore")
    table = completions.assign(asked=texts.map(judge_valence)).dropna(subset=["asked", "valence"])
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
