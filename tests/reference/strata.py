"""Homogeneity of strata and limits by stratum: python strata.py > strata.jsonl

Every quantity from its definition in src/detect/strata.rs, by scipy's gamma, chi2 and beta distributions where the
program approximates (cube-root transformation) or solves by itself.
"""
import json
import math

import numpy as np
import scipy
from scipy.stats import beta, chi2, entropy, gamma


def limits(h, n, delta):
    low = beta.ppf(delta, h, n - h + 1) if h > 0 else 0.0
    high = beta.isf(delta, h + 1, n - h) if h < n else 1.0
    return low, high


def gamma_tail(square, cumulants):
    mean, second, third = cumulants
    if not (second > 0 and square > mean):
        return 1.0
    shape = 4 * second**3 / third**2
    return gamma.sf(shape + (square - mean) / np.sqrt(second) * np.sqrt(shape), shape)


def squares(h, n):
    N, p = n.sum(), h.sum() / n.sum()
    if not 0 < p < 1:
        return 0.0, np.zeros(3)
    m = n[n > 0] * p
    d2 = (h[n > 0] - m) ** 2 / m
    k1 = (N - n[n > 0]) / (N - 1) * (1 - p)
    return d2.sum(), np.array([k1.sum(), (2 + 1 / m).sum(), (8 + 22 / m + 1 / m**2).sum()])


def fullest(h, n):
    best = 1.0
    for a, b in zip(h, n):
        p, q = (a / h.sum(), b / n.sum()) if h.sum() else (0, 1)
        if b > 0 and p > q:
            best = min(best, math.exp(-h.sum() * entropy([p, 1 - p], [q, 1 - q])))
    return best * (n > 0).sum()


def spread(square, mean, chance):
    return max(square / chi2.ppf(chance, mean) - 1, 1e-300) if mean > 0 else 1e-300


def case(hits, delta, unnoticed):
    S, k = hits.shape
    trials = np.repeat(hits.sum(1, keepdims=True), k, 1)
    seen = (trials[:, 0] > 0).sum()
    common = [b for b in range(k) if hits[:, b].sum() >= seen and hits[:, b].sum() < trials[:, b].sum()]
    every = [squares(hits[:, b], trials[:, b]) for b in range(k)]
    all_square, all_null = sum(every[b][0] for b in common), sum((every[b][1] for b in common), np.zeros(3))
    z = np.linspace(-2, 2, k)
    n, N = hits.sum(1), hits.sum()
    mean = (hits @ z).sum() / N
    var = (hits @ z**2).sum() / N - mean**2
    u = n[n > 0]
    sq = (((hits @ z) - n * mean)[n > 0] ** 2 / (u * var)).sum()
    nul = np.array([(1 - u / N).sum(), (2 + 4 / u).sum(), (8 + 88 / u).sum()])
    chances = [gamma_tail(all_square, all_null), gamma_tail(sq, nul)]
    for b in range(k):
        chances += [gamma_tail(*every[b]), fullest(hits[:, b], trials[:, b])]
    g_all = spread(all_square, all_null[0], 0.05)
    upper, lower = [[None] * k for _ in range(S)], [[None] * k for _ in range(S)]
    for b in range(k):
        h, n = hits[:, b], trials[:, b]
        g = max(g_all, spread(every[b][0], every[b][1][0], 0.5))
        m = ((n - 1) * (1 - n / n.sum()))[n > 0].sum() / (seen - 1) / g
        for s in range(S):
            if n[s] > 0:
                H, M = h.sum() - h[s], n.sum() - n[s]
                lent = min(m, M)
                a, c = limits(h[s] + lent * H / M, n[s] + lent, delta), limits(h[s], n[s], unnoticed)
                lower[s][b], upper[s][b] = float(min(a[0], c[0])), float(max(a[1], c[1]))
    return dict(
        hits=hits.tolist(), scores=z.tolist(), delta=delta, unnoticed=unnoticed,
        ln_chance=float(np.log(min(1, min(chances) * len(chances)))), upper=upper, lower=lower,
    )


rng = np.random.default_rng(5)
shares = np.array([0.5, 0.3, 0.15, 0.045, 0.005])
tables = [
    rng.multinomial(800, shares, size=24),
    np.array([rng.multinomial(n, shares) for n in (20, 60, 500, 2000, 0, 900)]),
    np.array([rng.multinomial(400, np.roll(shares, int(s > 3))) for s in range(6)]),
    np.array([rng.multinomial(600, rng.dirichlet(shares * 300)) for _ in range(12)]),
    np.array([[300, 200, 0], [280, 220, 0], [310, 190, 9], [290, 210, 0]]),
]
print(f"# scipy {scipy.__version__}, numpy {np.__version__}: beta, gamma, chi2, entropy")
for table in tables:
    print(json.dumps(case(table.astype(float), 1e-5, 1e-3)))
