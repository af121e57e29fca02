"""What a run measured beside the rated texts of the package, and what it did not and how to get it."""

import pandas as pd
from IPython.display import Markdown

from lib.agreement.rated_run import Texts
from lib.config.sections import Agreement
from lib.corpora import own_ratings
from lib.report import annotation_reports

NO_MODEL = (
    "**A language model as judge** has not been asked: list one under `agreement.comparison_judges` of the "
    "parameter set, and notebook 04e asks it about a sample of the rated texts and of the completions."
)


def summary(run: Agreement, texts: Texts, key: pd.DataFrame, labels: pd.DataFrame) -> Markdown:
    """Say of the user's own ratings, of labels by people and of a language model what there is.

    Args:
        run: The parameters of the run.
        texts: The rated texts.
        key: The annotation key.
        labels: The labels that people gave (`annotation_reports.people`).

    Returns:
        A list with an item for each; it says where a result stands or how to get it.
    """
    items = (
        own_ratings.summary(run.ratings, texts.own, texts.left_out),
        _labels(run, key, labels),
        _model(run),
    )
    return Markdown("\n".join(f"- {item}" for item in items))


def _labels(run: Agreement, key: pd.DataFrame, labels: pd.DataFrame) -> str:
    if labels.empty:
        return (
            f"{annotation_reports.NOBODY} Not known, therefore: how far people agree with each other and "
            "with the judge about leakage, which threshold their labels would give, and how large "
            f"the leakage is that people see. {annotation_reports.how_to(key, run.set_name).data}"
        )
    return (
        f"Labels of completions: {len(labels):,} by {labels['annotator'].nunique()} people. The second row "
        "of the board rests on them; notebook 04d shows them and the leakage that people see."
    )


def _model(run: Agreement) -> str:
    names = ", ".join(f"**{judge.name}**" for judge in run.on_a_sample)
    return f"A language model as judge: notebook 04e asks {names} about a sample." if names else NO_MODEL
