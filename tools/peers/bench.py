#!/usr/bin/env python3
"""Measures Pointsman beside what people would use instead, in one run: `make bench-peers`.

One client (`pointsman-lab load`) and one mock (`pointsman-lab mock`) share the first core; the second belongs to the
gateway whose turn it is, and the others are stopped (SIGSTOP) meanwhile. Rounds are interleaved: each kind of load goes
through all targets before the next, so that a machine that gets slower gets slower for all. Figures are medians over
rounds; what a target adds is the median of the differences to `direct`, and to bare Envoy, in the same round.

A target that cannot be installed, started or measured is reported with the reason, and the others go on.
"""

import argparse
import datetime
import http.client
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import report
from envoys import Renderer
from install import Installer
from processes import BenchError, Group, pinned, wait_for
from targets import API, TARGETS, Setup, Target

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("target/peers")
# How long the first answer may take; Python's gateways import for many seconds on a busy machine.
READY_SECONDS = 120.0
# Beyond its time, a block may take so much longer: slow gateways answer what was begun.
BLOCK_SLACK = 60.0
# A gateway that answers less than this share of a rate is not asked at it again.
FAR_BEHIND = 0.8


@dataclass(frozen=True)
class Cell:
    """One kind of load."""

    connections: int
    bytes: int
    # Requests a second; None is as many as are answered.
    rate: int | None


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    cells: tuple[Cell, ...]
    rounds: int
    closed_seconds: float
    open_seconds: float
    warm_up: float
    # How long a target that has just started serves before it is measured: what is compiled or opened late is then.
    settle: float
    starts: int
    # No round begins that would end after this.
    longest_seconds: float


QUICK = Plan(
    cells=(
        Cell(1, 1_000, None),
        Cell(16, 1_000, None),
        Cell(1, 100_000, None),
        Cell(16, 1_000, 300),
        Cell(16, 1_000, 1_000),
    ),
    rounds=2,
    closed_seconds=0.4,
    open_seconds=0.6,
    warm_up=0.15,
    settle=0.3,
    starts=1,
    longest_seconds=200,
)
FULL = Plan(
    cells=tuple(
        Cell(connections, size, rate)
        for rate in (None, 300, 1_000)
        for size in (1_000, 100_000)
        for connections in (1, 16, 32)
    ),
    rounds=3,
    closed_seconds=0.4,
    open_seconds=0.7,
    warm_up=0.1,
    settle=1.0,
    starts=3,
    longest_seconds=850,
)


@dataclass
class Running:
    """A target on its way through the run. Without a group it is the mock itself."""

    id: str
    target: Target | None
    group: Group | None = None
    address: str = ""
    version: str = ""
    ready: list[float] = field(default_factory=list)
    # Why it is not measured (any more).
    failed: str | None = None
    blocks: dict[Cell, list[dict[str, Any]]] = field(default_factory=dict)
    troubles: dict[Cell, str] = field(default_factory=dict)


