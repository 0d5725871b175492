"""The command line: what it takes, and the order in which a worker comes up."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from typing import Optional

from . import signals
from .app import DEFAULT_APP, App
from .frames import Pipe
from .ledger import Ledger
from .loop import Worker, complain, leave


def main(requests: int, replies: int) -> None:
    """A process that is a worker from its start. Takes the descriptors of both pipes."""
    # Else printed text waits in a buffer, which the worker's end would lose.
    sys.stdout = sys.stderr
    options = parse(sys.argv[1:])
    signals.install(pool=options.mode == "pool-worker")
    serve(options, requests, replies)


def serve(options: argparse.Namespace, requests: int, replies: int) -> None:
    """Serves, as the command line says, until the pipe of requests closes."""
    began = time.monotonic()
    app = load(options.app)
    worker = Worker(
        app=app,
        pipe=Pipe(read=requests, write=replies),
        worker_id=options.worker_id,
        mode=options.mode,
        ledger=Ledger.open(options.ledger, options.worker_id),
        import_s=time.monotonic() - began,
    )
    worker.serve()


def parse(argv: list[str]) -> argparse.Namespace:
    """The legacy worker's options, and ours."""
    parser = argparse.ArgumentParser(prog="poolshift_worker", description=__doc__)
    parser.add_argument("--app", default="poolshift_worker.apps.demo", help="MODULE[:ATTR]")
    parser.add_argument("--mode", choices=["standalone", "pool-worker"], default="standalone")
    parser.add_argument("--worker-id", default=None)
    parser.add_argument("--ledger", default=None, help="folder to note executed calls in")
    return parser.parse_args(argv)


def load(name: str) -> App:
    """Imports the app; an app that cannot be imported ends the worker with its traceback."""
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
        app = _attribute(module, attribute)
    except BaseException:
        traceback.print_exc()
        complain(f"cannot import app {name!r}")
        leave(1)
    if not app.commands:
        complain(f"app {name!r} has no @command")
        leave(1)
    return app


def _attribute(module: object, attribute: Optional[str]) -> App:
    if not attribute:
        return DEFAULT_APP
    app = getattr(module, attribute)
    if not isinstance(app, App):
        raise TypeError(f"{attribute} is {type(app).__name__}, not a poolshift_worker.App")
    return app
