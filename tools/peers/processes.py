"""Processes that the benchmark starts: each pinned to a core, with a small environment, and ended by its own id."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# How long a process may take to end before it is killed.
END_SECONDS = 5.0
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """A peer cannot be installed, started or measured; the text says why."""


@dataclass
class Group:
    """The processes of one gateway, as one."""

    name: str
    core: int
    folder: Path
    roots: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    def spawn(self, command: Sequence[str | Path], environment: dict[str, str] | None = None) -> Path:
        """Starts one, and returns the file that it writes its output to."""
        log = self.folder / f"{self.name}-{len(self.roots)}.log"
        with log.open("wb") as output:
            self.roots.append(
                subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=small_environment(self.folder, environment),
                    preexec_fn=pinned(self.core),
                )
            )
        self.logs.append(log)
        return log

    def ids(self) -> list[int]:
        """Ids of all that run, children of children included."""
        found, waiting = [], [root.pid for root in self.roots if root.poll() is None]
        while waiting:
            process = waiting.pop()
            found.append(process)
            waiting += children(process)
        return found

    def ended(self) -> str | None:
        """Why it can serve no more, if one of its processes has ended."""
        for root, log in zip(self.roots, self.logs, strict=True):
            if root.poll() is not None:
                return f"ended with {root.returncode}: {last_words(log)}"
        return None

    def signal(self, number: int) -> None:
        """Sends a signal to each process by its id."""
        for process in self.ids():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue

    def pause(self) -> None:
        """Keeps it from using its core while another is measured."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it run again."""
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it: politely, then not."""
        everyone = self.ids()
        self.signal(signal.SIGTERM)
        self.resume()
        end = time.monotonic() + END_SECONDS
        while time.monotonic() < end and self.ids():
            time.sleep(0.02)
        # Only those that were its own before: an id that has been given to another process since is not looked for.
        killed = set(self.ids()) & set(everyone)
        for process in killed:
            os.kill(process, signal.SIGKILL)
        for root in self.roots:
            root.wait()
        while time.monotonic() < end + END_SECONDS and any(map(is_alive, killed)):
            time.sleep(0.005)


def is_alive(process: int) -> bool:
    """Whether it is there and more than an entry that nobody has waited for."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def children(process: int) -> list[int]:
    """Ids of a process's children."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def pinned(core: int) -> Callable[[], None]:
    """For a child before it runs: on this core alone, and ended with whoever started it."""

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return prepare


def small_environment(home: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    """What a peer sees: no proxy, no credential, nothing sent home."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(more or {}),
    }


def last_words(log: Path, lines: int = 3) -> str:
    """The end of what a process wrote."""
    text = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " / ".join(line.strip() for line in text[-lines:])[-400:] or "it wrote nothing"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], group: Group, seconds: float, what: str) -> None:
    """Looks every 5 ms until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if reason := group.ended():
            raise BenchError(reason)
        if time.monotonic() > end:
            raise BenchError(f"{what} did not happen within {seconds:.0f} s: {last_words(group.logs[-1])}")
        time.sleep(0.005)
