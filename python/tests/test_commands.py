"""The commands of the demo app, field by field, as the legacy worker has them."""

from __future__ import annotations

import platform
import re
import time
from typing import Any, Dict, List

import pytest
from conftest import Worker, Workers

SIGNATURE = {
    "name": "shop.Pricing",
    "description": "Prices an order",
    "inputs": [{"name": "order", "description": "what"}, {"name": "unit-price"}],
    "outputs": [{"name": "total"}, {"name": "2nd"}],
}
MAPPING = {"order": "order", "unit-price": "unit_price", "total": "total", "2nd": "field_3"}
ASKING = {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]}
RECORD = {
    "program_id": "p1",
    "signature_def": ASKING,
    "signature_class": "Asking",
    "field_mapping": {"question": "question", "answer": "answer"},
    "fallback_used": False,
    "created_at": 1_700_000_000,
    "execution_count": 0,
    "last_executed": None,
    "program_type": "predict",
    "signature": ASKING,
}

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

NAMED = {"session_id": "s1"}
ANONYMOUS = {"session_id": "anonymous"}


def now(value: Any) -> bool:
    """Whether a value is a time in epoch seconds, as a float, and not a duration."""
    return isinstance(value, float) and abs(value - time.time()) < 60


def standalone(start: Workers) -> Worker:
    return start()


def pooled(start: Workers) -> Worker:
    return start("--mode", "pool-worker", "--worker-id", "w1")


def listed(worker: Worker) -> List[str]:
    return [program["id"] for program in worker.ok("list_programs")["programs"]]


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
    result = standalone(start).ok("configure_lm", {"model": "gemini-1.5-flash", "api_key": "k"})
    assert result == {
        "status": "configured",
        "model": "gemini-1.5-flash",
        "provider": "google",
        "temperature": 0.7,
    }


def test_a_model_is_configured_as_asked(start: Workers) -> None:
    args = {"model": "gemini-2", "api_key": "k", "temperature": 0, "provider": "google"}
    result = standalone(start).ok("configure_lm", args)
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


# Programs


@pytest.mark.parametrize("args", [ANONYMOUS, NAMED])
def test_a_program_is_created(start: Workers, mode: str, args: Dict[str, Any]) -> None:
    worker = start("--mode", mode)
    result = worker.ok("create_program", {"id": "p1", "signature": SIGNATURE, **args})
    assert result == {
        "program_id": "p1",
        "status": "created",
        "signature": SIGNATURE,
        "program_type": "predict",
        "signature_class": "Pricing",
        "field_mapping": MAPPING,
        "fallback_used": False,
        "signature_def": SIGNATURE,
    }


def test_the_type_of_a_program_is_echoed(shared: Worker) -> None:
    result = shared.ok("create_program", {"id": "typed", "program_type": "chain_of_thought"})
    assert result["program_type"] == "chain_of_thought"


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("create_program", {}),
        ("create_program", {"id": ""}),
        ("create_program", {"program_id": "p1"}),
        ("create_gemini_program", {}),
        ("execute_program", {}),
        ("execute_program", {"id": "p1"}),
        ("execute_program", {"program_id": None}),
        ("execute_gemini_program", {}),
        ("delete_program", {}),
        ("get_program_info", {}),
    ],
)
def test_a_program_must_be_named(
    start: Workers, mode: str, command: str, args: Dict[str, Any]
) -> None:
    worker = start("--mode", mode)
    assert worker.error(command, {**args, **NAMED}) == "Program ID is required"


@pytest.mark.parametrize(
    ("command", "args"), [("create_program", {"id": "p"}), ("delete_program", {"program_id": "p"})]
)
@pytest.mark.parametrize("session", [{}, {"session_id": ""}, {"session_id": None}])
def test_a_pool_worker_needs_a_session(
    start: Workers, command: str, args: Dict[str, Any], session: Dict[str, Any]
) -> None:
    error = pooled(start).error(command, {**args, **session})
    assert error == "Session ID required in pool-worker mode"


