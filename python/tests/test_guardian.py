"""The guardian refuses to stand guard where it could do nothing, or harm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = (Path(__file__).parent.parent / "poolshift_worker" / "guardian.py").read_text("utf-8")


def start(source: str, namespace: str) -> subprocess.CompletedProcess[bytes]:
    """Runs one whose host has ended."""
    command = [sys.executable, "-I", "-S", "-c", source, "poolshift-guardian", "mark", namespace]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def own_namespace() -> str:
    """What a host on this machine says of itself."""
    return str(Path("/proc/self/ns/pid").readlink())


def test_it_is_ready_where_it_can_act() -> None:
    ended = start(SOURCE, own_namespace())
    assert (ended.returncode, ended.stdout) == (0, b"ready\n")


def test_process_ids_of_another_namespace_are_not_touched() -> None:
    ended = start(SOURCE, "pid:[1]")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"another process namespace" in ended.stderr


def test_a_python_without_pidfds_is_not_ready() -> None:
    ended = start(
        "import os\ndel os.pidfd_open\n" + SOURCE.split("annotations", 1)[1], own_namespace()
    )
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert b"pidfd_open" in ended.stderr
