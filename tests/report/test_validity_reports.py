"""What notebook 04 says of judges: the undefined and the infinite are named, and a judge without worth stands
in red."""

import numpy as np
import pandas as pd

from lib.agreement import rated_agreement
from lib.config.specs import LearnedJudge, VaderJudge
from lib.report import validity_reports

GOOD, ODD = VaderJudge(name="good"), LearnedJudge(name="odd")


def row(judge, measure, estimate, low, high, question="valence", by="domain", level="tweets", n=1200):
    return {
        "judge": judge,
        "by": by,
        "level": level,
        "question": question,
        "measure": measure,
        "estimate": estimate,
        "ci_low": low,
        "ci_high": high,
        "n": n,
        "n_documents": n,
    }


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
    assert faults == [
        "odd is no better than chance: tweets (pearson, valence); tweets (kappa, charged or not)"
    ]
    red = validity_reports.warn(faults).data
    assert "color: #c00000" in red and "odd is no better than chance" in red
    assert "color" not in validity_reports.warn(validity_reports.faults(TABLE, [GOOD])).data


def test_a_judge_trained_on_the_rated_texts_is_named_in_red():
    trained = VaderJudge(name="good", trained_on_ratings=True)
    assert "trained on these very texts" in validity_reports.faults(TABLE, [trained])[0]


def test_readings_name_every_judge_with_its_n():
    said = validity_reports.equivalent_raters_summary(TABLE)
    assert "**good** lies +0.10 [+0.05, +0.15] from one person in tweets" in said
    assert "∞ [3.10, ∞] in tweets" in said and "**odd**" in said and "1,200" in said


def test_published_numbers_stand_beside_vader_alone():
    assert "VADER is not among" in validity_reports.compare_published(TABLE, [ODD]).data
    shown = validity_reports.compare_published(TABLE, [ODD, GOOD])
    assert shown["published"].tolist() == [0.881] and shown["agrees"].tolist() == [True]


def test_calibration_is_by_domain_and_length_and_names_stay_as_they_are():
    texts = ["so good", "so bad", "one two three four five six"] * 2
    table = rated_agreement.levels(pd.DataFrame({"text": texts, "domain": ["tweets"] * 3 + ["news"] * 3}))
    table = table.assign(
        valence=[2.1, -2.9, 0.2, 1.8, -3.2, -0.1], mean=[1.0, -1.0, 0.0, 3.0, -2.0, 0.5], document=range(6)
    )
    curves = validity_reports.calibration({"my-judge": table}, 0.95)
    assert curves.groupby("by")["n"].sum().to_dict() == {"all": 6, "domain": 6, "words": 6}
    said = validity_reports.calibration_summary(curves)
    assert (
        "**my-judge**: −1.50 where it says −3 (n = 2), +0.25 where it says 0 (n = 2), +2.00 where it says 2 "
        "(n = 2)." in said
    )
    shown = (
        validity_reports.calibration_by_level(curves[curves["by"] == "words"]).loc["my-judge"].droplevel(0)
    )
    assert shown.index.tolist() == ["−3", "0", "2"] and shown.columns.tolist() == ["1–5 words", "6–12 words"]
    assert shown.at["2", "1–5 words"].startswith("2.00 [") and shown.at["2", "1–5 words"].endswith("], n = 2")
    assert shown.at["2", "6–12 words"] == "–"
