#!/usr/bin/env python3
"""Counts the instructions of each step of a request under valgrind, and compares them with a committed table.

Runs PROGRAM (examples/instructions.rs) with two numbers of repetitions under cachegrind, without its caches: the difference is
the step alone. Counts are the same from run to run, and nearly so between processors. Exits with 1 if one is more than LIMIT above
the table. `--write` writes the table anew.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

# Repetitions of the longer run beyond the shorter, by the size of the body: all of the eight bodies, several times if they are short.
FEW, MANY = 8, 48
LIMIT = 0.03
# glibc copies and fills by one instruction from some size on, which valgrind counts byte by byte, on some processors.
NO_STRINGS = "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000"


def instructions(valgrind, program, *arguments):
    """The instructions of the whole process."""
    command = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "GLIBC_TUNABLES": NO_STRINGS})
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return int(found.group(1).replace(",", ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("table", type=Path)
    parser.add_argument("--valgrind", default="valgrind")
    parser.add_argument("--write", action="store_true", help="write the table anew")
    args = parser.parse_args()
    cases = subprocess.run([args.program], capture_output=True, text=True, check=True).stdout.splitlines()
    known = {} if args.write else json.loads(args.table.read_text(encoding="utf-8"))
    counts, worse = {}, []
    print(f"{'instructions':>14}  {'table':>14}")
    for case in cases:
        more = FEW if "MB" in case or "100 KB" in case else MANY
        once = [instructions(args.valgrind, args.program, case, count) for count in (8, 8 + more)]
        counts[case] = round((once[1] - once[0]) / more)
        before = known.get(case)
        change = f"{counts[case] / before - 1:+.1%}" if before else ""
        print(f"{counts[case]:>14,}  {before or 0:>14,}  {change:>7}  {case}", flush=True)
        if not args.write and (before is None or counts[case] > before * (1 + LIMIT)):
            worse.append(case)
    if args.write:
        args.table.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    if worse:
        sys.exit(f"error: over the table by more than {LIMIT:.0%}, or not in it: {', '.join(worse)} (`make count WRITE=1` writes it anew)")


if __name__ == "__main__":
    main()
