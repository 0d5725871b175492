"""What a handler knows about the call beside its args."""

from __future__ import annotations

import time
from typing import Any, Dict, Mapping, Optional

ANONYMOUS = "anonymous"


class Context:
    """One call's surroundings."""

    __slots__ = ("_deadline", "call_id", "mode", "recycle_reason", "session_id", "shadow", "worker")

    def __init__(self, request: Mapping[str, Any], args: Dict[str, Any], worker: WorkerFacts):
        session = args.get("session_id")
        self.worker = worker
        self.mode = worker.mode
        self.session_id: Optional[str] = None if session == ANONYMOUS else session
        self.call_id: Optional[str] = request.get("call_id")
        self.shadow: bool = request.get("shadow") is True
        self.recycle_reason: Optional[str] = None
        budget = request.get("deadline_ms")
        self._deadline: Optional[float] = None
        if budget is not None:
            self._deadline = time.monotonic() + budget / 1000

    @property
    def worker_id(self) -> Optional[str]:
        """The name that the host gave this process."""
        return self.worker.worker_id

    def time_left(self) -> Optional[float]:
        """Seconds until the caller gives up, if it told; never below zero."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic())

    def recycle(self, reason: str) -> None:
        """Asks the host to replace this process once the reply has been sent."""
        self.recycle_reason = str(reason)


class WorkerFacts:
    """What stays the same for all calls of one process."""

    __slots__ = ("commands", "errors", "mode", "started", "worker_id")

    def __init__(self, worker_id: Optional[str], mode: str):
        self.worker_id = worker_id
        self.mode = mode
        self.started = time.time()
        self.commands = 0
        self.errors = 0
