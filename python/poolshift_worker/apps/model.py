"""A deterministic stand-in for a language model: the same question, the same answer."""

from __future__ import annotations

import re
from typing import Any, Mapping

from .arithmetic import calculate

_SUM = re.compile(r"what is ([-+*/().\d\s]+)\?*$", re.IGNORECASE)


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