def test_a_program_can_be_made_once_in_standalone(start: Workers) -> None:
    worker = standalone(start)
    worker.ok("create_program", {"id": "p1"})
    assert worker.error("create_program", {"id": "p1"}) == "Program with ID 'p1' already exists"


def test_a_pool_worker_makes_an_anonymous_program_again(start: Workers) -> None:
    worker = pooled(start)
    worker.ok("create_program", {"id": "p1", **ANONYMOUS})
    worker.ok("create_program", {"id": "p1", "signature": ASKING, **ANONYMOUS})
    assert worker.ok("get_program_info", {"program_id": "p1"})["signature"] == ASKING


def test_a_program_runs(start: Workers, mode: str) -> None:
    worker = start("--mode", mode)
    worker.ok("create_program", {"id": "p1", "signature": ASKING, **ANONYMOUS})
    args = {"program_id": "p1", "inputs": {"question": "What is 6 * 7?"}, **ANONYMOUS}
    result = worker.ok("execute_program", args)
    assert now(result.pop("execution_time"))
    assert result == {"program_id": "p1", "outputs": {"answer": "42"}}


def test_a_program_gives_each_output_by_its_own_name(start: Workers) -> None:
    worker = standalone(start)
    worker.ok("create_program", {"id": "p1", "signature": SIGNATURE})
    args = {"program_id": "p1", "inputs": {"unit-price": 3, "order": "tea"}}
    outputs = worker.ok("execute_program", args)["outputs"]
    assert outputs == {
        "total": "total for order=tea, unit-price=3",
        "2nd": "2nd for order=tea, unit-price=3",
    }
    assert worker.ok("execute_program", args)["outputs"] == outputs


def test_inputs_may_be_absent(start: Workers) -> None:
    worker = standalone(start)
    worker.ok("create_program", {"id": "p1"})
    result = worker.ok("execute_program", {"program_id": "p1"})
    assert result["outputs"] == {"answer": "answer for question="}


@pytest.mark.parametrize("inputs", [None, "text", [1]])
def test_inputs_that_are_no_object_are_an_error(start: Workers, inputs: Any) -> None:
    worker = standalone(start)
    worker.ok("create_program", {"id": "p1", "signature": ASKING})
    error = worker.error("execute_program", {"program_id": "p1", "inputs": inputs})
    assert error == "Program execution failed: inputs must be an object"


@pytest.mark.parametrize(
    "command",
    ["execute_program", "execute_gemini_program", "get_program_info", "delete_program"],
)
def test_an_unknown_program_is_named(shared: Worker, command: str) -> None:
    assert shared.error(command, {"program_id": "none"}) == "Program not found: none"


@pytest.mark.parametrize("data", [{}, {"program_data": None}])
@pytest.mark.parametrize("command", ["execute_program", "get_program_info"])
def test_a_pool_worker_keeps_no_program_of_a_named_session(
    start: Workers, command: str, data: Dict[str, Any]
) -> None:
    worker = pooled(start)
    worker.ok("create_program", {"id": "p1", **NAMED})
    error = worker.error(command, {"program_id": "p1", **NAMED, **data})
    assert error == "Program not found: p1"


@pytest.mark.parametrize("session", [NAMED, ANONYMOUS])
def test_program_data_sent_back_is_run(start: Workers, session: Dict[str, Any]) -> None:
    args = {"program_id": "p1", "inputs": {"question": "what is 1+1"}, "program_data": RECORD}
    result = pooled(start).ok("execute_program", {**args, **session})
    assert (result["program_id"], result["outputs"]) == ("p1", {"answer": "2"})


