#!/usr/bin/env python3
"""The figures of `make bench-peers` as text, and as tables and a picture in the documents.

`report.py target/peers/peers.json` fills the documents from the figures of an earlier run.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

BEGIN = "<!-- Between these lines `make bench-peers` writes. -->"
END = "<!-- Up to here. -->"
# Below this share of the due requests, a gateway does not keep up with the rate.
KEEPS_UP = 0.98
# Client and mock at this share of their core may be what limits a figure.
BUSY = 0.9
Cell = dict[str, Any]
Target = dict[str, Any]


def cell_of(target: Target, connections: int, size: int, rate: int | None) -> Cell | None:
    """A target's figures under one kind of load; None if that was not measured at all."""
    for cell in target["cells"]:
        if (cell["connections"], cell["bytes"], cell["rate"]) == (connections, size, rate):
            found: Cell = cell
            return found
    return None


def is_measured(cell: Cell | None) -> bool:
    """Whether there are figures."""
    return cell is not None and "failed" not in cell


def keeps_up(cell: Cell) -> bool:
    """Whether all that was due was sent, nearly at its rate."""
    return cell["rate"] is None or (cell["unsent"] == 0 and cell["per_second"] >= KEEPS_UP * cell["rate"])


def milliseconds(value: float | None, *, signed: bool = False) -> str:
    """Three figures that count."""
    if value is None:
        return "–"
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return text.replace("-", "−")


def pair(cell: Cell | None, base: str | None) -> str:
    """Median and 99th percentile, or what is added to them."""
    if cell is None or "failed" in cell:
        return "–"
    if not keeps_up(cell):
        return "falls behind"
    if base is None:
        return f"{milliseconds(cell['p50_ms'])} / {milliseconds(cell['p99_ms'])}"
    over = [cell[f"{quantile}_over_{base}_ms"] for quantile in ("p50", "p99")]
    if over[0] is None:
        return "–"
    return " / ".join(milliseconds(value, signed=True) for value in over)


def rate(cell: Cell | None) -> str:
    """Answers a second, to three figures."""
    if cell is None or "failed" in cell:
        return "–"
    value = cell["per_second"]
    digits = max(0, 2 - math.floor(math.log10(value))) if 0 < value < 100 else 0
    rounded = round(value, -max(0, math.floor(math.log10(value)) - 2)) if value >= 100 else value
    return f"{rounded:,.{digits}f}"


def micro(cell: Cell | None) -> str:
    """Microseconds of the gateway's core for one request."""
    return f"{cell['cpu_ms'] * 1e3:,.0f}" if cell and "cpu_ms" in cell else "–"


def resident(target: Target) -> str:
    """Resident megabytes, the most under any load."""
    most = max((cell.get("resident_bytes", 0) for cell in target["cells"]), default=0)
    return f"{most / 1e6:,.0f}" if most else "–"


def ready(target: Target) -> str:
    """Seconds from the start to the first answer."""
    return f"{target['ready_s']:.2f}" if target["ready_s"] is not None else "–"


