"""A warm parent: imports an app once, and forks a worker whenever the host asks for one.

Runs as ``python3 -m poolshift_worker.zygote --app MODULE[:ATTR] [--preload MODULE ...]``. Its stdin
is one end of a SOCK_SEQPACKET socket. Once all is imported it says ``"ready"``; from then on the
host asks and it answers, one JSON value a packet:

    {"fork": [ARGUMENT, ...]}  with the worker's ends of three pipes: requests, replies, stderr
        {"forked": PID} or {"refused": REASON}
    {"reap": PID}
        {"reaped": STATUS}     as waitpid has it

A worker is reaped when the host says so, and never before: until then its id and its group's are
its own, so the host can open a pidfd of it and end its group. The end of the socket is the end of
the host; the parent then ends every worker that it has not reaped.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
import traceback
from typing import Any, Dict, List, NoReturn, Optional, Set

from . import loop, signals
from .__main__ import claim_pipes
from .main import load, serve
from .main import parse as parse_worker

# More than any request takes: its arguments name an app, a worker and a folder.
PACKET_BYTES = 65536
PIPES = 3


def main(control: socket.socket) -> NoReturn:
    """Warms up, and forks until the host is gone."""
    sys.stdout = sys.stderr
    options = parse(sys.argv[1:])
    # Before the imports, as in a worker of its own: an app's own handlers take precedence.
    signals.install(pool=True)
    warm_up(options.app, options.preload)
    signals.outlive_the_parent()
    Parent(control).serve()


def parse(argv: List[str]) -> argparse.Namespace:
    """What to import."""
    parser = argparse.ArgumentParser(prog="poolshift_worker.zygote")
    parser.add_argument("--app", required=True, help="MODULE[:ATTR]")
    parser.add_argument("--preload", action="append", default=[], metavar="MODULE")
    return parser.parse_args(argv)


def warm_up(app: str, modules: List[str]) -> None:
    """Imports everything, and sees to it that a fork is safe and its pages stay shared."""
    for name in modules:
        preload(name)
    load(app)
    loop.look_for_models()
    reason = unforkable()
    if reason is not None:
        loop.complain(f"cannot fork app {app!r}: {reason}")
        loop.leave(1)
    sys.stderr.flush()
    # What is frozen no collection looks at, and so no worker copies its pages.
    gc.collect()
    gc.freeze()


def preload(name: str) -> None:
    """Imports a module; one that cannot be imported ends the parent with its traceback."""
    try:
        importlib.import_module(name)
    except BaseException:
        traceback.print_exc()
        loop.complain(f"cannot preload {name!r}")
        loop.leave(1)


def unforkable() -> Optional[str]:
    """Why a fork would not be safe: a lock that another thread holds is never let go again."""
    tasks = len(os.listdir("/proc/self/task"))
    if tasks == 1:
        return None
    others = [thread.name for thread in threading.enumerate()]
    others.remove(threading.current_thread().name)
    native = tasks - 1 - len(others)
    if native > 0:
        others.append(f"{native} not Python's")
    return (
        f"it has started threads ({', '.join(others)}); start them in a command, or use "
        'start_method = "spawn"'
    )


def incomplete(pipes: List[int]) -> Optional[str]:
    """Which of a worker's pipes are missing: the kernel drops those that find no room here."""
    if len(pipes) == PIPES:
        return None
    return (
        f"{len(pipes)} of {PIPES} pipes found room among its open files; open fewer at import, "
        "or raise `ulimit -n`"
    )


class Parent:
    """Forks and reaps, one request after the other."""

    def __init__(self, control: socket.socket):
        self._control = control
        self._workers: Set[int] = set()
        # Who ignores this signal, or waits for any child at all, takes the exits from the host.
        self._apps_handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def serve(self) -> NoReturn:
        """Serves until the host is gone."""
        # A host that is gone, not one that is slow: it reads each answer before it asks again.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._say("ready")
            while self._serve_one():
                pass
        for worker in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker, signal.SIGKILL)
        loop.leave()

    def _serve_one(self) -> bool:
        packet, pipes, _, _ = socket.recv_fds(
            self._control, PACKET_BYTES, PIPES, socket.MSG_CMSG_CLOEXEC
        )
        if not packet:
            return False
        request: Dict[str, Any] = json.loads(packet)
        if "fork" in request:
            self._say(self._fork(request["fork"], pipes))
        else:
            self._say(self._reap(request["reap"]))
        return True

    def _fork(self, arguments: List[str], pipes: List[int]) -> Dict[str, Any]:
        try:
            # An import that came late, or a signal handler of the app, may have started one.
            reason = unforkable() or incomplete(pipes)
            if reason is not None:
                return {"refused": reason}
            # Here, and not in each worker: what it writes to would be a copy in each of them.
            options = parse_worker(arguments)
            sys.argv[1:] = arguments
            worker = os.fork()
            if worker == 0:
                self._control.close()
                if self._apps_handler is not None:
                    signal.signal(signal.SIGCHLD, self._apps_handler)
                become_worker(options, *pipes)
            # Here, so that there is a group as soon as the host hears of it.
            os.setpgid(worker, worker)
        except OSError as error:
            return {"refused": f"fork: {error}"}
        except SystemExit:
            return {"refused": f"no worker has the arguments {arguments}"}
        finally:
            for pipe in pipes:
                os.close(pipe)
        self._workers.add(worker)
        return {"forked": worker}

    def _reap(self, worker: int) -> Dict[str, Any]:
        _, status = os.waitpid(worker, 0)
        self._workers.remove(worker)
        return {"reaped": status}

    def _say(self, answer: object) -> None:
        self._control.send(json.dumps(answer).encode("ascii"))


def become_worker(
    options: argparse.Namespace, requests: int, replies: int, errors: int
) -> NoReturn:
    """Goes on as a worker, and never comes back to the parent's loop."""
    try:
        os.dup2(errors, 2)
        os.dup2(errors, 1)
        os.close(errors)
        reseed()
        serve(options, requests, replies)
    except BaseException:
        traceback.print_exc()
    finally:
        loop.leave(1)


def reseed() -> None:
    """Else all workers would draw the parent's numbers. ``random`` sees to that by itself."""
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "ssl" in sys.modules:
        sys.modules["ssl"].RAND_add(os.urandom(32), 32.0)


if __name__ == "__main__":
    CONTROL, STDOUT = claim_pipes()
    os.close(STDOUT)
    main(socket.socket(fileno=CONTROL))
