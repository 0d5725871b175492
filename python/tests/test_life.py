"""How a worker starts, what it is told about itself, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from conftest import Worker, Workers, encoded, until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a signal that only Linux has")

# Starts the worker on its own stdin and stdout, and waits.
PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-m", "poolshift_worker", *sys.argv[1:]])
"""

HOLD = """
    import os, threading, time
    from poolshift_worker import command

    @command("hold")
    def hold(args, ctx):
        while not os.path.exists(args["until"]):
            time.sleep(0.002)
        return {"held": True}

    @command("thread")
    def thread(args, ctx):
        threading.Thread(target=time.sleep, args=(3600,)).start()
        return {}
"""

CONTEXT = """
    from poolshift_worker import command

    @command("context")
    def context(args, ctx):
        return {
            "worker_id": ctx.worker_id,
            "session_id": ctx.session_id,
            "mode": ctx.mode,
            "call_id": ctx.call_id,
            "shadow": ctx.shadow,
            "time_left": ctx.time_left(),
        }
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """An empty folder for ledgers."""
    folder = tmp_path / "ledger"
    folder.mkdir()
    return folder


def in_call(worker: Worker, ledger: Path, command: str, args: Dict[str, Any]) -> None:
    """Sends a request and waits until the worker has begun it."""
    worker.send(command, args, call_id="begun")
    until(lambda: any(note["call_id"] == "begun" for note in notes(ledger)), "the call to begin")


def notes(ledger: Path) -> List[Dict[str, Any]]:
    lines = [line for path in ledger.iterdir() for line in path.read_text("utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def gone(pid: int) -> bool:
    """Whether a process has ended; whoever inherits it may take its time to reap it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(") ")[2][0] in "ZX"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"mode": "standalone"}),
        (["--mode", "standalone"], {"mode": "standalone"}),
        (["--mode", "pool-worker"], {"mode": "pool-worker"}),
        (
            ["--mode", "pool-worker", "--worker-id", "worker_1"],
            {"mode": "pool-worker", "worker_id": "worker_1"},
        ),
        (["--worker-id", "alone"], {"mode": "standalone", "worker_id": "alone"}),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, list) else "",
)
def test_the_legacy_command_lines_are_accepted(
    start: Workers, options: List[str], expected: Dict[str, str]
) -> None:
    pong = start(*options).ok("ping")
    assert {key: pong[key] for key in ("mode", "worker_id") if key in pong} == expected


def test_an_unknown_mode_is_a_usage_error(start: Workers) -> None:
    worker = start("--mode", "thread")
    assert worker.exit_code() == 2
    assert "--mode" in worker.told()


def test_an_app_is_imported_by_module(start: Workers) -> None:
    assert start(app=HOLD).ok("ping")["commands"] == ["hold", "ping", "thread"]


def test_an_app_may_be_an_attribute_of_its_module(start: Workers) -> None:
    source = """
        from poolshift_worker import App

        own = App()

        @own.command("only")
        def only(args, ctx):
            return "own"
    """
    worker = start("--app", "tiny_app_0:own", app=source)
    assert worker.ok("only") == "own"
    assert worker.ok("ping")["commands"] == ["only", "ping"]


def test_an_app_may_answer_ping_itself(start: Workers) -> None:
    worker = start(
        app="""
        from poolshift_worker import command
        @command("ping")
        def ping(args, ctx):
            return "mine"
        """
    )
    assert worker.ok("ping") == "mine"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_such_module", "No module named 'no_such_module'"),
        ("json:no_such_attribute", "no_such_attribute"),
        ("json:dumps", "dumps is function, not a poolshift_worker.App"),
        ("json", "app 'json' has no @command"),
    ],
)
def test_an_app_that_cannot_be_served_ends_the_worker(start: Workers, name: str, why: str) -> None:
    worker = start("--app", name)
    assert worker.rest() == b""
    assert worker.exit_code() == 1
    assert why in worker.told()
    assert f"app '{name}'" in worker.told()


