"""Rows drawn anew from those of the suite: healthy ones, and other draws of a fault's stream."""
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

META = {"ts", "request_id", "label"}
# Faults whose rows have nothing to do with each other, so that they can come in any order.
ANY_ORDER = {"group_zero", "covariate_sudden", "wrong_entity", "answers_shuffled", "hidden_zero", "hidden_wrong_entity", "old_model",
             "previous_model", "shuffled_label_model", "model_missing_class", "wrong_feature_set", "canary_old_model"}
HEALTHY = (1_000, 3_000)  # rows before the fault, from and to


def write_rows(table, order, ts, path):
    """Rows of a table in this order, under new ids and these times, without the truth."""
    rows = table.take(pa.array(order))
    kept = {n: rows[n] for n in rows.column_names if n not in META}
    ids = pa.array(np.arange(1, len(order) + 1))
    pq.write_table(pa.table({"ts": ts, "request_id": ids, **kept}), path, compression="zstd")


def arrivals(rng, rows, start, gap_ms):
    """Times of independent requests, in ms."""
    return pa.array(start + np.cumsum(rng.exponential(gap_ms, rows)).astype(np.int64))


def reordered(rng, fault, severity, rows):
    """Another order of a fault's rows that leaves it what it is: any; whole batches in any order where it is about the
    rows of one batch; else the same from another row on, and round."""
    if fault in ANY_ORDER:
        return rng.permutation(rows)
    batch = re.match(r"batch(\d+)", severity)
    if batch:
        size = int(batch[1])
        return (rng.permutation(rows // size)[:, None] * size + np.arange(size)).ravel()
    return np.roll(np.arange(rows), -int(rng.integers(1, rows)))


def redraw(rng, stream, healthy, meta, path):
    """Another draw of a stationary fault's stream: other healthy rows before it, another number of them, the fault's
    rows in another order, other times. The row that the fault starts at."""
    table, start = pq.read_table(stream["path"]), int(rng.integers(*HEALTHY))
    faulty = table.slice(stream["start_row"])
    before = rng.choice(len(healthy), start, replace=False)
    rows = pa.concat_tables([healthy.replace_schema_metadata(), faulty.replace_schema_metadata()])
    order = np.concatenate([before, len(healthy) + reordered(rng, stream["fault"], stream["severity"], len(faulty))])
    ts = arrivals(rng, len(order), int(table["ts"][0].as_py()), 1_000 / meta["rows_per_second"])
    write_rows(rows, order, ts, path)
    return start


class Pool:
    """The healthy rows of a table, each once: what its streams were drawn from; by hour where seasonal."""

    def __init__(self, folder, meta, seasonal):
        prefix = "seasonal_" if seasonal else ""
        files = [os.path.join(folder, prefix + f + ".parquet") for f in ("reference", "calib", "clean")]
        table = pa.concat_tables([pq.read_table(f).replace_schema_metadata() for f in files if os.path.exists(f)])
        self.hour_of = (table["ts"].to_numpy() // 3_600_000 % 24) if seasonal else np.zeros(len(table), int)
        frame = table.select([n for n in table.column_names if n not in META]).to_pandas()
        frame["hour"] = self.hour_of
        first = np.flatnonzero(~frame.duplicated().to_numpy())
        self.table, self.hour_of = table.take(pa.array(first)), self.hour_of[first]
        self.by_hour = {h: np.flatnonzero(self.hour_of == h) for h in np.unique(self.hour_of)}
        self.seasonal, self.start = seasonal, int(table["ts"][0].as_py()) // 86_400_000 * 86_400_000
        self.gap_ms = 86_400_000 / meta["rows_per_day_seasonal"] if seasonal else 1_000 / meta["rows_per_second"]

    def write(self, rng, rows, path):
        """Independent draws with replacement, at the streams' own pace."""
        if self.seasonal:
            times = self.start + ((np.arange(rows) + rng.random(rows)) * self.gap_ms).astype(np.int64)
            order = np.empty(rows, int)
            hours = times // 3_600_000 % 24
            for hour in np.unique(hours):
                at = np.flatnonzero(hours == hour)
                order[at] = rng.choice(self.by_hour[hour], len(at))
            ts = pa.array(times)
        else:
            ts = arrivals(rng, rows, self.start, self.gap_ms)
            order = rng.integers(0, len(self.hour_of), rows)
        write_rows(self.table, order, ts, path)
