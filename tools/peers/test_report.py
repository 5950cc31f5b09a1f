"""Figures become tables and a picture; a peer without figures is named with the reason."""

import copy
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import report


def cell(p50: float, per_second: float, rate: int | None = None, **more: Any) -> dict[str, Any]:
    """Figures of one kind of load."""
    return {
        "connections": 1, "bytes": 1_000, "rate": rate, "per_second": per_second, "p50_ms": p50, "p99_ms": 2 * p50,
        "p50_over_direct_ms": p50 - 0.02, "p99_over_direct_ms": 2 * p50 - 0.04, "p50_over_bare_ms": p50 - 0.1,
        "p99_over_bare_ms": 2 * p50 - 0.2, "requests": 100, "unsent": 0, "client_core": 0.4, "cpu_ms": 0.05,
        "resident_bytes": 123_400_000, **more,
    }  # fmt: skip


def target(name: str, label: str, cells: list[dict[str, Any]], failed: str | None = None) -> dict[str, Any]:
    """A target with these figures."""
    return {
        "id": name, "label": label, "decides": "nothing", "version": "1.2.3", "settings": "as it comes",
        "failed": failed, "ready_s": None if failed else 0.51, "cells": cells,
    }  # fmt: skip


GONE = {"connections": 1, "bytes": 1_000, "rate": None, "failed": "installation failed: no such version"}
DATA: dict[str, Any] = {
    "date": "2026-12-01 02:10 UTC", "command": "make bench-peers", "pointsman": "abc1234", "rounds": 3,
    "seconds": 800, "closed_seconds": 0.6,
    "open_seconds": 0.9,
    "machine": {"cpu": "AMD EPYC", "cores": 2, "memory_gb": 25, "kernel": "6.1.0", "busy_before": 0.01},
    "targets": [
        target("direct", "the mock itself", [cell(0.02, 40_000, p50_over_direct_ms=None)]),
        target("auto", "Pointsman, `auto`", [cell(0.3, 9_876)]),
        target("litellm", "Slow <one>", [cell(6.1, 171.4)]),
        target("gone", "Gone", [GONE], "installation failed: no such version"),
    ],
}  # fmt: skip


def test_tables_say_what_was_measured_and_what_was_not() -> None:
    text = report.markdown(DATA)
    assert (
        "| Pointsman, `auto` | nothing | 0.300 / 0.600 | +0.280 / +0.560 | +0.200 / +0.400 | 50 | 123 | 0.51 |" in text
    )
    assert "| Pointsman, `auto` | 9,880 | – |" in text
    assert "| Slow <one> | 171 | – |" in text
    assert "- Gone was not measured to the end: installation failed: no such version" in text
    assert "Gone |" not in text
    assert "Gone was not measured to the end" in report.text(DATA)


def test_ours_is_held_against_the_others() -> None:
    data = copy.deepcopy(DATA)
    for one in data["targets"][1:3]:
        one["cells"].append(one["cells"][0] | {"connections": 16})
    assert report.comparison(data) == [
        "Pointsman, `auto`, adds 0.280 ms at the median, Slow <one> 6.08 ms (22 times as much). "
        "On 16 connections Pointsman answers 58 times as many requests a second."
    ]


def test_a_gateway_that_falls_behind_its_rate_has_no_latency() -> None:
    assert report.pair(cell(0.5, 999, rate=1_000), None) == "0.500 / 1.00"
    assert report.pair(cell(0.5, 400, rate=1_000), None) == "falls behind"
    assert report.pair(cell(0.5, 999, rate=1_000, unsent=1), None) == "falls behind"


def test_the_picture_is_well_formed_and_shows_each_target() -> None:
    root = ET.fromstring(report.picture(DATA))
    words = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Pointsman, auto", "Slow <one>", "0.280", "6.08"} <= set(words)
    assert "Gone" not in words


def test_documents_are_filled_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    document = tmp_path / "docs" / "speed.md"
    document.write_text(f"before\n{report.BEGIN}\n{report.END}\nafter\n", encoding="utf-8")
    report.fill(DATA, tmp_path)
    once = document.read_text(encoding="utf-8")
    later = copy.deepcopy(DATA)
    later["date"] = "2026-12-02 02:10 UTC"
    report.fill(later, tmp_path)
    assert document.read_text(encoding="utf-8") == once.replace("2026-12-01", "2026-12-02")
    assert once.startswith("before\n") and once.endswith("after\n")
    assert (tmp_path / "docs" / "images" / "peers.svg").exists()
