"""The program commands of the demo app, field by field, as the legacy worker has them."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from conftest import ANONYMOUS, ASKING, NAMED, Worker, Workers, now, pooled

SIGNATURE = {
    "name": "shop.Pricing",
    "description": "Prices an order",
    "inputs": [{"name": "order", "description": "what"}, {"name": "unit-price"}],
    "outputs": [{"name": "total"}, {"name": "2nd"}],
}
MAPPING = {"order": "order", "unit-price": "unit_price", "total": "total", "2nd": "field_3"}
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
    worker = start()
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
    worker = start()
    worker.ok("create_program", {"id": "p1", "signature": SIGNATURE})
    args = {"program_id": "p1", "inputs": {"unit-price": 3, "order": "tea"}}
    outputs = worker.ok("execute_program", args)["outputs"]
    assert outputs == {
        "total": "total for order=tea, unit-price=3",
        "2nd": "2nd for order=tea, unit-price=3",
    }
    assert worker.ok("execute_program", args)["outputs"] == outputs


def test_inputs_may_be_absent(start: Workers) -> None:
    worker = start()
    worker.ok("create_program", {"id": "p1"})
    result = worker.ok("execute_program", {"program_id": "p1"})
    assert result["outputs"] == {"answer": "answer for question="}


@pytest.mark.parametrize("inputs", [None, "text", [1]])
def test_inputs_that_are_no_object_are_an_error(start: Workers, inputs: Any) -> None:
    worker = start()
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
def test_program_data_that_cannot_be_built_asks_the_question(
    start: Workers, definition: Any
) -> None:
    data = {**RECORD, "signature_def": definition}
    args = {"program_id": "p1", "program_data": data, "inputs": {"text": "what is 1+1"}}
    assert pooled(start).ok("execute_program", args)["outputs"] == {"answer": "2"}


def test_program_data_means_nothing_in_standalone(start: Workers) -> None:
    error = start().error("execute_program", {"program_id": "p1", "program_data": RECORD})
    assert error == "Program not found: p1"


def test_the_id_of_a_program_may_be_a_number(start: Workers) -> None:
    worker = start()
    assert worker.ok("create_program", {"id": 7})["program_id"] == 7
    assert worker.ok("execute_program", {"program_id": 7})["program_id"] == 7


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        ("create_program", "Failed to create program: "),
        ("create_gemini_program", "Failed to create Gemini program: "),
    ],
)
def test_a_program_that_cannot_be_created_says_so(
    start: Workers, mode: str, command: str, failure: str
) -> None:
    error = start("--mode", mode).error(command, {"id": ["no", "key"], **ANONYMOUS})
    assert error.startswith(failure)


def test_without_a_model_the_legacy_texts_say_so(start: Workers, mode: str) -> None:
    worker = start("--mode", mode, env={"POOLSHIFT_MODEL": "none"})
    args = {"id": "p1", **ANONYMOUS}
    text = "DSPy not available - cannot create programs"
    assert worker.error("create_program", args) == text
    text = "Gemini not available - cannot create Gemini programs"
    assert worker.error("create_gemini_program", args) == text
    result = worker.ok("configure_lm", {"model": "gemini-2", "api_key": "k"})
    assert result == {"error": "DSPy not available - cannot configure a language model"}


def test_a_program_of_the_host_needs_a_model_too(start: Workers) -> None:
    worker = start("--mode", "pool-worker", env={"POOLSHIFT_MODEL": "none"})
    args = {"program_id": "p1", "program_data": RECORD, **NAMED}
    assert worker.error("execute_program", args) == "No LM is loaded."


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
    worker = start()
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


def test_a_gemini_program_is_not_a_program_as_the_legacy_text_has_it(start: Workers) -> None:
    worker = start()
    worker.ok("create_gemini_program", {"id": "g1", "signature": ASKING})
    assert worker.error("execute_program", {"program_id": "g1"}) == "'program'"


def test_a_program_is_not_a_gemini_program(start: Workers) -> None:
    worker = start()
    worker.ok("create_program", {"id": "p1"})
    error = worker.error("execute_gemini_program", {"program_id": "p1"})
    assert error == "Program p1 is not a Gemini program"


def test_a_gemini_program_can_be_made_once_in_standalone(start: Workers) -> None:
    worker = start()
    worker.ok("create_gemini_program", {"id": "g1"})
    error = worker.error("create_gemini_program", {"id": "g1"})
    assert error == "Program with ID 'g1' already exists"


def test_a_gemini_program_that_fails_says_so(start: Workers) -> None:
    worker = start()
    worker.ok("create_gemini_program", {"id": "g1", "signature": ASKING})
    error = worker.error("execute_gemini_program", {"program_id": "g1", "inputs": "text"})
    assert error.startswith("Gemini program execution failed: ")
