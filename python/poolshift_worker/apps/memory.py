"""How much memory this process has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict


def memory_usage() -> Dict[str, Any]:
    """``rss`` and ``vms`` in bytes, ``percent`` of the machine's memory.

    The kernel's own figures, so that none of the legacy worker's psutil is needed; where there is
    no /proc they are 0, with the reason, as the legacy worker has them without psutil.
    """
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        size, resident = Path("/proc/self/statm").read_text("ascii").split()[:2]
        rss = int(resident) * page
        total = os.sysconf("SC_PHYS_PAGES") * page
    except (OSError, ValueError) as error:
        return {"rss": 0, "vms": 0, "percent": 0, "error": f"memory is not known here: {error}"}
    return {"rss": rss, "vms": int(size) * page, "percent": 100 * rss / total}
