"""The workers of the ramp example: a note for each session, and a look-up that sometimes fails.

With PLANTED=1 in its environment the look-up fails five times as often in V3: the fault that the
ramp must find and take back by itself.
"""

from __future__ import annotations

import os
import zlib
from typing import Any, Dict

from poolshift_worker import Context, command

PLANTED = os.environ.get("PLANTED") == "1"


@command("remember")
def remember(args: Dict[str, Any], _context: Context) -> Dict[str, Any]:
    """A write: the host saves the result for the session."""
    return {"topic": args["topic"], "text": args["text"]}


@command("recall")
def recall(args: Dict[str, Any], _context: Context) -> Dict[str, Any]:
    """A read that needs the session's state, which the host adds to the args as `note`."""
    return {"text": args["note"]["text"]}


@command("look_up")
def look_up(args: Dict[str, Any], context: Context) -> Dict[str, Any]:
    """A read that fails for 4 in 100 keys, in both lanes for the same ones."""
    in_v3 = (context.worker_id or "").startswith("v3-")
    failing = 20 if PLANTED and in_v3 else 4
    if zlib.crc32(str(args["key"]).encode()) % 100 < failing:
        raise LookupError(f"nothing under {args['key']}")
    return {"found": args["key"]}
