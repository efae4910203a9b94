"""Event files of TensorBoard: makes the small one that src/base/event_file.rs is held against, and reads those of a run.

    pip install tensorboard tbparse
    python3 events.py                make events.out.tfevents.tensorboard beside this script
    python3 events.py check FOLDER   read what a run in FOLDER left, and hold it against its steps.jsonl and epochs.jsonl
"""

import json
import math
import pathlib
import sys

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def make(path):
    def scalars(wall, step, values):
        value = [Summary.Value(tag=tag, simple_value=v) for tag, v in values]
        return Event(wall_time=wall, step=step, summary=Summary(value=value))

    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in [
            Event(wall_time=1_700_000_000.0, file_version="brain.Event:2"),
            scalars(1_700_000_001.5, 1, [("step/loss", 2.25), ("step/lr", 1e-3)]),
            scalars(1_700_000_002.25, 300, [("step/loss", -1.5e-7)]),
            scalars(1_700_000_003.0, 2, [("epoch/größe", 3.5)]),
        ]:
            writer.write(event.SerializeToString())
        writer.flush()


def numbers(prefix, record):
    """The numbers of a line by their names in TensorBoard; `epoch` and `step` are the axes."""
    for key, value in record.items():
        if key == "terms":
            yield from ((f"{prefix}/{name}", v) for name, v in value.items())
        elif key not in ("epoch", "step") and isinstance(value, (bool, int, float)):
            yield f"{prefix}/{key}", float(value)


def check(folder):
    from tbparse import SummaryReader
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    due = {}
    for prefix in ["step", "epoch"]:
        for line in (folder / f"{prefix}s.jsonl").read_text().splitlines():
            record = json.loads(line)
            for tag, value in numbers(prefix, record):
                due.setdefault(tag, []).append((record[prefix], value))
    files = list(folder.glob("*tfevents*"))
    assert len(files) == 1, files
    seen = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = seen.Tags()["scalars"]
    assert sorted(tags) == sorted(due), (sorted(tags), sorted(due))
    for tag, points in due.items():
        events = seen.Scalars(tag)
        assert [e.step for e in events] == [p[0] for p in points], tag
        assert all(math.isclose(e.value, p[1], rel_tol=1e-6, abs_tol=1e-30) for e, p in zip(events, points)), tag
        walls = [e.wall_time for e in events]
        assert walls == sorted(walls), tag
    table = SummaryReader(str(folder)).scalars
    assert len(table) == sum(len(points) for points in due.values())
    print(f"{len(due)} names, {len(table)} values, {sum(t.startswith('step') for t in due)} names a step: as in the lines")
    print(table.groupby("tag").agg({"step": ["min", "max", "count"], "value": "last"}).to_string())


if len(sys.argv) == 1:
    make(pathlib.Path(__file__).with_name("events.out.tfevents.tensorboard"))
else:
    check(pathlib.Path(sys.argv[2]))
