"""Effect sizes by scipy and numpy: python effects.py > effects.jsonl

Samples are whole numbers below 200, so that every value has a bin of its own in our sketch. The bins
of PSI and Jensen-Shannon are the baseline's deciles, values never split: see src/detect/effect/mod.rs.
"""
import json

import numpy as np
import scipy
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance


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


def psi(pairs, floor=1e-4):
    counts = np.array([c for c in pairs if sum(c) > 0], float)
    p, q = np.maximum(counts / counts.sum(0), floor).T
    return float(((q - p) * np.log(q / p)).sum())


rng = np.random.default_rng(7)
cases = {
    "shifted": (rng.poisson(20, 500), rng.poisson(23, 300)),
    "zeroed": (rng.poisson(20, 500), np.zeros(200, int)),
    "ties": (rng.integers(0, 3, 400), rng.integers(0, 5, 150)),
    "constant": (np.full(100, 7), np.full(50, 9)),
    "half_zero": (np.where(rng.random(600) < .5, 0, rng.integers(1, 150, 600)), rng.integers(0, 150, 300)),
    "small": (np.array([1, 2, 3]), np.array([2])),
    "wide": (rng.integers(-150, 150, 1000), rng.integers(-100, 180, 1000)),
}
print(f"# scipy {scipy.__version__}, numpy {np.__version__}: ks_2samp, wasserstein_distance, jensenshannon(base=2)")
for name, (p, q) in cases.items():
    pairs = binned(p, q)
    counts = np.array(pairs, float)
    print(json.dumps(dict(
        name=name, baseline=p.tolist(), window=q.tolist(), binned=pairs,
        ks=float(ks_2samp(p, q).statistic), wasserstein=float(wasserstein_distance(p, q)),
        jensen_shannon=float(jensenshannon(counts[:, 0], counts[:, 1], base=2)), psi=psi(pairs),
    )))
