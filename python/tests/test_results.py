"""What becomes of a handler's result: carried, or refused by name, and never a missing reply."""

from __future__ import annotations

import sys
from typing import Any, Iterator

import pytest
from conftest import Worker, Workers

APP = """
    import math
    from poolshift_worker import command

    class Thing:
        pass

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def nested(depth, inner):
        value = inner
        for _ in range(depth):
            value = [value]
        return value

    def cycle():
        value = {}
        value["again"] = value
        return value

    @command("value")
    def value(args, ctx):
        return eval(args["of"])

    @command("raise")
    def throw(args, ctx):
        raise eval(args["error"])

    @command("chain")
    def chain(args, ctx):
        try:
            {}["absent"]
        except KeyError as error:
            raise ValueError("outer") from error

    @command("deep")
    def deep(args, ctx):
        # Functions that differ, since Python folds a recursion's equal lines by itself.
        names = {}
        for n in range(100):
            inner = f"f{n - 1}()" if n else "1 / 0"
            exec(f"def f{n}(): {inner}", names)
        names["f99"]()

    @command("recycle")
    def recycle(args, ctx):
        ctx.recycle("grown too large")
        return eval(args.get("of", "{}"))

    @command("recycle_for")
    def recycle_for(args, ctx):
        ctx.recycle(eval(args["reason"]))
        return {}
"""

REFUSED = [
    ("math.nan", "result is NaN"),
    ("{'a': math.nan}", "result.a is NaN"),
    ("{'a': [1, {'b': math.inf}]}", "result.a[1].b is Infinity"),
    ("[0.5, -math.inf]", "result[1] is -Infinity"),
    ("{'a': b'bytes'}", "result.a is of type bytes"),
    ("{'a': (1, Thing())}", "result.a[1] is of type Thing"),
    ("{'a': {1, 2}}", "result.a is of type set"),
    ("{'a': 'x\\ud800'}", "result.a is text with a lone surrogate"),
    ("{'x\\udfff': 1}", "result key is text with a lone surrogate"),
    ("{'a': {(1, 2): 3}}", "result.a is a dict with a key of type tuple"),
    ("{b'a': 3}", "result is a dict with a key of type bytes"),
    ("{'a': {math.nan: 3}}", "result.a key is NaN"),
    ("nested(100_000, 1)", "[0][0] is nested too deeply"),
    ("print", "result is of type builtin_function_or_method"),
]

CARRIED = [
    ("None", None),
    ("7", 7),
    ("'text'", "text"),
    ("''", ""),
    ("(1, [2, (3,)])", [1, [2, [3]]]),
    ("{1: 'a', 2.5: 'b', True: 'c', None: 'd'}", {"1": "c", "2.5": "b", "null": "d"}),
    ("{'a': 2**70, 'b': -0.5}", {"a": 2**70, "b": -0.5}),
    ("'nul \\0, tab \\t, high \\U0001f680'", "nul \0, tab \t, high 🚀"),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    workers = Workers(tmp_path_factory.mktemp("results"))
    yield workers(app=APP)
    workers.stop()


@pytest.mark.parametrize(("of", "fault"), REFUSED, ids=[of for of, _ in REFUSED])
def test_a_result_json_cannot_carry_is_an_error_that_names_the_path(
    worker: Worker, of: str, fault: str
) -> None:
    reply = worker.call("value", {"of": of})
    assert reply["success"] is False
    assert reply["error_type"] == "NotJsonError"
    assert reply["error"].startswith("result")
    assert reply["error"].endswith(f"{fault}, which JSON cannot carry")
    assert worker.ok("value", {"of": "'next'"}) == "next"


def test_a_result_that_contains_itself_is_an_error_that_names_the_path(worker: Worker) -> None:
    reply = worker.call("value", {"of": "cycle()"})
    assert reply["error_type"] == "NotJsonError"
    assert reply["error"].startswith("result.again.again")
    assert worker.ok("value", {"of": "'next'"}) == "next"


@pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="no limit in this Python")
def test_an_integer_of_too_many_digits_is_named_too(worker: Worker) -> None:
    error = worker.error("value", {"of": "{'a': 10**5000}"})
    assert error.startswith("result.a is ")


@pytest.mark.parametrize(("of", "result"), CARRIED, ids=[of for of, _ in CARRIED])
def test_what_json_can_carry_arrives(worker: Worker, of: str, result: Any) -> None:
    assert worker.ok("value", {"of": of}) == result


