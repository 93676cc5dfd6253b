"""Upper limits of a mean weight by scipy: python mean_limit.py > mean_limit.csv

With the argument `table`: the rows of the table in src/detect/mean.rs.

betting: the root of the mixture's logarithm by brentq; bernstein: Maurer and Pontil (2009), theorem 4.
"""
import sys

import numpy as np
import scipy
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import norm


def stakes(n, delta):
    smallest = np.sqrt(-2 * np.log(delta) / n)
    s = 1.5 ** -np.arange(40.0)
    return np.append(s[s > smallest], min(smallest, 1))


def betting(w, c, delta):
    n, top, s = c.sum(), w.max(), stakes(c.sum(), delta)
    seen = c > 0

    def f(m):
        gains = np.log1p(s[:, None] * (m - w[seen]) / (top - m)) @ c[seen]
        return logsumexp(gains) - np.log(len(s)) + np.log(delta)

    return brentq(f, (w * c).sum() / n, top - 1e-12 * top, xtol=1e-14)


def bernstein(w, c, delta):
    n = c.sum()
    m = (w * c).sum() / n
    v = (c * (w - m) ** 2).sum() / (n - 1)
    return m + np.sqrt(2 * v * np.log(2 / delta) / n) + 7 * (w.max() - w.min()) * np.log(2 / delta) / (3 * (n - 1))


if sys.argv[1:] == ["table"]:
    z = norm.ppf((np.arange(16) + 0.5) / 16)
    for n in (500, 3_000, 13_000, 100_000, 1_000_000):
        for tilt in (0.1, 1):
            w, c = np.exp(tilt * z / z.std()), np.full(16, n / 16)
            unit = w.std() * np.sqrt(2 * np.log(1e6) / n)
            print(n, tilt, *((limit(w, c, 1e-6) - w.mean()) / unit for limit in (betting, bernstein)))
    sys.exit()

rng = np.random.default_rng(3)
print(f"# scipy {scipy.__version__}, numpy {np.__version__}: brentq on the mixture, Maurer and Pontil's theorem 4")
print("delta,weights,counts,betting,bernstein")
for delta in (1e-6, 1e-3):
    for n in (500, 13_000, 100_000, 1_000_000):
        for k, p in ((16, None), (8, 0.5 ** np.minimum(np.arange(1, 9), 7))):
            z = norm.ppf((np.arange(k) + 0.5) / k)
            for tilt in (-1, 0.1, 1):
                w = np.exp(tilt * z / z.std())
                c = rng.multinomial(n, p if p is not None else np.ones(k) / k).astype(float)
                cells = (delta, " ".join(map(repr, map(float, w))), " ".join(map(str, c.astype(int))), betting(w, c, delta), bernstein(w, c, delta))
                print(",".join(str(x) for x in cells))
