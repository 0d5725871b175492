"""The request loop: read, look up, call, reply."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import sys
import time
from typing import Any, Dict, NoReturn, Optional

from . import replies
from .app import App
from .context import Context, WorkerFacts
from .frames import Pipe
from .ledger import Ledger
from .version import __version__

PROTOCOL = 1


class BadRequestError(ValueError):
    """A request that names no command, or whose args are not an object."""


class Worker:
    """One process: an app behind a pipe."""

    def __init__(
        self,
        app: App,
        pipe: Pipe,
        worker_id: Optional[str],
        mode: str,
        ledger: Optional[Ledger],
        import_s: float,
    ):
        self._app = app
        self._pipe = pipe
        self._facts = WorkerFacts(worker_id, mode)
        self._ledger = ledger
        self._import_s = import_s
        app.commands.setdefault("ping", self._ping)

    def serve(self) -> None:
        """Serves until stdin closes, then ends the process at once, threads and all."""
        receive, send = self._pipe.receive, self._pipe.send
        try:
            while True:
                body = receive()
                if body is None:
                    break
                reply = self._answer(body)
                if reply is not None:
                    send(reply)
        except BrokenPipeError:
            complain("the host closed the pipe")
        leave()

    def _answer(self, body: bytes) -> Optional[bytes]:
        request = parse(body)
        request_id = request.get("id")
        if request_id is None:
            complain(f"request without an id, command {request.get('command')!r}: no reply")
            return None
        if type(request_id) is not int and not replies.carries(request_id):
            complain("request with an id that JSON cannot carry: no reply")
            return None
        context: Optional[Context] = None
        try:
            args = request.get("args", {})
            name = request.get("command")
            if not isinstance(name, str):
                raise BadRequestError("the request names no command")
            if not isinstance(args, dict):
                raise BadRequestError(f"args must be an object, not {type(args).__name__}")
            context = Context(request, args, self._facts)
            self._facts.commands += 1
            handler = self._app.commands.get(name)
            if handler is None:
                raise BadRequestError(f"Unknown command: {name}")
            if self._ledger is not None and context.call_id is not None:
                self._note(context.call_id, name, context.shadow)
            result = handler(args, context)
            return replies.success(request_id, result, context.recycle_reason)
        except BaseException as error:  # sys.exit in a handler must not leave the host waiting
            reason = None
            if context is not None:
                self._facts.errors += 1
                reason = context.recycle_reason
            return replies.failure(request_id, error, reason)

    def _note(self, call_id: str, name: str, shadow: bool) -> None:
        assert self._ledger is not None
        try:
            self._ledger.note(call_id, name, shadow)
        except OSError as error:  # the disk's business, not the call's; the audit misses the line
            complain(f"call {call_id} is not in the ledger: {error}")

    def _ping(self, _args: Dict[str, Any], _context: Context) -> Dict[str, Any]:
        facts = self._facts
        pong = {
            "status": "ok",
            "timestamp": time.time(),
            "dspy_available": available(DSPY),
            "gemini_available": available(GEMINI),
            "uptime": time.time() - facts.started,
            "mode": facts.mode,
            "protocol": PROTOCOL,
            "runtime": f"poolshift_worker/{__version__}",
            "pid": os.getpid(),
            "python": platform.python_version(),
            "commands": sorted(self._app.commands),
            "import_s": self._import_s,
        }
        if facts.worker_id is not None:
            pong["worker_id"] = facts.worker_id
        return pong


DSPY = "dspy"
GEMINI = "google.generativeai"
_FOUND: Dict[str, bool] = {}


def look_for_models() -> None:
    """Looks up what a ping tells of; forked workers then need not."""
    available(DSPY)
    available(GEMINI)


def available(module: str) -> bool:
    """Whether a module could be imported; looked up once, and not imported."""
    if module not in _FOUND:
        try:
            _FOUND[module] = importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            _FOUND[module] = False
    return _FOUND[module]


def parse(body: bytes) -> Dict[str, Any]:
    """The request; bytes that are none end the process, since no frame after them is safe."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        complain(f"request is not JSON ({error}): {body[:64]!r}")
        leave()
    if not isinstance(request, dict):
        complain(f"request is not an object: {body[:64]!r}")
        leave()
    return request


def complain(text: str) -> None:
    """One line for the host's log."""
    with contextlib.suppress(OSError):  # nobody reads stderr any more
        print(f"poolshift_worker: {text}", file=sys.stderr, flush=True)


def leave(status: int = 0) -> NoReturn:
    """Ends the process at once: an app's threads or exit handlers must not keep it."""
    with contextlib.suppress(OSError):  # nobody reads stderr any more
        sys.stderr.flush()
    os._exit(status)
