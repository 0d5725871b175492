"""What goes into a program and what comes out of it."""

from __future__ import annotations

import re
import time
from typing import Any, Dict, List, Optional

FALLBACK_INPUT = "question"
FALLBACK_OUTPUT = "answer"


def normalise(signature: Any) -> Any:
    """The text form ``"question -> answer"`` as the object form; anything else as it is."""
    if not isinstance(signature, str):
        return signature
    inputs, _, outputs = signature.partition("->")
    return {"inputs": _fields(inputs), "outputs": _fields(outputs)}


def _fields(text: str) -> List[Dict[str, str]]:
    return [{"name": name.strip()} for name in text.split(",") if name.strip()]


class Signature:
    """A signature as a class of named fields, or question -> answer if it cannot be one."""

    def __init__(self, definition: Any, dynamic: bool = True):
        self.field_mapping: Dict[str, str] = {}
        self.class_name: Any = None
        self.fallback_used = True
        # None is question -> answer.
        self.outputs: Optional[List[str]] = None
        if dynamic:
            try:
                self._build(definition)
            except (AttributeError, KeyError, TypeError, ValueError):
                self.field_mapping = {}

    def _build(self, definition: Any) -> None:
        inputs, outputs = definition.get("inputs"), definition.get("outputs")
        if not inputs or not outputs:
            raise ValueError("a dynamic signature needs inputs and outputs")
        names = [field["name"] for field in [*inputs, *outputs]]
        for name in names:
            self.field_mapping[name] = self._python_name(name)
        full_name = definition.get("name") or f"Dynamic_{int(time.time())}"
        self.class_name = str(full_name).rsplit(".", 1)[-1]
        self.outputs = names[len(inputs) :]
        self.fallback_used = False

    def _python_name(self, name: str) -> str:
        cleaned = re.sub(r"\W", "_", name)
        if cleaned[:1].isdigit():
            cleaned = f"_{cleaned}"
        if not cleaned or cleaned.startswith("_"):
            return f"field_{len(self.field_mapping)}"
        return cleaned
