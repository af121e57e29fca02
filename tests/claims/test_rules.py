"""The decision rules: each decides each way, from estimates by hand."""

import numpy as np
import pytest

from lib.claims import benchmark, rules
from lib.claims.board import from_interval
from lib.claims.rules import CONTRADICTED, INCONCLUSIVE, INVALID, SUPPORTED, Retention
from lib.stats import inference
from lib.stats.inference import Estimate

MARGIN = 0.1


def found(estimate: float, low: float, high: float, clusters: int = 200) -> Estimate:
    """An estimate with a symmetrical interval of 95 % and the error that goes with it."""
    return from_interval(estimate, low, high, 2 * clusters, clusters, 0.95)


NO_INTERVAL = Estimate(0.3, np.nan, np.nan, 1, 1, np.nan, np.nan, np.nan)
ABOVE, BELOW, WIDE = found(0.3, 0.2, 0.4), found(-0.3, -0.4, -0.2), found(0.1, -0.2, 0.4)
SMALL, LITTLE, INSIDE = found(0.12, 0.02, 0.22), found(0.05, 0.02, 0.08), found(0.01, -0.03, 0.05)


def directed(estimates: list[Estimate], claimed: int = 1, p_factor: float = 1.0) -> rules.Verdict:
    """`rules.direction` with the estimates' own p, times `p_factor` as Holm might have it."""
    p = p_factor * rules.largest_p([one.p for one in estimates])
    inside = p_factor * rules.largest_p([inference.equivalence_p(one, MARGIN) for one in estimates])
    return rules.direction(estimates, claimed, MARGIN, p, inside, 0.95)


@pytest.mark.parametrize(
    ("estimates", "claimed", "verdict", "reason"),
    [
        ([ABOVE], 1, SUPPORTED, "whole interval above 0, at least 0.1"),
        ([SMALL], 1, SUPPORTED, "whole interval above 0"),
        ([LITTLE], 1, SUPPORTED, "whole interval above 0, less than 0.1"),
        ([BELOW], 1, CONTRADICTED, "whole interval below 0, at least 0.1"),
        ([BELOW], -1, SUPPORTED, "whole interval below 0, at least 0.1"),
        ([ABOVE], -1, CONTRADICTED, "whole interval above 0, at least 0.1"),
        ([INSIDE], 1, CONTRADICTED, "negligible: inside ±0.1"),
        ([INSIDE], -1, CONTRADICTED, "negligible: inside ±0.1"),
        ([WIDE], 1, INCONCLUSIVE, "interval holds 0"),
        ([NO_INTERVAL], 1, INCONCLUSIVE, "no interval"),
        ([], 1, INCONCLUSIVE, "no interval"),
        ([ABOVE, ABOVE], 1, SUPPORTED, "whole interval above 0 against every reference (2), at least 0.1"),
        ([ABOVE, SMALL], 1, SUPPORTED, "whole interval above 0 against every reference (2)"),
        ([BELOW, BELOW], 1, CONTRADICTED, "whole interval below 0 against every reference (2), at least 0.1"),
        ([INSIDE, LITTLE], 1, CONTRADICTED, "negligible: inside ±0.1 against every reference (2)"),
        ([ABOVE, BELOW], 1, INCONCLUSIVE, "the references disagree"),
        ([ABOVE, WIDE], 1, INCONCLUSIVE, "the references disagree"),
        ([ABOVE, INSIDE], 1, INCONCLUSIVE, "the references disagree"),
        ([WIDE, WIDE], 1, INCONCLUSIVE, "interval holds 0 against every reference (2)"),
        ([ABOVE, NO_INTERVAL], 1, INCONCLUSIVE, "no interval"),
    ],
)
def test_direction(estimates, claimed, verdict, reason):
    assert directed(estimates, claimed) == (verdict, reason)


def test_a_direction_must_survive_holm_and_a_negligible_effect_too():
    weak = found(0.12, 0.01, 0.23)
    assert directed([weak]).verdict == SUPPORTED
    assert directed([weak], p_factor=2) == (
        INCONCLUSIVE,
        f"not after Holm's correction (p = {2 * weak.p:.3f})",
    )
    barely = found(0.04, -0.02, 0.10)
    assert (
        directed([barely]).verdict == CONTRADICTED and directed([barely], p_factor=2).verdict == INCONCLUSIVE
    )