def test_a_handler_sees_its_surroundings(start: Workers) -> None:
    worker = start("--mode", "pool-worker", "--worker-id", "w-3", app=CONTEXT)
    seen = worker.ok(
        "context", {"session_id": "s1"}, call_id="c-9", shadow=True, deadline_ms=3_600_000
    )
    left = seen.pop("time_left")
    assert 3500 < left <= 3600
    assert seen == {
        "worker_id": "w-3",
        "session_id": "s1",
        "mode": "pool-worker",
        "call_id": "c-9",
        "shadow": True,
    }


def test_a_handler_without_surroundings_sees_none(start: Workers) -> None:
    worker = start(app=CONTEXT)
    assert worker.ok("context") == {
        "worker_id": None,
        "session_id": None,
        "mode": "standalone",
        "call_id": None,
        "shadow": False,
        "time_left": None,
    }


def test_the_anonymous_session_is_no_session(start: Workers) -> None:
    assert start(app=CONTEXT).ok("context", {"session_id": "anonymous"})["session_id"] is None


@pytest.mark.parametrize("budget", [0, -5])
def test_no_time_left_is_zero(start: Workers, budget: int) -> None:
    assert start(app=CONTEXT).ok("context", deadline_ms=budget)["time_left"] == 0.0


def test_end_of_file_ends_the_worker(start: Workers, mode: str) -> None:
    worker = start("--mode", mode)
    worker.ok("ping")
    worker.eof()
    assert worker.exit_code() == 0
    assert worker.rest() == b""
    assert worker.told() == ""


def test_end_of_file_before_any_request_ends_the_worker(start: Workers, mode: str) -> None:
    worker = start("--mode", mode)
    worker.eof()
    assert worker.exit_code() == 0


def test_end_of_file_ends_a_worker_with_threads(start: Workers, mode: str) -> None:
    worker = start("--mode", mode, app=HOLD)
    worker.ok("thread")
    worker.eof()
    assert worker.exit_code() == 0


def test_requests_before_the_end_of_file_are_answered(start: Workers) -> None:
    worker = start()
    worker.send("echo", {"n": 1})
    worker.send("echo", {"n": 2})
    worker.eof()
    assert [worker.read()["result"]["n"] for _ in range(2)] == [1, 2]
    assert worker.exit_code() == 0


def test_a_host_that_no_longer_reads_ends_the_worker(start: Workers, mode: str) -> None:
    worker = start("--mode", mode)
    worker.ok("ping")
    worker.stdout.close()
    worker.send("ping")
    assert worker.exit_code() == 0
    assert "the host closed the pipe" in worker.told()


def test_shutdown_is_answered_and_only_end_of_file_ends_the_worker(
    start: Workers, mode: str
) -> None:
    worker = start("--mode", mode)
    assert worker.ok("shutdown")["status"] == "shutting_down"
    assert worker.ok("ping")["status"] == "ok"
    worker.eof()
    assert worker.exit_code() == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_a_pool_worker(start: Workers, name: str) -> None:
    worker = start("--mode", "pool-worker")
    worker.ok("ping")
    worker.process.send_signal(signal.Signals[name])
    assert worker.exit_code() == 0
    assert worker.rest() == b""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("command", ["sleep", "spin"])
def test_a_signal_ends_a_pool_worker_in_a_call_without_a_reply(
    start: Workers, ledger: Path, name: str, command: str
) -> None:
    worker = start("--mode", "pool-worker", "--ledger", str(ledger))
    in_call(worker, ledger, command, {"ms": 3_600_000})
    worker.process.send_signal(signal.Signals[name])
    assert worker.exit_code() == 0
    assert worker.rest() == b""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_does_not_end_a_standalone_worker(start: Workers, name: str) -> None:
    worker = start("--mode", "standalone")
    worker.ok("ping")
    worker.process.send_signal(signal.Signals[name])
    assert worker.ok("ping")["status"] == "ok"
    assert name in worker.told()


def test_sigusr1_tells_where_a_call_hangs_and_the_call_goes_on(
    start: Workers, tmp_path: Path, ledger: Path
) -> None:
    let_go = tmp_path / "let_go"
    worker = start("--ledger", str(ledger), app=HOLD)
    in_call(worker, ledger, "hold", {"until": str(let_go)})

    def dumped() -> bool:
        worker.process.send_signal(signal.SIGUSR1)
        return "in hold" in worker.told()

    until(dumped, "the stack of the handler on stderr")
    let_go.touch()
    assert worker.read()["result"] == {"held": True}
    assert worker.ok("ping")["status"] == "ok"


