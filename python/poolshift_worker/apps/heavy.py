"""The demo app behind an import that takes time or memory, for the benchmarks.

``HEAVY_SLEEP_S`` is how many seconds it sleeps, ``HEAVY_IMPORT`` a module that it imports.
"""

from __future__ import annotations

import gc
import importlib
import os
import time
from typing import Any

from ..app import Args, command
from ..context import Context
from . import demo

__all__ = ["demo"]


@command("collect")
def collect(_args: Args, _context: Context) -> Any:
    """Collects garbage, which looks at every object that is not frozen."""
    return {"collected": gc.collect()}


time.sleep(float(os.environ.get("HEAVY_SLEEP_S", "0")))
if "HEAVY_IMPORT" in os.environ:
    importlib.import_module(os.environ["HEAVY_IMPORT"])