def align(rows: list[list[str]]) -> str:
    """Columns for a terminal: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def loads(data: dict[str, Any]) -> list[tuple[int, int, int | None]]:
    """Every kind of load, in order."""
    return [(cell["connections"], cell["bytes"], cell["rate"]) for cell in data["targets"][0]["cells"]]


def text(data: dict[str, Any]) -> str:
    """Everything, for a terminal."""
    out = [preface(data), ""]
    for connections, size, per_second in loads(data):
        how = f"{per_second:,} requests a second" if per_second else "as many as are answered"
        out.append(f"{size // 1000} KB, {connections} connection{'s' * (connections > 1)}, {how}\n")
        rows = [["", "p50 / p99 ms", "over direct", "over Envoy", "answers/s", "CPU µs", "client's core"]]
        for target in data["targets"]:
            cell = cell_of(target, connections, size, per_second)
            share = f"{cell['client_core']:.0%}" if cell and is_measured(cell) else "–"
            columns = [pair(cell, None), pair(cell, "direct"), pair(cell, "bare"), rate(cell), micro(cell), share]
            rows.append([target["label"].replace("`", ""), *columns])
        out.append(align(rows))
    out += [*comparison(data), ""]
    out.append("Starts and memory\n")
    rows = [["", "version", "ready s", "resident MB"]]
    rows += [[t["label"].replace("`", ""), t["version"], ready(t), resident(t)] for t in data["targets"]]
    out.append(align(rows))
    out += troubles(data)
    return "\n".join(out)


def troubles(data: dict[str, Any]) -> list[str]:
    """What was not measured, and why."""
    lines = []
    for target in data["targets"]:
        label = target["label"].replace("`", "")
        if target["failed"]:
            lines.append(f"{label} was not measured to the end: {target['failed']}")
            continue
        for cell in target["cells"]:
            if "failed" in cell:
                at = f" at {cell['rate']} a second" if cell["rate"] else ""
                load = f"{cell['bytes'] // 1000} KB × {cell['connections']}{at}"
                lines.append(f"{label}, {load}: {cell['failed']}")
    return lines


def preface(data: dict[str, Any]) -> str:
    """When, where and how."""
    about = data["machine"]
    return (
        f"Measured {data['date']} at {data['pointsman']} with `{data['command']}` on {about['cores']} cores of "
        f"{about['cpu']}, "
        f"{about['memory_gb']} GB, Linux {about['kernel']}, {about['busy_before']:.0%} busy with other work before: "
        f"{data['rounds']} rounds, blocks of {data['closed_seconds']} s (saturated) and {data['open_seconds']} s "
        f"(fixed rate), {data['seconds']} s in all.{noise(data)}"
    )


def noise(data: dict[str, Any]) -> str:
    """By how much bare Envoy's median differed between rounds: less than that says nothing."""
    for target in data["targets"]:
        cell = cell_of(target, 1, 1_000, None)
        if target["id"] == "bare" and cell and is_measured(cell):
            spread = milliseconds(cell["p50_spread_ms"])
            return f" From round to round bare Envoy's median (1 KB, one connection) varied by {spread} ms."
    return ""


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def markdown(data: dict[str, Any]) -> str:
    """The tables of docs/speed.md."""
    targets = [target for target in data["targets"] if any(is_measured(cell) for cell in target["cells"])]

    columns = [f"{size // 1000} KB × {connections}" for size in (1_000, 100_000) for connections in (1, 16, 32)]

    def rows(cells: Callable[[Target], list[str]]) -> list[list[str]]:
        return [[target["label"], *cells(target)] for target in targets]

    def latency(target: Target) -> list[str]:
        cell = cell_of(target, 1, 1_000, None)
        return [
            target["decides"], pair(cell, None), pair(cell, "direct"), pair(cell, "bare"),
            micro(cell), resident(target), ready(target),
        ]  # fmt: skip

    out = [
        preface(data),
        "![Added latency and requests a second of each gateway](images/peers.svg)",
        "One connection, 1 KB, each request as soon as the one before is answered; p50 / p99 in milliseconds, and what "
        "is added to asking the mock directly and through Envoy alone:",
        table(
            ["", "decides", "ms", "over direct", "over Envoy", "CPU µs a request", "resident MB", "ready s"],
            rows(latency),
        ),
        "Requests a second, as many as are answered:",
        table(
            ["", *columns],
            rows(lambda t: [rate(cell_of(t, c, s, None)) for s in (1_000, 100_000) for c in (1, 16, 32)]),
        ),
    ]
    for per_second in (300, 1_000):
        out += [
            f"At {per_second:,} requests a second, due whether or not earlier ones are answered; p50 / p99 over direct "
            "in milliseconds, and the mock's own:",
            table(
                ["", *columns],
                rows(
                    lambda t, r=per_second: [  # type: ignore[misc]
                        pair(cell_of(t, c, s, r), None if t["id"] == "direct" else "direct")
                        for s in (1_000, 100_000)
                        for c in (1, 16, 32)
                    ]
                ),
            ),
        ]
    out += [
        "`falls behind`: not all requests that were due could be sent.",
        "\n".join(f"- {line}" for line in comparison(data)),
        settings(data),
    ]
    out.append(f"Client and mock used at most {busiest(data):.0%} of their core with any gateway.")
    if lines := troubles(data):
        out.append("Not measured:")
        out.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(out)


def times(ratio: float) -> str:
    """A ratio in words."""
    return f"{ratio:.{0 if ratio >= 10 else 1 if ratio >= 2 else 2}f} times"


def comparison(data: dict[str, Any]) -> list[str]:
    """How Pointsman's `auto` stands to the others, in sentences."""
    by_id = {target["id"]: target for target in data["targets"]}
    lines = []

    def figure(name: str, key: str, connections: int) -> float | None:
        cell = cell_of(by_id[name], connections, 1_000, None) if name in by_id else None
        return cell.get(key) if cell else None

    for name in ("litellm", "switchyard", "tensorzero", "portkey", "ext-proc"):
        added = [figure(which, "p50_over_direct_ms", 1) for which in ("auto", name)]
        many = [figure(which, "per_second", 16) for which in ("auto", name)]
        if not all(added) or not all(many):
            continue
        ours, theirs = (value or 0.0 for value in added)
        lines.append(
            f"Pointsman, `auto`, adds {milliseconds(ours)} ms at the median, {by_id[name]['label']} "
            f"{milliseconds(theirs)} ms ({times(theirs / ours)} as much). On 16 connections Pointsman answers "
            f"{times((many[0] or 0.0) / (many[1] or 1.0))} as many requests a second."
        )
    return lines


def settings(data: dict[str, Any]) -> str:
    """Versions and settings."""
    named = [f"- {t['label']} ({t['version']}): {t['settings']}." for t in data["targets"][1:]]
    return "Versions and settings:\n\n" + "\n".join(named)


