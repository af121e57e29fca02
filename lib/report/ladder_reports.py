"""The models trained from scratch for a set, for notebook 05: their losses, and whether loss falls."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.config import params, specs
from lib.models import ladder
from lib.report import reports
from lib.stats import inference
from lib.storage import caching

_STRETCH = 20  # blocks; an article spans several, so neighbours form one cluster


def trained(set_name: str) -> pd.DataFrame:
    """List the models of a set that were trained from scratch, by family, the smallest first.

    Returns:
        One row per model; no rows if there are none. Columns: model, family, size, parameters (outside the
        embeddings), tokens (trained on, all epochs), inserted (how many of them augmentation added), epochs,
        learning_rate (peak), and mean cross-entropies of a token in nats: init_loss and val_loss of the
        held-out text, which is the same for all, train_loss of the same amount of training text, without
        insertions. losses is an array with the loss of each held-out block.
    """
    models = params.load(set_name).models if set_name in specs.set_names() else []
    return _of_models({spec.id: spec.name for spec in models})


def of_families(families: Sequence[str]) -> pd.DataFrame:
    """List all models of families, as `trained` does; a model's name is its id.

    Args:
        families: Some of `specs.LADDERS`.
    """
    ids = [model_id for model_id in specs.BUNDLED_MODELS if model_id.partition(":")[0] in families]
    return _of_models({model_id: model_id for model_id in ids})


def _of_models(names: dict[str, str]) -> pd.DataFrame:
    """The table of `trained`, of those models that are of a ladder; `names` gives the name of an id."""
    families = [
        family for family in specs.LADDERS if any(model_id.startswith(f"{family}:") for model_id in names)
    ]
    texts = ladder.documents() if families else []
    tables = []
    for family in families:
        folder = ladder.path_of(texts, ladder.RECIPES[family](), caching.cache_folder())
        table = ladder.card(folder).drop(columns="minutes").reset_index()
        ids = family + ":" + table["size"]
        table.insert(0, "model", ids.map(names))
        table.insert(1, "family", family)
        losses = [np.load(folder / f"{size}.npy") for size in table["size"]]
        tables.append(table.assign(losses=losses)[ids.isin(names)])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def format_table(table: pd.DataFrame, banner: str = ""):
    """Format a table of `trained`; None, which a notebook shows as nothing, if it is empty."""
    if table.empty:
        return None
    names = {
        "inserted": "of them inserted",
        "learning_rate": "learning rate of layers",
        "init_loss": "untrained",
        "train_loss": "learnt text",
        "val_loss": "held-out text",
    }
    formats = dict.fromkeys(["parameters", "tokens", "inserted"], "{:,}") | {"learning_rate": "{:.2g}"}
    formats |= dict.fromkeys(["init_loss", "train_loss", "val_loss"], "{:.3f}")
    formatted = table.assign(**{column: table[column].map(form.format) for column, form in formats.items()})
    hidden = ["family", "size", "losses", *([] if table["inserted"].any() else ["inserted"])]
    return (
        formatted.drop(columns=hidden)
        .rename(columns=names)
        .rename_axis(columns=f"⚠ {banner}" if banner else None)
    )


def summary(table: pd.DataFrame, confidence: float) -> str:
    """Say whether the held-out loss of `trained` falls with size, and what augmentation does to it."""
    if table.empty:
        return "No model of this set was trained here."
    by_family = {
        family: _by_size(models, confidence) for family, models in table.groupby("family", sort=False)
    }
    if len(by_family) == 1:
        return next(iter(by_family.values()))
    parts = [f"{family}: {text}" for family, text in by_family.items()]
    return " ".join([*parts, _between_siblings(table, confidence)]).strip()


def _by_size(table: pd.DataFrame, confidence: float) -> str:
    """Whether the held-out loss falls with each size of a family, paired by held-out block."""
    if len(table) == 1:
        return f"{table['model'].iloc[0]} is the only one that was trained here: no sizes to compare."
    estimates = {
        f"{smaller.model} to {larger.model}": _change(smaller.losses, larger.losses, confidence)
        for smaller, larger in zip(table.iloc[:-1].itertuples(), table.iloc[1:].itertuples(), strict=True)
    }
    verdict = (
        "yes"
        if all(inference.side_of_zero(estimate) < 0 for estimate in estimates.values())
        else "**no**, so a slope of leakage over these sizes is not one over better and better models"
    )
    return (
        f"Held-out loss falls with size: {verdict}. Nats a token, over {len(table['losses'].iloc[0]):,} "
        f"held-out blocks, neighbours clustered: {_listed(estimates)}."
    )


def _between_siblings(table: pd.DataFrame, confidence: float) -> str:
    """How the held-out losses of models of one size differ between the families; empty if no two have one."""
    estimates = {
        f"{first.model} to {second.model}": _change(first.losses, second.losses, confidence)
        for _, models in table.groupby("size", sort=False)
        for first, second in zip(models.iloc[:-1].itertuples(), models.iloc[1:].itertuples(), strict=True)
    }
    return f"At one size, on the same held-out blocks: {_listed(estimates)}." if estimates else ""


def _change(before: np.ndarray, after: np.ndarray, confidence: float) -> inference.Estimate:
    """The mean change of the loss of a held-out block."""
    return inference.clustered_mean(after - before, np.arange(len(before)) // _STRETCH, confidence)


def _listed(estimates: dict[str, inference.Estimate]) -> str:
    return "; ".join(f"{name} {reports.interval(estimate, 3)}" for name, estimate in estimates.items())
