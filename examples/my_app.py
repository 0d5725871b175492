"""A worker app of one's own: three commands, a session's state, and one slow import.

    poolshift --config examples/my_app.toml call greet '{"name": "Ann"}'

Handlers are plain functions. What a session must keep goes back to the host (the rules are in
my_app.toml), so the session's next call may run in any worker of either pool.
"""

from __future__ import annotations

import time
from typing import Any, Dict

from poolshift_worker import Context, command


def _load_model() -> Dict[str, str]:
    """Stands for `import torch` and the like: it takes a second, once in each worker."""
    time.sleep(1.0)
    return {"en": "Hello", "de": "Guten Tag", "fr": "Bonjour"}


MODEL = _load_model()


@command("greet")
def greet(args: Dict[str, Any], context: Context) -> Dict[str, Any]:
    """A read: changes nothing, so it moves to V3 first."""
    greeting = MODEL[args.get("language", "en")]
    return {"greeting": f"{greeting}, {args['name']}!", "worker": context.worker_id}


@command("remember")
def remember(args: Dict[str, Any], _context: Context) -> Dict[str, Any]:
    """A write: the host saves the result for the session."""
    return {"topic": args["topic"], "text": str(args["text"]).strip()}


@command("recall")
def recall(args: Dict[str, Any], _context: Context) -> Dict[str, Any]:
    """A read that needs the session's state: the host adds it to the args as `note`."""
    note = args.get("note")
    if note is None:
        raise KeyError(f"nothing is known about {args['topic']}")
    return {"topic": args["topic"], "text": note["text"]}