def test_program_data_wins_over_what_is_kept(start: Workers) -> None:
    worker = pooled(start)
    worker.ok("create_program", {"id": "p1", "signature": ASKING, **ANONYMOUS})
    other = {"inputs": [{"name": "question"}], "outputs": [{"name": "other"}]}
    args = {"program_id": "p1", "inputs": {"question": "what is 1+1"}, **ANONYMOUS}
    data = {**RECORD, "signature_def": other, "signature": other}
    assert worker.ok("execute_program", {**args, "program_data": data})["outputs"] == {"other": "2"}
    assert worker.ok("execute_program", args)["outputs"] == {"answer": "2"}


def test_empty_program_data_wins_too(start: Workers) -> None:
    worker = pooled(start)
    worker.ok("create_program", {"id": "p1", "signature": SIGNATURE, **ANONYMOUS})
    args = {"program_id": "p1", "inputs": {"order": "tea"}, "program_data": {}, **ANONYMOUS}
    outputs = worker.ok("execute_program", args)["outputs"]
    assert outputs == {"answer": "answer for question=tea"}


def test_program_data_of_a_fallback_asks_the_question(start: Workers) -> None:
    data = {**RECORD, "signature_class": None, "field_mapping": {}, "fallback_used": True}
    args = {"program_id": "p1", "inputs": {"text": "what is 1+1"}, "program_data": data}
    assert pooled(start).ok("execute_program", {**args, **NAMED})["outputs"] == {"answer": "2"}


@pytest.mark.parametrize("data", ["text", [1], 7])
def test_program_data_that_is_no_object_is_an_error(start: Workers, data: Any) -> None:
    args = {"program_id": "p1", "program_data": data, **NAMED}
    error = pooled(start).error("execute_program", args)
    assert error.startswith("Failed to recreate program from data: ")


@pytest.mark.parametrize("definition", ["text", [1], {"outputs": [{}]}, {"outputs": 7}], ids=repr)
def test_a_program_that_fails_says_so(start: Workers, definition: Any) -> None:
    data = {**RECORD, "signature_def": definition}
    error = pooled(start).error("execute_program", {"program_id": "p1", "program_data": data})
    assert error.startswith(
        ("Program execution failed: ", "Failed to recreate program from data: ")
    )


def test_info_counts_what_was_executed(start: Workers, mode: str) -> None:
    worker = start("--mode", mode)
    worker.ok("create_program", {"id": "p1", "signature": ASKING, **ANONYMOUS})
    info = worker.ok("get_program_info", {"program_id": "p1"})
    assert now(info.pop("created_at"))
    assert info == {
        "program_id": "p1",
        "signature": ASKING,
        "execution_count": 0,
        "last_executed": None,
    }
    worker.ok("execute_program", {"program_id": "p1", **ANONYMOUS})
    worker.ok("execute_program", {"program_id": "p1", **ANONYMOUS})
    info = worker.ok("get_program_info", {"program_id": "p1"})
    assert info["execution_count"] == 2
    assert now(info["last_executed"])


def test_info_of_program_data_sent_back(start: Workers) -> None:
    args = {"program_id": "p1", "program_data": RECORD, **NAMED}
    assert pooled(start).ok("get_program_info", args) == {
        "program_id": "p1",
        "signature": ASKING,
        "created_at": 1_700_000_000,
        "execution_count": 0,
        "last_executed": None,
    }


def test_programs_are_listed_in_standalone(start: Workers) -> None:
    worker = standalone(start)
    assert worker.ok("list_programs") == {"programs": [], "total_count": 0}
    worker.ok("create_program", {"id": "p1", "signature": ASKING})
    worker.ok("create_gemini_program", {"id": "g1", "signature": SIGNATURE})
    result = worker.ok("list_programs")
    assert result["total_count"] == 2
    times = [program.pop("created_at") for program in result["programs"]]
    assert all(now(moment) for moment in times)
    assert result["programs"] == [
        {"id": "p1", "execution_count": 0, "last_executed": None, "signature": ASKING},
        {"id": "g1", "execution_count": 0, "last_executed": None, "signature": SIGNATURE},
    ]


