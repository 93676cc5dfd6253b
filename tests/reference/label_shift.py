"""Black-box shift estimation of Lipton, Wang and Smola (2018) by numpy: python label_shift.py > label_shift.jsonl

Rows of the confusion matrix are predicted classes, columns true ones. A negative weight counts as 0, and the shares
that follow from the others are scaled to 1.
"""
import json

import numpy as np

cases = {
    "two": ([[80, 30], [20, 270]], [300, 700]),
    "three": ([[50, 3, 9], [4, 70, 12], [6, 7, 100]], [20, 60, 40]),
    "rare": ([[40, 30, 0], [15, 9000, 200], [1, 100, 700]], [60, 9000, 940]),
    "clipped": ([[80, 30], [20, 270]], [5, 995]),
    "clipped_three": ([[50, 3, 9], [4, 70, 12], [6, 7, 100]], [1, 3, 96]),
}
print(f"# numpy {np.__version__}")
for name, (confusion, predicted) in cases.items():
    joint = np.array(confusion, float) / np.sum(confusion)
    weights = np.linalg.solve(joint, np.array(predicted) / sum(predicted))
    shares = np.maximum(weights, 0) * joint.sum(0)
    shares /= shares.sum()
    print(json.dumps(dict(
        name=name, confusion=confusion, predicted=predicted, weights=(shares / joint.sum(0)).tolist(),
        shares=shares.tolist(), clipped=np.flatnonzero(weights < 0).tolist(),
    )))
