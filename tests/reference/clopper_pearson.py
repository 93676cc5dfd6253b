"""One-sided Clopper-Pearson limits by scipy: python clopper_pearson.py > clopper_pearson.csv

scipy's own quantiles err by up to 4e-9 at a billion trials (upper limit after 1 hit: 4.743864490e-9, where the
binomial sum itself says 4.743864509e-9), so each is polished on scipy's distribution function by secant steps.
"""
import math

import scipy
from scipy.special import betainc, betaincc
from scipy.stats import beta


def polished(tail, p, delta):
    f = lambda p: math.log(tail(p)) - math.log(delta)
    if p <= 1e-290 or p >= 1 - 1e-12:
        return p
    a, b = p * (1 - 1e-7), p
    for _ in range(20):
        fa, fb = f(a), f(b)
        if fa == fb or abs(fb) < 1e-14:
            break
        a, b = b, b - fb * (b - a) / (fb - fa)
    return b


print(f"# scipy {scipy.__version__}: beta.isf(delta, hits + 1, trials - hits), beta.ppf(delta, hits, trials - hits + 1), polished")
print("hits,trials,delta,upper,lower")
for trials in (1, 10, 100, 2_000, 20_000, 1_000_000, 1_000_000_000):
    for hits in (0, 0.01, 0.25, 1, 3, 7.5, trials // 1000, trials // 50, trials // 3, trials - 1, trials - 0.5):
        if hits >= trials:
            continue
        for delta in (0.05, 1e-3, 1e-6, 1e-8, 1e-12):
            a, b = hits + 1, trials - hits
            upper = polished(lambda p: betaincc(a, b, p), float(beta.isf(delta, a, b)), delta)
            a, b = hits, trials - hits + 1
            lower = polished(lambda p: betainc(a, b, p), float(beta.ppf(delta, a, b)), delta) if hits > 0 else 0.0
            print(f"{hits},{trials},{delta!r},{float(upper)!r},{float(lower)!r}")
