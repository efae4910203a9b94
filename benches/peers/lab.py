"""What the peers that are measured from Python share with `wgslab bench`.

This is its case sets, its schema, its order statistics, and its rule for when a row has enough samples. Needs Python
3.11 and nothing else. The schema is src/lab/report.rs and the sets are benches/sets/*.toml. The rule is that of
src/lab/sampling_rule.rs, without turns over a set.
"""

import datetime
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

SCHEMA = "wgslab-bench/1"
SETS = Path(__file__).resolve().parent.parent / "sets"
# A sample repeats a short run until it takes about this long, in ms: by device events, by the host's clock.
SAMPLE_MS = (5.0, 20.0)
REPEATS = 1000
WARM_MS = 50.0
# A row without its least samples may take this many times the limit.
PATIENCE = 5.0


def fail(what):
    """Ends the program as a usage error."""
    print(f"error: {what}", file=sys.stderr)
    sys.exit(2)


def load_set(name):
    """(op, fields) of each case of a built-in set or a file, in the order of the file."""
    path = SETS / f"{name}.toml" if "/" not in name and not name.endswith(".toml") else Path(name)
    if not path.is_file():
        fail(f"there is no set {path}; built in are {', '.join(sorted(p.stem for p in SETS.glob('*.toml')))}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as e:
        fail(f"{path}: {e}")
    cases = [(op, fields) for op, list_ in table.items() if op not in ("about", "variants", "time_limit_s") for fields in list_]
    for op, fields in cases:
        if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
            fail(f"{path}: a case of {op} has no name")
    return cases


def quantile(samples, share):
    """A quantile, linear between neighbours, as in numpy."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * share
    low = ordered[int(place)]
    high = ordered[min(int(place) + 1, len(ordered) - 1)]
    return low + (high - low) * (place - int(place))


def spread(samples):
    """Median and quartiles, as a report writes them."""
    return {"median": quantile(samples, 0.5), "q1": quantile(samples, 0.25), "q3": quantile(samples, 0.75)}


@dataclass
class Rule:
    """The rule for when a row has enough samples."""

    samples: int = 10
    seconds: float = 0.5
    spread: float = 0.05
    limit: float = 2.0

    def settled(self, samples, seconds):
        """Whether there are enough samples and they lie close together."""
        if len(samples) < self.samples or seconds < self.seconds:
            return False
        s = spread(samples)
        return (s["q3"] - s["q1"]) / s["median"] <= self.spread

    def is_over(self, samples, seconds):
        """Whether no more samples are to be taken."""
        limit = self.limit if len(samples) >= self.samples else PATIENCE * self.limit
        return self.settled(samples, seconds) or (bool(samples) and seconds >= limit)


class Running:
    """A row under measurement: `time(repeats)` runs it and gives (device ms or None, wall ms) of all repeats."""

    def __init__(self, row, time):
        self.row, self.time = row, time
        self.device_ms, self.wall_ms, self.spent_s = [], [], 0.0
        self.repeats = 1

    def warm(self):
        """Runs until warm, and decides how often a sample repeats the run."""
        spent = 0.0
        while spent < WARM_MS:
            device, wall = self.time(self.repeats)
            spent += max(wall, 0.1)
            ms, aim = (wall, SAMPLE_MS[1]) if device is None else (device, SAMPLE_MS[0])
            each = ms / self.repeats
            self.repeats = min(REPEATS, math.ceil(aim / max(each, 1e-6))) if each < 1.0 else 1

    def sample(self):
        """Takes one sample."""
        device, wall = self.time(self.repeats)
        self.device_ms.append(None if device is None else device / self.repeats)
        self.wall_ms.append(wall / self.repeats)
        self.spent_s += wall * 1e-3

    def times(self):
        """The clock and its samples: the device's, unless it has none or is too coarse for one of them."""
        if all(ms is not None and ms > 0.0 for ms in self.device_ms):
            return "timestamps", self.device_ms
        return "wall", self.wall_ms

    def finished(self, rule):
        """The row as the schema has it."""
        timer, samples = self.times()
        return self.row | {
            "cache": "hot",
            "timer": timer,
            "repeats": self.repeats,
            "samples_ms": samples,
            "wall_ms": self.wall_ms,
            "reference_ms": [],
            "noisy": not rule.settled(samples, self.spent_s),
            "roof_share": None,
        }


def measure(group, rule):
    """Samples the rows of a case in turn, every other round backwards, until each is done. Gives the finished rows."""
    for running in group:
        running.warm()
    going, forwards = list(group), True
    while going:
        for running in going if forwards else reversed(going):
            running.sample()
        going = [r for r in going if not rule.is_over(r.times()[1], r.spent_s)]
        forwards = not forwards
    return [r.finished(rule) for r in group]


def environment(adapter, driver, backend, version, features, subgroup, timer):
    """The record that every report carries. What only wgpu knows is 0 or null."""
    limits = ("binding_bytes", "storage_buffers", "groups", "invocations", "workgroup_bytes")
    commit = git("rev-parse", "HEAD")
    return {
        "adapter": adapter,
        "driver": driver,
        "backend": backend,
        "wgpu": version,
        "limits": dict.fromkeys(limits, 0),
        "features": features,
        "subgroup_size": subgroup,
        "os": system(),
        "cpu": f"{cpu()}, {os.cpu_count()} cores",
        "git_commit": commit,
        "git_dirty": None if commit is None else bool(git("status", "--porcelain", "--untracked-files=no")),
        "arguments": sys.argv[1:],
        "timer": timer,
        "time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def system():
    """Name and version of the operating system."""
    try:
        release = platform.freedesktop_os_release()
        return f"Linux ({release['NAME']} {release.get('VERSION_ID', '')})"
    except OSError:
        return f"{platform.system()} {platform.release()}"


def cpu():
    """The model of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def git(*words):
    """What git says about the checkout that holds this file; None where there is none."""
    try:
        out = subprocess.run(["git", "-C", str(SETS), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return out.stdout.strip()


def arguments(parser):
    """Adds what every peer takes and reads the command line. `rule` says when a row has enough samples."""
    parser.add_argument("set", help="a set of benches/sets, or a TOML file")
    parser.add_argument("--filter", default="", help="only cases with this text in 'op name'")
    parser.add_argument("--seconds", type=float, default=Rule.seconds, help="the least seconds of a row")
    parser.add_argument("--time-limit", type=float, default=Rule.limit, help="the most seconds of a row")
    parser.add_argument("--json", help="write the report there")
    parser.add_argument("--check", help="only compare shapes, flops and bytes with this report of `wgslab bench`")
    a = parser.parse_args()
    a.rule = Rule(seconds=a.seconds, limit=max(a.seconds, a.time_limit))
    return a


def run(a, environment, rows_of, refused):
    """Measures the cases of a set by `rows_of(op, table)` and shows, writes or checks the report. A case that ends with one
    of the errors `refused` is listed as skipped."""
    made = {"schema": SCHEMA, "environment": environment, "reference": None, "rows": [], "skipped": []}
    for op, table in load_set(a.set):
        if a.filter not in f"{op} {table['name']}":
            continue
        try:
            made["rows"] += rows_of(op, table)
        except refused as e:
            made["skipped"].append({"op": op, "case": table["name"], "why": str(e)})
        except KeyError as e:
            fail(f"{a.set}: {e.args[0]}")
    if not made["rows"]:
        why = next((f"{s['op']} {s['case']}: {s['why']}" for s in made["skipped"]), "no case was asked for")
        fail(f"nothing could be measured; {why}")
    if a.check:
        sys.exit(0 if check(made, a.check) else 1)
    show(made)
    if a.json:
        save(made, a.json)


def save(report, path):
    """Writes a report whole or not at all."""
    path = Path(path)
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as f:
            f.write(json.dumps(report, indent=2) + "\n")
        os.replace(f.name, path)
    except OSError as e:
        fail(f"{path} cannot be written: {e}")


def show(report):
    """Prints the rows as a table."""
    e = report["environment"]
    print(f"{e['adapter']}, {e['driver']}, {', '.join(e['features'])}\n")
    print(f"{'kernel':26} {'case':38} {'median ms':>10} {'q1':>10} {'q3':>10} {'GFLOP/s':>9} {'GB/s':>7}")
    for r in report["rows"]:
        s = spread(r["samples_ms"])
        rates = [r["flops"] / s["median"] * 1e-6, r["bytes"] / s["median"] * 1e-6]
        times = " ".join(f"{s[k]:10.4g}" for k in ("median", "q1", "q3"))
        noisy = " noisy" if r["noisy"] else ""
        print(f"{r['entry']:26} {r['case']:38} {times} {rates[0]:9.1f} {rates[1]:7.1f}{noisy}")
    for s in report["skipped"]:
        print(f"skipped: {s['op']} {s['case']}: {s['why']}")


def check(report, path):
    """Compares shape, flops and bytes of each row with a report of `wgslab bench`. A difference is an error."""
    ours = {}
    for r in json.loads(Path(path).read_text())["rows"]:
        ours.setdefault((r["entry"], r["case"]), r)
    both, wrong = 0, []
    for r in report["rows"]:
        other = ours.pop((r["entry"], r["case"]), None)
        if other is None:
            wrong.append(f"{r['entry']} {r['case']}: {path} has no such row")
            continue
        both += 1
        for key in ("op", "direction", "shape", "flops", "bytes"):
            if r[key] != other[key]:
                wrong.append(f"{r['entry']} {r['case']}: {key} is {r[key]} here, but {other[key]} in {path}")
    skipped = {(s["op"], s["case"]) for s in report["skipped"]}
    for (entry, case), r in ours.items():
        if (r["op"], case) not in skipped:
            wrong.append(f"{entry} {case} of {path} is neither measured nor skipped here")
    print(f"{both} rows in both, {len(ours)} only in {path}, {len(wrong)} differences")
    for line in wrong:
        print(f"  {line}")
    return not wrong


if __name__ == "__main__":
    # Usage: python3 benches/peers/lab.py PEER.json HERE.json. Checks that both reports mean the same rows.
    if len(sys.argv) != 3:
        fail("give a peer's report and one of `wgslab bench --json` at the same set")
    sys.exit(0 if check(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]) else 1)
