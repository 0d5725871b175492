"""Commands about a worker as a whole, field by field, as the legacy worker has them."""

from __future__ import annotations

import platform
import re
from typing import Any, Dict

import pytest
from conftest import ANONYMOUS, NAMED, Worker, Workers, listed, now, pooled

COMMANDS = [
    "calculate",
    "cleanup",
    "cleanup_session",
    "configure_lm",
    "crash",
    "create_gemini_program",
    "create_program",
    "delete_program",
    "echo",
    "execute_gemini_program",
    "execute_program",
    "fail",
    "get_program_info",
    "get_session_data",
    "get_stats",
    "list_programs",
    "ping",
    "reset_state",
    "shutdown",
    "sleep",
    "spin",
    "update_session_data",
]


# ping


def test_ping_has_the_legacy_fields_and_ours(start: Workers) -> None:
    worker = start()
    pong = worker.ok("ping", {"initialization": True, "worker_id": "ignored"})
    assert now(pong.pop("timestamp"))
    assert isinstance(pong.pop("dspy_available"), bool)
    assert isinstance(pong.pop("gemini_available"), bool)
    assert re.fullmatch(r"poolshift_worker/\d+\.\d+\.\d+", pong.pop("runtime"))
    assert 0 <= pong.pop("uptime") < 60
    assert 0 <= pong.pop("import_s") < 60
    assert pong == {
        "status": "ok",
        "mode": "standalone",
        "protocol": 1,
        "pid": worker.process.pid,
        "python": platform.python_version(),
        "commands": COMMANDS,
    }


def test_ping_names_the_worker_if_it_has_a_name(start: Workers) -> None:
    pong = pooled(start).ok("ping")
    assert (pong["worker_id"], pong["mode"]) == ("w1", "pool-worker")


# configure_lm


def test_a_model_is_configured_with_defaults(start: Workers) -> None:
    result = start().ok("configure_lm", {"model": "gemini-1.5-flash", "api_key": "k"})
    assert result == {
        "status": "configured",
        "model": "gemini-1.5-flash",
        "provider": "google",
        "temperature": 0.7,
    }


def test_a_model_is_configured_as_asked(start: Workers) -> None:
    args = {"model": "gemini-2", "api_key": "k", "temperature": 0, "provider": "google"}
    result = start().ok("configure_lm", args)
    assert (result["model"], result["temperature"]) == ("gemini-2", 0)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"api_key": "k"}, "Model name is required"),
        ({"model": "", "api_key": "k"}, "Model name is required"),
        ({"model": "gemini-2"}, "API key is required"),
        ({"model": "gemini-2", "api_key": None}, "API key is required"),
        ({"model": "gpt", "api_key": "k"}, "Unsupported provider/model combination: google/gpt"),
        (
            {"model": "gemini-2", "api_key": "k", "provider": "other"},
            "Unsupported provider/model combination: other/gemini-2",
        ),
    ],
)
def test_a_model_that_cannot_be_configured_is_a_result(
    shared: Worker, args: Dict[str, Any], text: str
) -> None:
    assert shared.ok("configure_lm", args) == {"error": text}


def test_the_api_key_is_put_into_the_environment(start: Workers) -> None:
    worker = start(
        app="""
        import os
        from poolshift_worker import command
        from poolshift_worker.apps import control

        @command("key")
        def key(args, ctx):
            return os.environ.get("GEMINI_API_KEY")
        """
    )
    assert worker.ok("key") is None
    worker.ok("configure_lm", {"model": "gemini-2", "api_key": "secret"})
    assert worker.ok("key") == "secret"
    assert worker.told() == ""


# The worker as a whole


def test_stats_have_the_legacy_fields(start: Workers) -> None:
    stats = start().ok("get_stats")
    assert 0 <= stats.pop("uptime") < 60
    assert isinstance(stats.pop("dspy_available"), bool)
    assert isinstance(stats.pop("gemini_available"), bool)
    memory = stats.pop("memory_usage")
    assert set(memory) == {"rss", "vms", "percent"}
    assert 1 << 20 < memory["rss"] < memory["vms"]
    assert 0 < memory["percent"] < 100
    assert stats == {"programs_count": 0, "command_count": 1, "error_count": 0}


