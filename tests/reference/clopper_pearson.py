"""One-sided Clopper-Pearson upper limits by scipy: python clopper_pearson.py > clopper_pearson.csv"""
import scipy
from scipy.stats import beta

print(f"# scipy {scipy.__version__}: beta.isf(delta, hits + 1, trials - hits)")
print("hits,trials,delta,limit")
for trials in (1, 10, 100, 2_000, 20_000, 1_000_000):
    for hits in (0, 1, 3, trials // 50, trials // 3, trials - 1):
        if hits >= trials:
            continue
        for delta in (0.05, 1e-3, 1e-5, 1e-8):
            print(f"{hits},{trials},{delta!r},{float(beta.isf(delta, hits + 1, trials - hits))!r}")
