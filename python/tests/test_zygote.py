"""The warm parent, asked as its host asks it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from conftest import DEADLINE, FOREIGN, HEADER, ROOT, encoded, until
from test_life import gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="hosts run on Linux")

APP = """
    import os, random, signal, ssl, subprocess, sys, threading, time, types
    from poolshift_worker import command

    random.seed(7)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("importing")

    reseeded = []
    numbers = types.ModuleType("numpy.random")
    numbers.seed = lambda: reseeded.append(os.getpid())
    sys.modules["numpy.random"] = numbers
    ssl.RAND_add = lambda noise, entropy: reseeded.append(noise)

    @command("about")
    def about(args, ctx):
        own, noise = reseeded
        return {
            "random": random.random(),
            "noise": noise.hex(),
            "reseeded": own == os.getpid(),
            "worker_id": ctx.worker_id,
            "argv": sys.argv[1:],
            "group": os.getpgid(0) == os.getpid(),
            "child": signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN,
        }

    @command("say")
    def say(args, ctx):
        print("on stdout", flush=True)
        os.write(1, b"on descriptor 1\\n")
        os.write(2, b"on descriptor 2\\n")
        return {"read": len(os.read(0, 1))}

    @command("spin")
    def spin(args, ctx):
        while True:
            pass
"""


class Forked:
    """A worker's process id, and the host's ends of its pipes."""

    def __init__(self, pid: int, requests: int, replies: int, errors: int):
        self.pid, self._pipes = pid, (requests, replies, errors)
        self._last_id = 0

    def send(self, command: str) -> None:
        self._last_id += 1
        os.write(self._pipes[0], encoded({"id": self._last_id, "command": command}))

    def ok(self, command: str) -> Any:
        self.send(command)
        length = int.from_bytes(os.read(self._pipes[1], HEADER), "big")
        reply = json.loads(os.read(self._pipes[1], length))
        assert reply["id"] == self._last_id and reply["success"], reply
        return reply["result"]

    def eof(self) -> None:
        os.close(self._pipes[0])
        self._pipes = (-1, *self._pipes[1:])

    def told(self) -> str:
        """What it has written to its stderr since it was asked last."""
        return os.read(self._pipes[2], 65536).decode()

    def close(self) -> None:
        for pipe in self._pipes:
            if pipe >= 0:
                os.close(pipe)


class Parent:
    """``python3 -m poolshift_worker.zygote``."""

    def __init__(self, folder: Path, app: str, options: Tuple[str, ...] = ()):
        (folder / "tiny_app.py").write_text(textwrap.dedent(app), "utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        path = os.pathsep.join([str(ROOT), str(folder)])
        self.log = folder / "stderr"
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(DEADLINE)
        argv = [sys.executable, "-m", "poolshift_worker.zygote", "--app", "tiny_app", *options]
        with theirs, self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stderr=stderr,
                env={**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            )
        self._workers: List[Forked] = []

    def answer(self) -> Any:
        packet = self.control.recv(65536)
        return json.loads(packet) if packet else None

    def ask(self, request: Dict[str, Any], pipes: Tuple[int, ...] = ()) -> Any:
        socket.send_fds(self.control, [json.dumps(request).encode()], list(pipes))
        return self.answer()

    def fork(self, *options: str) -> Forked:
        forked, ours = self.try_fork(*options)
        worker = Forked(forked["forked"], *ours)
        self._workers.append(worker)
        return worker

    def try_fork(self, *options: str) -> Tuple[Dict[str, Any], Tuple[int, int, int]]:
        (requests, our_requests), (our_replies, replies), (our_errors, errors) = (
            os.pipe(),
            os.pipe(),
            os.pipe(),
        )
        arguments = ["--app", "tiny_app", "--mode", "pool-worker", *options]
        answer = self.ask({"fork": arguments}, (requests, replies, errors))
        for pipe in (requests, replies, errors):
            os.close(pipe)
        return answer, (our_requests, our_replies, our_errors)

    def reap(self, worker: Forked) -> int:
        return int(self.ask({"reap": worker.pid})["reaped"])

    def told(self) -> str:
        return self.log.read_text("utf-8")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        self.control.close()
        for worker in self._workers:
            worker.close()


class Parents:
    """Starts parents; each ends with the test."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._started: List[Parent] = []

    def __call__(self, *options: str, app: str = APP) -> Parent:
        self._started.append(Parent(self._folder, app, options))
        return self._started[-1]

    def ready(self, *options: str, app: str = APP) -> Parent:
        parent = self(*options, app=app)
        assert parent.answer() == "ready", parent.told()
        return parent

    def stop(self) -> None:
        for parent in self._started:
            parent.stop()


