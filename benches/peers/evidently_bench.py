"""CPU seconds of Evidently's drift preset: python evidently_bench.py REFERENCE.parquet CURRENT.parquet [TURNS]

Counts the report alone: neither imports nor the reading of files. Prints one JSON object. Needs evidently, pyarrow.
"""
import json
import sys
import time

import evidently
import numpy
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def features(path):
    return pd.read_parquet(path).drop(columns=["ts"])


def main():
    reference, current = features(sys.argv[1]), features(sys.argv[2])
    turns = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    cpu, wall = [], []
    for _ in range(turns):
        began, began_wall = time.process_time(), time.perf_counter()
        values = Report([DataDriftPreset()]).run(current_data=current, reference_data=reference).dict()
        cpu.append(round(time.process_time() - began, 3))
        wall.append(round(time.perf_counter() - began_wall, 3))
    drifted = next(m["value"]["count"] for m in values["metrics"] if m["metric_name"].startswith("DriftedColumnsCount"))
    print(json.dumps({
        "versions": {"evidently": evidently.__version__, "pandas": pd.__version__, "numpy": numpy.__version__},
        "rows": len(current), "reference_rows": len(reference), "columns": current.shape[1],
        "cpu_seconds": cpu, "wall_seconds": wall, "drifted_columns": int(drifted),
    }))


if __name__ == "__main__":
    main()
