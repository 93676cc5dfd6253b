"""Time-uniform limits of a running mean risk by scipy: python risk_interval.py > risk_interval.csv

Howard, Ramdas, McAuliffe and Sekhon (2021), theorem 4, with a discrete mixture of stakes 0.9 / 2^k of weight
1 / ((k + 1) (k + 2)): from the losses themselves, each limit as the root of the mixture's logarithm.

losses: of number i from 0: `share`: 1 where 7919 i^2 + 104729 i mod 1000 < 1000 p, else 0; `even`:
p (7919 i mod 1000) / 1000; `rising`: as `share`, with p first and 1 - p from the middle on.
"""
import numpy as np
import scipy
from scipy.optimize import brentq
from scipy.special import logsumexp

K = np.arange(16)
STAKES = 0.9 * 0.5**K
LN_WEIGHTS = -np.log((K + 1.0) * (K + 2.0))


def losses(kind, p, n):
    i = np.arange(n)
    if kind == "even":
        return p * ((7919 * i) % 1000) / 1000
    at = np.full(n, p) if kind == "share" else np.where(i < n // 2, p, 1 - p)
    return ((7919 * i * i + 104729 * i) % 1000 < 1000 * at).astype(float)


def limit(x, alpha):
    """The largest mean m that sum(x - m) does not refute: from below, the money never reaches 2 / alpha."""
    n = len(x)
    predicted = (0.5 + np.concatenate([[0], np.cumsum(x)[:-1]])) / (1 + np.arange(n))
    v = ((x - predicted) ** 2).sum()
    psi = -np.log1p(-STAKES) - STAKES

    def f(m):
        return logsumexp(LN_WEIGHTS + STAKES * (m * n - x.sum()) - psi * v) - np.log(2 / alpha)

    top = x.mean() + 1
    return top if f(top) < 0 else brentq(f, x.mean() - 1, top, xtol=1e-15)


print(f"# numpy {np.__version__}, scipy {scipy.__version__}: brentq on the mixture")
print("losses,p,n,alpha,lower,upper")
for kind in ("share", "even", "rising"):
    for p in (0.0, 0.02, 0.3):
        for n in (1, 7, 50, 400, 3000, 40000):
            for alpha in (0.05, 0.001):
                x = losses(kind, p, n)
                lower, upper = 1 - limit(1 - x, alpha), limit(x, alpha)
                print(f"{kind},{p},{n},{alpha},{max(float(lower), 0.0)!r},{min(float(upper), 1.0)!r}")