class Bench:
    """One run."""

    def __init__(self, setup: Setup, lab: Path, plan: Plan, cores: tuple[int, int], mock: Group) -> None:
        self.setup = setup
        self.lab = lab
        self.plan = plan
        self.client_core, self.gateway_core = cores
        self.mock = mock
        # All that were started, so that all are ended.
        self.groups: list[Group] = []
        self.started = time.monotonic()

    def start(self, running: Running) -> None:
        """Starts a target once, and measures how long its first answer takes."""
        target = running.target
        if not target:
            return
        # Times to ready are compared, so they hold no installation.
        target.install(self.setup)
        group = Group(target.id, self.gateway_core, self.setup.folder)
        running.group = group
        self.groups.append(group)
        begin = time.monotonic()
        running.address = target.start(self.setup, group)
        wait_for(lambda: self.answers(running), group, READY_SECONDS, "a first answer")
        running.ready.append(time.monotonic() - begin)

    def answers(self, running: Running) -> bool:
        """Whether a small request is answered with 200, and decided on by who is to decide."""
        model, path, headers = self.ask(running)
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Is it open today?"}]})
        connection = http.client.HTTPConnection(running.address, timeout=30)
        try:
            connection.request("POST", path, body, {"content-type": "application/json", **headers})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        proof = running.target.proof if running.target else None
        return answer.status == 200 and b"Yes." in text and (proof is None or answer.getheader(proof) is not None)

    def ask(self, running: Running) -> tuple[str, str, dict[str, str]]:
        """Model, path and headers of its requests."""
        target = running.target
        return (target.model, target.path, target.headers(self.setup)) if target else ("auto", API, {})

    def load(self, running: Running, cell: Cell, seconds: float, warm_up: float) -> dict[str, Any]:
        """One block."""
        model, path, headers = self.ask(running)
        command = [self.lab, "load", running.address, "--path", path, "--model", model]
        command += ["--bytes", cell.bytes, "--connections", cell.connections]
        command += ["--seconds", seconds, "--warm-up", warm_up]
        command += ["--rate", cell.rate] if cell.rate else []
        for name, value in headers.items():
            command += ["--header", f"{name}: {value}"]
        groups = {"mock": self.mock.ids(), "gateway": running.group.ids() if running.group else []}
        for name, ids in groups.items():
            command += ["--watch", f"{name}={','.join(map(str, ids))}"] if ids else []
        try:
            done = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                preexec_fn=pinned(self.client_core),
                timeout=seconds + warm_up + BLOCK_SLACK,
                check=False,
            )
        except subprocess.TimeoutExpired as expired:
            raise BenchError("it did not answer what was asked in time") from expired
        if done.returncode:
            words = done.stderr.strip().removeprefix("error: ")[:300]
            raise BenchError(words or f"the client ended with {done.returncode}")
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    def begin(self, running: Running) -> None:
        """Starts a target and lets it serve for a while."""
        try:
            running.version = running.target.version(self.setup) if running.target else ""
            if not running.target:
                running.address = self.setup.mock
            self.start(running)
            for size in (1_000, 100_000):
                self.load(running, Cell(16, size, None), self.plan.settle / 2, self.plan.settle)
            if running.group:
                running.group.pause()
        except Exception as error:
            self.give_up(running, reason(error))
        ready = f"ready in {running.ready[0]:.2f} s" if running.ready else "there"
        print(f"{running.id}: {running.failed or ready}", file=sys.stderr, flush=True)

    def give_up(self, running: Running, reason: str) -> None:
        """Ends a target that is measured no more."""
        running.failed = reason
        if running.group:
            running.group.stop()

    def measure(self, running: Running, cell: Cell) -> None:
        """One block of one target; trouble with it is that cell's, and the target's if it is gone."""
        if running.failed or cell in running.troubles or is_far_behind(cell, running.blocks.get(cell)):
            return
        group = running.group
        if group:
            group.resume()
        seconds = self.plan.open_seconds if cell.rate else self.plan.closed_seconds
        try:
            running.blocks.setdefault(cell, []).append(self.load(running, cell, seconds, self.plan.warm_up))
        except Exception as error:
            running.troubles[cell] = reason(error)
        if group:
            if ended := group.ended():
                self.give_up(running, ended)
            else:
                group.pause()

    def rounds(self, all_running: list[Running]) -> int:
        """All rounds that there is time for; returns how many."""
        for number in range(self.plan.rounds):
            begin = time.monotonic()
            for cell in self.plan.cells:
                # Neither always first nor always after the same one.
                shift = number * 5 % len(all_running)
                for running in all_running[shift:] + all_running[:shift]:
                    self.measure(running, cell)
            took = time.monotonic() - begin
            print(f"round {number + 1} of {self.plan.rounds}: {took:.0f} s", file=sys.stderr, flush=True)
            if time.monotonic() - self.started + took > self.plan.longest_seconds:
                return number + 1
        return self.plan.rounds

    def start_again(self, running: Running) -> None:
        """More starts, for the time to ready: not of what takes long anyway."""
        for _ in range(self.plan.starts - 1):
            if running.failed or not running.target or running.ready[0] > 3:
                return
            try:
                self.start(running)
            except Exception as error:
                print(f"{running.id} did not start again: {reason(error)}", file=sys.stderr, flush=True)
            if running.group:
                running.group.stop()


def reason(error: Exception) -> str:
    """Why something failed. Whatever it is, it is one peer's trouble, and no reason to stop for the others."""
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"


