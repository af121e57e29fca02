"""A small judged run, and its records of Every Eval Ever."""

import numpy as np
import pandas as pd

from lib.analysis import leakage
from lib.config import params, specs
from lib.config.specs import Model
from lib.report import every_eval_ever

SOURCE = every_eval_ever.Source("Test lab", "third_party")


def model(name="m", **given) -> Model:
    fields = {"id": "org/some-model", "family": "f", "tuning": "instruct", "mode": "completion"}
    return Model(name=name, **{**fields, **given})


def judgements() -> pd.DataFrame:
    """Two groups of judged completions in four arms, one of them refused."""
    rows = []
    for group in ("s-01+m1", "s-02+m2"):
        for place, arm in enumerate(("neutral", "placebo", "negative", "positive")):
            rows.append(
                {
                    "model": "m",
                    "prompt_id": f"{group}/{arm}",
                    "group_id": group,
                    "stem_id": group.split("+")[0],
                    "arm": arm,
                    "mitigation": "none",
                    "wording": 0,
                    "sample_index": 0,
                    "completion": f"Zoë’s street {place} 🙂.",
                    "outcome": "answered",
                    "note": "",
                    "tokens": 4,
                    "ended": True,
                    "emotion": "none",
                    "context": f"A sentence, {arm}.",
                    "stem": "The street is called",
                    "judge": "vader-1",
                    "valence": 0.5 * place,
                    "charged": place > 1,
                    "repeats": False,
                }
            )
    table = pd.DataFrame(rows).astype({"charged": "boolean", "repeats": "boolean"})
    table.loc[7, ["completion", "outcome", "note", "valence", "charged"]] = [
        "",
        "refused",
        "no",
        np.nan,
        pd.NA,
    ]
    return table


def card(**changes) -> dict:
    """The card of a run with one model, as far as records need it."""
    estimate = {
        "ci_low": 51.0,
        "ci_high": 70.0,
        "n": 4,
        "n_stems": 2,
        "n_matches": 2,
        "cluster_unit": "stems",
    }
    quantities = [
        {"arm": arm, "quantity": quantity, "estimate": 1.5} | estimate
        for arm in ("both", "negative", "positive", "placebo")
        for quantity in leakage.QUANTITIES
    ]
    quantities.append({"arm": "both", "quantity": "leak", "estimate": None} | estimate)
    leaks = {"verdict": "supported", "reason": "whole interval above 0", "as_judged": True, "second": ""}
    missing = {"outcomes": {"refused": 1}}
    models = [{"name": "m", "completions": 8, "leaks": leaks, "quantities": quantities, "missing": missing}]
    judge = {"name": "vader", "version": "vader-1", "agreement": []}
    common = {
        "set": "quick",
        "title": "a title",
        "is_mock": False,
        "board": "exploratory",
        "benchmark": "curated",
    }
    return common | {"judge": judge, "confidence": 0.95, "models": models} | changes


def files(spec: Model, judgements: pd.DataFrame, with_samples=True, judge=None) -> dict[str, str]:
    quick = params.load("quick")
    judge = judge or specs.VaderJudge(name="vader")
    run = every_eval_ever.Run(card(), quick.generation, quick.dataset, judge, SOURCE, 1_700_000_000)
    return every_eval_ever.records(run, spec, judgements, with_samples)
