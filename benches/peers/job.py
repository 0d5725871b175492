"""What every pool's workers are asked for, and as what."""

from __future__ import annotations

import os
import time
from typing import Any, Dict

ARGS: Dict[str, Any] = {"x": 1}

# A call of this length finds its worker in the midst of it.
NAP_S = 0.02


def echo(args: Dict[str, Any]) -> Dict[str, Any]:
    """The args as they were given."""
    return dict(args)


def nap(seconds: float) -> int:
    """Sleeps, and tells who did."""
    time.sleep(seconds)
    return os.getpid()
