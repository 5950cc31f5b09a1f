"""Processes are ended by their ids, paused or not, and say why they ended by themselves."""

import os
import sys
from pathlib import Path

from processes import Group, is_alive, wait_for

CORE = min(os.sched_getaffinity(0))
# A process with a child that ignores the polite signal, both of which say when they are there.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print("there", flush=True)
time.sleep(600)
"""


def test_a_paused_group_is_ended_with_its_children(tmp_path: Path) -> None:
    group = Group("stubborn", CORE, tmp_path)
    log = group.spawn([sys.executable, "-c", STUBBORN])
    wait_for(lambda: log.read_text().count("there") == 2, group, 30, "the start")
    everyone = group.ids()
    assert len(everyone) == 2
    group.pause()
    group.stop()
    assert group.ids() == []
    assert not any(map(is_alive, everyone))


def test_who_ends_by_itself_says_why(tmp_path: Path) -> None:
    group = Group("broken", CORE, tmp_path)
    group.spawn([sys.executable, "-c", "import sys; sys.exit('no such model')"])
    group.roots[0].wait()
    assert group.ended() == "ended with 1: no such model"
    group.stop()
