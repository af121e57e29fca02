"""Judgements of all strategies on the same prompts: without any, under prompts, and under interventions."""

import pandas as pd

KEYS = ["model", "group_id"]


def joined(judgements: pd.DataFrame, changed: pd.DataFrame) -> pd.DataFrame:
    """Add judgements under interventions to those of the same groups without one and under prompts.

    Args:
        judgements: Judgements of notebook 03.
        changed: Those of notebook 06b, of the half of the groups that is evaluated.

    Returns:
        The rows of `judgements` whose model and group are in `changed`, then `changed`.
    """
    evaluated = judgements.merge(changed[KEYS].drop_duplicates(), on=KEYS)
    return pd.concat([evaluated, changed], ignore_index=True)