@pytest.mark.parametrize(
    ("tweets", "films", "verdict", "reason"),
    [
        (found(0.1, 0, 0.2), found(0.2, 0.1, 0.3), SUPPORTED, "no worse by 0.1 or more in every domain"),
        (
            found(-0.03, -0.08, 0.02),
            found(0.2, 0.1, 0.3),
            SUPPORTED,
            "no worse by 0.1 or more in every domain",
        ),  # though below 0
        (found(-0.03, -0.12, 0.06), found(0.2, 0.1, 0.3), INCONCLUSIVE, "may be worse by 0.1, or not"),
        (found(-0.2, -0.25, -0.15), found(0.2, 0.1, 0.3), CONTRADICTED, "worse by more than 0.1 in tweets"),
        (
            found(-0.2, -0.25, -0.15),
            found(-0.4, -0.5, -0.3),
            CONTRADICTED,
            "worse by more than 0.1 in tweets, films",
        ),
        (NO_INTERVAL, ABOVE, INCONCLUSIVE, "no interval"),
    ],
)
def test_no_worse(tweets, films, verdict, reason):
    said, p, p_holm = rules.no_worse({"tweets": tweets, "films": films}, MARGIN, 0.95)
    assert said == (verdict, reason)
    assert np.isnan(p) if reason == "no interval" else p <= p_holm
    assert (p < 0.05) == (verdict in (SUPPORTED, CONTRADICTED))


def test_worse_in_one_domain_of_two_takes_holm():
    barely = found(-0.16, -0.21, -0.11)
    just = found(-0.155, -0.209, -0.101)
    assert rules.no_worse({"tweets": barely}, MARGIN, 0.95)[0].verdict == CONTRADICTED
    many = {"tweets": just} | {str(place): WIDE for place in range(9)}
    assert inference.below_p(just, -MARGIN) < 0.05 < 10 * inference.below_p(just, -MARGIN)
    assert rules.no_worse(many, MARGIN, 0.95)[0].verdict == INCONCLUSIVE


@pytest.mark.parametrize(
    ("mined", "curated", "verdict", "reason"),
    [
        ([ABOVE], [SMALL], SUPPORTED, "both above 0"),
        ([BELOW], [BELOW], SUPPORTED, "both below 0"),
        ([ABOVE], [BELOW], CONTRADICTED, "on opposite sides of 0"),
        ([ABOVE], [WIDE], INCONCLUSIVE, "side of 0 not sure in curated"),
        ([WIDE], [INSIDE], INCONCLUSIVE, "side of 0 not sure in mined and curated"),
        ([ABOVE, WIDE], [ABOVE], INCONCLUSIVE, "side of 0 not sure in mined"),
        ([NO_INTERVAL], [ABOVE], INCONCLUSIVE, "no interval"),
        ([], [ABOVE], INCONCLUSIVE, "no interval"),
    ],
)
def test_same_side(mined, curated, verdict, reason):
    p = rules.largest_p([one.p for one in (*mined, *curated)])
    assert rules.same_side(mined, curated, p, 0.95) == (verdict, reason)
    if verdict in (SUPPORTED, CONTRADICTED):
        assert rules.same_side(mined, curated, 0.06, 0.95) == (
            INCONCLUSIVE,
            "not after Holm's correction (p = 0.060)",
        )


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (INSIDE, SUPPORTED),
        (LITTLE, SUPPORTED),
        (ABOVE, CONTRADICTED),
        (BELOW, CONTRADICTED),
        (SMALL, INCONCLUSIVE),
        (WIDE, INCONCLUSIVE),
        (NO_INTERVAL, INCONCLUSIVE),
    ],
)
def test_within(difference, verdict):
    inside, beyond = inference.equivalence_p(difference, MARGIN), rules.beyond_p(difference, MARGIN)
    assert rules.within(difference, MARGIN, inside, beyond, 0.95).verdict == verdict
    assert (
        rules.within(difference, MARGIN, 2 * inside + 0.05, 2 * beyond + 0.05, 0.95).verdict == INCONCLUSIVE
    )


LOWERS, FAR, SLIGHTLY = Retention(0.9, 0.01, 0.5), Retention(0.6, 0.001, 1.0), Retention(0.95, 0.01, 0.01)
KEEPS, UNSURE = Retention(1.1, 0.6, 0.01), Retention(1.1, 0.3, 0.2)


