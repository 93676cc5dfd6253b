"""Direct loss estimation by nannyml: python loss.py > loss.jsonl

Two features and the model's answer; the noise of the truth grows with the first feature, and the window has larger
ones. `realized` is what the loss of the window turned out to be.
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

lightgbm.register_logger(logging.getLogger())
rng = np.random.default_rng(9)


def rows(n, low):
    x = rng.uniform(low, 1, n).round(3)
    z = rng.normal(size=n).round(3)
    answer = (2 * x + z).round(3)
    return pd.DataFrame(dict(x=x, z=z, answer=answer, truth=(answer + x ** 2 * rng.normal(size=n)).round(3)))


baseline, window = rows(1200, 0.0), rows(500, 0.6)
loss = lambda frame: (frame.answer - frame.truth).abs()
dle = nannyml.DLE(feature_column_names=["x", "z"], y_pred="answer", y_true="truth", metrics=["mae"], chunk_number=1)
dle.fit(baseline)
estimate = lambda frame: float(dle.estimate(frame).filter(period="analysis").to_df()[("mae", "value")].iloc[0])
columns = ["x", "z", "answer"]
print(f"# nannyml {nannyml.__version__}, lightgbm {lightgbm.__version__}, numpy {np.__version__}")
print(json.dumps(dict(
    rows=baseline[columns].values.tolist(), losses=loss(baseline).round(6).tolist(),
    window=window[columns].values.tolist(), nannyml=estimate(window), nannyml_baseline=estimate(baseline),
    realized=float(loss(window).mean()),
)))
