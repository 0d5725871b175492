"""Names of fields and classes, and the way back to question -> answer."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any, Dict, List

import pytest
from conftest import Worker, Workers

ASKING = {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]}
NUMBERS = itertools.count()


def created(worker: Worker, signature: Any, **more: Any) -> Dict[str, Any]:
    """The reply to a new program of this signature."""
    args = {"id": f"p{next(NUMBERS)}", "signature": signature, **more}
    result = worker.ok("create_program", args)
    assert isinstance(result, dict)
    return result


def asked(worker: Worker, signature: Any, inputs: Dict[str, Any], **more: Any) -> Any:
    """What a new program of this signature makes of the inputs."""
    program_id = created(worker, signature, **more)["program_id"]
    return worker.ok("execute_program", {"program_id": program_id, "inputs": inputs})["outputs"]


def mapped(worker: Worker, inputs: List[str], outputs: List[str]) -> Dict[str, str]:
    """Which Python names the fields get."""
    signature = {
        "inputs": [{"name": name} for name in inputs],
        "outputs": [{"name": name} for name in outputs],
    }
    result = created(worker, signature)
    assert result["fallback_used"] is False
    mapping = result["field_mapping"]
    assert isinstance(mapping, dict)
    return mapping


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("question", "question"),
        ("camelCase9", "camelCase9"),
        ("größe", "größe"),
        ("unit price", "unit_price"),
        ("unit-price", "unit_price"),
        ("a.b/c", "a_b_c"),
        ("a  b", "a__b"),
        ("end!", "end_"),
        ("a\nb", "a_b"),
        ("a🚀b", "a_b"),
        # A digit in front gets "_" in front, and a name that begins with "_" becomes field_N.
        ("2nd", "field_0"),
        ("7", "field_0"),
        ("_private", "field_0"),
        ("__dunder__", "field_0"),
        ("-dashed", "field_0"),
        (" spaced", "field_0"),
        ("?", "field_0"),
        ("", "field_0"),
    ],
)
def test_a_name_is_cleaned(shared: Worker, name: str, cleaned: str) -> None:
    assert mapped(shared, [name], ["last"]) == {name: cleaned, "last": "last"}


def test_a_field_is_numbered_by_the_fields_before_it(shared: Worker) -> None:
    assert mapped(shared, ["a", "_b", "c"], ["1", "d", "!"]) == {
        "a": "a",
        "_b": "field_1",
        "c": "c",
        "1": "field_3",
        "d": "d",
        "!": "field_5",
    }


def test_a_field_that_comes_twice_is_mapped_once(shared: Worker) -> None:
    assert mapped(shared, ["a", "a", "_b"], ["a", "c"]) == {"a": "a", "_b": "field_1", "c": "c"}


def test_fields_are_given_back_by_their_original_names(shared: Worker) -> None:
    signature = {"inputs": [{"name": "2nd"}], "outputs": [{"name": "unit price"}, {"name": "_x"}]}
    assert asked(shared, signature, {"2nd": "what is 1+2"}) == {"unit price": "3", "_x": "3"}


@pytest.mark.parametrize(
    ("name", "class_name"),
    [("Pricing", "Pricing"), ("shop.Pricing", "Pricing"), ("Elixir.Shop.Deep.Pricing", "Pricing")],
)
def test_a_class_has_the_last_part_of_the_name(shared: Worker, name: str, class_name: str) -> None:
    assert created(shared, {**ASKING, "name": name})["signature_class"] == class_name


@pytest.mark.parametrize("more", [{}, {"name": None}, {"name": ""}], ids=repr)
def test_a_class_without_a_name_is_named_by_the_time(shared: Worker, more: Dict[str, Any]) -> None:
    match = re.fullmatch(r"Dynamic_(\d+)", created(shared, {**ASKING, **more})["signature_class"])
    assert match
    assert abs(int(match.group(1)) - time.time()) < 60


def test_a_description_changes_nothing(shared: Worker) -> None:
    described = {
        "description": "why",
        "inputs": [{"name": "question", "description": "what"}],
        "outputs": [{"name": "answer", "description": "so"}],
    }
    result = created(shared, described)
    assert result["fallback_used"] is False
    assert result["signature"] == result["signature_def"] == described


def test_a_signature_may_be_text(shared: Worker) -> None:
    result = created(shared, "context, question -> answer,confidence")
    assert result["fallback_used"] is False
    assert list(result["field_mapping"]) == ["context", "question", "answer", "confidence"]
    assert result["signature"] == {
        "inputs": [{"name": "context"}, {"name": "question"}],
        "outputs": [{"name": "answer"}, {"name": "confidence"}],
    }


@pytest.mark.parametrize(
    "signature",
    [
        {},
        None,
        [],
        7,
        "",
        "question",
        "-> answer",
        "question ->",
        {"inputs": [{"name": "a"}]},
        {"outputs": [{"name": "a"}]},
        {"inputs": [], "outputs": [{"name": "a"}]},
        {"inputs": [{"name": "a"}], "outputs": []},
        {"inputs": [{"name": "a"}], "outputs": [{}]},
        {"inputs": ["a"], "outputs": [{"name": "a"}]},
        {"inputs": [{"name": 7}], "outputs": [{"name": "a"}]},
        {"inputs": [{"name": "b"}, {"name": 7}], "outputs": [{"name": "a"}]},
        {"inputs": [{"name": None}], "outputs": [{"name": "a"}]},
        {"inputs": [None], "outputs": [{"name": "a"}]},
        {"inputs": 7, "outputs": [{"name": "a"}]},
    ],
    ids=repr,
)
def test_what_cannot_be_a_signature_becomes_question_and_answer(
    shared: Worker, signature: Any
) -> None:
    result = created(shared, signature)
    assert result["fallback_used"] is True
    assert result["field_mapping"] == {}
    assert result["signature_class"] is None
    args = {"program_id": result["program_id"], "inputs": {"question": "what is 2+2"}}
    assert shared.ok("execute_program", args)["outputs"] == {"answer": "4"}


@pytest.mark.parametrize(
    ("inputs", "answer"),
    [
        ({"question": "what is 2+2"}, "4"),
        ({"text": "what is 3+3", "question": "what is 2+2"}, "4"),
        ({"text": "what is 3+3", "more": "what is 2+2"}, "6"),
        ({"text": "hello"}, "answer for question=hello"),
        ({}, "answer for question="),
    ],
    ids=repr,
)
def test_the_fallback_asks_the_question_or_the_first_input(
    shared: Worker, inputs: Dict[str, Any], answer: str
) -> None:
    assert asked(shared, {}, inputs) == {"answer": answer}


def test_a_dynamic_signature_may_be_declined(shared: Worker) -> None:
    signature = {"inputs": [{"name": "a"}], "outputs": [{"name": "b"}]}
    result = created(shared, signature, use_dynamic_signature=False)
    assert result["signature_class"] is None
    assert result["field_mapping"] == {}
    assert result["signature"] == signature
    inputs = {"a": "what is 2+2"}
    assert asked(shared, signature, inputs, use_dynamic_signature=False) == {"answer": "4"}
    assert asked(shared, signature, inputs, use_dynamic_signature=True) == {"b": "4"}


@pytest.mark.parametrize(
    ("value", "dynamic"),
    [("true", True), ("TRUE", True), ("True", True), ("false", False), ("1", False), ("", False)],
)
def test_the_environment_decides_where_the_call_does_not(
    start: Workers, value: str, dynamic: bool
) -> None:
    worker = start(env={"DSPEX_DYNAMIC_SIGNATURES": value})
    assert (created(worker, ASKING)["field_mapping"] != {}) is dynamic
    asked_for = created(worker, ASKING, use_dynamic_signature=True)
    assert asked_for["field_mapping"] == {"question": "question", "answer": "answer"}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is 6*7", "42"),
        ("So, WHAT IS (1 + 2) * 3 ???", "9"),
        ("what is 7 / 2", "3.5"),
        ("what is 1 / 0", "answer for question=what is 1 / 0"),
        ("what is love", "answer for question=what is love"),
        (7, "answer for question=7"),
    ],
)
def test_the_stand_in_for_a_model_knows_sums_only(
    shared: Worker, question: Any, answer: str
) -> None:
    assert asked(shared, ASKING, {"question": question}) == {"answer": answer}
