"""What a card tells of a finished run, computed from its tables: a dict of plain values (card.json)."""

import pandas as pd

from lib.analysis import leakage, power, usability
from lib.claims import rules, second_verdicts
from lib.config import params
from lib.config.specs import Judge
from lib.judging import judges
from lib.report import reports
from lib.storage import records

SHOWN = 2  # pairs furthest apart, beside which a random one is shown
_SEED = 1  # of the random one
_ONE_RATER = ("judge", "one rater")
_BENCHMARKS = {
    "mining": "mined",
    "published_prompts": "published prompts",
    "stems_file": "own sentences",
    "contexts_file": "own sentences",
}


def of_run(set_name: str) -> dict | None:
    """The card of a finished run; None if no completion of it followed a charged context (as in sets of
    published prompts).

    Keys: set, title, benchmark, is_mock, board (`rules.board_kind`), judge (name, version, agreement: a list
    of domain, judge, one_rater), confidence, temperature, seed, variances (of
    `variance_components.Components`, of a pair's net excess), and models, each with what `_of_model` tells.
    """
    parameters = params.load(set_name)
    names = [model.name for model in parameters.models]
    judgements = leakage.unmitigated(records.read_models(set_name, "judgements", names))
    pairs = leakage.pairs(judgements)
    if leakage.charged_pairs(pairs).empty:
        return None
    confidence = parameters.judging["confidence"]
    claimed = reports.board(set_name).query("claim == 'C0'").set_index("model")
    claimed = claimed[["verdict", "reason", "as_judged"]].assign(
        second=[second_verdicts.mark(row) for row in claimed.itertuples()]
    )
    of = {name: [table[table["model"] == name] for table in (judgements, pairs)] for name in names}
    found = [
        _of_model(spec, *of[spec.name], claimed.loc[spec.name].to_dict(), confidence)
        for spec in parameters.models
    ]
    judge = Judge.model_validate(parameters.judging["judge"])
    known = _variances(pairs)
    return {
        "set": set_name,
        "title": parameters.title,
        "benchmark": next(
            (name for key, name in _BENCHMARKS.items() if parameters.dataset.get(key)), "curated"
        ),
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
        "variances": known and {name: _plain(value) for name, value in vars(known).items()},
        "models": found,
    }


def _variances(pairs: pd.DataFrame) -> power.Components | None:
    try:
        return power.variances(power.contrasts(pairs))
    except ValueError:  # one stem
        return None


def _of_model(spec, judgements: pd.DataFrame, pairs: pd.DataFrame, leaks: dict, confidence: float) -> dict:
    """A model's part: name, id, mode, counts (samples by arm), missing (% of all and of the worst arm, count
    of each outcome), leaks (verdict and reason of C0, by the mean shift, as_judged, and `second`, how a
    second judge differs, "" if it does not), quantities (a row each: arm, 'both' for the two polarities
    together, quantity, estimate, low, high, n, n_stems, n_matches, cluster_unit), same (% of pairs with the
    same noise whose verdicts are the same; same_of: how many), pairs."""
    charged, single = (
        leakage.charged_pairs(table) for table in (pairs, leakage.pairs(judgements, matched=True))
    )
    single = single[single["partner"] == single["sample_index"]]  # with the same noise
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
    lost, known = 100.0 * usability.is_missing(judgements), single.dropna(subset="net")
    of_arm = lost.groupby(judgements["arm"]).mean()
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
            "all": _plain(lost.mean()),
            "worst_arm": of_arm.idxmax(),
            "in_worst_arm": _plain(of_arm.max()),
            "outcomes": {outcome: int(count) for outcome, count in reasons.items()},
        },
        "leaks": leaks,
        "quantities": [{key: _plain(value) for key, value in row.items()} for row in rows],
        "same": _plain(100.0 * ((known["towards"] == 0) & (known["away"] == 0)).mean()),
        "same_of": len(known),
        "pairs": _shown(single, judgements),
    }


def _shown(charged: pd.DataFrame, judgements: pd.DataFrame) -> list[dict]:
    """The SHOWN pairs of distinct stems that the judge finds furthest apart in the injected direction, closed
    slots first, and one of all pairs, drawn at random; `random` tells which."""
    known = charged.dropna(subset="shift").sort_values(["group_id", "sample_index", "arm"])
    ranked = known[known["shift"] > 0].assign(open=known["slot"] != "closed")
    ranked = ranked.sort_values(
        ["open", "shift", "group_id", "sample_index"], ascending=[True, False, True, True]
    )
    drawn = known.sample(min(1, len(known)), random_state=_SEED)
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
    """Pearson's r of the judge, and of one rater, with the mean of the other raters, in each domain of rated
    texts."""
    table = records.read_table(set_name, "validity")
    own = table[(table["judge"] == judge) & (table["by"] == "domain") & table["measure"].isin(_ONE_RATER)]
    wide = own.pivot_table(index="level", columns="measure", values="estimate", sort=False).dropna()
    return [
        {"domain": domain, "judge": _plain(row["judge"]), "one_rater": _plain(row["one rater"])}
        for domain, row in wide.iterrows()
    ]


def _plain(value):
    """A value as JSON has it: rounded, None for NaN."""
    if isinstance(value, str | bool) or value is None:
        return value
    return None if pd.isna(value) else round(float(value), 6) if isinstance(value, float) else int(value)