@pytest.mark.parametrize("session", [{}, NAMED, ANONYMOUS])
def test_a_pool_worker_lists_no_programs(start: Workers, session: Dict[str, Any]) -> None:
    worker = pooled(start)
    worker.ok("create_program", {"id": "p1", **ANONYMOUS})
    assert worker.ok("list_programs", session) == {"programs": [], "total_count": 0}


def test_a_program_is_deleted(start: Workers, mode: str) -> None:
    worker = start("--mode", mode)
    worker.ok("create_program", {"id": "p1", **ANONYMOUS})
    result = worker.ok("delete_program", {"program_id": "p1", **ANONYMOUS})
    assert result == {"program_id": "p1", "status": "deleted"}
    error = worker.error("execute_program", {"program_id": "p1", **ANONYMOUS})
    assert error == "Program not found: p1"


def test_a_pool_worker_agrees_to_delete_a_program_of_a_named_session(start: Workers) -> None:
    worker = pooled(start)
    worker.ok("create_program", {"id": "p1", **ANONYMOUS})
    result = worker.ok("delete_program", {"program_id": "p1", **NAMED})
    assert result == {"program_id": "p1", "status": "deleted"}
    # The anonymous program of that name is another one.
    assert worker.ok("get_program_info", {"program_id": "p1"})["program_id"] == "p1"


# Gemini programs


@pytest.mark.parametrize("session", [{}, NAMED, ANONYMOUS])
def test_a_gemini_program_is_kept_in_every_session(
    start: Workers, mode: str, session: Dict[str, Any]
) -> None:
    worker = start("--mode", mode)
    args = {"id": "g1", "signature": SIGNATURE, **session}
    assert worker.ok("create_gemini_program", args) == {
        "program_id": "g1",
        "status": "created",
        "type": "gemini",
        "model_name": "gemini-1.5-flash",
        "signature": SIGNATURE,
    }
    args = {"program_id": "g1", "inputs": {"order": "tea"}, **session}
    result = worker.ok("execute_gemini_program", args)
    assert now(result.pop("execution_time"))
    assert result == {
        "program_id": "g1",
        "outputs": {"total": "total for order=tea", "2nd": "2nd for order=tea"},
        "raw_response": "total: total for order=tea\n2nd: 2nd for order=tea",
    }
    assert worker.ok("get_program_info", {"program_id": "g1"})["execution_count"] == 1


def test_a_gemini_program_has_the_model_asked_for(shared: Worker) -> None:
    result = shared.ok("create_gemini_program", {"id": "g-model", "model": "gemini-2"})
    assert (result["model_name"], result["signature"]) == ("gemini-2", {})


def test_a_gemini_program_runs_as_a_program_too(start: Workers) -> None:
    worker = standalone(start)
    worker.ok("create_gemini_program", {"id": "g1", "signature": ASKING})
    args = {"program_id": "g1", "inputs": {"question": "what is 2*2"}}
    assert worker.ok("execute_program", args)["outputs"] == {"answer": "4"}


def test_a_program_is_not_a_gemini_program(start: Workers) -> None:
    worker = standalone(start)
    worker.ok("create_program", {"id": "p1"})
    error = worker.error("execute_gemini_program", {"program_id": "p1"})
    assert error == "Program p1 is not a Gemini program"


def test_a_gemini_program_can_be_made_once_in_standalone(start: Workers) -> None:
    worker = standalone(start)
    worker.ok("create_gemini_program", {"id": "g1"})
    error = worker.error("create_gemini_program", {"id": "g1"})
    assert error == "Program with ID 'g1' already exists"


def test_a_gemini_program_that_fails_says_so(start: Workers) -> None:
    worker = standalone(start)
    worker.ok("create_gemini_program", {"id": "g1", "signature": ASKING})
    error = worker.error("execute_gemini_program", {"program_id": "g1", "inputs": "text"})
    assert error.startswith("Gemini program execution failed: ")


# The worker as a whole


