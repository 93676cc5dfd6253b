"""Domain classifier by nannyml: python domain.py > domain.jsonl

Two columns that go together, of which one is shifted by so much, and one that tells nothing. `best` is what the
classifier has that knows both distributions.
"""
import json
import logging
import os
import warnings

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
logging.disable()
warnings.simplefilter("ignore")

import lightgbm
import nannyml
import numpy as np
import pandas as pd
from scipy.stats import norm

lightgbm.register_logger(logging.getLogger())
rng = np.random.default_rng(3)
names = ["x", "z", "u"]


def rows(n, shift):
    x = rng.normal(size=n)
    return np.column_stack([x, x * 0.5 + rng.normal(size=n) + shift, rng.random(n)]).round(2)


print(f"# nannyml {nannyml.__version__}, lightgbm {lightgbm.__version__}, numpy {np.__version__}")
for shift in (0.0, 1.0, 2.0):
    baseline, window = rows(500, 0), rows(400, shift)
    calculator = nannyml.DomainClassifierCalculator(feature_column_names=names, chunk_number=1)
    calculator.fit(pd.DataFrame(baseline, columns=names))
    found = calculator.calculate(pd.DataFrame(window, columns=names)).filter(period="analysis").to_df()
    auc = float(found[("domain_classifier_auroc", "value")].iloc[0])
    best = norm.cdf(shift / np.sqrt(2))
    print(json.dumps(dict(shift=shift, baseline=baseline.tolist(), window=window.tolist(), auc=auc, best=best)))
