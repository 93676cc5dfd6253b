"""Whether what an alarm says of its fault is true: the class of the cause, and the rows between which it began.

`causes.csv` has the classes of each fault, the one of its mechanism first. More than one is true where the recorded
traffic cannot tell them apart, and the file says why. A fault that it does not have is not judged, and told.
"""
import csv
import os
import statistics

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "causes.csv"), newline="") as f:
    CAUSES = {r["fault"]: r["causes"].split() for r in csv.DictReader(f)}


def judged(stream, fault, group, alarm, start, touched=None):
    """What the first alarm since a fault's first row says of it; `touched` is the first row that it changed."""
    told, truth, since = alarm["causes"], CAUSES.get(fault), alarm["since"]
    among = lambda classes, n: None if truth is None else any(c in classes for c in told[:n])
    within = lambda row: since is not None and since[0] <= row <= since[1]
    return {"stream": stream, "group": group, "truth": truth, "told": told, "symptoms": alarm["symptoms"],
            "first": among(truth, 1), "first_two": among(truth, 2), "mechanism": among(truth and truth[:1], 2),
            "row": alarm["row"], "start": start, "since": since, "width": since and since[1] - since[0] + 1,
            "holds_start": within(start), "holds_touched": None if touched is None else within(touched)}


def share(values):
    """Of those that are judged; none where nothing is."""
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def causes(records):
    of_fault = [r for r in records if r["truth"] is not None]
    return {"alarms": len(of_fault), "right": sum(r["first_two"] for r in of_fault),
            **{k: share(r[k] for r in of_fault) for k in ("first", "first_two", "mechanism")}}


def starts(records):
    """An alarm without an interval holds no start."""
    widths = [r["width"] for r in records if r["width"] is not None]
    return {"alarms": len(records), "told": len(widths), "holds_start": share(r["holds_start"] for r in records),
            "holds_touched": share(r["holds_touched"] for r in records), "median_width": statistics.median(widths) if widths else None}


def summary(kinds):
    """kinds: {name of a kind of streams: records}; by group for the first of them."""
    first = next(iter(kinds.values()))
    groups = {g: [r for r in first if r["group"] == g] for g in sorted({r["group"] for r in first})}
    every = [r for records in kinds.values() for r in records]
    return {"causes": {k: causes(v) for k, v in kinds.items()}, "causes_by_group": {k: causes(v) for k, v in groups.items()},
            "starts": {k: starts(v) for k, v in kinds.items()}, "starts_by_group": {k: starts(v) for k, v in groups.items()},
            "unknown": sorted({r["stream"] for r in every if r["truth"] is None}), "alarms": kinds}


def percent(x):
    return "–" if x is None else f"{100 * x:.1f} %"


def section(d):
    out = ["", "What the first alarm says of the cause, against `scripts/lib/causes.csv`. Of some faults more than one class is "
           "true, as traffic cannot tell them apart; the last column takes that of the mechanism alone.", "",
           "| cause class | alarms | right first | right among the first two | mechanism among the first two |", "|---|---|---|---|---|"]
    for name, c in (*d["causes"].items(), *d["causes_by_group"].items()):
        if c["alarms"]:
            out.append(f"| {name} | {c['alarms']} | {percent(c['first'])} | {percent(c['first_two'])} | {percent(c['mechanism'])} |")
    if d["unknown"]:
        out += ["", f"Not judged, as causes.csv has no such fault: {', '.join(f'`{s}`' for s in d['unknown'])}."]
    out += ["", "| estimated start of the fault | alarms | with an interval | it holds the fault's first row | the first row that it changed | median width, rows |",
            "|---|---|---|---|---|---|"]
    for name, s in (*d["starts"].items(), *d["starts_by_group"].items()):
        if s["alarms"]:
            width = "–" if s["median_width"] is None else f"{s['median_width']:.0f}"
            out.append(f"| {name} | {s['alarms']} | {s['told']} | {percent(s['holds_start'])} | {percent(s['holds_touched'])} | {width} |")
    return out


def raw(d):
    """Each wrong cause, and each start that its interval does not hold; of other kinds of streams, how many."""
    (name, first), *others = d["alarms"].items()
    lines = ["", f"wrong among the first two, {name}: what is true; what is told; the symptoms in nats"]
    for r in first:
        if r["first_two"] is False:
            lines.append(f"{r['stream']:<52} {'/'.join(r['truth'])}; {', '.join(r['told'][:3])}; "
                         + ", ".join(f"{s} {nats:.0f}" for s, nats in r["symptoms"]))
    lines += ["", f"start outside of its interval, {name}: the fault's first row; the interval; the alarm's row"]
    for r in first:
        if not r["holds_start"]:
            lines.append(f"{r['stream']:<52} {r['start']}; {'none' if r['since'] is None else '{}-{}'.format(*r['since'])}; {r['row']}")
    for name, records in others:
        lines += ["", f"{name}: wrong among the first two, start outside of its interval, alarms"]
        for stream in sorted({r["stream"] for r in records}):
            mine = [r for r in records if r["stream"] == stream]
            wrong, outside = sum(r["first_two"] is False for r in mine), sum(not r["holds_start"] for r in mine)
            if wrong or outside:
                lines.append(f"{stream:<52} {wrong:>3} {outside:>3} {len(mine):>3}")
    return lines