def test_stats_have_the_legacy_fields(start: Workers) -> None:
    stats = standalone(start).ok("get_stats")
    assert 0 <= stats.pop("uptime") < 60
    assert isinstance(stats.pop("dspy_available"), bool)
    assert isinstance(stats.pop("gemini_available"), bool)
    memory = stats.pop("memory_usage")
    assert set(memory) - {"error"} == {"rss", "vms", "percent"}
    assert stats == {"programs_count": 0, "command_count": 1, "error_count": 0}


def test_stats_count_programs_and_errors(start: Workers) -> None:
    worker = standalone(start)
    worker.ok("create_program", {"id": "p1"})
    worker.error("create_program", {"id": "p1"})
    stats = worker.ok("get_stats")
    assert stats["programs_count"] == 1
    assert stats["command_count"] == 3
    assert stats["error_count"] == 1


def test_stats_count_every_command(start: Workers) -> None:
    worker = standalone(start)
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
    worker = standalone(start)
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
    worker = standalone(start)
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


# The demo's own


def test_echo_gives_the_args_without_the_session(shared: Worker) -> None:
    args = {"a": [1, {"b": None}], "c": "ü", "session_id": "s1"}
    assert shared.ok("echo", args) == {"a": [1, {"b": None}], "c": "ü"}


@pytest.mark.parametrize(
    ("args", "text"),
    [({"message": "on purpose"}, "on purpose"), ({"message": 7}, "7"), ({}, "failed as asked")],
)
def test_fail_raises_its_message(shared: Worker, args: Dict[str, Any], text: str) -> None:
    reply = shared.call("fail", args)
    assert (reply["error"], reply["error_type"]) == (text, "RuntimeError")


def test_sleep_takes_its_time(shared: Worker) -> None:
    began = time.monotonic()
    assert shared.ok("sleep", {"ms": 30}) == {"slept_ms": 30}
    assert time.monotonic() - began >= 0.03


def test_sleep_without_a_time_is_over_at_once(shared: Worker) -> None:
    assert shared.ok("sleep") == {"slept_ms": 0}


@pytest.mark.parametrize("ms", [-1, "soon", None])
def test_sleep_refuses_what_is_no_time(shared: Worker, ms: Any) -> None:
    assert shared.error("sleep", {"ms": ms})
    assert shared.ok("sleep") == {"slept_ms": 0}


@pytest.mark.parametrize(("args", "code"), [({}, 9), ({"code": 3}, 3), ({"code": 0}, 0)])
def test_crash_ends_the_worker(start: Workers, args: Dict[str, Any], code: int) -> None:
    worker = standalone(start)
    worker.send("crash", args)
    assert worker.rest() == b""
    assert worker.exit_code() == code


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("42", 42),
        (" 6 * 7 ", 42),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("10 - 4 - 3", 3),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("(-2) ** 2", 4),
        ("--3", 3),
        ("+-+3", -3),
        ("7 // 2", 3),
        ("-7 // 2", -4),
        ("7 % 3", 1),
        ("-7 % 3", 2),
        ("7 / 2", 3.5),
        ("6 / 2", 3.0),
        ("1.5e3 + .5", 1500.5),
        ("2 ** -1", 0.5),
        ("2 ** 0.5", 2**0.5),
        ("9.0 ** 0.5", 3.0),
        ("0x10 + 1_000", 1016),
        ("2 ** 1024", 2**1024),
        ("0 ** 10000000000", 0),
    ],
)
def test_calculate_gives_the_value(shared: Worker, expression: str, value: Any) -> None:
    result = shared.ok("calculate", {"expression": expression})
    assert result == {"result": value}
    assert type(result["result"]) is type(value)


@pytest.mark.parametrize("expression", ["1 / 0", "1 // 0", "1 % 0", "1.0 / 0", "1 / (2 - 2)"])
def test_calculate_does_not_divide_by_zero(shared: Worker, expression: str) -> None:
    reply = shared.call("calculate", {"expression": expression})
    assert reply["error_type"] == "ZeroDivisionError"
    assert "zero" in reply["error"]


