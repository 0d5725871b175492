"""A process with one peer's pool in it, which does what it reads and prints what came of it.

Usage: host.py POOL WORKERS. It prints how long the start took; then it reads lines, each of which
is what to do, the number of callers and the seconds: `threads 32 1`, `callbacks 32 1`, `kill 32 2`.
For each it prints one JSON object. `host.rs` does the same with poolshift.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future, wait
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from job import ARGS, NAP_S, echo, nap
from pools import PEERS, Pool

# Nothing that is measured takes longer; a pool that hangs is told from one that is slow.
PATIENCE_S = 20.0


def started(make: Callable[[], Pool], workers: int) -> Tuple[Pool, Dict[str, float]]:
    """The pool, and when its first and its last worker had answered."""
    began = time.perf_counter()
    pool = make()
    first: Optional[float] = None
    seen: Set[int] = set()
    while len(seen) < workers:
        naps = [pool.submit(nap, NAP_S) for _ in range(workers)]
        if first is None:
            wait(naps, PATIENCE_S, return_when="FIRST_COMPLETED")
            first = time.perf_counter() - began
        seen.update(future.result(PATIENCE_S) for future in naps)
    return pool, {"first_s": first or 0.0, "all_s": time.perf_counter() - began}


def in_threads(callers: int, caller: Callable[[], None]) -> float:
    """Lets so many callers run, and gives how long all of them took."""
    threads = [threading.Thread(target=caller) for _ in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def threads(pool: Pool, callers: int, seconds: float) -> Dict[str, float]:
    """Calls, each caller's next as soon as its last is answered; a thread for each caller."""
    end = time.perf_counter() + seconds
    times: List[float] = []

    def caller() -> None:
        began = time.perf_counter()
        while began < end:
            check(pool.submit(echo, ARGS).result(PATIENCE_S))
            done = time.perf_counter()
            times.append(done - began)
            began = done

    wall = in_threads(callers, caller)
    return figures(times, wall)


def callbacks(pool: Pool, callers: int, seconds: float) -> Dict[str, float]:
    """The same without threads: who is told of an answer makes the caller's next call."""
    began = time.perf_counter()
    end = began + seconds
    times: List[float] = []
    at_end = threading.Semaphore(0)

    def call() -> None:
        submitted = time.perf_counter()

        def answered(future: Future[Any]) -> None:
            check(future.result())
            done = time.perf_counter()
            times.append(done - submitted)
            if done < end:
                call()
            else:
                at_end.release()

        pool.submit(echo, ARGS).add_done_callback(answered)

    for _ in range(callers):
        call()
    for _ in range(callers):
        if not at_end.acquire(timeout=seconds + PATIENCE_S):
            raise TimeoutError("a call was not answered")
    return figures(times, time.perf_counter() - began)


def check(answer: Any) -> None:
    """A pool that answers something else is no peer."""
    if answer != ARGS:
        raise ValueError(f"the answer is {answer!r}")


def figures(times: List[float], wall: float) -> Dict[str, float]:
    """What the calls of a round come to."""
    times.sort()
    return {
        "calls_per_s": len(times) / wall,
        "p50_us": quantile(times, 0.5) * 1e6,
        "p99_us": quantile(times, 0.99) * 1e6,
    }


def quantile(times: List[float], share: float) -> float:
    """The time within which this share of them lies."""
    return times[round((len(times) - 1) * share)]


def kill_one(pool: Pool, workers: int, callers: int, seconds: float) -> Dict[str, Any]:
    """Kills a worker in the midst of a call, and counts what its callers are told.

    A caller ends with its first failure. The pool lives on if it answers afterwards; it is whole
    again when as many workers as before have answered since.
    """
    victim = pool.submit(nap, 0).result(PATIENCE_S)
    answers: List[Tuple[float, int]] = []
    failures: List[str] = []
    told = threading.Semaphore(0)
    end = time.perf_counter() + seconds

    def caller() -> None:
        while time.perf_counter() < end:
            try:
                pid = pool.submit(nap, NAP_S).result(PATIENCE_S)
            except Exception as error:  # what a caller is told is what is counted
                failures.append(type(error).__name__)
                return
            answers.append((time.perf_counter(), pid))
            told.release()

    calling = threading.Thread(target=in_threads, args=(callers, caller))
    calling.start()
    for _ in range(callers):  # by then every worker is in a call
        if not told.acquire(timeout=PATIENCE_S):
            raise TimeoutError("a call was not answered")
    killed = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    calling.join()
    return {
        "failed": len(failures),
        "told": sorted(set(failures)),
        "lives": lives(pool),
        "whole_s": whole_again(answers, victim, killed, workers),
    }


def lives(pool: Pool) -> bool:
    """Whether the pool answers."""
    try:
        return bool(pool.submit(echo, ARGS).result(PATIENCE_S) == ARGS)
    except Exception:  # whatever it says, it does not answer
        return False


def whole_again(
    answers: List[Tuple[float, int]], victim: int, killed: float, workers: int
) -> Optional[float]:
    """How long after the kill as many workers as before have answered."""
    since: Set[int] = set()
    for at, pid in sorted(answers):
        if at > killed and pid != victim:
            since.add(pid)
            if len(since) == workers:
                return at - killed
    return None


LOOPS = {"threads": threads, "callbacks": callbacks}


def main() -> None:
    """Obeys, line by line, until stdin closes."""
    name, workers = sys.argv[1], int(sys.argv[2])
    pool, start = started(lambda: PEERS[name](workers), workers)
    print(json.dumps(start), flush=True)
    for line in sys.stdin:
        what, callers, seconds = line.split()
        if what == "kill":
            told = kill_one(pool, workers, int(callers), float(seconds))
        else:
            told = LOOPS[what](pool, int(callers), float(seconds))
        print(json.dumps(told), flush=True)
    pool.close()


if __name__ == "__main__":
    main()
