"""Factors for thresholds of dependent evidence: python threshold.py > threshold.csv

Weighted lines (numpy.polyfit) through the log run lengths of the lower and the upper half of the
thresholds; the lower limit of the upper line counts up to the highest threshold, beyond it a slope that
goes on bending. Where the limit reaches the wanted run length is solved by scipy's brentq.
"""
import numpy as np
import scipy
from scipy.optimize import brentq
from scipy.stats import norm

Z = norm.isf(0.025)


def line(x, y, w):
    """Height at the weighted mean and slope, and their variances, scatter of the points included."""
    mean = np.average(x, weights=w)
    slope, height = np.polyfit(x - mean, y, 1, w=np.sqrt(w))
    design = np.column_stack([np.ones_like(x), x - mean])
    covariance = np.linalg.inv(design.T @ (design * w[:, None]))
    left = y - height - slope * (x - mean)
    scatter = max(1.0, (w * left**2).sum() / (len(x) - 2))
    return mean, height, slope, covariance * scatter


def end_slope(upper, lower):
    slope, variance = upper[2], upper[3][1, 1]
    bend = lower[2] - slope
    if bend > 0:
        slope, variance = slope - bend, 4 * variance + lower[3][1, 1]
    return slope - Z * np.sqrt(variance)


def factor(a, length, w, wanted):
    if len(a) < 5 or a[-1] < 30 * a[0] or w.min() < 30:
        return None
    x, y, goal = np.log(a), np.log(length), np.log(wanted)
    half = -(-len(x) // 2)
    lower, upper = line(x[:half], y[:half], w[:half]), line(x[-half:], y[-half:], w[-half:])
    beyond = end_slope(upper, lower)
    if beyond < 0.1:
        return None
    mean, height, slope, covariance = upper
    at = np.array([1.0, x[-1] - mean])
    end = height + slope * at[1] - Z * np.sqrt(at @ covariance @ at)
    limit = lambda t: end + (t - x[-1]) * (beyond if t > x[-1] else 1.0) - goal
    reached = brentq(limit, -1e4, 1e4, xtol=1e-13)
    raised = np.exp(reached - goal)
    if raised <= 1:
        return 1.0
    far = x[-1] + (x[-1] - x[0])
    return raised if reached <= far and raised <= 1e6 else None


rng = np.random.default_rng(2)
print(f"# scipy {scipy.__version__}, numpy {np.__version__}: polyfit, brentq")
print("wanted,factor,threshold:run_length:alarms ...")
for _ in range(60):
    k = rng.integers(4, 9)
    a = np.geomspace(10 ** rng.uniform(0, 2), 10 ** rng.uniform(3, 4), k) * rng.uniform(0.8, 1.2, k)
    w = rng.integers(20 if rng.random() < 0.1 else 100, 3000, k).astype(float)
    bend = rng.choice([0, 0.003, 0.01]) * np.log(a / a[0]) ** 2
    noise = rng.normal(size=k) / np.sqrt(w) * rng.choice([1, 2])
    length = rng.uniform(0.3, 3) * a ** rng.uniform(0.6, 1.05) * np.exp(noise - bend)
    wanted = a[-1] * 10 ** rng.uniform(-1, 2)
    f = factor(a, length, w, wanted)
    points = " ".join(f"{float(p)!r}:{float(q)!r}:{float(r)!r}" for p, q, r in zip(a, length, w))
    print(f"{float(wanted)!r},{'none' if f is None else repr(float(f))},{points}")
