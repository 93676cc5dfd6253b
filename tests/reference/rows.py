"""Reconstruction errors by scikit-learn, as nannyml has them: python rows.py > rows.jsonl"""
import json
import warnings

import numpy as np
import sklearn
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

warnings.simplefilter("ignore")


def expected(baseline, window):
    scaler = StandardScaler().fit(baseline)
    if scaler.var_.sum() == 0:
        return None, None
    pca = PCA(0.65, svd_solver="full").fit(scaler.transform(baseline))
    errors = []
    for rows in (baseline, window):
        rows = scaler.transform(rows)
        lengths = np.linalg.norm(rows - pca.inverse_transform(pca.transform(rows)), axis=1)
        errors.append([float(lengths.mean()), float(lengths.std(ddof=1))])
    return int(pca.n_components_), errors


rng = np.random.default_rng(11)
mix = rng.normal(size=(4, 4))
x, y = rng.normal(size=(60, 4)) @ mix, rng.normal(size=(30, 4)) @ mix
twice = lambda rows: np.column_stack([rows, 3 * rows[:, 0], rows[:, 1] - rows[:, 2]])
with_constant = lambda rows, value: np.column_stack([rows, np.full(len(rows), value)])
cases = {
    "ordinary": (x, y),
    "shuffled": (x, np.column_stack([rng.permutation(c) for c in y.T])),
    "collinear": (twice(x), twice(y)),
    "constant": (with_constant(x, 5.0), with_constant(y, 5.0)),
    "constant_moved": (with_constant(x, 5.0), with_constant(y, 7.5)),
    "sizes": (x * [1e6, 1, 1e-6, 1e3] + [0, 1e4, 0, -1e6], y * [1e6, 1, 1e-6, 1e3] + [0, 1e4, 0, -1e6]),
    "wide": (rng.normal(size=(6, 15)), rng.normal(size=(5, 15))),
    "one_column": (x[:, :1], y[:, :1]),
    "nothing_varies": (np.full((9, 3), 2.0), y[:, :3]),
}
print(f"# scikit-learn {sklearn.__version__}, numpy {np.__version__}: StandardScaler, PCA(0.65)")
for name, (baseline, window) in cases.items():
    components, errors = expected(baseline, window)
    baseline, window = np.asarray(baseline).tolist(), np.asarray(window).tolist()
    print(json.dumps(dict(name=name, baseline=baseline, window=window, components=components, expected=errors)))
