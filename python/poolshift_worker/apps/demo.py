"""The demo app: small commands that do what their names say, and the program commands."""

from __future__ import annotations

import os
import time
from typing import Any

from ..app import Args, command
from ..context import Context
from . import arithmetic, control, programs

__all__ = ["control", "programs"]


@command("echo")
def echo(args: Args, _context: Context) -> Any:
    """The args as they were given; the session is the host's addition."""
    return {name: value for name, value in args.items() if name != "session_id"}


@command("calculate")
def calculate(args: Args, _context: Context) -> Any:
    """``expression``: arithmetic on integers and floats."""
    expression = args.get("expression")
    if not isinstance(expression, str):
        raise ValueError("expression must be a text, such as '6 * 7'")
    return {"result": arithmetic.calculate(expression)}


@command("sleep")
def sleep(args: Args, _context: Context) -> Any:
    """``ms``: sleeps that long."""
    ms = float(args.get("ms", 0))
    time.sleep(ms / 1000)
    return {"slept_ms": args.get("ms", 0)}


@command("fail")
def fail(args: Args, _context: Context) -> Any:
    """``message``: raises it."""
    raise RuntimeError(str(args.get("message", "failed as asked")))


@command("crash")
def crash(args: Args, _context: Context) -> Any:
    """``code``: ends the process at once with that exit status."""
    os._exit(int(args.get("code", 9)))


@command("spin")
def spin(_args: Args, _context: Context) -> Any:
    """Never returns, and never lets go of a core."""
    while True:
        pass
