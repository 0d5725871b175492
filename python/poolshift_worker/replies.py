"""Reply envelopes, and results that JSON cannot carry."""

from __future__ import annotations

import json
import math
import time
import traceback
from typing import Any, Dict, Iterator, List, Optional, Tuple

TRACEBACK_LINES = 50
# Deeper than any real result; the encoder itself refuses circular ones.
WALK_DEPTH = 200

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class NotJsonError(ValueError):
    """A result that JSON cannot carry."""


def carries(value: Any) -> bool:
    """Whether JSON can carry a value."""
    try:
        _encode(value).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def success(request_id: Any, result: Any, recycle: Optional[str]) -> bytes:
    """The reply to a call that went well; raises NotJsonError naming what cannot be carried."""
    envelope: Dict[str, Any] = {
        "id": request_id,
        "success": True,
        "result": result,
        "timestamp": time.time(),
    }
    _add_recycle(envelope, recycle)
    try:
        return _encode(envelope).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJsonError(_explain(result, error)) from None


def failure(request_id: Any, error: BaseException, recycle: Optional[str] = None) -> bytes:
    """The reply to a call that raised: the legacy text, and what helps to find out why."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    envelope: Dict[str, Any] = {
        "id": request_id,
        "success": False,
        "error": _text(error),
        "error_type": _printable(type(error).__name__),
        "traceback": [_printable(line) for line in _capped("".join(lines).splitlines())],
        "timestamp": time.time(),
    }
    _add_recycle(envelope, recycle)
    return _encode(envelope).encode("utf-8")


def _add_recycle(envelope: Dict[str, Any], recycle: Optional[str]) -> None:
    if recycle is not None:
        envelope["recycle"] = True
        envelope["recycle_reason"] = _printable(recycle)


def _text(error: BaseException) -> str:
    try:
        return _printable(str(error))
    except Exception as worse:
        return f"an error whose text cannot be had: {type(worse).__name__}"


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _capped(lines: List[str]) -> List[str]:
    if len(lines) <= TRACEBACK_LINES:
        return lines
    kept = TRACEBACK_LINES // 2
    return [*lines[:kept], f"… {len(lines) - 2 * kept} lines …", *lines[-kept:]]


def _explain(result: Any, error: BaseException) -> str:
    for path, fault in _faults("result", result, WALK_DEPTH):
        return f"{path} is {fault}, which JSON cannot carry"
    return f"the result cannot be carried by JSON: {_printable(str(error))}"


def _faults(path: str, value: Any, depth: int) -> Iterator[Tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, int):
        if not carries(value):
            yield path, "an integer of too many digits"
    elif depth == 0:
        yield path, "nested too deeply"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    elif isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" for char in value):
            yield path, "text with a lone surrogate"
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int, float, bool)) and key is not None:
                yield path, f"a dict with a key of type {type(key).__name__}"
            yield from _faults(f"{path} key", key, depth - 1)
            yield from _faults(f"{path}.{_printable(str(key))}", item, depth - 1)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _faults(f"{path}[{index}]", item, depth - 1)
    else:
        yield path, f"of type {type(value).__name__}"
