"""Runs a small study twice, in one process and by Snakemake over several, and compares the two tables.

    pip install snakemake
    python3 tests/recorded/cluster.py target/release/wgslab

Every column must be the same text but `seconds`, the time that a cell took.
"""

import csv
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]

STUDY = """
name = "Cluster"
seeds = [0, 1]
[data]
specs = ["phantom:covid?train=24&val=8&test=9"]
store_size = 16
image_size = 16
[model]
width = 0.125
[pretraining]
methods = ["none", "simclr", "rotation"]
epochs = 1
warmup_epochs = 0
[pretraining.simclr]
projection_dims = [8, 4]
batch_size = 8
[pretraining.rotation]
batch_size = 8
[noise]
rates = [0.0, 0.4]
[training]
epochs = 2
batch_size = 8
"""


def table(folder):
    rows = list(csv.DictReader(open(folder / "results.csv", newline="")))
    return [{name: text for name, text in row.items() if name != "seconds"} for row in rows]


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        study, one, many = folder / "study.toml", folder / "one", folder / "many"
        study.write_text(STUDY)
        subprocess.run([program, "--quiet", "study", "run", str(study), "--out", str(one)], check=True, stdout=subprocess.DEVNULL)
        given = [f"study={study}", f"out={many}", f"wgslab={program}"]
        words = ["--snakefile", str(ROOT / "configs/cluster/Snakefile"), "--directory", str(folder), "--cores", "3", "--config"]
        subprocess.run(["snakemake", "--quiet", "all", *words, *given], check=True)
        first, second = table(one), table(many)
        assert len(first) == 12 and first == second, "the tables differ"
        print(f"{len(first)} rows of {len(first[0])} columns are the same")


main()