@pytest.mark.parametrize(
    ("none", "controls", "verdict", "reason"),
    [
        (KEEPS, KEEPS, SUPPORTED, "keeps at least 75 % of the leak"),
        (KEEPS, UNSURE, INCONCLUSIVE, "neither surely lower nor sure to keep 75 % of the leak"),
        (LOWERS, LOWERS, CONTRADICTED, "lowers the leak"),
        (LOWERS, FAR, CONTRADICTED, "lowers the leak"),
        (FAR, FAR, CONTRADICTED, "lowers the leak, by at least 25 %"),
        (SLIGHTLY, SLIGHTLY, CONTRADICTED, "lowers the leak, but keeps at least 75 % of the leak"),
        (LOWERS, KEEPS, INCONCLUSIVE, "lower than without it, but not surely lower than under the controls"),
        (SLIGHTLY, KEEPS, SUPPORTED, "keeps at least 75 % of the leak"),
        (
            Retention(0.9, 0.06, 0.5),
            LOWERS,
            INCONCLUSIVE,
            "neither surely lower nor sure to keep 75 % of the leak",
        ),  # Holm
        (UNSURE, UNSURE, INCONCLUSIVE, "neither surely lower nor sure to keep 75 % of the leak"),
        (
            Retention(np.nan, np.nan, np.nan),
            KEEPS,
            INCONCLUSIVE,
            "neither surely lower nor sure to keep 75 % of the leak",
        ),
    ],
)
def test_retention(none, controls, verdict, reason):
    assert rules.retention({"none": none, "controls": controls}, True, 0.25, 0.95) == (verdict, reason)


@pytest.mark.parametrize(
    ("bounds", "said"), [((0.797, 0.84), "79"), ((0.9, 0.75), "75"), ((1.02, 1.1), "102")]
)
def test_keeping_names_the_bound_on_which_it_rests_rounded_down(bounds, said):
    keeps, slightly = ([one._replace(kept=bound) for bound in bounds] for one in (KEEPS, SLIGHTLY))
    rest = f" (one-sided 95 % bound of this prompt and model alone: {said} %, against none and the controls)"
    for found, reason in (
        (keeps, "keeps at least 75 % of the leak"),
        (slightly, "lowers the leak, but keeps at least 75 % of the leak"),
    ):
        assert (
            rules.retention(dict(zip(("none", "controls"), found, strict=True)), True, 0.25, 0.95).reason
            == reason + rest
        )
    unbounded = {"none": KEEPS._replace(kept=-np.inf), "controls": KEEPS._replace(kept=0.8)}
    assert rules.retention(unbounded, True, 0.25, 0.95).reason == "keeps at least 75 % of the leak"


def test_retention_needs_a_leak_and_a_control():
    both = {"none": KEEPS, "controls": KEEPS}
    assert rules.retention(both, False, 0.25, 0.95) == (INCONCLUSIVE, "nothing surely leaks without it")
    assert rules.retention({"none": FAR}, True, 0.25, 0.95).reason.startswith("no control was asked")


@pytest.mark.parametrize(
    ("verdicts", "of_parts", "over_models"),
    [
        ([SUPPORTED, SUPPORTED], SUPPORTED, SUPPORTED),
        ([CONTRADICTED, CONTRADICTED], CONTRADICTED, CONTRADICTED),
        ([SUPPORTED, CONTRADICTED], CONTRADICTED, "mixed"),
        ([SUPPORTED, INCONCLUSIVE], INCONCLUSIVE, "mixed"),
        ([INCONCLUSIVE], INCONCLUSIVE, INCONCLUSIVE),
        ([INVALID, CONTRADICTED], INVALID, "mixed"),
    ],
)
def test_several_rows_make_a_model_and_several_models_a_claim(verdicts, of_parts, over_models):
    assert rules.of_parts(verdicts) == of_parts
    assert rules.over_models(verdicts) == over_models


def test_the_version_has_a_history_and_the_board_calls_itself_exploratory():
    assert list(rules.HISTORY)[-1] == rules.RULES_VERSION
    assert rules.EXPLORATORY.startswith(f"exploratory, {benchmark.NAME}, {rules.RULES_VERSION}")
