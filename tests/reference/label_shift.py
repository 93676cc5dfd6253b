"""Black-box shift estimation of Lipton, Wang and Smola (2018): python label_shift.py > label_shift.jsonl

Weights by the library abstention (kundajelab, BBSEImbalanceAdapter with hard predictions), of rows that have the
confusion matrix, and by numpy. Rows of the matrix are predicted classes, columns true ones. A negative weight counts as
0; abstention leaves the others, numpy's shares that follow are scaled to 1. Needs abstention.
"""
import json
from importlib.metadata import version

import numpy as np
from abstention.label_shift import BBSEImbalanceAdapter

cases = {
    "two": ([[80, 30], [20, 270]], [300, 700]),
    "three": ([[50, 3, 9], [4, 70, 12], [6, 7, 100]], [20, 60, 40]),
    "rare": ([[40, 30, 0], [15, 9000, 200], [1, 100, 700]], [60, 9000, 940]),
    "clipped": ([[80, 30], [20, 270]], [5, 995]),
    "clipped_three": ([[50, 3, 9], [4, 70, 12], [6, 7, 100]], [1, 3, 96]),
}


def by_abstention(confusion, predicted):
    one_hot = np.eye(len(predicted))
    cells = [(p, t) for p, row in enumerate(confusion) for t, n in enumerate(row) for _ in range(n)]
    said, true = one_hot[[p for p, _ in cells]], one_hot[[t for _, t in cells]]
    adapter = BBSEImbalanceAdapter(soft=False)
    return adapter(true, np.repeat(one_hot, predicted, axis=0), said).multipliers


print(f"# abstention {version('abstention')}, numpy {np.__version__}")
for name, (confusion, predicted) in cases.items():
    joint = np.array(confusion, float) / np.sum(confusion)
    weights = np.linalg.solve(joint, np.array(predicted) / sum(predicted))
    shares = np.maximum(weights, 0) * joint.sum(0)
    shares /= shares.sum()
    print(json.dumps(dict(
        name=name, confusion=confusion, predicted=predicted, weights=(shares / joint.sum(0)).tolist(),
        shares=shares.tolist(), clipped=np.flatnonzero(weights < 0).tolist(),
        abstention=by_abstention(confusion, predicted).tolist(),
    )))
