"""A file in which a worker notes each call before it executes it."""

from __future__ import annotations

import json
import os
from typing import Optional


class Ledger:
    """Append-only; one write per call, so a crash loses nothing that had begun."""

    def __init__(self, fd: int):
        self._fd = fd

    @classmethod
    def open(cls, folder: Optional[str], worker_id: Optional[str]) -> Optional[Ledger]:
        """The ledger of this process in the folder, or None without a folder."""
        if folder is None:
            return None
        path = os.path.join(folder, f"{worker_id or 'worker'}-{os.getpid()}.jsonl")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return cls(os.open(path, flags, 0o600))

    def note(self, call_id: str, command: str, shadow: bool) -> None:
        """Notes that the call is about to be executed."""
        line = {"call_id": call_id, "command": command, "pid": os.getpid(), "shadow": shadow}
        os.write(self._fd, (json.dumps(line) + "\n").encode("ascii"))
