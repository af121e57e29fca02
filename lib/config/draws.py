"""The number of completions per prompt: one number for every arm, or one number per arm.

Numbers per arm are written as {negative: 4, positive: 4, neutral: 2, placebo: 1, none: 1}.
"""

import pandas as pd

from lib.config.specs import ARMS, CHARGED_ARMS, MITIGATED_ARMS, NO_MITIGATION, ParameterError, nearest

Samples = int | dict[str, int]


def check(samples: Samples) -> None:
    """Check the number of completions per prompt.

    Raises:
        ValueError: Unless every arm has a number of 1 or more, the same for both charged arms. The message
            says what to do.
    """
    if not isinstance(samples, dict):
        return _check_number(samples, 1)
    _check_arms(samples, ARMS, 1, "the charged arms are what is measured, and each other arm is a reference")
    if missing := [arm for arm in ARMS if arm not in samples]:
        raise ValueError(f"names no number for {', '.join(missing)}; add it, 1 or more")


def check_mitigated(samples: Samples, unmitigated: Samples) -> None:
    """Check the number of completions per prompt under a mitigation.

    Args:
        samples: The numbers to check. An arm that is not named, or has 0, is not used.
        unmitigated: The numbers without a mitigation.

    Raises:
        ValueError: Unless `samples` names only arms of MITIGATED_ARMS, has the same number for both charged
            arms and never exceeds `unmitigated`. The message says what to do.
    """
    if not isinstance(samples, dict):
        _check_number(samples, 0)
    else:
        _check_arms(samples, MITIGATED_ARMS, 0, "")
        if any(samples.values()) and not samples.get("negative"):
            raise ValueError(
                "the charged arms have 0; a mitigation is measured on them: give 1 or more, or 0 to every arm"
            )
    for arm in MITIGATED_ARMS:
        asked, bare = _of(samples, arm), _of(unmitigated, arm)
        if asked > bare:
            of_arm = (
                f" of the {arm} arm" if isinstance(samples, dict) or isinstance(unmitigated, dict) else ""
            )
            raise ValueError(
                f"mitigation_samples {asked} exceeds samples {bare}{of_arm}, so some would have no "
                "unmitigated "
                "partner with their noise; lower it"
            )


def requested(arms: pd.Series, samples: Samples, mitigation: str = NO_MITIGATION) -> pd.Series:
    """The number of completions requested for each prompt, according to its arm.

    Args:
        arms: The arm of each prompt.
        samples: The numbers of completions under `mitigation`.
        mitigation: Name of the mitigation, or NO_MITIGATION.

    Raises:
        ParameterError: If `samples` lacks an arm.
    """
    arms = arms.astype(object)
    if mitigation != NO_MITIGATION:
        return arms.map({arm: _of(samples, arm) for arm in MITIGATED_ARMS}).fillna(0).astype(int)
    if not isinstance(samples, dict):
        return pd.Series(samples, arms.index, dtype=int)
    if unknown := [arm for arm in arms.unique() if arm not in samples]:
        raise ParameterError(
            f"generation.samples: prompts have the arm {unknown[0]!r}, for which no number is given; give "
            "one "
            "number for all arms"
        )
    return arms.map(samples).astype(int)


def count(arms: pd.Series, values: dict) -> int:
    """The number of completions requested of a model for prompts of these arms.

    Args:
        arms: The arm of each prompt.
        values: The values of notebook 02.
    """
    mitigated = (requested(arms, values["mitigation_samples"], name) for name in values["mitigations"])
    return int(sum(requested.sum() for requested in (requested(arms, values["samples"]), *mitigated)))


def count_intervened(arms: pd.Series, controls: pd.Series, values: dict) -> int:
    """The number of completions of notebook 06b: charged prompts and controls under every strategy.

    Args:
        arms: The arm of each prompt of the half that is evaluated.
        controls: The arm of each positive control, which is also asked without anything and under each
            mitigation that is no control.
        values: The values of the notebook.
    """
    samples = values["mitigation_samples"]
    each, of_control = (
        int(requested(table[table.isin(CHARGED_ARMS)], samples, "any").sum()) for table in (arms, controls)
    )
    prompts = sum(name not in values["controls"] for name in values["mitigations"])
    with_prompt = int(requested(controls, samples, "any").sum())
    interventions = len(values["interventions"])
    return interventions * (each + of_control) + prompts * with_prompt + len(controls)


def _of(samples: Samples, arm: str) -> int:
    return samples.get(arm, 0) if isinstance(samples, dict) else samples


def _check_number(number: int, least: int) -> None:
    if type(number) is not int:
        raise ValueError("should be a valid integer, or a number by arm, as {negative: 4, positive: 4, …}")
    if number < least:
        raise ValueError(f"should be greater than or equal to {least}")


def _check_arms(samples: dict, arms: tuple[str, ...], least: int, reason: str) -> None:
    for arm, number in samples.items():
        if arm not in arms:
            raise ValueError(
                f"{arm!r} is not among the arms {', '.join(arms)}{nearest(arm, arms)}; rename it or take "
                "it out"
            )
        try:
            _check_number(number, least)
        except ValueError as error:
            because = f" ({reason})" * bool(reason)
            raise ValueError(f"{arm}: {number!r} {error}{because}") from None
    if samples.get("negative", 0) != samples.get("positive", 0):
        raise ValueError(
            f"negative {samples.get('negative', 0)} and positive {samples.get('positive', 0)} differ; give "
            "both the "
            "same number: leakage is the mean over both polarities"
        )
