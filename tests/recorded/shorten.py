"""Shortens a report of `wgslab bench --json` for the repository: python3 shorten.py REPORT.json > first.json

Samples are rounded to five significant digits. The host's clock beside them is left out. Each row is on a line of its
own. No sample is dropped.
"""

import json
import sys


def short(row):
    """Gives the row with shorter numbers. Verdicts do not use the wall clock."""
    for key in ("samples_ms", "reference_ms"):
        row[key] = [float(f"{ms:.5g}") for ms in row[key]]
    return row | {"wall_ms": []}


def line(value):
    return json.dumps(value, separators=(",", ":"))


report = json.load(open(sys.argv[1], encoding="utf-8"))
rows = [line(short(row)) for row in report.pop("rows")]
report["reference"] = short(report["reference"])
head = line(report)
print(head[:-1] + ',"rows":[\n' + ",\n".join(rows) + "\n]}")
