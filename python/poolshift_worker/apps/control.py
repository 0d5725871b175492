"""The commands of the protocol that concern a worker or a session as a whole."""

from __future__ import annotations

import os
from typing import Any, Dict

from ..app import Args, command
from ..context import Context
from . import model
from .programs import STATE


@command("configure_lm")
def configure_lm(args: Args, _context: Context) -> Any:
    """Chooses a model. Failures are results, as the legacy worker has them."""
    try:
        return _configure(args)
    except Exception as error:
        return {"error": str(error)}


def _configure(args: Args) -> Dict[str, Any]:
    name, api_key = args.get("model"), args.get("api_key")
    provider = args.get("provider", "google")
    temperature = args.get("temperature", 0.7)
    if not name:
        raise ValueError("Model name is required")
    if not api_key:
        raise ValueError("API key is required")
    if provider != "google" or not str(name).startswith("gemini"):
        raise ValueError(f"Unsupported provider/model combination: {provider}/{name}")
    model.require("DSPy not available - cannot configure a language model")
    os.environ["GEMINI_API_KEY"] = str(api_key)
    STATE.lm = {"model": name, "provider": provider, "temperature": temperature}
    return {"status": "configured", **STATE.lm}


@command("cleanup")
def cleanup(_args: Args, _context: Context) -> Any:
    """Forgets all programs."""
    removed = len(STATE.programs)
    STATE.programs.clear()
    return {"status": "cleaned", "programs_removed": removed}


@command("reset_state")
def reset_state(_args: Args, context: Context) -> Any:
    """Forgets programs and counters; the model stays."""
    worker = context.worker
    result = {
        "status": "reset",
        "programs_cleared": len(STATE.programs),
        "commands_reset": worker.commands,
        "errors_reset": worker.errors,
    }
    STATE.programs.clear()
    worker.commands = worker.errors = 0
    return result


@command("cleanup_session")
def cleanup_session(args: Args, context: Context) -> Any:
    """Ends a session; its programs are the host's to forget."""
    if context.mode == "standalone":
        return {"status": "not_applicable", "mode": context.mode}
    if not args.get("session_id"):
        raise ValueError("Session ID required for cleanup")
    return {"status": "cleaned", "session_id": args["session_id"], "programs_removed": 0}


@command("shutdown")
def shutdown(_args: Args, context: Context) -> Any:
    """Says goodbye; the process ends when stdin closes."""
    if context.mode == "standalone":
        STATE.programs.clear()
    return {
        "status": "shutting_down",
        "worker_id": context.worker_id,
        "mode": context.mode,
        "sessions_cleaned": 0,
    }


@command("get_session_data")
def get_session_data(args: Args, _context: Context) -> Any:
    """Session data lives with the host."""
    return _not_here(args, "not_stored_locally")


@command("update_session_data")
def update_session_data(args: Args, _context: Context) -> Any:
    """Session data lives with the host."""
    return _not_here(args, "acknowledged")


def _not_here(args: Args, status: str) -> Any:
    session = args.get("session_id")
    if not session:
        return {"error": "Session ID is required"}
    message = "session data is kept by the host's session store"
    return {"session_id": session, "status": status, "message": message}
