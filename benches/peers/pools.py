"""The peers behind one face: a job goes in, a future comes out."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Callable, Dict, Protocol

import loky
import pebble

# Longer than any run: workers that are not used between two rounds stay.
IDLE_S = 3600

Job = Callable[[Any], Any]


class Pool(Protocol):
    """So many worker processes."""

    def submit(self, job: Job, args: Any) -> Future[Any]:
        """Hands a job to a worker, now or when one is free."""

    def close(self) -> None:
        """Ends the workers."""


class Standard:
    """The standard library's."""

    def __init__(self, workers: int):
        self._pool = ProcessPoolExecutor(max_workers=workers)

    def submit(self, job: Job, args: Any) -> Future[Any]:
        return self._pool.submit(job, args)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class Pebble:
    """pebble's."""

    def __init__(self, workers: int):
        self._pool = pebble.ProcessPool(max_workers=workers)

    def submit(self, job: Job, args: Any) -> Future[Any]:
        future: Future[Any] = self._pool.schedule(job, args=[args])
        return future

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()


class Loky:
    """loky's."""

    def __init__(self, workers: int):
        self._pool = loky.get_reusable_executor(max_workers=workers, timeout=IDLE_S)

    def submit(self, job: Job, args: Any) -> Future[Any]:
        future: Future[Any] = self._pool.submit(job, args)
        return future

    def close(self) -> None:
        self._pool.shutdown(kill_workers=True)


PEERS: Dict[str, Callable[[int], Pool]] = {
    "ProcessPoolExecutor": Standard,
    "pebble": Pebble,
    "loky": Loky,
}