@pytest.fixture
def parents(tmp_path: Path) -> Iterator[Parents]:
    """Parents of workers."""
    parents = Parents(tmp_path)
    yield parents
    parents.stop()


def ended(parent: Parent) -> int:
    """The exit status of a parent that says nothing more."""
    assert parent.answer() is None
    return int(parent.process.wait(DEADLINE))


def test_forked_workers_are_told_apart(parents: Parents) -> None:
    parent = parents.ready()
    workers = [parent.fork("--worker-id", f"w-{n}") for n in range(3)]
    told = [worker.ok("about") for worker in workers]
    assert [about["worker_id"] for about in told] == ["w-0", "w-1", "w-2"]
    assert told[1]["argv"][-2:] == ["--worker-id", "w-1"]
    assert all(about["group"] for about in told)
    assert len({about["random"] for about in told}) == 3
    assert all(about["reseeded"] for about in told), "numpy, if there is one"
    assert len({about["noise"] for about in told}) == 3, "and ssl"
    assert all(about["child"] for about in told), "the app's own handler is in force again"
    assert parent.told() == "importing\n", "the app was imported once"


def test_a_forked_workers_output_is_its_own(parents: Parents) -> None:
    parent = parents.ready()
    one, other = parent.fork(), parent.fork()
    assert one.ok("say") == {"read": 0}
    assert one.told().splitlines() == ["on stdout", "on descriptor 1", "on descriptor 2"]
    other.ok("say")
    assert len(other.told().splitlines()) == 3
    assert parent.told() == "importing\n"


def test_a_worker_is_reaped_when_the_host_says_so_and_not_before(parents: Parents) -> None:
    parent = parents.ready()
    worker, other = parent.fork(), parent.fork()
    worker.eof()
    until(lambda: gone(worker.pid), "the worker to end at the end of file")
    # A request and its answer later it is still there, though the app ignores SIGCHLD.
    parent.fork()
    assert Path(f"/proc/{worker.pid}").exists()
    assert parent.reap(worker) == 0
    assert not Path(f"/proc/{worker.pid}").exists()
    os.killpg(other.pid, signal.SIGKILL)
    assert os.WTERMSIG(parent.reap(other)) == signal.SIGKILL


def test_the_end_of_the_host_ends_busy_workers_and_the_parent(parents: Parents) -> None:
    parent = parents.ready()
    workers = [parent.fork(), parent.fork()]
    workers[0].send("spin")
    parent.control.close()
    assert parent.process.wait(DEADLINE) == 0
    until(lambda: all(gone(worker.pid) for worker in workers), "the workers to end")


def test_workers_outlive_their_parent(parents: Parents) -> None:
    parent = parents.ready()
    worker = parent.fork()
    parent.process.kill()
    parent.process.wait(DEADLINE)
    assert worker.ok("ping")["status"] == "ok"
    worker.eof()
    until(lambda: gone(worker.pid), "the worker to end at the end of file")


def test_a_worker_whose_pipes_did_not_all_arrive_is_refused(parents: Parents) -> None:
    parent = parents.ready()
    # As from a kernel that finds no room for them: the parent has too many files open.
    ours, theirs = os.pipe()
    answer = parent.ask({"fork": ["--app", "tiny_app"]}, (theirs,))
    os.close(theirs)
    assert "1 of 3 pipes" in answer["refused"] and "ulimit -n" in answer["refused"], answer
    assert os.read(ours, 1) == b"", "what did arrive is closed"
    os.close(ours)
    assert parent.fork().ok("ping")["status"] == "ok"