def is_far_behind(cell: Cell, blocks: list[dict[str, Any]] | None) -> bool:
    """Whether a gateway was so far from a rate that another round would only say so again, and slowly."""
    return bool(cell.rate and blocks and blocks[0]["per_second"] < FAR_BEHIND * cell.rate)


def median(values: list[float]) -> float:
    """Rounded for people and diffs."""
    return round(statistics.median(values), 5)


def added(cell: list[dict[str, Any]], base: list[dict[str, Any]] | None, name: str) -> float | None:
    """By how much a figure exceeds another's in the same round, at the median; None if the other fell behind."""
    if not base or median([block["unsent"] for block in base]):
        return None
    return median([mine[name] - other[name] for mine, other in zip(cell, base, strict=False)])


def summarise(running: Running, cells: tuple[Cell, ...], by_id: dict[str, Running]) -> dict[str, Any]:
    """One target's figures as JSON."""
    rows = []
    for cell in cells:
        row: dict[str, Any] = {"connections": cell.connections, "bytes": cell.bytes, "rate": cell.rate}
        blocks = running.blocks.get(cell)
        if cell in running.troubles or not blocks:
            rows.append(row | {"failed": running.troubles.get(cell) or running.failed or "not measured"})
            continue
        for name in ("per_second", "p50_ms", "p99_ms"):
            row[name] = median([block[name] for block in blocks])
        for base in ("direct", "bare"):
            for name in ("p50_ms", "p99_ms"):
                # Direct is below Envoy, and nothing is added to itself.
                other = by_id[base].blocks.get(cell) if running.id not in ("direct", base) else None
                row[f"{name[:3]}_over_{base}_ms"] = added(blocks, other, name)
        medians = [block["p50_ms"] for block in blocks]
        row["p50_spread_ms"] = round(max(medians) - min(medians), 5)
        row["requests"] = sum(block["requests"] for block in blocks)
        row["unsent"] = median([block["unsent"] for block in blocks])
        row["client_core"] = median([client_share(block) for block in blocks])
        gateways = [(block["usage"].get("gateway"), block["requests"]) for block in blocks]
        used = [usage["cpu_seconds"] / requests * 1e3 for usage, requests in gateways if usage and requests]
        if used:
            row["cpu_ms"] = median(used)
            row["resident_bytes"] = median([usage["resident_bytes"] for usage, _ in gateways if usage])
        rows.append(row)
    target = running.target
    return {
        "id": running.id,
        "label": target.label if target else "the mock itself",
        "decides": target.decides if target else "",
        "version": running.version,
        "settings": target.settings if target else "no gateway: the client asks the mock",
        "failed": running.failed,
        "ready_s": median(running.ready) if running.ready else None,
        "cells": rows,
    }


def client_share(block: dict[str, Any]) -> float:
    """How much of their core client and mock used."""
    used = sum(block["usage"][name]["cpu_seconds"] for name in ("client", "mock") if name in block["usage"])
    return float(used / block["seconds"])


def machine() -> dict[str, Any]:
    """The machine in words."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e6),
        "kernel": platform.release().split("-")[0],
        "busy_before": busy(1.0),
    }


def busy(seconds: float) -> float:
    """How much of all cores is in use, by whatever else runs here."""

    def look() -> tuple[int, int]:
        times = [int(ticks) for ticks in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]]
        idle = times[3] + times[4]
        return sum(times) - idle, sum(times)

    before = look()
    time.sleep(seconds)
    used, total = (now - then for now, then in zip(look(), before, strict=True))
    return round(used / max(total, 1), 3)


def parse() -> argparse.Namespace:
    """The arguments; their defaults are what make installs and builds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less load: under four minutes; docs/ stays as it is")
    parser.add_argument("--only", default="", help="ids of targets, by commas; bare is always measured")
    parser.add_argument("--envoy", type=Path, default=Path("target/envoy/envoy-1.40.0"))
    parser.add_argument("--module", type=Path, default=Path("target/pointsman.wasm"))
    parser.add_argument("--floor", type=Path, default=Path("target/wasm32-wasip1/module/examples/floor.wasm"))
    parser.add_argument("--cli", type=Path, default=Path("target/release/pointsman"))
    parser.add_argument("--lab", type=Path, default=Path("target/release/pointsman-lab"))
    parser.add_argument("--node", type=Path, default=Path("target/tools/bin/node"))
    parser.add_argument("--policy", type=Path, default=Path("envoy/policies/demo.json"))
    parser.add_argument("--output", type=Path, default=FOLDER / "peers.json")
    args = parser.parse_args()
    for file in (args.envoy, args.module, args.floor, args.cli, args.lab, args.policy):
        if not file.exists():
            parser.error(f"`{file}` is missing: run `make bench-peers`")
    unknown = set(filter(None, args.only.split(","))) - {target.id for target in TARGETS}
    if unknown:
        parser.error(f"no target is called {', '.join(sorted(unknown))}: there are {', '.join(t.id for t in TARGETS)}")
    return args