def test_division_by_zero_has_the_usual_text(shared: Worker) -> None:
    assert shared.error("calculate", {"expression": "1 / 0"}) == "division by zero"
    reply = shared.call("calculate", {"expression": "0 ** -1"})
    assert reply["error_type"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("x", "Name"),
        ("1 + x", "Name"),
        ("abs(1)", "Call"),
        ("__import__('os')", "Call"),
        ("(1).real", "Attribute"),
        ("().__class__", "Attribute"),
        ("'text'", "Constant"),
        ("'ab' * 3", "Constant"),
        ("b'ab'", "Constant"),
        ("True", "Constant"),
        ("None", "Constant"),
        ("...", "Constant"),
        ("1j", "Constant"),
        ("[1, 2][0]", "Subscript"),
        ("[1]", "List"),
        ("1 < 2", "Compare"),
        ("1 if 1 else 2", "IfExp"),
        ("1 and 2", "BoolOp"),
        ("not 1", "UnaryOp"),
        ("~1", "UnaryOp"),
        ("1 << 2", "BinOp"),
        ("1 | 2", "BinOp"),
        ("1 @ 2", "BinOp"),
        ("lambda: 1", "Lambda"),
        ("(x := 1)", "NamedExpr"),
        ("f'{1}'", "JoinedStr"),
        ("[n for n in ()]", "ListComp"),
    ],
)
def test_calculate_refuses_all_but_arithmetic(shared: Worker, expression: str, kind: str) -> None:
    error = shared.error("calculate", {"expression": expression})
    assert error == f"only numbers and + - * / // % ** are allowed, not {kind}"


@pytest.mark.parametrize(
    "expression", ["", "1 +", "1 2", "x = 1", "import os", "(", "1; 2", "(" * 500]
)
def test_calculate_refuses_what_is_no_expression(shared: Worker, expression: str) -> None:
    error = shared.error("calculate", {"expression": expression})
    assert error.startswith("not an arithmetic expression: ")


@pytest.mark.parametrize("expression", [None, 7, ["1"], {}])
def test_calculate_needs_a_text(shared: Worker, expression: Any) -> None:
    error = shared.error("calculate", {"expression": expression})
    assert error == "expression must be a text, such as '6 * 7'"


@pytest.mark.parametrize(
    "expression",
    [
        "9 ** 9 ** 9",
        "9 ** 9 ** 9 ** 9",
        "(-9) ** 999999999",
        "2 ** 5000",
        "9 ** -999999999",
        "10 ** 300 * 10 ** 900 * 10 ** 300",
        "2.5 ** 999999999",
        "1e308 * 10",
        "1e999",
        "1" * 2000,
        "1" * 9000,
    ],
    ids=lambda text: text[:20],
)
def test_calculate_refuses_what_is_too_large_at_once(shared: Worker, expression: str) -> None:
    began = time.monotonic()
    assert shared.error("calculate", {"expression": expression})
    assert time.monotonic() - began < 1


def test_calculate_refuses_a_root_that_is_not_real(shared: Worker) -> None:
    error = shared.error("calculate", {"expression": "(-8) ** 0.5"})
    assert error == "the result is not a real number"


def test_calculate_refuses_a_long_text(shared: Worker) -> None:
    error = shared.error("calculate", {"expression": "1" + "+1" * 5000})
    assert error == "the expression has 10001 characters, at most 10000"


@pytest.mark.parametrize(
    "expression", ["-" * 9000 + "1", "1" + "+1" * 4900, "(" * 90 + "1" + ")" * 90]
)
def test_calculate_survives_what_is_nested_deeply(shared: Worker, expression: str) -> None:
    shared.call("calculate", {"expression": expression})
    assert shared.ok("calculate", {"expression": "6 * 7"}) == {"result": 42}
