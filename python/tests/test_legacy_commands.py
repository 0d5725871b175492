"""A legacy host on the legacy worker and on ours: the same answers, but where ours is meant to
differ.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from conftest import FOREIGN, ROOT
from legacy_host import Decoded, Error, Kind, LegacyHost, Ok
from legacy_rows import ROWS, SAME, Row, fits

LEGACY = [sys.executable, str(ROOT.parent / "tests" / "fixtures" / "legacy_bridge.py")]
OURS = [sys.executable, "-m", "poolshift_worker"]
COMMANDS: Dict[str, List[str]] = {"legacy": LEGACY, "ours": OURS}
KINDS = {"S": Kind.SINGLE, "P": Kind.V2}


class Bench:
    """One worker of each kind in each mode, for all rows: none of them ends its worker."""

    def __init__(self, folder: Path, hosts: ExitStack):
        self._env = legacy_env(folder)
        self._hosts = hosts
        self._by_name: Dict[str, LegacyHost] = {}

    def host(self, worker: str, mode: str) -> LegacyHost:
        """The host of such a worker, whose programs and counters are as at the start."""
        name = worker + mode
        if name not in self._by_name:
            host = LegacyHost(COMMANDS[worker], KINDS[mode], env=self._env)
            self._by_name[name] = self._hosts.enter_context(host)
            host.start()
        assert isinstance(self._by_name[name].call("reset_state"), Ok)
        return self._by_name[name]


def legacy_env(folder: Path, libraries: str = "dspy gemini") -> Dict[str, str]:
    """What both workers need: ours is found, and theirs has its libraries and its debug file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    more = {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "LEGACY_LIBRARIES": libraries}
    return {**kept, **more}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with ExitStack() as hosts:
        yield Bench(tmp_path_factory.mktemp("legacy"), hosts)


def cases() -> Iterator[object]:
    for row in ROWS:
        for mode in row.modes:
            for worker in COMMANDS:
                args = ", ".join(f"{key}={value!r}" for key, value in row.args.items())
                yield pytest.param(
                    row, mode, worker, id=f"{worker}-{mode}-{row.command}({args})"[:90]
                )


@pytest.mark.parametrize(("row", "mode", "worker"), list(cases()))
def test_a_legacy_host_is_answered(bench: Bench, row: Row, mode: str, worker: str) -> None:
    host = bench.host(worker, mode)
    for command, args in row.first:
        host.call(command, args)
    expected = row.legacy if worker == "legacy" or row.ours == SAME else row.ours
    answer: Decoded = host.call(row.command, row.args)
    if isinstance(expected, dict):
        assert isinstance(answer, Ok), answer
        assert fits(expected, answer.result), (expected, answer.result)
    else:
        assert isinstance(answer, Error), answer
        assert fits(expected, answer.error), (expected, answer.error)
