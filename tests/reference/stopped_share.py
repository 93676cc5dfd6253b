"""Bounds that hold at any time: python stopped_share.py > stopped_share.jsonl

Of a share: those at which the likelihood of the hits is not 1 / alpha times less than its mean over all shares from 0
to 1, which is the product of Laplace's rule of succession along the rows (Robbins, 1970). Of a mean, in its standard
errors: the distance at which the mean over all tilts, normal with variance 1 / 2, reaches 1 / alpha, by quadrature.
"""
import json

import numpy as np
from scipy import integrate
from scipy.optimize import brentq
from scipy.stats import norm

Z = 1.959964
ALPHA = 2 * norm.sf(Z)
SUITED = 2


def mixture(hits, n):
    """The order of the rows does not matter: hits first."""
    x = np.arange(n) < hits
    before = np.concatenate([[0], np.cumsum(x)[:-1]])
    rule = (before + 1) / (np.arange(n) + 2)
    return np.log(np.where(x, rule, 1 - rule)).sum()


def bounds(hits, n):
    def f(p):
        return hits * np.log(p) + (n - hits) * np.log1p(-p) - mixture(hits, n) - np.log(ALPHA)

    edge = 1e-12
    share = min(max(hits / n, edge), 1 - edge)
    low = 0.0 if hits == 0 else brentq(f, edge, share, xtol=1e-14)
    high = 1.0 if hits == n else brentq(f, share, 1 - edge, xtol=1e-14)
    return low, high


def z(n):
    """Of a sum of n values of variance 1, over the root of n."""

    def ln_mean(s):
        # The integrand's own top taken out, else it overflows.
        top = s * s / (2 * (n + SUITED))
        centre, scale = s / (n + SUITED), 1 / np.sqrt(n + SUITED)
        integral, _ = integrate.quad(
            lambda t: np.exp(t * s - t * t * n / 2 - top) * norm.pdf(t, scale=SUITED**-0.5),
            centre - 12 * scale, centre + 12 * scale, epsabs=0, epsrel=1e-12, limit=200,
        )
        return top + np.log(integral)

    return brentq(lambda s: ln_mean(s) + np.log(ALPHA), 0, 6 * np.sqrt(n + SUITED), xtol=1e-12) / np.sqrt(n)


for n in [1, 2, 5, 9, 16, 40, 100, 1000]:
    for hits in sorted({0, 1, n // 3, n // 2, n - 1, n}):
        low, high = bounds(hits, n)
        print(json.dumps({"hits": hits, "n": n, "low": round(low, 10), "high": round(high, 10), "z": round(z(n), 10)}))
