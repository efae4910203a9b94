"""Ranks kernels that a program wrote, by `wgslab kernels watch --once --json`.

    python3 scripts/judge.py shaders/elementwise/scale/forward.wgsl scale.forward CANDIDATES [--for navi21,gfx1100]

CANDIDATES is a folder of texts, each in the place of the file of shaders/ that is named first. For each text it asks whether it is right in every case
of the entry, how its time stands to that of the built-in text, and with --for what a compiler of AMD GPUs makes of it. First stand those
that are right and that no compiler calls worse, the fastest of them first; what is wrong, broken or endless stands last with its reason.
It ends with 0 if a text is right, with 1 if none is, and with 2 if the words are wrong. It needs Python alone.
"""
import argparse
import json
import pathlib
import subprocess
import sys


def judged(words, file):
    """The line of JSON about a text, and the exit code, which is 0 where the text is right."""
    told = subprocess.run(
        [words.program, "kernels", "watch", str(file), "--piece", words.piece, "--case", words.case, "--once", "--json", "--quiet"]
        + (["--for", words.families] if words.families else []),
        capture_output=True, text=True, check=False,
    )
    lines = told.stdout.splitlines()
    if not lines:  # nothing was tried: the words are wrong, which is so for every text
        print(told.stderr.strip(), file=sys.stderr)
        sys.exit(2)
    return json.loads(lines[-1]), told.returncode


def shown(verdict):
    """What a person reads of a text."""
    if verdict["verdict"] != "right":
        return f"{verdict['verdict']}: {(verdict['why'].splitlines() or ['it said nothing'])[0]}"
    time = verdict["time"]
    words = f"right, {time['verdict'].replace('_', ' ')}: {time['ratio']:.2f} x the time ({time['low']:.2f} to {time['high']:.2f})"
    for told in verdict["compiled"] or ():
        figures = ", ".join(
            f"{name} {told['built_in'][name]} -> {told['edited'][name]}" for name in ("registers", "spills", "waves", "instructions")
        )
        words += f"; {told['kernel']} on {told['family']} {told['verdict']}: {figures}"
    return words


def rank(verdict, code):
    """Smaller is better."""
    if code != 0:
        return (2, 0.0)
    worse = any(told["verdict"] == "worse" for told in verdict["compiled"] or ())
    return (int(worse), verdict["time"]["ratio"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("piece", help="the file of shaders/ that each text stands for", type=lambda path: path.split("shaders/")[-1])
    parser.add_argument("case", help="an entry, or ENTRY/CASE, that runs it")
    parser.add_argument("candidates", type=pathlib.Path, help="a folder of texts, *.wgsl")
    parser.add_argument("--for", dest="families", metavar="FAMILY,...", help="families of AMD GPUs, which need not be here")
    parser.add_argument("--program", default="wgslab", help="the path of wgslab [default: the one that the shell finds]")
    words = parser.parse_args()
    files = sorted(words.candidates.glob("*.wgsl"))
    if not files:
        parser.error(f"{words.candidates} holds no file *.wgsl")
    results = [(*judged(words, file), file.stem) for file in files]
    results.sort(key=lambda r: rank(r[0], r[1]))
    for verdict, _, name in results:
        print(f"{name}  {shown(verdict)}")
    return 0 if any(code == 0 for _, code, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