def test_nesting_that_the_encoder_can_carry_arrives(worker: Worker) -> None:
    result = worker.ok("value", {"of": "nested(300, 'inner')"})
    for _ in range(300):
        (result,) = result
    assert result == "inner"


def test_an_echoed_lone_surrogate_is_an_error(worker: Worker) -> None:
    error = worker.error("value", {"of": "args", "text": "\ud800"})
    assert error == "result.text is text with a lone surrogate, which JSON cannot carry"


def test_an_error_has_text_type_and_traceback(worker: Worker) -> None:
    reply = worker.call("raise", {"error": "KeyError('name')"})
    assert set(reply) == {"id", "success", "error", "error_type", "traceback", "timestamp"}
    assert reply["error"] == "'name'"
    assert reply["error_type"] == "KeyError"
    assert reply["traceback"][0] == "Traceback (most recent call last):"
    assert reply["traceback"][-1] == "KeyError: 'name'"
    assert any("in throw" in line for line in reply["traceback"])


def test_an_error_may_have_no_text(worker: Worker) -> None:
    assert worker.error("raise", {"error": "ValueError()"}) == ""


def test_an_error_of_an_own_class_has_its_name(worker: Worker) -> None:
    reply = worker.call("raise", {"error": "type('Odd', (Exception,), {})('why')"})
    assert (reply["error"], reply["error_type"]) == ("why", "Odd")


def test_an_error_whose_text_fails_is_an_error_reply(start: Workers) -> None:
    worker = start(app=APP)
    assert worker.call("raise", {"error": "Mute()"})["error_type"] == "Mute"
    assert worker.ok("value", {"of": "1"}) == 1


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_what_is_no_exception_is_an_error_reply_too(start: Workers, error: str) -> None:
    worker = start(app=APP)
    reply = worker.call("raise", {"error": f"{error}('why')"})
    assert (reply["success"], reply["error"], reply["error_type"]) == (False, "why", error)
    assert worker.ok("value", {"of": "1"}) == 1


def test_a_lone_surrogate_in_an_error_is_replaced(worker: Worker) -> None:
    assert worker.error("raise", {"error": "ValueError('x\\ud800')"}) == "x?"


def test_the_cause_of_an_error_is_in_the_traceback(worker: Worker) -> None:
    lines = worker.call("chain")["traceback"]
    assert "KeyError: 'absent'" in lines
    assert lines[-1] == "ValueError: outer"


def test_a_long_traceback_keeps_its_ends(worker: Worker) -> None:
    lines = worker.call("deep")["traceback"]
    assert len(lines) == 51
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[25].startswith("… ")
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_a_text_of_many_lines_is_capped_in_the_traceback_only(worker: Worker) -> None:
    reply = worker.call("raise", {"error": "ValueError('line\\n' * 1000)"})
    assert len(reply["traceback"]) == 51
    assert reply["error"] == "line\n" * 1000


def test_a_recursion_without_end_is_an_error(worker: Worker) -> None:
    reply = worker.call("value", {"of": "(lambda f: f(f))(lambda f: f(f))"})
    assert reply["error_type"] == "RecursionError"
    assert worker.ok("value", {"of": "1"}) == 1


def test_a_handler_may_ask_to_be_recycled(worker: Worker) -> None:
    reply = worker.call("recycle")
    assert reply["success"] is True
    assert reply["recycle"] is True
    assert reply["recycle_reason"] == "grown too large"


@pytest.mark.parametrize("of", ["1 / 0", "math.nan"])
def test_a_call_that_fails_may_ask_to_be_recycled_too(worker: Worker, of: str) -> None:
    reply = worker.call("recycle", {"of": of})
    assert reply["success"] is False
    assert reply["recycle"] is True


def test_recycling_is_asked_for_one_call_only(worker: Worker) -> None:
    assert worker.call("recycle")["recycle"] is True
    assert "recycle" not in worker.call("value", {"of": "1"})


@pytest.mark.parametrize("reason", ["'\\ud800'", "math.nan", "Thing()", "ValueError('why')"])
def test_a_reason_json_cannot_carry_does_not_cost_the_reply(start: Workers, reason: str) -> None:
    reply = start(app=APP).call("recycle_for", {"reason": reason})
    assert reply["recycle"] is True
    assert isinstance(reply["recycle_reason"], str)
