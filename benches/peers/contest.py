"""Lets each pool's host do the same in rounds that alternate, and makes a table of it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Dict, List

FOLDER = Path(__file__).parent
OURS = "poolshift"
PEERS = ["ProcessPoolExecutor", "pebble", "loky"]
WORKERS = [8, 2]
CALLERS = [32, 1]

# How long callers call around a kill.
KILL_S = 1.0

# Between these lines of a document stands the table.
BEGIN, END = "<!-- made by benches/peers/run -->\n", "<!-- end -->\n"

Figures = Dict[str, Any]


class Host:
    """A process with a pool in it."""

    def __init__(self, name: str, workers: int):
        self.name = name
        # Python's callers are those of its two kinds with which the pool is faster.
        self.ways = ["tasks"] if name == OURS else ["threads", "callbacks"]
        script = [sys.executable, str(FOLDER / "host.py"), name, str(workers)]
        bench = ["cargo", "bench", "--locked", "--quiet", "--bench", "peers", "--", str(workers)]
        pipe = subprocess.PIPE
        command = bench if name == OURS else script
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.start = self._answer()
        self.rounds: Dict[int, Dict[str, List[Figures]]] = {
            callers: {way: [] for way in self.ways} for callers in CALLERS
        }

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def do(self, what: str, callers: int, seconds: float) -> Figures:
        """Has it done, and gives what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what} {callers} {seconds}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Figures:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}'s host ended with {self._process.wait()}")
        answer: Figures = json.loads(line)
        return answer

    def best(self, callers: int) -> Figures:
        """Medians of the rounds with those callers with which it is fastest."""

        def medians(rounds: List[Figures]) -> Figures:
            return {key: median(it[key] for it in rounds) for key in rounds[0]}

        ways = [medians(rounds) for rounds in self.rounds[callers].values()]
        return max(ways, key=lambda figures: figures["calls_per_s"])


def contest(workers: int, rounds: int, seconds: float, kills: int) -> List[str]:
    """The tables for so many workers."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(Host(name, workers)) for name in [*PEERS, OURS]]
        for callers in CALLERS:
            for number in range(rounds):
                tell(f"{workers} workers, {callers} callers: round {number + 1} of {rounds}")
                for host in hosts:
                    for way in host.ways:
                        figures = host.do(way, callers, seconds)
                        host.rounds[callers][way].append(figures)
    lives = [Life(name) for name in [*PEERS, OURS]]
    for number in range(kills):
        tell(f"{workers} workers: kill {number + 1} of {kills}")
        for life in lives:
            life.live(workers)
    return [f"### {workers} workers", "", *calls(hosts), "", *starts_and_kills(lives), ""]


class Life:
    """How a pool starts, and takes it that a worker is killed: each time a new one."""

    def __init__(self, name: str):
        self.name = name
        self.starts: List[Figures] = []
        self.kills: List[Figures] = []

    def live(self, workers: int) -> None:
        """Once more."""
        with Host(self.name, workers) as host:
            self.starts.append(host.start)
            self.kills.append(host.do("kill", max(CALLERS), KILL_S))

    def row(self) -> List[str]:
        """Medians, and the worst where a median says too little."""
        starts = [ms(median(it[key] for it in self.starts) * 1e6) for key in ("first_s", "all_s")]
        failed = [it["failed"] for it in self.kills]
        told = sorted({f"`{told}`" for it in self.kills for told in it["told"]})
        alive = sum(it["lives"] for it in self.kills)
        whole = [it["whole_s"] for it in self.kills if it["whole_s"] is not None]
        return [
            self.name,
            *starts,
            f"{median(failed):.0f}, at most {max(failed)}",
            ", ".join(told),
            f"{alive} of {len(self.kills)}",
            ms(median(whole) * 1e6) if whole else "never",
        ]


def starts_and_kills(lives: List[Life]) -> List[str]:
    """How pools start, and what a killed worker costs, in Markdown."""
    first = ["pool", "first answer", "all have answered"]
    head = [*first, f"failed of {max(CALLERS)} callers", "told", "lives on", "whole again"]
    return markdown([head, *(life.row() for life in lives)])


def calls(hosts: List[Host]) -> List[str]:
    """How fast calls are, in Markdown."""
    many = max(CALLERS)
    head = ["pool", f"calls/s, {many} callers", "p50", "p99", "calls/s, one caller", "p50", "p99"]
    speed = [head]
    for host in hosts:
        row = [host.name]
        for callers in CALLERS:
            best = host.best(callers)
            row += [f"{best['calls_per_s']:.0f}", ms(best["p50_us"]), ms(best["p99_us"])]
        speed.append(row)
    return markdown(speed)


def ms(us: float) -> str:
    """Milliseconds with three digits that mean something."""
    value = us / 1e3
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} ms"


def markdown(rows: List[List[str]]) -> List[str]:
    """Rows, the first of which is the head, as a table."""
    rule = ["---"] + ["---:"] * (len(rows[0]) - 1)
    return ["| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]]]


def machine() -> str:
    """What all of it was measured on."""
    cores = len(os.sched_getaffinity(0))
    versions = ", ".join(f"{name} {version(name)}" for name in ["pebble", "loky"])
    return (
        f"{cores} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{versions}, poolshift {commit()}."
    )


def commit() -> str:
    """The commit that was measured."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def tell(text: str) -> None:
    """What goes on, for who waits."""
    print(text, file=sys.stderr, flush=True)


def renew(document: Path, lines: List[str]) -> None:
    """Puts the lines in the place of those that stand there."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{document} has no lines {BEGIN.strip()} and {END.strip()}")
    document.write_text(before + begin + "\n".join(lines) + "\n" + end + after)


def main() -> None:
    """All tables, printed, and written to a document if one is named."""
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each kind (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round (1)")
    parser.add_argument("--kills", type=int, default=5, help="new pools with a kill each (5)")
    parser.add_argument("--doc", type=Path, help="a document whose table is renewed")
    options = parser.parse_args()
    lines = [machine(), ""]
    for workers in WORKERS:
        lines += contest(workers, options.rounds, options.seconds, options.kills)
    print("\n".join(lines))
    if options.doc is not None:
        renew(options.doc, lines[:-1])


if __name__ == "__main__":
    main()
