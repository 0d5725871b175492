"""poolshift guardian: ends what workers leave behind once their host is gone.

Runs on its own, as ``python3 -I -S -c SOURCE poolshift-guardian MARK NAMESPACE``, in a
session of its own.
Its stdin is a pipe that only the host writes: four bytes in native order for each process group,
N when it has been started, -N before it is reaped. So the end of the pipe is the end of the host,
however it came, and the groups that are left are still the workers' own.

Workers and all that they start also carry MARK in their environment, by which those are found
that left their group. A process that is meant to outlive the host clears that variable.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

VARIABLE = "POOLSHIFT_GUARDED"
RECORD = 4
READ_BYTES = 65536
# A process that is still there after this long hangs in the kernel, and no signal reaches it.
PATIENCE_S = 10.0
# What a killed process needs to go, about; the next look at the whole table comes after it.
PAUSE_S = 0.005


def main() -> None:
    """Waits for the end of the host, then ends its workers and what they started."""
    # Those reach the whole terminal, or the whole container: the host decides what they mean.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if namespace() != sys.argv[3]:
        sys.exit("it runs in another process namespace than the host: its ids are others there")
    _ = os.pidfd_open, signal.pidfd_send_signal  # Python 3.9: fails here, and not when it counts
    with contextlib.suppress(BrokenPipeError):  # the host has ended meanwhile
        os.write(1, b"ready\n")
    for group in remaining(0):
        kill_group(group)
    sweep(f"{VARIABLE}={sys.argv[2]}".encode("ascii"))


def namespace() -> str:
    """What this process's ids are numbers of, or nothing where that cannot be seen."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def remaining(pipe: int) -> set[int]:
    """Reads records to the end of the pipe; the groups that were started and not reaped."""
    groups: set[int] = set()
    buffer = b""
    while True:
        chunk = os.read(pipe, READ_BYTES)
        if not chunk:
            return groups
        buffer += chunk
        whole = len(buffer) - len(buffer) % RECORD
        for start in range(0, whole, RECORD):
            record = int.from_bytes(buffer[start : start + RECORD], sys.byteorder, signed=True)
            if record > 0:
                groups.add(record)
            else:
                groups.discard(-record)
        buffer = buffer[whole:]


def kill_group(group: int) -> None:
    """SIGKILL to whoever is left of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left, or of ours
        os.killpg(group, signal.SIGKILL)


def sweep(mark: bytes) -> None:
    """Kills every process that carries the mark, until a look at all of them finds none."""
    end = time.monotonic() + PATIENCE_S
    # Each look is at all of them: not `any`, which would stop at the first.
    while sum(killed(pid, mark) for pid in processes()) and time.monotonic() < end:
        time.sleep(PAUSE_S)


def processes() -> list[int]:
    """All process ids of this machine or container."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def killed(pid: int, mark: bytes) -> bool:
    """Whether the process carried the mark; it has been killed then."""
    try:
        # Before the look at what it is: the id may go to another process in between.
        process = os.pidfd_open(pid)
    except OSError:
        return False  # it has gone
    try:
        with open(f"/proc/{pid}/environ", "rb") as environment:
            marked = mark in environment.read().split(b"\0")
        if marked:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        return marked
    except OSError:
        return False  # it has gone, or belongs to somebody else
    finally:
        os.close(process)


if __name__ == "__main__":
    main()
