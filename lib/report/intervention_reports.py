"""Formatted tables and sentences on interventions, for notebooks 06b and 06c."""

import numpy as np
import pandas as pd

from lib.claims.mitigation import CONTROL, NONE
from lib.report import reports

ASKING, TWICE, DECODING, STATES, TRAINING, OWN = (
    "prompt",
    "asking twice",
    "decoding",
    "representation",
    "training",
    "own",
)
BROKEN = 100  # a ratio of perplexities beyond which its digits mean nothing
KINDS = {
    "ask_first": TWICE,
    "contrast": DECODING,
    "ablate": STATES,
    "heads_off": STATES,
    "consistency": TRAINING,
    "adapter": TRAINING,
    "own": OWN,
}


def listed(interventions: dict) -> pd.DataFrame:
    """List the interventions of a model: name, what is changed, and how."""
    rows = [(name, KINDS[spec.kind], spec.kind, _settings(spec)) for name, spec in interventions.items()]
    return pd.DataFrame(rows, columns=["intervention", "changes", "kind", "settings"])


def _settings(spec) -> str:
    return "; ".join(f"{key}: {value}" for key, value in spec.model_dump().items() if key != "kind")


def layer_summary(layers: pd.DataFrame) -> str:
    """Say which layer predicts best, and how well the first and the last do."""
    if layers["estimate"].isna().all():
        return "No layer's projection varies, so none predicts anything."
    best = layers.loc[layers["estimate"].idxmax()]
    last = layers.iloc[-1]
    return (
        f"Best: layer {best['layer']:.0f}, r = {reports.interval(best, 2)} over {best['n']:.0f} charged "
        f"prompts of {best['n_stems']:.0f} stems that the direction was not found on; the last layer: "
        f"{reports.interval(last, 2)}. The best of {len(layers)} is chosen after looking, so its r is "
        "a little too large."
    )


def heads_summary(heads: pd.DataFrame) -> str:
    """Say how much the strongest heads carry together."""
    top, positive = heads.head(8), heads.loc[heads["carried"] > 0, "carried"].sum()
    names = ", ".join(f"{row.layer}.{row.head}" for row in top.itertuples())
    return (
        f"The {len(top)} strongest of {len(heads)} heads (layer.head: {names}) write "
        f"{100 * top['carried'].sum() / positive:.0f} % of what all heads write along their "
        "layers' directions."
    )


def sweep_summary(sweep: pd.DataFrame, most: float) -> str:
    """Say what the best ablation at one layer does to the next token, on the half that it is found on."""
    if sweep.empty:
        return "No ablation is part of this set, so no layer was tried."
    harmless = sweep[sweep["perplexity"] < most]
    if harmless.empty:
        return f"Every layer and strength raises perplexity by {100 * (most - 1):.0f} % or more."
    best = harmless.loc[harmless["retained"].abs().idxmin()]
    return (
        f"Least is left of the next token's shift at layer {best['layer']:.0f} and strength "
        f"{best['strength']:g}: {100 * best['retained']:.0f} %, at {best['perplexity']:.3f} times the "
        f"perplexity ({len(harmless)} of {len(sweep)} raise it by less than {100 * (most - 1):.0f} %)."
    )


def loss_summary(losses: pd.DataFrame) -> str:
    """Say how the losses of consistency training fell, or that they did not; `losses` has the column kept."""
    if losses.empty:
        return "No adapter is trained in this set."
    sentences = []
    for name, table in losses.groupby("intervention", sort=False):
        held = table[table["part"] == "held_out"]
        before, kept, after = held.iloc[0], held[held["kept"]].iloc[0], held.iloc[-1]
        if kept["step"] == 0:
            what = (
                f"is {before['loss']:.4f} nats a token before training and {after['loss']:.4f} after "
                f"{after['step']:.0f} steps, and no step is kept: **this adapter changes nothing**"
            )
        else:
            what = (
                f"fell from {before['loss']:.4f} to {kept['loss']:.4f} nats a token at step "
                f"{kept['step']:.0f}, after {kept['seconds'] / 60:.1f} minutes"
            )
        sentences.append(f"{name}: the divergence on stems it did not see {what}.")
    return " ".join(sentences)


def strategies(mitigations: dict, interventions: dict, controls: list[str]) -> pd.DataFrame:
    """Which strategies there are: one row each, with its kind."""
    asked = [(name, ASKING) for name in mitigations if name not in controls]
    return pd.DataFrame(
        [*asked, *((name, KINDS[spec.kind]) for name, spec in interventions.items())],
        columns=["mitigation", "kind"],
    )


