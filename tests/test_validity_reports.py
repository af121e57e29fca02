"""What notebook 04 says of judges: the undefined and the infinite are named, and a judge without worth stands in red."""

import numpy as np
import pandas as pd

from lib import validity_reports
from lib.params import Judge

GOOD, ODD = Judge(name="good", kind="vader"), Judge(name="odd", kind="learned")


def row(judge, measure, estimate, low, high, question="valence", by="domain", level="tweets", n=1200):
    return {"judge": judge, "by": by, "level": level, "question": question, "measure": measure, "estimate": estimate,
            "low": low, "high": high, "n": n, "n_documents": n}  # fmt: skip


TABLE = pd.DataFrame(
    [
        row("good", "pearson", 0.8, 0.7, 0.9),
        row("good", "worth", np.inf, 3.1, np.inf),
        row("good", "judge − one rater", 0.1, 0.05, 0.15),
        row("odd", "pearson", 0.1, -0.1, 0.3),
        row("odd", "worth", 0.2, 0.1, 0.3),
        row("odd", "judge − one rater", -0.1, -0.15, -0.05),
        row("odd", "kappa", np.nan, np.nan, np.nan, "charged or not"),
    ]
)


def test_undefined_and_infinite_are_named():
    shown = validity_reports.by_level(TABLE)["tweets"]
    assert shown["good", "valence", "worth"] == "∞ [3.10, ∞]"
    assert shown["good", "valence", "judge − one rater"] == "+0.10 [+0.05, +0.15]"
    assert shown["odd", "charged or not", "kappa"].startswith("undefined")
    assert shown["", "", "texts"] == "1,200"


def test_a_judge_no_better_than_chance_is_named_in_red_with_the_place():
    faults = validity_reports.faults(TABLE, [GOOD, ODD])
    assert faults == ["odd is no better than chance: tweets (pearson, valence); tweets (kappa, charged or not)"]
    red = validity_reports.alarm(faults).data
    assert "color: #c00000" in red and "odd is no better than chance" in red
    assert "color" not in validity_reports.alarm(validity_reports.faults(TABLE, [GOOD])).data


def test_a_judge_trained_on_the_rated_texts_is_named_in_red():
    trained = Judge(name="good", kind="vader", trained_on_ratings=True)
    assert "trained on these very texts" in validity_reports.faults(TABLE, [trained])[0]


def test_readings_name_every_judge_with_its_n():
    said = validity_reports.worth_reading(TABLE)
    assert "**good** lies +0.10 [+0.05, +0.15] from one person in tweets" in said
    assert "∞ [3.10, ∞] in tweets" in said and "**odd**" in said and "1,200" in said


def test_published_numbers_stand_beside_vader_alone():
    assert "VADER is not among" in validity_reports.beside_published(TABLE, [ODD]).data
    shown = validity_reports.beside_published(TABLE, [ODD, GOOD])
    assert shown["published"].tolist() == [0.881] and shown["agrees"].tolist() == [True]