def busiest(data: dict[str, Any]) -> float:
    """How much of their core client and mock used at most; the mock alone is not a gateway."""
    shares = [cell["client_core"] for target in data["targets"][1:] for cell in target["cells"] if is_measured(cell)]
    return max(shares, default=0.0)


# --- The picture -----------------------------------------------------------------------------------------------------
WIDTH, ROW, TOP, LABELS, GAP = 960, 24, 64, 220, 40
OURS, OTHERS, TEXT, GRID = "#1f6feb", "#8b949e", "#24292f", "#d0d7de"
FONT = "font-family=\"system-ui, 'Segoe UI', sans-serif\""


def picture(data: dict[str, Any]) -> str:
    """Two charts of bars, on logarithmic scales: added median and requests a second."""
    targets = [t for t in data["targets"][1:] if is_measured(cell_of(t, 1, 1_000, None))]
    panel = (WIDTH - LABELS - 2 * GAP) / 2
    height = TOP + ROW * len(targets) + 28
    added = [cell_of(target, 1, 1_000, None) or {} for target in targets]
    many = [cell_of(target, 16, 1_000, None) or {} for target in targets]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'{FONT} font-size="13" role="img">',
        "<title>Added latency and requests a second of each gateway</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *(name(row, target) for row, target in enumerate(targets)),
        chart(LABELS, panel, targets, [cell.get("p50_over_direct_ms") for cell in added],
              "added at the median, ms (1 KB, one connection)", milliseconds),
        chart(LABELS + panel + GAP, panel, targets, [cell.get("per_second") for cell in many],
              "requests a second (1 KB, 16 connections)", lambda value: f"{value:,.0f}"),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def name(row: int, target: Target) -> str:
    """A target's name, before its bars."""
    y = TOP + ROW * row + 16
    weight = ' font-weight="600"' if is_ours(target) else ""
    label = escape(target["label"].replace("`", ""))
    return f'<text x="{LABELS - 10}" y="{y}" text-anchor="end" fill="{TEXT}"{weight}>{label}</text>'


def is_ours(target: Target) -> bool:
    """Whether it is Pointsman."""
    return bool(target["label"].startswith("Pointsman"))


def chart(
    left: float,
    width: float,
    targets: list[Target],
    values: list[float | None],
    title: str,
    say: Callable[[float], str],
) -> str:
    """One chart: a bar for each target, a line for each power of ten."""
    known = [value for value in values if value and value > 0]
    low = math.floor(math.log10(min(known, default=0.1)))
    high = max(math.ceil(math.log10(max(known, default=1))), low + 1)
    # The longest bar leaves room for its figure.
    scale = (width - 60) / (high - low)
    out = [f'<text x="{left:.0f}" y="24" fill="{TEXT}" font-weight="600">{escape(title)}</text>']
    bottom = TOP + ROW * len(targets)
    for power in range(low, high + 1):
        x = left + (power - low) * scale
        out.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        label = f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"
        place = f'x="{x:.1f}" y="{TOP - 14}" text-anchor="middle"'
        out.append(f'<text {place} fill="{OTHERS}" font-size="11">{label}</text>')
    for row, (target, value) in enumerate(zip(targets, values, strict=True)):
        y = TOP + ROW * row
        length = max((math.log10(value) - low) * scale, 2) if value and value > 0 else 0
        fill = OURS if is_ours(target) else OTHERS
        out.append(f'<rect x="{left:.1f}" y="{y + 4}" width="{length:.1f}" height="{ROW - 8}" rx="2" fill="{fill}"/>')
        figure = say(value) if value is not None else "not measured"
        out.append(f'<text x="{left + length + 6:.1f}" y="{y + 16}" fill="{TEXT}">{figure}</text>')
    return "\n".join(out)


def fill(data: dict[str, Any], root: Path) -> None:
    """Writes the tables between the two lines of docs/speed.md, and the picture."""
    document = root / "docs" / "speed.md"
    before = document.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(before):
        sys.exit(f"error: {document} has no place for the tables: {BEGIN} … {END}")
    section = f"{BEGIN}\n\n{markdown(data)}\n\n{END}"
    document.write_text(pattern.sub(lambda _: section, before, count=1), encoding="utf-8")
    image = root / "docs" / "images" / "peers.svg"
    image.parent.mkdir(exist_ok=True)
    image.write_text(picture(data), encoding="utf-8")


def main() -> None:
    """Fills the documents from a file of figures, or prints them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("figures", type=Path)
    parser.add_argument("--text", action="store_true", help="print them and leave the documents as they are")
    args = parser.parse_args()
    data = json.loads(args.figures.read_text(encoding="utf-8"))
    if args.text:
        print(text(data))
    else:
        fill(data, Path(__file__).resolve().parents[2])


if __name__ == "__main__":
    main()