def test_sigusr1_tells_where_a_worker_sleeps(start: Workers, ledger: Path) -> None:
    worker = start("--ledger", str(ledger))
    in_call(worker, ledger, "sleep", {"ms": 3_600_000})

    def dumped() -> bool:
        worker.process.send_signal(signal.SIGUSR1)
        return "demo.py" in worker.told() and "in sleep" in worker.told()

    until(dumped, "the stack of the handler on stderr")
    assert worker.process.poll() is None


def test_sigusr1_tells_of_all_threads(start: Workers) -> None:
    worker = start(app=HOLD)
    worker.ok("thread")
    worker.process.send_signal(signal.SIGUSR1)
    worker.tells("Current thread")
    until(lambda: worker.told().count("hread 0x") >= 2, "the stacks of both threads")
    assert worker.ok("ping")["status"] == "ok"


@linux_only
def test_a_worker_ends_with_its_parent(start: Workers, mode: str) -> None:
    parent = start("--mode", mode, argv=(sys.executable, "-c", PARENT))
    pid = parent.ok("ping")["pid"]
    assert pid != parent.process.pid
    parent.process.kill()
    # Its stdin is still open, so this is not the end of file.
    until(lambda: gone(pid), "the worker to end with its parent")
    assert not parent.stdin.closed


@linux_only
def test_a_worker_ends_with_its_parent_in_a_call(start: Workers, ledger: Path) -> None:
    parent = start("--ledger", str(ledger), argv=(sys.executable, "-c", PARENT))
    pid = parent.ok("ping")["pid"]
    in_call(parent, ledger, "sleep", {"ms": 60_000})
    parent.process.kill()
    until(lambda: gone(pid), "the worker to end with its parent")


@linux_only
def test_a_host_that_arms_the_signal_itself_may_switch_it_off(start: Workers) -> None:
    env = {"POOLSHIFT_PDEATHSIG": "0"}
    parent = start(argv=(sys.executable, "-c", PARENT), env=env)
    pid = parent.ok("ping")["pid"]
    parent.process.kill()
    assert parent.exit_code() == -signal.SIGKILL
    assert parent.ok("ping")["pid"] == pid
    parent.eof()
    until(lambda: gone(pid), "the worker to end at the end of file")


def test_the_ledger_holds_the_calls_that_were_executed(start: Workers, ledger: Path) -> None:
    worker = start("--worker-id", "w-1", "--ledger", str(ledger))
    worker.ok("echo", call_id="first")
    worker.ok("echo")
    worker.error("fail", call_id="second", shadow=True)
    worker.error("no_such", call_id="never")
    worker.write(encoded({"id": 0, "command": "echo", "args": 7, "call_id": "refused"}))
    assert worker.read()["success"] is False
    pid = worker.process.pid
    assert [path.name for path in ledger.iterdir()] == [f"w-1-{pid}.jsonl"]
    assert notes(ledger) == [
        {"call_id": "first", "command": "echo", "pid": pid, "shadow": False},
        {"call_id": "second", "command": "fail", "pid": pid, "shadow": True},
    ]


def test_the_ledger_holds_a_call_that_ended_the_process(start: Workers, ledger: Path) -> None:
    worker = start("--ledger", str(ledger))
    worker.send("crash", {"code": 41}, call_id="last")
    assert worker.exit_code() == 41
    assert [note["call_id"] for note in notes(ledger)] == ["last"]


def test_two_workers_of_one_name_have_ledgers_of_their_own(start: Workers, ledger: Path) -> None:
    pids = set()
    for call_id in ("a", "b"):
        worker = start("--worker-id", "same", "--ledger", str(ledger))
        pids.add(worker.ok("ping", call_id=call_id)["pid"])
    assert {path.name for path in ledger.iterdir()} == {f"same-{pid}.jsonl" for pid in pids}


def test_without_a_ledger_nothing_is_written(start: Workers, tmp_path: Path) -> None:
    worker = start()
    before = sorted(os.listdir(tmp_path))
    worker.ok("echo", call_id="first")
    assert sorted(os.listdir(tmp_path)) == before
