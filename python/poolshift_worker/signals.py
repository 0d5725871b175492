"""How a worker ends, and how it tells where it hangs."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from typing import Optional

PR_SET_PDEATHSIG = 1


def install(pool: bool) -> None:
    """Arms what must work even while a handler hangs."""
    # In C, and not in the interpreter's loop: it must work in a loop that never returns to it.
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    handler = _leave if pool else _note
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
    if sys.platform == "linux" and os.environ.get("POOLSHIFT_PDEATHSIG") != "0":
        _die_with_the_parent()


def _leave(_signal: int, _frame: Optional[object]) -> None:
    # At once, also in mid-command, as the legacy pool worker does.
    os._exit(0)


def _note(number: int, _frame: Optional[object]) -> None:
    # As the legacy worker: standalone, only the end of stdin or SIGKILL ends it.
    name = signal.Signals(number).name
    os.write(2, f"poolshift_worker: {name}: waiting for the end of stdin\n".encode("ascii"))


def _die_with_the_parent() -> None:
    """Asks the kernel for SIGKILL when the parent ends. Hosts of ours arm it before exec."""
    parent = os.getppid()
    _set_death_signal(signal.SIGKILL)
    # The parent may have died before the signal was armed; then none will come any more.
    if os.getppid() != parent:
        os._exit(0)


def outlive_the_parent() -> None:
    """Disarms that signal, whoever armed it: for one who still has something to do then."""
    _set_death_signal(0)


def _set_death_signal(number: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        print("poolshift_worker: cannot set the parent-death signal", file=sys.stderr)
