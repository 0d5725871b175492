"""Frames on a pipe: a 4-byte big-endian length, then that many bytes."""

from __future__ import annotations

import os
from typing import Optional

HEADER = 4
READ_BYTES = 65536


class Pipe:
    """Reads and writes whole frames; common ones take one system call each way."""

    __slots__ = ("_buffer", "_read", "_write")

    def __init__(self, read: int, write: int):
        self._read = read
        self._write = write
        self._buffer = b""

    def receive(self) -> Optional[bytes]:
        """The next frame's body, or None at end of file, truncated frames included."""
        buffer = self._buffer
        while len(buffer) < HEADER:
            chunk = os.read(self._read, READ_BYTES)
            if not chunk:
                return None
            buffer += chunk
        end = HEADER + int.from_bytes(buffer[:HEADER], "big")
        if len(buffer) < end:
            parts = [buffer]
            missing = end - len(buffer)
            while missing > 0:
                chunk = os.read(self._read, max(missing, READ_BYTES))
                if not chunk:
                    return None
                parts.append(chunk)
                missing -= len(chunk)
            buffer = b"".join(parts)
        self._buffer = buffer[end:]
        return buffer[HEADER:end]

    def send(self, body: bytes) -> None:
        """Writes one frame whole."""
        frame = len(body).to_bytes(HEADER, "big") + body
        sent = os.write(self._write, frame)
        if sent < len(frame):
            rest = memoryview(frame)[sent:]
            while rest:
                rest = rest[os.write(self._write, rest) :]
