"""Ways to an interval for the mean over clusters, of many studies at once, from the sums and numbers of
values of their clusters.

Each takes `total` and `count`, shape (studies, clusters), and gives the lower and upper bounds, shape (2,
studies).
"""

import numpy as np
from scipy import stats

RESAMPLES = 999


def _residuals(total, count):
    """Mean, number of values, and sums of residuals by cluster."""
    n = count.sum(axis=1, keepdims=True)
    mean = total.sum(axis=1, keepdims=True) / n
    return mean[:, 0], n[:, 0], total - mean * count


def _around(mean, error, critical):
    return np.array([mean - critical * error, mean + critical * error])


def cr1_t(total, count, level=0.05):
    """Liang & Zeger (1986) with the correction clusters / (clusters − 1); t with clusters − 1 degrees of
    freedom."""
    mean, n, left = _residuals(total, count)
    g = total.shape[1]
    return _around(mean, np.sqrt(g / (g - 1) * (left**2).sum(axis=1)) / n, stats.t.isf(level / 2, g - 1))


def cr2(total, count):
    """Mean, CR2 error, degrees of freedom and skewness: the closed forms of lib/stats/inference.py for a
    mean."""
    mean, n, left = _residuals(total, count)
    share = count / n[:, None]
    parts = left / n[:, None] / np.sqrt(1 - share)
    error = np.sqrt((parts**2).sum(axis=1))
    squared = (share**2 - (share**2 / (1 - share)) ** 2).sum(axis=1) + (share**2 / (1 - share)).sum(
        axis=1
    ) ** 2
    with np.errstate(invalid="ignore"):
        skew = np.nan_to_num((parts**3).sum(axis=1) / error**3)
    return mean, error, 1 / squared, skew


def cr2_bell_mccaffrey(total, count, level=0.05):
    """Bell & McCaffrey (2002): residuals over √(1 − share of the values), Satterthwaite's degrees of
    freedom."""
    mean, error, freedom, _ = cr2(total, count)
    return _around(mean, error, stats.t.isf(level / 2, freedom))


def cr3_jackknife(total, count, level=0.05):
    """The jackknife over clusters; t with clusters − 1 degrees of freedom (MacKinnon, Nielsen & Webb
    2023)."""
    mean, n, left = _residuals(total, count)
    g = total.shape[1]
    apart = left / (n[:, None] - count)
    return _around(mean, np.sqrt((g - 1) / g * (apart**2).sum(axis=1)), stats.t.isf(level / 2, g - 1))


def hall(total, count, level=0.05):
    """Hall (1992): a transform of the studentised mean in which the skewness of the clusters no longer shows,
    put back."""
    mean, error, freedom, skew = cr2(total, count)
    critical = stats.t.isf(level / 2, freedom)

    def back(y):
        some = np.where(np.abs(skew) < 1e-6, 1.0, skew)
        return np.where(np.abs(skew) < 1e-6, y, 3 / some * (np.cbrt(1 + some * (y - some / 6)) - 1))

    return np.array([mean - error * back(critical), mean - error * back(-critical)])


def cr2_or_hall(total, count, level=0.05):
    """On either side the one of the two that reaches further: what lib/stats/inference.py does."""
    first, second = cr2_bell_mccaffrey(total, count, level), hall(total, count, level)
    return np.array([np.minimum(first[0], second[0]), np.maximum(first[1], second[1])])


def wild_t(total, count, level=0.05, seed=0):
    """Wild cluster bootstrap-t with Rademacher weights (Cameron, Gelbach & Miller 2008), unrestricted,
    symmetric."""
    mean, n, left = _residuals(total, count)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (RESAMPLES, total.shape[1]))
    off = signs @ left.T / n
    squares = (left**2).sum(axis=1) - 2 * off * (signs @ (left * count).T) + off**2 * (count**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.nan_to_num(np.abs(off) * n / np.sqrt(squares))
    return _around(mean, np.sqrt((left**2).sum(axis=1)) / n, np.quantile(t, 1 - level, axis=0))


def _resampled(total, count, seed):
    rng, g = np.random.default_rng(seed), total.shape[1]
    times = rng.multinomial(g, np.full(g, 1 / g), RESAMPLES).astype(float)
    n = times @ count.T
    means = times @ total.T / n
    squares = (
        times @ (total**2).T - 2 * means * (times @ (total * count).T) + means**2 * (times @ (count**2).T)
    )
    return means, np.sqrt(np.maximum(squares, 0)) / n


def bootstrap_t(total, count, level=0.05, seed=0):
    """Studentised bootstrap of whole clusters (Efron & Tibshirani 1993, ch. 12)."""
    mean, n, left = _residuals(total, count)
    means, errors = _resampled(total, count, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = (means - mean) / errors
        t = np.where(
            errors > 1e-9, t, np.copysign(np.where(np.abs(means - mean) < 1e-9, 0, np.inf), means - mean)
        )
    upper, lower = np.quantile(t, [1 - level / 2, level / 2], axis=0, method="nearest")
    error = np.sqrt((left**2).sum(axis=1)) / n
    return np.array([mean - upper * error, mean - lower * error])


def bca(total, count, level=0.05, seed=0):
    """Bias-corrected accelerated bootstrap of whole clusters (Efron 1987)."""
    mean, n, left = _residuals(total, count)
    means = np.sort(_resampled(total, count, seed)[0], axis=0)
    below = ((means < mean).sum(axis=0) + (means <= mean).sum(axis=0)) / 2 / RESAMPLES
    shift = stats.norm.ppf(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    apart = left / (n[:, None] - count)
    with np.errstate(invalid="ignore", divide="ignore"):
        speed = np.nan_to_num((apart**3).sum(axis=1) / (6 * (apart**2).sum(axis=1) ** 1.5))
    bounds = []
    for z in stats.norm.ppf([level / 2, 1 - level / 2]):
        at = stats.norm.cdf(shift + (shift + z) / (1 - speed * (shift + z)))
        place = np.clip((at * RESAMPLES).astype(int), 0, RESAMPLES - 1)
        bounds.append(np.take_along_axis(means, place[None], axis=0)[0])
    return np.array(bounds)


CANDIDATES = (cr1_t, cr2_bell_mccaffrey, cr3_jackknife, hall, cr2_or_hall, wild_t, bootstrap_t, bca)