def test_stats_count_programs_and_errors(start: Workers) -> None:
    worker = start()
    worker.ok("create_program", {"id": "p1"})
    worker.error("create_program", {"id": "p1"})
    stats = worker.ok("get_stats")
    assert stats["programs_count"] == 1
    assert stats["command_count"] == 3
    assert stats["error_count"] == 1


def test_stats_count_every_command(start: Workers) -> None:
    worker = start()
    worker.ok("ping")
    worker.ok("echo")
    worker.error("fail")
    worker.error("no_such")
    stats = worker.ok("get_stats")
    assert stats["command_count"] == 5
    assert stats["error_count"] == 2


def test_cleanup_forgets_all_programs(start: Workers, mode: str) -> None:
    worker = start("--mode", mode)
    worker.ok("create_program", {"id": "p1", **ANONYMOUS})
    worker.ok("create_gemini_program", {"id": "g1"})
    assert worker.ok("cleanup") == {"status": "cleaned", "programs_removed": 2}
    assert worker.ok("get_stats")["programs_count"] == 0


def test_reset_forgets_programs_and_counters(start: Workers) -> None:
    worker = start()
    worker.ok("create_program", {"id": "p1"})
    worker.error("create_program", {"id": "p1"})
    assert worker.ok("reset_state") == {
        "status": "reset",
        "programs_cleared": 1,
        "commands_reset": 3,
        "errors_reset": 1,
    }
    stats = worker.ok("get_stats")
    assert stats["programs_count"] == stats["error_count"] == 0
    assert stats["command_count"] == 1


def test_a_session_ends_in_a_pool_worker(start: Workers) -> None:
    result = pooled(start).ok("cleanup_session", NAMED)
    assert result == {"status": "cleaned", "session_id": "s1", "programs_removed": 0}


@pytest.mark.parametrize("args", [{}, {"session_id": ""}])
def test_the_session_that_ends_must_be_named(start: Workers, args: Dict[str, Any]) -> None:
    assert pooled(start).error("cleanup_session", args) == "Session ID required for cleanup"


@pytest.mark.parametrize("args", [{}, NAMED])
def test_standalone_has_no_sessions_to_end(shared: Worker, args: Dict[str, Any]) -> None:
    result = shared.ok("cleanup_session", args)
    assert result == {"status": "not_applicable", "mode": "standalone"}


def test_shutdown_in_standalone_forgets_programs(start: Workers) -> None:
    worker = start()
    worker.ok("create_program", {"id": "p1"})
    assert worker.ok("shutdown", {"worker_id": "ignored"}) == {
        "status": "shutting_down",
        "worker_id": None,
        "mode": "standalone",
        "sessions_cleaned": 0,
    }
    assert listed(worker) == []


def test_shutdown_in_a_pool_names_the_worker(start: Workers) -> None:
    worker = pooled(start)
    worker.ok("create_program", {"id": "p1", **ANONYMOUS})
    assert worker.ok("shutdown") == {
        "status": "shutting_down",
        "worker_id": "w1",
        "mode": "pool-worker",
        "sessions_cleaned": 0,
    }
    assert worker.ok("get_stats")["programs_count"] == 1


@pytest.mark.parametrize(
    ("command", "status"),
    [("get_session_data", "not_stored_locally"), ("update_session_data", "acknowledged")],
)
def test_session_data_is_the_hosts(shared: Worker, command: str, status: str) -> None:
    args = {**NAMED, "operation": "set", "key": "k", "value": 1}
    result = shared.ok(command, args)
    assert isinstance(result.pop("message"), str)
    assert result == {"session_id": "s1", "status": status}


@pytest.mark.parametrize("command", ["get_session_data", "update_session_data"])
def test_session_data_without_a_session_is_a_result(shared: Worker, command: str) -> None:
    result = shared.ok(command)
    assert set(result) == {"error"}
