#!/usr/bin/env python3
"""Tells how the cost of a decision grows with candidates, rules and turns: instructions, counted under valgrind.

Runs PROGRAM (examples/growth.rs) for each case and size with two numbers of repetitions: the difference is one decision. A table
in Markdown goes to standard output. Exits with 1 if an item costs more than LIMIT times as much at a larger size as at a smaller
one, which is how growth beyond linear shows under a large constant part.
"""

import argparse
import subprocess
import sys

from count import instructions

# Caches of the allocator and the doubling of lists make items a little dearer by their number.
LIMIT = 1.3
# Below this share of the whole, the cost of an item is lost in what differs from run to run.
LEAST_SHARE = 0.02


def cost(valgrind, program, case, size):
    """The instructions of one decision."""
    more = 2 if size >= 1_000 else 8
    once = [instructions(valgrind, program, case, size, count) for count in (2, 2 + more)]
    return (once[1] - once[0]) / more


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--valgrind", default="valgrind")
    args = parser.parse_args()
    listed = subprocess.run([args.program], capture_output=True, text=True, check=True).stdout.splitlines()
    worse = []
    print("| case | size | instructions | for each more |\n|---|---|---|---|", flush=True)
    for line in listed:
        case, sizes = line.split("\t")
        rows = []
        for size in map(int, sizes.split()):
            whole = cost(args.valgrind, args.program, case, size)
            each = (whole - rows[-1][1]) / (size - rows[-1][0]) if rows else None
            rows.append((size, whole, each))
            print(f"| {case} | {size:,} | {whole:,.0f} | {'' if each is None else f'{each:,.0f}'} |", flush=True)
        for (_, _, before), (size, whole, each) in zip(rows[1:], rows[2:]):
            if each > before * LIMIT and (each - before) * size > whole * LEAST_SHARE:
                worse.append(f"{case} at {size:,}: {each:,.0f} instructions an item after {before:,.0f}")
    if worse:
        sys.exit("error: grows faster than its size: " + "; ".join(worse))


if __name__ == "__main__":
    main()
