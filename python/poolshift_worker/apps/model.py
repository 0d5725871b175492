"""A deterministic stand-in for a language model: the same question, the same answer."""

from __future__ import annotations

import os
import re
from typing import Any, Mapping

from .arithmetic import calculate

_SUM = re.compile(r"what is ([-+*/().\d\s]+)\?*$", re.IGNORECASE)


def require(otherwise: str) -> None:
    """Raises the text unless there is a model.

    The built-in one needs neither dspy nor a key, so the legacy worker's texts for a missing
    library or model come only with ``POOLSHIFT_MODEL=none``, by which a host can rehearse them.
    """
    if os.environ.get("POOLSHIFT_MODEL", "builtin") == "none":
        raise RuntimeError(otherwise)


def answer(field: str, inputs: Mapping[str, Any]) -> str:
    """The value of an output field."""
    question = str(inputs.get("question", next(iter(inputs.values()), "")))
    match = _SUM.search(question.strip())
    if match:
        try:
            return str(calculate(match.group(1)))
        except (ValueError, ArithmeticError):
            pass
    given = ", ".join(f"{name}={inputs[name]}" for name in sorted(inputs))
    return f"{field} for {given}"
