"""Effect sizes by the libraries themselves: python peers.py > peers.jsonl

Two samples of numbers (quantiles of two normal distributions) and counts of words; `by` names whose value it is. A
library that cuts numbers into bins of its own is given the baseline's deciles as words. Needs evidently, nannyml,
alibi-detect and deepchecks; what none of them gives as a number (total variation, G, Anderson-Darling) is scipy's.
"""
import json
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")

import nannyml
import numpy as np
import pandas as pd
from alibi_detect.cd import ChiSquareDrift, CVMDrift, KSDrift
from deepchecks.utils.distribution import drift as deepchecks
from evidently.legacy.calculations.stattests import energy_distance, hellinger_distance, kl_div, psi
from evidently.legacy.core import ColumnType
from scipy import stats
from scipy.spatial.distance import cityblock


def words(counts):
    return pd.Series(np.repeat([f"w{i}" for i in range(len(counts))], counts))


def of_nannyml(method, baseline, window, kind):
    frames = [pd.DataFrame({"x": values}) for values in (baseline, window)]
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=["x"], treat_as_categorical=["x"] if kind == "categorical" else None, chunk_number=1,
        **{f"{kind}_methods": [method]},
    )
    found = calculator.fit(frames[0]).calculate(frames[1]).filter(period="analysis").to_df()
    return found[("x", method, "value")].iloc[0]


def of_evidently(function, baseline, window, kind=ColumnType.Categorical):
    return function(baseline, window, kind, 0.1)[0]


def of_alibi(detector, baseline, window, **how):
    columns = [np.asarray(values).reshape(-1, 1) for values in (baseline, window)]
    return detector(columns[0], **how).feature_score(*columns)[1][0]


def of_words(p, q):
    baseline, window = words(p), words(q)
    counts = np.array([p, q], float)[:, np.array(p) + np.array(q) > 0]
    shares = counts / counts.sum(1, keepdims=True)
    codes = [values.str[1:].astype(int) for values in (baseline, window)]
    known = {0: sorted(set(codes[0]) | set(codes[1]))}
    return [
        ("chi_square", "nannyml", of_nannyml("chi2", baseline, window, "categorical")),
        ("chi_square", "alibi-detect", of_alibi(ChiSquareDrift, *codes, categories_per_feature=known)),
        ("jensen_shannon", "nannyml", of_nannyml("jensen_shannon", baseline, window, "categorical")),
        ("hellinger", "nannyml", of_nannyml("hellinger", baseline, window, "categorical")),
        ("hellinger", "evidently", of_evidently(hellinger_distance._hellinger_distance, baseline, window)),
        ("kullback_leibler", "evidently", of_evidently(kl_div._kl_div, baseline, window)),
        ("psi", "evidently", of_evidently(psi._psi, baseline, window)),
        ("cramers_v", "deepchecks", deepchecks.cramers_v(baseline, window)),
        ("total_variation", "scipy", cityblock(*shares) / 2),
        ("g", "scipy", stats.chi2_contingency(counts, correction=False, lambda_="log-likelihood").statistic),
    ]


def of_numbers(p, q):
    baseline, window = pd.Series(p), pd.Series(q)
    edges = np.quantile(p, np.arange(1, 10) / 10)
    deciles = [pd.Series(np.searchsorted(edges, values)) for values in (p, q)]
    return [
        ("ks", "alibi-detect", of_alibi(KSDrift, p, q)),
        ("ks", "nannyml", of_nannyml("kolmogorov_smirnov", baseline, window, "continuous")),
        ("wasserstein", "nannyml", of_nannyml("wasserstein", baseline, window, "continuous")),
        ("energy", "evidently", of_evidently(energy_distance._energy_dist, baseline, window, ColumnType.Numerical)),
        ("cramer_von_mises", "alibi-detect", of_alibi(CVMDrift, p, q)),
        ("anderson_darling", "scipy", stats.anderson_ksamp([p, q]).statistic),
        ("psi", "evidently", of_evidently(psi._psi, *deciles)),
    ]


libraries = ["evidently", "nannyml", "alibi-detect", "deepchecks", "scipy", "numpy"]
print("# " + ", ".join(f"{name} {version(name)}" for name in libraries))
p = stats.norm.ppf((np.arange(1, 1001) - 0.5) / 1000)
q = 0.3 + 1.2 * stats.norm.ppf((np.arange(1, 801) - 0.5) / 800)
cases = {
    "numbers": (None, of_numbers(p, q)),
    "words": (([500, 300, 150, 50, 0], [380, 260, 180, 60, 20]), None),
    # A share between 0 and 0.0001: ours counts as 0.0001, Evidently fills zeros with a millionth of the least share.
    "rare": (([40000, 9997, 3, 0], [2000, 600, 0, 5]), None),
}
for name, (counts, values) in cases.items():
    baseline, window = counts or ([], [])
    for statistic, by, value in values or of_words(baseline, window):
        counted = dict(baseline=baseline, window=window) if counts else {}
        print(json.dumps(dict(case=name, statistic=statistic, by=by, value=float(value), **counted)))
