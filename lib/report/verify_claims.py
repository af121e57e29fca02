"""Verify the claims of a run: the rows of notebooks 05, 06 and 06c are computed again from the judgements."""

import pandas as pd

from lib.analysis import leakage, strategies, usability
from lib.claims import beyond_prompting, claims, mitigation, second_judge, second_verdicts
from lib.config import mitigation_texts, params
from lib.report import intervention_reports, reports
from lib.report.differences import Check, of_tables, skipped
from lib.report.verify_tables import NO_TABLES
from lib.storage import records

_KEY = ["claim", "model", "measured"]
_SCALING, _MITIGATION = "C0, C2, C4 and C5 against the judgements", "C3 against the judgements"
_INTERVENTIONS = "C3b against the judgements"
_NOT_AGAIN = {
    "agreement": ("C1 against the rated texts", "it takes as long as notebook 04; its page has the rows")
}


def checks(set_name: str) -> list[Check]:
    """Compute the claims of a run again and compare them with its tables claims/*.parquet."""
    folder = records.run_folder(set_name)
    if not (folder / "judgements").exists():
        return [skipped(what, NO_TABLES) for what in (_SCALING, _MITIGATION)]
    found = [
        _compared(set_name, "scaling", _SCALING, scaling),
        _compared(set_name, "mitigation", _MITIGATION, of_mitigation),
    ]
    if params.load(set_name).intervened:
        found.append(_compared(set_name, "interventions", _INTERVENTIONS, of_interventions))
    return found + [
        skipped(*why) for part, why in _NOT_AGAIN.items() if (folder / "claims" / f"{part}.parquet").exists()
    ]


def _compared(set_name: str, part: str, what: str, compute) -> Check:
    file, remedy = f"outputs/{set_name}/claims/{part}.parquet", f"make reproduce SET={set_name}"
    stored, made = records.read_table(set_name, f"claims/{part}"), compute(set_name)
    differences = of_tables(file, stored, made, _KEY, remedy)
    return Check(what, stored.shape[0] * stored.shape[1], "values", tuple(differences))


def scaling(set_name: str) -> pd.DataFrame:
    """The claims of notebook 05 from the judgements of a run, as the notebook writes them."""
    run = params.from_cell(
        "05_scaling_analysis", params.cell_values(params.load(set_name), set_name, "05_scaling_analysis")
    )
    judgements = leakage.unmitigated(records.read_models(set_name, "judgements", run.model_names))
    curated = leakage.unmitigated(
        records.read_available(run.reference_set, "judgements", run.model_names, judgements)
    )
    benchmark = claims.benchmark(judgements, run.confidence, run.margin)
    reference = claims.benchmark(curated, run.confidence, run.margin)
    pairs, faults = benchmark.pairs, benchmark.faults
    parts = [
        claims.existence(pairs, run.margin, run.confidence, faults),
        claims.scaling(pairs, run.min_sizes, run.margin, run.confidence, faults),
        claims.polarity(benchmark.polarity, run.margin, run.confidence, faults),
        claims.mined(benchmark, reference, run.margin, run.confidence),
    ]
    board = pd.concat([reports.as_judged(part, set_name) for part in parts], ignore_index=True)
    second = second_judge.scaling(judgements, curated, run.min_sizes, run.margin, run.confidence)
    return second_verdicts.with_second(board, second)


def of_mitigation(set_name: str) -> pd.DataFrame:
    """The claims of notebook 06 from the judgements of a run, as the notebook writes them."""
    values = params.cell_values(params.load(set_name), set_name, "06_prompting_mitigation_ablation")
    run = params.from_cell("06_prompting_mitigation_ablation", values)
    judgements = records.read_models(set_name, "judgements", run.model_names)
    pairs = leakage.pairs(judgements)
    plain = leakage.unmitigated(pairs)
    faults = usability.faults(judgements, plain, run.confidence, run.shift_margin)
    controls = mitigation_texts.controls_of(run.mitigations, run.controls)
    effects, of_net = (
        mitigation.effects(pairs, controls, run.margin, run.confidence, quantity=quantity)
        for quantity in (leakage.PRIMARY, "net")
    )
    leaking = claims.leaks(plain, run.confidence)
    board = mitigation.claim(effects, run.model_names, run.margin, run.confidence, faults, leaking, of_net)
    second = second_judge.mitigation(
        judgements, run.model_names, controls, run.margin, run.confidence, run.shift_margin
    )
    return second_verdicts.with_second(reports.as_judged(board, set_name), second)


def of_interventions(set_name: str) -> pd.DataFrame:
    """The claim of notebook 06c from the judgements of a run, as the notebook writes it."""
    values = params.cell_values(params.load(set_name), set_name, "06c_mitigation_compared")
    run = params.from_cell("06c_mitigation_compared", values)
    names = records.models_with(set_name, "interventions", run.model_names)
    judgements, changed, controls = (
        records.read_models(set_name, table, names) for table in ("judgements", "interventions", "controls")
    )
    kinds = intervention_reports.strategies(run.mitigations, run.interventions, run.controls)
    arguments = (
        strategies.joined(judgements, changed),
        controls,
        *intervention_reports.split(kinds),
        run.margin,
        run.shift_margin,
        run.confidence,
    )
    _, board = beyond_prompting.of_judgements(*arguments)
    second = second_judge.interventions(*arguments)
    return second_verdicts.with_second(reports.as_judged(board, set_name), second)
