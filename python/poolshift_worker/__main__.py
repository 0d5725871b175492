"""``python3 -m poolshift_worker --app MODULE[:ATTR]``."""

from __future__ import annotations

import os


def claim_stdout() -> int:
    """Takes fd 1 for frames and points it at stderr, before anyone else can print to it."""
    frames = os.dup(1)
    os.dup2(2, 1)
    return frames


if __name__ == "__main__":
    # Before every other import: an app, or a native library under it, may print while it loads.
    FRAMES = claim_stdout()

    from .main import main

    main(FRAMES)
