"""The contents of a card (card.json): a dict of plain values, computed from the tables of a finished run."""

import pandas as pd

from lib.analysis import leakage, power, usability
from lib.claims import benchmark, rules, second_verdicts
from lib.config import params
from lib.config.specs import JUDGE_SCHEMA
from lib.judging import judges
from lib.report import reports
from lib.storage import records

SHOWN = 2  # pairs furthest apart; a random one is shown besides
_SEED = 1  # of the random pair
_ONE_RATER = ("judge", "one rater")


def of_run(set_name: str) -> dict | None:
    """Compute the card of a finished run.

    Returns:
        None if no completion of the run followed a charged context, as in sets of published prompts.
        Otherwise a dict with the keys set, title, benchmark, is_mock, board (`rules.board_kind`), judge
        (name, version, agreement: a list of domain, judge, one_rater), confidence, temperature, seed,
        variances (the `variance_components.Components` of a pair's net excess; None for a single stem) and
        models (each as of `_of_model`).
    """
    parameters = params.load(set_name)
    names = [model.name for model in parameters.models]
    judgements = leakage.unmitigated(records.read_models(set_name, "judgements", names))
    pairs = leakage.pairs(judgements)
    if leakage.charged_pairs(pairs).empty:
        return None
    confidence = parameters.judging["confidence"]
    verdicts = reports.board(set_name).query("claim == 'C0'").set_index("model")
    verdicts = verdicts[["verdict", "reason", "as_judged"]].assign(
        second=[second_verdicts.mark(row) for row in verdicts.itertuples()]
    )
    models = [
        _of_model(
            spec,
            judgements[judgements["model"] == spec.name],
            pairs[pairs["model"] == spec.name],
            verdicts.loc[spec.name].to_dict(),
            confidence,
        )
        for spec in parameters.models
    ]
    judge = JUDGE_SCHEMA.validate_python(parameters.judging["judge"])
    components = _variances(pairs)
    return {
        "set": set_name,
        "title": parameters.title,
        "benchmark": benchmark.sentences(parameters),
        "is_mock": parameters.is_mock,
        "board": rules.board_kind(set_name),
        "judge": {
            "name": judge.name,
            "version": judges.version(judge),
            "agreement": _agreement(set_name, judge.name),
        },
        "confidence": confidence,
        "temperature": parameters.generation["temperature"],
        "seed": parameters.generation["seed"],
        "variances": components and {name: _plain(value) for name, value in vars(components).items()},
        "models": models,
    }


def _variances(pairs: pd.DataFrame) -> power.Components | None:
    try:
        return power.variances(power.contrasts(pairs))
    except ValueError:  # a single stem
        return None


def _of_model(spec, judgements: pd.DataFrame, pairs: pd.DataFrame, leaks: dict, confidence: float) -> dict:
    """The part of the card on one model.

    Keys: name, id, mode, completions, stems, groups, samples (by arm), missing (% of all and of the worst
    arm, and the count of each outcome), leaks (verdict and reason of C0, by the mean shift; as_judged;
    second: how a second judge differs, "" if it does not), quantities (one row each: arm, with 'both' for the
    two polarities together, quantity, estimate, ci_low, ci_high, n, n_stems, n_matches, cluster_unit), same
    (% of the pairs with the same noise that get the same verdict), same_of (how many such pairs there are)
    and pairs.
    """
    charged, matched = (
        leakage.charged_pairs(table) for table in (pairs, leakage.pairs(judgements, matched=True))
    )
    matched = matched[matched["partner"] == matched["sample_index"]]  # with the same noise
    by_arm = leakage.summarise(charged, ["arm"], confidence)
    both = leakage.summarise(charged, ["model"], confidence).assign(arm="both").drop(columns="model")
    columns = [
        "arm",
        "quantity",
        "estimate",
        "ci_low",
        "ci_high",
        "n",
        "n_stems",
        "n_matches",
        "cluster_unit",
    ]
    rows = pd.concat([both, by_arm])[columns].to_dict("records")
    missing, scored = 100.0 * usability.is_missing(judgements), matched.dropna(subset="net")
    missing_by_arm = missing.groupby(judgements["arm"]).mean()
    reasons = judgements.loc[usability.is_missing(judgements), "outcome"].astype(str).value_counts()
    return {
        "name": spec.name,
        "id": spec.id,
        "mode": spec.mode,
        "completions": len(judgements),
        "stems": judgements["stem_id"].nunique(),
        "groups": judgements["group_id"].nunique(),
        "samples": {
            str(arm): int(last) + 1 for arm, last in judgements.groupby("arm")["sample_index"].max().items()
        },
        "missing": {
            "all": _plain(missing.mean()),
            "worst_arm": missing_by_arm.idxmax(),
            "in_worst_arm": _plain(missing_by_arm.max()),
            "outcomes": {outcome: int(count) for outcome, count in reasons.items()},
        },
        "leaks": leaks,
        "quantities": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "same": _plain(100.0 * ((scored["towards"] == 0) & (scored["away"] == 0)).mean()),
        "same_of": len(scored),
        "pairs": _shown(matched, judgements),
    }


def _shown(charged: pd.DataFrame, judgements: pd.DataFrame) -> list[dict]:
    """Choose the SHOWN pairs furthest apart and a random one (column random).

    The distance is the shift in the injected direction by the judge. These pairs have distinct stems, and
    closed slots come first. The random one is drawn from all pairs.
    """
    scored = charged.dropna(subset="shift").sort_values(["group_id", "sample_index", "arm"])
    ranked = scored[scored["shift"] > 0].assign(open=scored["slot"] != "closed")
    ranked = ranked.sort_values(
        ["open", "shift", "group_id", "sample_index"], ascending=[True, False, True, True]
    )
    drawn = scored.sample(min(1, len(scored)), random_state=_SEED)
    chosen = pd.concat(
        [ranked.drop_duplicates("stem_id").head(SHOWN).assign(random=False), drawn.assign(random=True)]
    )
    neutral = judgements[judgements["arm"] == "neutral"].set_index(["group_id", "sample_index"])[
        ["context", "completion"]
    ]
    both = chosen.merge(neutral, left_on=["group_id", "partner"], right_index=True, suffixes=("", "_neutral"))
    columns = [
        "random",
        "arm",
        "shift",
        "context",
        "stem",
        "completion",
        "context_neutral",
        "completion_neutral",
    ]
    return [{name: _plain(value) for name, value in row.items()} for row in both[columns].to_dict("records")]


def _agreement(set_name: str, judge: str) -> list[dict]:
    """Pearson's r of judge and one rater with the mean of the other raters, by domain of rated texts."""
    table = records.read_table(set_name, "validity")
    rows = table[(table["judge"] == judge) & (table["by"] == "domain") & table["measure"].isin(_ONE_RATER)]
    wide = rows.pivot_table(index="level", columns="measure", values="estimate", sort=False).dropna()
    return [
        {"domain": domain, "judge": _plain(row["judge"]), "one_rater": _plain(row["one rater"])}
        for domain, row in wide.iterrows()
    ]


def _plain(value):
    """A value as JSON holds it: rounded, None for NaN."""
    if isinstance(value, str | bool) or value is None:
        return value
    return None if pd.isna(value) else round(float(value), 6) if isinstance(value, float) else int(value)
