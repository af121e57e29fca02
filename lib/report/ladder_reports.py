"""The models trained from scratch for a set, for notebook 05: their losses, and whether loss falls."""

import numpy as np
import pandas as pd

from lib.config import params, specs
from lib.models import ladder
from lib.report import reports
from lib.stats import inference
from lib.storage import caching

_STRETCH = 20  # blocks; an article spans several, so neighbours form one cluster


def trained(set_name: str) -> pd.DataFrame:
    """List the models of a set that were trained from scratch, the smallest first.

    Returns:
        One row per model; no rows if there are none. Columns: model, parameters (outside the embeddings),
        tokens (trained on, all epochs), epochs, learning_rate (peak), and mean cross-entropies of a token in
        nats: init_loss and val_loss of the held-out text, train_loss of the same amount of training text.
        losses is an array with the loss of each held-out block.
    """
    models = params.load(set_name).models if set_name in specs.set_names() else []
    sizes = {spec.id.removeprefix("ladder:"): spec.name for spec in models if spec.id.startswith("ladder:")}
    if not sizes:
        return pd.DataFrame()
    ladder_path = ladder.path_of(ladder.documents(), ladder.Recipe(), caching.cache_folder())
    table = ladder.card(ladder_path).loc[lambda reported: reported.index.isin(sizes)].drop(columns="minutes")
    table.insert(0, "model", [sizes[size] for size in table.index])
    return table.assign(losses=[np.load(ladder_path / f"{size}.npy") for size in table.index]).reset_index(
        drop=True
    )


def format_table(table: pd.DataFrame, banner: str = ""):
    """Format a table of `trained`; None, which a notebook shows as nothing, if it is empty."""
    if table.empty:
        return None
    names = {
        "learning_rate": "learning rate of layers",
        "init_loss": "untrained",
        "train_loss": "learnt text",
        "val_loss": "held-out text",
    }
    formats = {"parameters": "{:,}", "tokens": "{:,}", "learning_rate": "{:.2g}"} | dict.fromkeys(
        list(names)[1:], "{:.3f}"
    )
    formatted = table.assign(
        **{column: table[column].map(form.format) for column, form in formats.items()}
    ).drop(columns="losses")
    return formatted.rename(columns=names).rename_axis(columns=f"⚠ {banner}" if banner else None)


def summary(table: pd.DataFrame, confidence: float) -> str:
    """Say whether the held-out loss of `trained` falls with each size, paired by held-out block."""
    if table.empty:
        return "No model of this set was trained here."
    if len(table) == 1:
        return f"{table['model'].iloc[0]} is the only one that was trained here: no sizes to compare."
    changes, falls = [], []
    for smaller, larger in zip(table.iloc[:-1].itertuples(), table.iloc[1:].itertuples(), strict=True):
        change = larger.losses - smaller.losses
        estimate = inference.clustered_mean(change, np.arange(len(change)) // _STRETCH, confidence)
        falls.append(inference.side_of_zero(estimate) < 0)
        changes.append(f"{smaller.model} to {larger.model} {reports.interval(estimate, 3)}")
    verdict = (
        "yes"
        if all(falls)
        else "**no**, so a slope of leakage over these sizes is not one over better and better models"
    )
    return (
        f"Held-out loss falls with size: {verdict}. Nats a token, over {len(table['losses'].iloc[0]):,} "
        "held-out blocks, "
        f"neighbours clustered: {'; '.join(changes)}."
    )
