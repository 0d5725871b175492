"""The worker side of poolshift: plain functions that a host calls over a pipe.

    from poolshift_worker import Context, command

    @command("greet")
    def greet(args: dict, ctx: Context) -> dict:
        return {"greeting": f"hello {args['name']}"}

Run it as ``python3 -m poolshift_worker --app MODULE``.
"""

from .app import App, command
from .context import Context
from .version import __version__

__all__ = ["App", "Context", "__version__", "command"]
