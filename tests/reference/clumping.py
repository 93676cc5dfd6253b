"""Variance ratios of block counts and chances of short gaps: python clumping.py > clumping.jsonl

Blocks are compared with a random order of rows within strata (mean and variance of the hypergeometric
distribution, higher cumulants of a Poisson count), their chance is the gamma distribution's of the same three
cumulants. Gaps: the chance that the next hit is near is one minus that of an empty stretch of as many rows,
Chernoff's bound for their number.
"""
import json

import numpy as np
import scipy
from scipy.stats import entropy, gamma, hypergeom, norm


def blocks(x, s, k):
    n = len(x)
    strata = np.unique(s)
    rows = {t: (s == t).sum() for t in strata}
    share = {t: np.bincount(x[s == t], minlength=k) / rows[t] for t in strata}
    overall = np.bincount(x, minlength=k) / n
    mid = np.cumsum(overall) - overall / 2
    z = norm.ppf(np.where(overall > 0, mid, 0.5))
    out = {name: [] for name in [*map(str, range(k)), "score", "pooled"]}
    length = 2
    while length * 32 <= n:
        sums = {name: np.zeros(4) for name in out}
        judged = overall * length >= 1
        for i in range(0, n - length + 1, length):
            c, t = x[i:i + length], s[i:i + length]
            d, mean, var, zvar = np.bincount(c, minlength=k) * 1.0, np.zeros(k), np.zeros(k), 0.0
            for u in np.unique(t):
                m = int((t == u).sum())
                mean += m * share[u]
                hits = np.rint(share[u] * rows[u]).astype(int)
                var += [hypergeom(rows[u], h, m).var() if rows[u] > 1 else 0 for h in hits]
                v = share[u] @ z**2 - (share[u] @ z) ** 2
                zvar += v * m * (rows[u] - m) / (rows[u] - 1) if rows[u] > 1 else 0
            d -= mean
            second, third = mean + 2 * mean**2, mean + 22 * mean**2 + 8 * mean**3
            for b in range(k):
                sums[str(b)] += d[b] ** 2, var[b], second[b], third[b]
            w = np.where(judged, 1 / np.where(overall > 0, overall, 1), 0)
            sums["pooled"] += (d**2) @ w, var @ w, second @ w**2, third @ w**3
            wide = 1 + 4 / length
            sums["score"] += (d @ z) ** 2, zvar, 2 * wide * zvar**2, 8 * wide * zvar**3
        for name, (square, mean, second, third) in sums.items():
            tested = length >= 8 if name == "score" else True if name == "pooled" else judged[int(name)]
            if tested and mean > 0:
                shape = 4 * second**3 / third**2
                at = shape + (square - mean) / np.sqrt(second) * np.sqrt(shape)
                ln_p = float(gamma.logsf(at, shape)) if square > mean else 0.0
                out[name].append(dict(rows=length, ratio=square / mean, ln_p=ln_p))
        length *= 2
    return [dict(name=name, lengths=lengths) for name, lengths in out.items()]


def gaps(x, s, b):
    best, length = 0.0, 1
    while length <= len(x):
        pairs = short = expected = 0.0
        for t in np.unique(s):
            y = x[s == t] == b
            at = np.flatnonzero(y)
            if len(at) > 1:
                pairs += len(at) - 1
                short += (np.diff(at) <= length).sum()
                expected += (len(at) - 1) * (1 - hypergeom(len(y), len(at), min(length, len(y))).pmf(0))
        if not pairs or expected / pairs > 0.5:
            break
        p, q = short / pairs, expected / pairs
        if p > q:
            best = min(best, -pairs * entropy([p, 1 - p], [q, 1 - q]))
        length *= 2
    return float(best)


rng = np.random.default_rng(11)
n = 1024
hours = np.arange(n) // 16 % 8
cases = [
    (rng.choice(5, n, p=[0.4, 0.3, 0.2, 0.09, 0.01]), hours * 0),
    (np.repeat(rng.integers(0, 4, n // 8), 8), hours * 0),
    (np.minimum(rng.poisson(1 + hours / 2), 6), hours),
    (np.minimum(np.repeat(rng.poisson(1 + hours[::4] / 2), 4), 6), hours),
]
print(f"# scipy {scipy.__version__}, numpy {np.__version__}: hypergeom, gamma, entropy")
for x, s in cases:
    k = int(x.max()) + 2
    print(json.dumps(dict(codes=x.tolist(), strata=s.tolist(), bins=k, blocks=blocks(x, s, k), gaps=[gaps(x, s, b) for b in range(k)])))
