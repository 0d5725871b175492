"""A worker process behind pipes, and fixtures that start some and leave none behind."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEADER = 4
# How long anything may take before a test gives up; nothing takes it when all is well.
DEADLINE = 10.0
# What the environment of the tests must not decide for a worker.
FOREIGN = ("DSPEX_", "GEMINI_", "POOLSHIFT_", "PYTHON")

Reply = Dict[str, Any]
NAMED = {"session_id": "s1"}
ANONYMOUS = {"session_id": "anonymous"}
ASKING = {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]}


def frame(body: bytes) -> bytes:
    """The body with its length in front."""
    return len(body).to_bytes(HEADER, "big") + body


def encoded(request: Mapping[str, Any]) -> bytes:
    """A request as a frame."""
    return frame(json.dumps(request).encode("utf-8"))


def until(condition: Callable[[], bool], what: str) -> None:
    """Returns as soon as the condition holds; fails at the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"still waiting for: {what}"
        time.sleep(0.002)


class Worker:
    """``python3 -m poolshift_worker``, or what ``argv`` starts in its place."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path):
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self.stdin.fileno(), False)
        self._buffer = b""
        self._last_id = 0

    def write(self, data: bytes) -> None:
        """Writes all bytes, in as few pieces as the pipe allows."""
        end = time.monotonic() + DEADLINE
        while data:
            _, ready, _ = select.select([], [self.stdin], [], max(0.0, end - time.monotonic()))
            assert ready, f"the worker does not read; {self.told()}"
            data = data[os.write(self.stdin.fileno(), data) :]

    def read(self) -> Reply:
        """The next reply."""
        return decoded(self.read_bytes())

    def read_bytes(self) -> bytes:
        """The next reply's bytes."""
        return self.read_exactly(int.from_bytes(self.read_exactly(HEADER), "big"))

    def rest(self) -> bytes:
        """All that is still to come until the worker closes its end."""
        end = time.monotonic() + DEADLINE
        while self._fill(end):
            pass
        rest, self._buffer = self._buffer, b""
        return rest

    def send(self, command: str, args: Optional[Dict[str, Any]] = None, **more: Any) -> int:
        """Sends a request and gives its id."""
        self._last_id += 1
        request = {"id": self._last_id, "command": command, **more}
        self.write(encoded(request if args is None else {**request, "args": args}))
        return self._last_id

    def call(self, command: str, args: Optional[Dict[str, Any]] = None, **more: Any) -> Reply:
        """Sends a request and gives its reply."""
        request_id = self.send(command, args, **more)
        reply = self.read()
        assert reply["id"] == request_id
        return reply

    def ok(self, command: str, args: Optional[Dict[str, Any]] = None, **more: Any) -> Any:
        """The result of a call that goes well."""
        reply = self.call(command, args, **more)
        assert reply["success"] is True, reply
        return reply["result"]

    def error(self, command: str, args: Optional[Dict[str, Any]] = None, **more: Any) -> str:
        """The error text of a call that does not."""
        reply = self.call(command, args, **more)
        assert reply["success"] is False, reply
        assert isinstance(reply["error"], str)
        return reply["error"]

    def eof(self) -> None:
        """Closes the worker's stdin."""
        self.stdin.close()

    def exit_code(self) -> int:
        """Waits for the end of the process."""
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the worker does not end; {self.told()}")

    def told(self) -> str:
        """The text on stderr so far."""
        return self.log.read_text("utf-8", "replace")

    def tells(self, text: str) -> None:
        """Waits until the text is on stderr."""
        until(lambda: text in self.told(), f"{text!r} on stderr")

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        self.process.kill()
        self.process.wait(DEADLINE)
        self.stdin.close()
        self.stdout.close()

    def read_exactly(self, size: int) -> bytes:
        """The next bytes, whatever they are."""
        end = time.monotonic() + DEADLINE
        while len(self._buffer) < size:
            assert self._fill(end), f"the worker closed its stdout; {self.told()}"
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _fill(self, end: float) -> bool:
        ready, _, _ = select.select([self.stdout], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no reply after {DEADLINE} s; {self.told()}"
        chunk = os.read(self.stdout.fileno(), 1 << 20)
        self._buffer += chunk
        return bool(chunk)


def decoded(body: bytes) -> Reply:
    """A reply; Python's NaN and Infinity are not JSON."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} in a reply")

    reply = json.loads(body.decode("utf-8"), parse_constant=refuse)
    assert isinstance(reply, dict)
    return reply


class Workers:
    """Starts workers whose apps and logs lie in a folder, and stops them all."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._started: List[Worker] = []

    def __call__(
        self,
        *options: str,
        app: Optional[str] = None,
        argv: Sequence[str] = (sys.executable, "-m", "poolshift_worker"),
        env: Optional[Mapping[str, str]] = None,
    ) -> Worker:
        """Starts one; ``app`` is the source text of an app module of its own."""
        count = len(self._started)
        if app is not None:
            name = f"tiny_app_{count}"
            (self.folder / f"{name}.py").write_text(textwrap.dedent(app), "utf-8")
            options = ("--app", name, *options)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        path = os.pathsep.join([str(ROOT), str(self.folder)])
        environment = {**kept, "PYTHONPATH": path, **(env or {})}
        worker = Worker([*argv, *options], environment, self.folder / f"stderr-{count}")
        self._started.append(worker)
        return worker

    def stop(self) -> None:
        """Stops all that were started."""
        for worker in self._started:
            worker.stop()


def now(value: Any) -> bool:
    """Whether a value is a time in epoch seconds, as a float, and not a duration."""
    return isinstance(value, float) and abs(value - time.time()) < 60


def pooled(start: Workers) -> Worker:
    return start("--mode", "pool-worker", "--worker-id", "w1")


def listed(worker: Worker) -> List[str]:
    return [program["id"] for program in worker.ok("list_programs")["programs"]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Workers]:
    """Starts workers; each ends with the test."""
    workers = Workers(tmp_path)
    yield workers
    workers.stop()


@pytest.fixture(params=["standalone", "pool-worker"])
def mode(request: pytest.FixtureRequest) -> str:
    """Both modes of a worker."""
    return str(request.param)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One worker for all tests of a file that leave nothing behind in it."""
    workers = Workers(tmp_path_factory.mktemp("shared"))
    yield workers()
    workers.stop()