def run(args: argparse.Namespace, cores: tuple[int, int]) -> dict[str, Any]:
    """Measures everything."""
    plan = QUICK if args.quick else FULL
    date = datetime.datetime.now(datetime.UTC)
    about = machine()
    folder = FOLDER / "run"
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    mock = Group("mock", cores[0], folder)
    bench = None
    log = mock.spawn([args.lab.resolve(), "mock"])
    try:
        wait_for(lambda: b"\n" in log.read_bytes(), mock, 10, "the start of the mock")
        address = log.read_text(encoding="utf-8").strip()
        setup = Setup(
            renderer=Renderer(args.cli, args.policy, address, folder),
            installer=Installer(FOLDER.resolve(), args.node),
            envoy=args.envoy,
            module=args.module,
            floor=args.floor,
            models=Path("models"),
            node=args.node,
            mock=address,
            folder=folder,
        )
        wanted = set(filter(None, args.only.split(","))) | {"bare"}
        chosen = [target for target in TARGETS if not args.only or target.id in wanted]
        all_running = [Running("direct", None), *(Running(target.id, target) for target in chosen)]
        by_id = {running.id: running for running in all_running}
        failed_installs = install_all(setup, all_running)
        bench = Bench(setup, args.lab, plan, cores, mock)
        for running in all_running:
            if running.id not in failed_installs:
                bench.begin(running)
        rounds = bench.rounds(all_running)
        for running in all_running:
            if running.group:
                running.group.stop()
        for running in all_running:
            bench.start_again(running)
        took = time.monotonic() - bench.started
    finally:
        for group in [*(bench.groups if bench else []), mock]:
            group.stop()
    return {
        "date": date.strftime("%Y-%m-%d %H:%M UTC"),
        "command": "make bench-peers QUICK=1" if args.quick else "make bench-peers",
        "machine": about,
        "pointsman": revision(),
        "rounds": rounds,
        "seconds": round(took),
        "closed_seconds": plan.closed_seconds,
        "open_seconds": plan.open_seconds,
        "targets": [summarise(running, plan.cells, by_id) for running in all_running],
    }


def revision() -> str:
    """The commit that is measured, `-dirty` if it is not quite that."""
    command = ["git", "describe", "--always", "--dirty", "--tags"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout.strip() or "unknown"


def install_all(setup: Setup, all_running: list[Running]) -> set[str]:
    """Installs everything before the clock runs; returns the ids of what could not be installed."""
    failed = set()
    for running in all_running:
        try:
            if running.target:
                running.version = running.target.version(setup)
                running.target.install(setup)
        except Exception as error:
            running.failed = reason(error)
            failed.add(running.id)
            print(f"{running.id}: {running.failed}", file=sys.stderr, flush=True)
    return failed


def stop_on(number: int, _: FrameType | None) -> None:
    """So that processes are ended whatever ends this one."""
    raise SystemExit(128 + number)


def main() -> None:
    """Measures, writes JSON and text, and fills the documents after a full run."""
    args = parse()
    os.chdir(ROOT)
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        sys.exit("error: this takes two cores: one for the gateway, one for the client and the mock")
    os.sched_setaffinity(0, {available[0]})
    signal.signal(signal.SIGTERM, stop_on)
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = run(args, (available[0], available[1]))
    args.output.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    text = report.text(data)
    args.output.with_suffix(".txt").write_text(text, encoding="utf-8")
    print(text)
    print(f"written to {args.output} and {args.output.with_suffix('.txt')}")
    if not args.quick and not args.only:
        report.fill(data, ROOT)
        print("docs/speed.md and docs/images/peers.svg say the same now: commit them, or `git checkout docs`")


if __name__ == "__main__":
    main()
