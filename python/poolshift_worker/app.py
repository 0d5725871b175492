"""The table of commands that an app offers."""

from __future__ import annotations

from typing import Any, Callable, Dict

from .context import Context

Args = Dict[str, Any]
Handler = Callable[[Args, Context], Any]


class App:
    """Commands by name. Most apps use the module-level :func:`command` and never make one."""

    def __init__(self) -> None:
        self.commands: Dict[str, Handler] = {}

    def command(self, name: str) -> Callable[[Handler], Handler]:
        """Registers a function under a command's name; the last one wins."""

        def register(handler: Handler) -> Handler:
            self.commands[name] = handler
            return handler

        return register


DEFAULT_APP = App()


def command(name: str) -> Callable[[Handler], Handler]:
    """Registers a function of the app module itself."""
    return DEFAULT_APP.command(name)
