"""Effect sizes by scipy and numpy: python effects.py > effects.jsonl

Samples are whole numbers below 200, so that every value has a bin of its own in our sketch. The bins
of the statistics that need them are the baseline's deciles, values never split: see src/detect/effect/mod.rs.
A statistic that scipy has no value for is null.
"""
import json
import warnings

import numpy as np
import scipy
from scipy import stats
from scipy.spatial.distance import jensenshannon

warnings.simplefilter("ignore")


def binned(p, q, bins=10):
    out, open_, below, next_ = [], [0, 0], 0, 1
    for v in np.union1d(p, q):
        open_[0] += int((p == v).sum())
        open_[1] += int((q == v).sum())
        below += int((p == v).sum())
        if below * bins >= len(p) * next_ and next_ < bins:
            out.append(tuple(open_))
            open_, next_ = [0, 0], below * bins // len(p) + 1
    return out + [tuple(open_)]


def chi_square(counts, **how):
    return stats.chi2_contingency(counts.T, correction=False, **how).statistic


def cramers_v(counts):
    """Bergsma (2013), both sides scaled to the rows of the smaller one, as Deepchecks does."""
    rows = counts.sum(0).min()
    counts = counts / counts.sum(0) * rows
    n, k = counts.sum(), len(counts)
    if k < 2 or rows < 2:
        return np.nan
    phi = max(0, chi_square(counts) / n - (k - 1) / (n - 1))
    return np.sqrt(phi / min(1 - 1 / (n - 1), k - 1 - (k - 1) ** 2 / (n - 1)))


def of_bins(pairs, floor=1e-4):
    counts = np.array([c for c in pairs if sum(c) > 0], float)
    p, q = (counts / counts.sum(0)).T
    fp, fq = np.maximum(p, floor), np.maximum(q, floor)
    return dict(
        psi=((fq - fp) * np.log(fq / fp)).sum(),
        jensen_shannon=jensenshannon(p, q, base=2),
        hellinger=np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2),
        total_variation=abs(p - q).sum() / 2,
        kullback_leibler=stats.entropy(fp, fq),
        chi_square=chi_square(counts),
        g=chi_square(counts, lambda_="log-likelihood"),
        cramers_v=cramers_v(counts),
    )


def or_nan(statistic):
    try:
        return statistic()
    except ValueError:
        return np.nan


def of_values(p, q):
    return dict(
        ks=stats.ks_2samp(p, q).statistic,
        wasserstein=stats.wasserstein_distance(p, q),
        energy=stats.energy_distance(p, q),
        cramer_von_mises=or_nan(lambda: stats.cramervonmises_2samp(p, q).statistic),
        anderson_darling=or_nan(lambda: stats.anderson_ksamp([p, q]).statistic),
    )


rng = np.random.default_rng(7)
cases = {
    "shifted": (rng.poisson(20, 500), rng.poisson(23, 300)),
    "zeroed": (rng.poisson(20, 500), np.zeros(200, int)),
    "ties": (rng.integers(0, 3, 400), rng.integers(0, 5, 150)),
    "constant": (np.full(100, 7), np.full(50, 9)),
    "half_zero": (np.where(rng.random(600) < .5, 0, rng.integers(1, 150, 600)), rng.integers(0, 150, 300)),
    "small": (np.array([1, 2, 3]), np.array([2])),
    "wide": (rng.integers(-150, 150, 1000), rng.integers(-100, 180, 1000)),
    "one_value": (np.full(40, 3), np.full(30, 3)),
}
print(f"# scipy {scipy.__version__}, numpy {np.__version__}")
for name, (p, q) in cases.items():
    pairs = binned(p, q)
    sizes = {k: float(v) if np.isfinite(v) else None for k, v in {**of_bins(pairs), **of_values(p, q)}.items()}
    print(json.dumps(dict(name=name, baseline=p.tolist(), window=q.tolist(), binned=pairs, expected=sizes)))
