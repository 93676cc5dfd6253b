"""CBPE by nannyml and scikit-learn: python cbpe.py > cbpe.jsonl

The confusion matrix and its ratios are nannyml's own functions over scores that its isotonic calibrator calibrated.
The area is scikit-learn's over every row twice, once as a positive and once as a negative, weighed by its chance;
nannyml's own, which depends on the order of equal scores, only where there are none.
"""
import json
import logging
import os
import warnings

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
logging.disable()
warnings.simplefilter("ignore")

import nannyml
import numpy as np
import sklearn
from nannyml.calibration import IsotonicCalibrator
from nannyml.performance_estimation.confidence_based import metrics
from sklearn.metrics import roc_auc_score


def case(name, scores, labels, window):
    calibrator = IsotonicCalibrator()
    calibrator.fit(scores, labels)
    p, predicted = calibrator.calibrate(window), (window >= 0.5).astype(int)
    cells = [((predicted == a) * (p if b else 1 - p)).sum() for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))]
    ratios = [f(predicted, p) for f in (metrics.estimate_accuracy, metrics.estimate_precision,
                                        metrics.estimate_recall, metrics.estimate_f1)]
    ones = np.ones(len(window))
    area = roc_auc_score(np.r_[ones, 0 * ones], np.r_[window, window], sample_weight=np.r_[p, 1 - p])
    unique = len(np.unique(window)) == len(window)
    nannyml_area = float(metrics.estimate_roc_auc(p, window)) if unique else None
    return dict(name=name, scores=scores.tolist(), labels=labels.tolist(), window=window.tolist(),
                calibrated=p.tolist(), nannyml=[float(x) for x in cells + ratios], roc_auc=float(area),
                nannyml_roc_auc=nannyml_area)


rng = np.random.default_rng(5)
draw = lambda chance: (rng.random(len(chance)) < chance).astype(int)
right, ties = rng.random(300).round(6), rng.integers(0, 11, 300) / 10
cases = [
    case("right", right, draw(right), rng.beta(2, 4, 150).round(6)),
    case("too_sure", right, draw(0.3 + 0.4 * right), rng.random(150).round(6)),
    case("ties", ties, draw(ties ** 2), rng.integers(0, 11, 150) / 10),
    case("beyond", 0.3 + 0.4 * right, draw(right), rng.random(150).round(6)),
]
print(f"# nannyml {nannyml.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}")
for one in cases:
    print(json.dumps(one))