def test_threads_are_refused_by_name(parents: Parents) -> None:
    parent = parents(
        app=APP + "    threading.Thread(target=time.sleep, args=(99,), name='pinger').start()\n"
    )
    assert ended(parent) == 1
    assert "cannot fork app 'tiny_app': it has started threads (pinger)" in parent.told()


def test_a_thread_that_comes_late_is_refused_and_the_parent_serves_on(parents: Parents) -> None:
    parent = parents.ready(
        app=APP
        + """
    def late(number, frame):
        global pinger
        pinger = threading.Event()
        threading.Thread(target=pinger.wait, name="late", daemon=True).start()

    signal.signal(signal.SIGUSR2, late)
    signal.signal(signal.SIGWINCH, lambda number, frame: pinger.set())
    """
    )
    tasks = Path(f"/proc/{parent.process.pid}/task")
    parent.process.send_signal(signal.SIGUSR2)
    until(lambda: len(list(tasks.iterdir())) == 2, "the thread to start")
    refused, pipes = parent.try_fork()
    assert "threads (late)" in refused["refused"]
    parent.process.send_signal(signal.SIGWINCH)
    until(lambda: len(list(tasks.iterdir())) == 1, "the thread to end")
    assert parent.fork().ok("ping")["status"] == "ok"
    for pipe in pipes:
        os.close(pipe)


@pytest.mark.parametrize(
    ("options", "app", "why"),
    [
        (("--preload", "no_such_module"), APP, "cannot preload 'no_such_module'"),
        (("--preload", "tiny_app"), "raise SystemExit(0)", "cannot preload 'tiny_app'"),
        ((), "1 / 0", "cannot import app 'tiny_app'"),
        ((), "", "app 'tiny_app' has no @command"),
    ],
)
def test_what_cannot_be_imported_ends_the_parent(
    parents: Parents, options: Tuple[str, ...], app: str, why: str
) -> None:
    parent = parents(*options, app=app)
    assert ended(parent) == 1
    assert why in parent.told()


def test_what_is_preloaded_comes_before_the_app(parents: Parents) -> None:
    app = "import sys\nassert 'wave' in sys.modules\n" + textwrap.dedent(APP)
    assert parents.ready("--preload", "wave", app=app).fork().ok("ping")["status"] == "ok"


def test_a_fork_that_the_system_refuses_is_told(parents: Parents) -> None:
    app = """
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    os.fork = refuse
    """
    refused, pipes = parents.ready(app=APP + app).try_fork()
    assert refused == {"refused": "fork: [Errno 11] Resource temporarily unavailable"}
    for pipe in pipes:
        os.close(pipe)


def test_arguments_of_no_worker_are_refused_and_the_parent_serves_on(parents: Parents) -> None:
    parent = parents.ready()
    refused, pipes = parent.try_fork("--mode", "no_such_mode")
    assert "no_such_mode" in refused["refused"]
    assert parent.fork().ok("ping")["status"] == "ok"
    for pipe in pipes:
        os.close(pipe)


def test_a_worker_that_cannot_come_up_says_why_and_is_not_a_second_parent(
    parents: Parents, tmp_path: Path
) -> None:
    parent = parents.ready()
    worker = parent.fork("--ledger", str(tmp_path / "no_such_folder"))
    assert os.WEXITSTATUS(parent.reap(worker)) == 1
    assert "no_such_folder" in worker.told()
    assert parent.fork().ok("ping")["status"] == "ok"


def test_what_is_frozen_is_not_collected_in_a_worker(parents: Parents) -> None:
    app = (
        APP
        + """
    import gc

    @command("frozen")
    def frozen(args, ctx):
        return {"frozen": gc.get_freeze_count(), "young": len(gc.get_objects())}
    """
    )
    told = parents.ready(app=app).fork().ok("frozen")
    assert told["frozen"] > 1000 > told["young"]
