"""Signals, pipes and files: what ends the legacy worker, what ends ours, and what they leave."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from conftest import NAMED, Workers, until
from test_legacy_commands import COMMANDS, LEGACY, legacy_env
from test_legacy_quirks import KEY, MODES, PROGRAM, begin


@pytest.mark.parametrize("worker", COMMANDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_pool_worker_and_not_a_standalone_one(
    start: Workers, worker: str, number: signal.Signals
) -> None:
    alone, pooled = begin(start, worker, "S"), begin(start, worker, "P")
    for process in (alone, pooled):
        assert process.ok("ping")["status"] == "ok"
        process.process.send_signal(number)
    assert pooled.exit_code() == 0
    assert alone.ok("ping")["status"] == "ok"


def test_a_signal_ends_a_legacy_pool_worker_in_mid_command(start: Workers) -> None:
    worker = begin(start, "legacy", "P")
    worker.ok("configure_lm", KEY)
    worker.ok("create_program", PROGRAM)
    worker.send("execute_program", {"program_id": "p", "inputs": {"question": "wait"}})
    until(lambda: '"wait"' in debug_text(start.folder), "the request to be read")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert worker.rest() == b""


def debug_text(folder: Path) -> str:
    return (folder / "legacy_bridge_debug.log").read_text("utf-8")


@pytest.mark.parametrize("mode", MODES)
def test_a_signal_during_imports_kills_a_legacy_worker(start: Workers, mode: str) -> None:
    # It cannot get through its imports: opening its debug file waits for a reader.
    os.mkfifo(start.folder / "legacy_bridge_debug.log")
    worker = begin(start, "legacy", mode)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.exit_code() == -signal.SIGTERM


@pytest.mark.parametrize("mode", MODES)
def test_the_signal_for_stacks_kills_a_legacy_worker_and_ours_tells_them(
    start: Workers, mode: str
) -> None:
    legacy, ours = begin(start, "legacy", mode), begin(start, "ours", mode)
    for worker in (legacy, ours):
        worker.ok("ping")
        worker.process.send_signal(signal.SIGUSR1)
    assert legacy.exit_code() == -signal.SIGUSR1
    ours.tells("Current thread")
    assert ours.ok("ping")["status"] == "ok"


@pytest.mark.parametrize("mode", MODES)
def test_a_broken_pipe_ends_our_worker_and_not_a_legacy_one(start: Workers, mode: str) -> None:
    ours = begin(start, "ours", mode)
    ours.ok("ping")
    ours.stdout.close()
    ours.send("ping")
    assert ours.exit_code() == 0
    worker = begin(start, "legacy", mode)
    worker.ok("ping")
    worker.stdout.close()
    for _ in range(2):
        worker.send("ping")
    until(lambda: worker.told().count("closed the pipe") == 2, "both replies to fail")
    assert worker.process.poll() is None


@pytest.mark.parametrize("mode", MODES)
def test_a_legacy_worker_writes_keys_in_clear(start: Workers, mode: str) -> None:
    begin(start, "legacy", mode).ok("configure_lm", {**KEY, "api_key": "a-secret"})
    assert '"a-secret"' in debug_text(start.folder)


@pytest.mark.parametrize("mode", MODES)
def test_a_legacy_worker_dies_without_its_debug_file(start: Workers, mode: str) -> None:
    (start.folder / "legacy_bridge_debug.log").mkdir()
    worker = begin(start, "legacy", mode)
    assert worker.rest() == b""
    assert worker.exit_code() == 1
    assert "IsADirectoryError" in worker.told()


def test_human_text_goes_to_stderr(start: Workers) -> None:
    flags = {
        "DSPEX_DEBUG_MODE": "True",
        "DSPEX_CLEAN_OUTPUT": "no",
        "DSPEX_SUPPRESS_STACK_TRACES": "false",
    }
    worker = start(argv=LEGACY, env={**legacy_env(start.folder), **flags})
    worker.error("delete_program", NAMED)
    worker.tells("'DSPEX_TEST_MODE': False")
    worker.tells("delete_program: Program ID is required")
    worker.tells("Traceback (most recent call last)")
