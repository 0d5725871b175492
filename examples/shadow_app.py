"""An app whose V3 is not what V2 was: three faults and two harmless differences, to be found.

    poolshift --config examples/shadow.toml shadow run examples/shadow_calls.jsonl

A real V3 runs another build; here one file plays both, and tells them apart by the worker's name.
"""

from __future__ import annotations

import random
import time
from typing import Any, Dict, List

from poolshift_worker import Context, command

TAGS = ["fresh", "local", "organic", "sale"]


def _is_new(context: Context) -> bool:
    return (context.worker_id or "").startswith("v3")


@command("price")
def price(args: Dict[str, Any], context: Context) -> Dict[str, Any]:
    """A read: what an item costs, for whom."""
    item, count = args["item"], args["count"]
    if count < 0:
        # Fault: the new code raises another error.
        error = KeyError if _is_new(context) else ValueError
        raise error(f"nobody buys {count} of {item}")
    total = count * 1.25
    if _is_new(context):
        # Sums in another order: harmless, and within the tolerance that shadow.toml sets.
        total *= 1 + 1e-9
        if count >= 90:
            # Fault: a discount that V2 does not give.
            total *= 0.9
    return {"item": item, "total": total, "tags": _tags(), "at": time.time()}


@command("remember")
def remember(args: Dict[str, Any], _context: Context) -> Dict[str, Any]:
    """A write: the host keeps it for the session, in each lane for itself."""
    return {"name": args["name"], "member": args["member"]}


@command("greet")
def greet(args: Dict[str, Any], context: Context) -> Dict[str, Any]:
    """A read that needs the session."""
    customer = args["customer"]
    answer = {"greeting": f"Hello {customer['name']}", "discount": 5}
    if _is_new(context) and customer["member"]:
        # Fault: members are not told their discount.
        del answer["discount"]
    return answer


def _tags() -> List[str]:
    """In any order: harmless, and V2 does the same."""
    return random.sample(TAGS, len(TAGS))