def split(kinds: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Split the strategies of a table of `strategies` into ways of asking, once or twice, and all others."""
    is_asking = kinds["kind"].isin([ASKING, TWICE])
    return list(kinds.loc[is_asking, "mitigation"]), list(kinds.loc[~is_asking, "mitigation"])


def compared(
    kinds: pd.DataFrame,
    leak: pd.DataFrame,
    survival: pd.DataFrame,
    costs: pd.DataFrame,
    outcomes: pd.DataFrame,
) -> pd.DataFrame:
    """Join what strategies do and cost.

    Args:
        kinds: The table of `strategies`.
        leak: `mitigation.effects` on the benchmark.
        survival: The same on positive controls.
        costs: The table of `costs.of_strategies`, with a column model.
        outcomes: The table of `usage`.

    Returns:
        One row per model and strategy: model, kind, mitigation, leak, leak_low, leak_high (share retained),
        survival, survival_low, survival_high (the same of the sentiment that belongs), the columns of costs
        and of `usage`, n (cells) and n_controls.
    """
    table = _ratios(leak, "leak", "n").merge(
        _ratios(survival, "survival", "n_controls"), on=["model", "mitigation"], how="left"
    )
    table = table.merge(costs, on=["model", "mitigation"], how="left").merge(
        outcomes, on=["model", "mitigation"], how="left"
    )
    order = {name: place for place, name in enumerate(kinds["mitigation"])}
    table = kinds.merge(table, on="mitigation")
    models = {name: place for place, name in enumerate(dict.fromkeys(leak["model"]))}
    places = table["model"].map(models) * len(order) + table["mitigation"].map(order)
    return table.iloc[np.argsort(places.to_numpy(), kind="stable")].reset_index(drop=True)


def _ratios(effects: pd.DataFrame, name: str, count: str) -> pd.DataFrame:
    rows = effects[(effects["against"] == NONE) & (effects["role"] != CONTROL)]
    new = {"ratio": name, "ratio_low": f"{name}_low", "ratio_high": f"{name}_high", "n": count}
    return rows[["model", "mitigation", *new]].rename(columns=new)


def usage(judgements: pd.DataFrame, usable: tuple[str, ...]) -> pd.DataFrame:
    """How long completions are under each strategy, and how many cannot be judged.

    Returns:
        One row per model and strategy: model, mitigation, tokens (mean of a completion, charged arms),
        unusable, refused (% of them; what is refused is also unusable), completions.
    """
    charged = judgements[judgements["arm"].isin(["negative", "positive"])]
    rows = charged.assign(
        unusable=100.0 * ~charged["outcome"].isin(usable), refused=100.0 * charged["outcome"].eq("refused")
    ).groupby(["model", "mitigation"], sort=False)
    return rows.agg(
        tokens=("tokens", "mean"),
        unusable=("unusable", "mean"),
        refused=("refused", "mean"),
        completions=("outcome", "size"),
    ).reset_index()


def format_compared(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `compared` for reading."""
    shown = table[["model", "kind", "mitigation"]].copy()
    for name in ("leak", "survival"):
        shown[f"{name} retained [simultaneous]"] = _interval(table, name)
    shown["perplexity, ratio"] = np.where(
        table["perplexity"] > BROKEN, f"over {BROKEN}", _interval(table, "perplexity")
    )
    shown["seconds, ratio"] = table["seconds"].round(2)
    shown["memory, MB more"] = [f"{value:+.0f}".replace("-", "−") for value in table["memory"]]
    shown["tokens"] = table["tokens"].round(1)
    shown["unusable (refused), %"] = [f"{row.unusable:.1f} ({row.refused:.1f})" for row in table.itertuples()]
    shown["cells, controls"] = [
        f"{row.n:.0f}, {row.n_controls:.0f}" if row.n_controls == row.n_controls else f"{row.n:.0f}, –"
        for row in table.itertuples()
    ]
    return reports.with_banner(shown.astype(object).fillna("–"), banner)


def _interval(table: pd.DataFrame, name: str) -> list[str]:
    parts = table[[name, f"{name}_low", f"{name}_high"]].set_axis(["estimate", "ci_low", "ci_high"], axis=1)
    return [
        "–" if np.isnan(row.estimate) else reports.interval(row, 2, sign=False) for row in parts.itertuples()
    ]


def best_of_each_kind(table: pd.DataFrame, least: float) -> str:
    """Name the strategy of each kind that leaves least of the leak, among those with enough survival."""
    sentences = []
    for model, rows in table.groupby("model", sort=False):
        parts = []
        for kind, of_kind in rows.groupby("kind", sort=False):
            surviving = of_kind[of_kind["survival"] >= least]
            if surviving.empty:
                parts.append(
                    f"{kind}: none, as less than {100 * least:g} % of what belongs survives under all"
                )
                continue
            best = surviving.loc[[surviving["leak"].abs().idxmin()]]
            (leak,), (survival,) = (_interval(best, name) for name in ("leak", "survival"))
            parts.append(
                f"{kind}: {best['mitigation'].iloc[0]} ({leak} of the leak, {survival} of what belongs)"
            )
        sentences.append(f"**{model}**: {'; '.join(parts)}.")
    return "\n\n".join(sentences)


def tested(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Format the tables of `lib.claims.interventions.compare`: one row per model and intervention."""
    rows = pd.concat([table.assign(model=model) for model, table in tables.items()], ignore_index=True)
    shown = rows[["model", "mitigation", "best_prompt"]].copy()
    shown["less than the best prompt, share of the leak [interval]"] = [
        reports.interval(row, 2) for row in rows.itertuples()
    ]
    for name, label in (("p_below", "p (below every prompt)"), ("p_survives", "p (survival)"), ("p", "p")):
        shown[label] = rows[name].astype(float).round(4)
    return shown
