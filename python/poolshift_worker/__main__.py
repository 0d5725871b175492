"""``python3 -m poolshift_worker --app MODULE[:ATTR]``."""

from __future__ import annotations

import os
from typing import Tuple


def claim_pipes() -> Tuple[int, int]:
    """Takes fds 0 and 1 for frames, and leaves an empty input and stderr in their places.

    Nobody else can then print between frames, and no subprocess can read the next request.
    """
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


if __name__ == "__main__":
    # Before every other import: an app, or a native library under it, may print while it loads.
    PIPES = claim_pipes()

    from .main import main

    main(*PIPES)
