"""Part 1's behaviour at the pipe, a row per quirk: what the legacy worker makes of it in each
mode, and ours in both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

import pytest
from conftest import ANONYMOUS, ASKING, HEADER, Worker, Workers, encoded, frame, now, until
from legacy_host import Error, Fault, Ok, decode
from legacy_rows import TEXT, Like, fits, starts
from test_legacy_commands import COMMANDS, LEGACY, legacy_env

MODES = {"S": "standalone", "P": "pool-worker"}


class Fate(NamedTuple):
    """What becomes of a worker that does not answer."""

    name: str


ENDS = Fate("exits with 0, without a reply")
SPINS = Fate("reads on for ever, on a whole core")
MUTE = Fate("says nothing, and answers the next request")

# A fate, a result's pattern, an error's text, or bytes that are no reply.
Seen = Union[Fate, Dict[str, Any], str, Like, Fault]


class Quirk(NamedTuple):
    """What is written to a worker, and what is seen: legacy standalone, legacy pool, ours."""

    what: str
    written: bytes
    standalone: Seen
    pool: Seen
    ours: Seen


def asked(command: str, args: str = "{}", request_id: str = "7") -> bytes:
    """A request with args that no encoder would write."""
    return frame(f'{{"id": {request_id}, "command": "{command}", "args": {args}}}'.encode())


HOT = '{"model": "gemini-2", "api_key": "k", "temperature": %s}'
LONE = '{"id": "\\ud800", "session_id": "s1"}'
NOT_AN_OBJECT = "args must be an object, not NoneType"
CLEANED = {"status": "cleaned", "programs_removed": 0}
RESULT = Like("a result", lambda value: isinstance(value, dict))
NO_GET = "'NoneType' object has no attribute 'get'"
CARRY = "which JSON cannot carry"
DECODE_ERROR = Fault("decode_error")
END = b""

# fmt: off
QUIRKS: List[Quirk] = [
    # what                          written                          standalone  pool   ours
    Quirk("end of file",            END,                             ENDS, SPINS, ENDS),
    Quirk("truncated header",       b"\0\0",                         ENDS, SPINS, ENDS),
    Quirk("truncated frame",        b"\0\0\0\7{",                    ENDS, SPINS, ENDS),
    Quirk("length 0",               frame(b""),                      ENDS, MUTE, ENDS),
    Quirk("bad UTF-8",              frame(b'{"id": "\xff"}'),        ENDS, MUTE, ENDS),
    Quirk("bad JSON",               frame(b"{"),                     ENDS, MUTE, ENDS),
    Quirk("null",                   frame(b"null"),                  ENDS, MUTE, ENDS),
    Quirk("a list",                 frame(b"[1]"),                   ENDS, ENDS, ENDS),
    Quirk("a number",               frame(b"7"),                     ENDS, ENDS, ENDS),
    Quirk("a text",                 frame(b'"ping"'),                ENDS, ENDS, ENDS),
    Quirk("no id",                  encoded({"command": "ping"}),    MUTE, MUTE, MUTE),
    Quirk("id null",                asked("ping", request_id="null"), MUTE, MUTE, MUTE),
    Quirk("no command",             encoded({"id": 7}),
          MUTE, MUTE, "the request names no command"),
    Quirk("command null",           encoded({"id": 7, "command": None}),
          MUTE, MUTE, "the request names no command"),
    Quirk("NaN in a request",       asked("configure_lm", HOT % "NaN"),
          DECODE_ERROR, DECODE_ERROR, f"result.temperature is NaN, {CARRY}"),
    Quirk("Infinity in a reply",    asked("configure_lm", HOT % "1e999"),
          DECODE_ERROR, DECODE_ERROR, f"result.temperature is Infinity, {CARRY}"),
    Quirk("NaN in ignored args",    asked("cleanup", '{"x": NaN}'),
          CLEANED, CLEANED, CLEANED),
    Quirk("lone surrogate echoed",  asked("create_program", LONE),
          MUTE, MUTE, f"result.program_id is text with a lone surrogate, {CARRY}"),
    Quirk("lone surrogate in an error", asked("\\ud800"),
          MUTE, MUTE, "Unknown command: ?"),
    Quirk("args absent",            encoded({"id": 7, "command": "get_session_data"}),
          {"error": TEXT}, {"error": TEXT}, {"error": TEXT}),
    Quirk("args null, configure_lm", asked("configure_lm", "null"),
          {"error": NO_GET}, {"error": NO_GET}, NOT_AN_OBJECT),
    *[Quirk(f"args null, {command}", asked(command, "null"),
            NO_GET, NO_GET, NOT_AN_OBJECT)
      for command in ("create_program", "create_gemini_program", "execute_program",
                      "execute_gemini_program", "delete_program", "get_program_info",
                      "get_session_data", "update_session_data")],
    *[Quirk(f"args null, {command}", asked(command, "null"),
            RESULT, NO_GET, NOT_AN_OBJECT)
      for command in ("list_programs", "cleanup_session")],
    *[Quirk(f"args null, {command}", asked(command, "null"),
            RESULT, RESULT, NOT_AN_OBJECT)
      for command in ("ping", "get_stats", "cleanup", "reset_state", "shutdown")],
]
# fmt: on


def begin(start: Workers, worker: str, mode: str, libraries: str = "dspy gemini") -> Worker:
    """A legacy worker, or ours, that is ready to be written to."""
    env = legacy_env(start.folder, libraries)
    return start("--mode", MODES[mode], argv=COMMANDS[worker], env=env)


def cases() -> Iterator[Tuple[Quirk, str, str, Seen]]:
    for quirk in QUIRKS:
        yield quirk, "legacy", "S", quirk.standalone
        yield quirk, "legacy", "P", quirk.pool
        yield quirk, "ours", "S", quirk.ours
        yield quirk, "ours", "P", quirk.ours


@pytest.mark.parametrize(
    ("quirk", "worker", "mode", "seen"),
    [pytest.param(*case, id=f"{case[0].what}-{case[1]}-{case[2]}") for case in cases()],
)
def test_a_quirk(start: Workers, quirk: Quirk, worker: str, mode: str, seen: Seen) -> None:
    process = begin(start, worker, mode)
    process.write(quirk.written)
    if not is_whole(quirk.written):
        process.eof()
    if seen == ENDS:
        assert process.rest() == b""
        assert process.exit_code() == 0
    elif seen == SPINS:
        spent = cpu_ticks(process)
        until(lambda: cpu_ticks(process) > spent + 5, "a core to be used up")
        assert process.process.poll() is None
    elif seen == MUTE:
        assert process.ok("ping")["status"] == "ok"
    else:
        answered(seen, decode(process.read_bytes()))


def is_whole(written: bytes) -> bool:
    """Whether it is one frame, after which stdin may stay open."""
    return len(written) >= HEADER and frame(written[HEADER:]) == written


def answered(seen: Seen, answer: Union[Ok, Error, Fault]) -> None:
    """Fails unless the reply is the one that was expected."""
    if isinstance(seen, Fault):
        assert answer == seen
        return
    assert not isinstance(answer, Fault)
    assert answer.id == 7
    value = answer.result if isinstance(answer, Ok) else answer.error
    assert isinstance(answer, Error if isinstance(seen, str) else Ok), answer
    assert fits(seen, value), value


def cpu_ticks(worker: Worker) -> int:
    """How much processor time a process has used."""
    stat = Path(f"/proc/{worker.process.pid}/stat").read_text("utf-8")
    user, system = stat.rpartition(") ")[2].split()[11:13]
    return int(user) + int(system)


# Replies


@pytest.mark.parametrize("worker", COMMANDS)
@pytest.mark.parametrize("request_id", ["text", 1.5, -1, True, [1, "a"], {"a": None}], ids=repr)
def test_an_id_of_any_type_comes_back(start: Workers, worker: str, request_id: Any) -> None:
    process = begin(start, worker, "S")
    process.write(encoded({"id": request_id, "command": "ping"}))
    body = process.read_bytes()
    assert json.loads(body)["id"] == request_id
    known = type(request_id) is int
    assert isinstance(decode(body), Ok) if known else decode(body) == Fault("malformed_response")


@pytest.mark.parametrize("worker", COMMANDS)
def test_a_reply_has_a_float_timestamp_and_raw_text(start: Workers, worker: str) -> None:
    process = begin(start, worker, "S")
    process.write(encoded({"id": 1, "command": "get_session_data", "args": {"session_id": "ü"}}))
    body = process.read_bytes()
    assert '"ü"'.encode() in body
    reply = json.loads(body)
    assert set(reply) == {"id", "success", "result", "timestamp"}
    assert now(reply["timestamp"])


def test_an_error_is_its_text_and_ours_says_more(start: Workers) -> None:
    legacy = begin(start, "legacy", "S").call("no_such")
    ours = begin(start, "ours", "S").call("no_such")
    assert set(legacy) == {"id", "success", "error", "timestamp"}
    assert set(ours) - set(legacy) == {"error_type", "traceback"}
    assert (legacy["error"], legacy["success"]) == (ours["error"], ours["success"])


def test_what_our_replies_have_more_is_nothing_to_a_legacy_host(start: Workers) -> None:
    worker = start(
        app="""
        from poolshift_worker import command

        @command("retire")
        def retire(args, ctx):
            ctx.recycle("grown too large")
            return {"done": 1 / args["by"]}
        """
    )
    worker.send("retire", {"by": 1})
    assert decode(worker.read_bytes()) == Ok(1, {"done": 1.0})
    worker.send("retire", {"by": 0})
    assert decode(worker.read_bytes()) == Error(2, "division by zero")


@pytest.mark.parametrize("worker", COMMANDS)
@pytest.mark.parametrize("mode", MODES)
def test_shutdown_does_not_end_a_worker(start: Workers, worker: str, mode: str) -> None:
    process = begin(start, worker, mode)
    assert process.ok("shutdown")["status"] == "shutting_down"
    assert process.ok("ping")["status"] == "ok"


# What the model makes of a call

PROGRAM = {"id": "p", "signature": ASKING, **ANONYMOUS}
KEY = {"model": "gemini-2", "api_key": "k"}


@pytest.mark.parametrize(
    ("question", "seen"),
    [
        ("be silent", {"answer": "Field 'answer' not found in prediction."}),
        ("be down", "Program execution failed: the model is down"),
        ("be no json", "Object of type set is not JSON serializable"),
        ("be nan", Fault("decode_error")),
        ("be a surrogate", MUTE),
    ],
)
def test_a_legacy_models_whims(start: Workers, mode: str, question: str, seen: Seen) -> None:
    worker = begin(start, "legacy", mode[0].upper())
    worker.ok("configure_lm", KEY)
    worker.ok("create_program", PROGRAM)
    worker.send("execute_program", {"program_id": "p", "inputs": {"question": question}})
    if seen == MUTE:
        assert worker.ok("ping")["status"] == "ok"
        return
    answer = decode(worker.read_bytes())
    if isinstance(answer, Ok):
        assert answer.result["outputs"] == seen
    else:
        assert (answer if isinstance(answer, Fault) else answer.error) == seen


def test_a_print_breaks_the_frames_of_a_legacy_worker_and_not_of_ours(start: Workers) -> None:
    ours = start(
        app="""
        from poolshift_worker import command

        @command("print")
        def to_stdout(args, ctx):
            print("a library speaks on stdout")
            return {}
        """
    )
    assert ours.ok("print") == {}
    assert ours.ok("ping")["status"] == "ok"
    worker = begin(start, "legacy", "P")
    worker.ok("configure_lm", KEY)
    worker.ok("create_program", PROGRAM)
    worker.send("execute_program", {"program_id": "p", "inputs": {"question": "print"}})
    assert worker.read_exactly(12) == b"a library sp"


@pytest.mark.parametrize(
    ("libraries", "seen"),
    [("dspy", None), ("dspy psutil=80", None), ("dspy psutil=81", "Program execution failed: ")],
)
def test_above_80_percent_of_memory_a_good_result_is_an_error(
    start: Workers, libraries: str, seen: Optional[str]
) -> None:
    worker = begin(start, "legacy", "S", libraries)
    worker.ok("configure_lm", KEY)
    worker.ok("create_program", PROGRAM)
    reply = worker.call("execute_program", {"program_id": "p", "inputs": {"question": "why?"}})
    assert reply["success"] is (seen is None)
    if seen is not None:
        assert reply["error"].startswith(seen)
        assert "variable 'result'" in reply["error"]


@pytest.mark.parametrize(("value", "on"), [("TRUE", True), ("true", True), ("1", False)])
@pytest.mark.parametrize("worker", COMMANDS)
def test_only_the_text_true_is_true(start: Workers, worker: str, value: str, on: bool) -> None:
    env = {**legacy_env(start.folder), "DSPEX_DYNAMIC_SIGNATURES": value}
    process = start(argv=COMMANDS[worker], env=env)
    assert process.ok("create_program", PROGRAM)["fallback_used"] is not on


@pytest.mark.parametrize("mode", MODES)
def test_without_its_libraries_a_legacy_worker_says_so(start: Workers, mode: str) -> None:
    worker = begin(start, "legacy", mode, "")
    pong = worker.ok("ping")
    assert (pong["dspy_available"], pong["gemini_available"]) == (False, False)
    assert worker.error("create_program", PROGRAM) == "DSPy not available - cannot create programs"
    text = "Gemini not available - cannot create Gemini programs"
    assert worker.error("create_gemini_program", PROGRAM) == text
    assert fits({"error": starts("DSPy not available")}, worker.ok("configure_lm", KEY))


@pytest.mark.parametrize("key", [None, "k"])
def test_without_a_model_a_legacy_worker_takes_the_key_of_its_environment(
    start: Workers, key: Optional[str]
) -> None:
    env = legacy_env(start.folder)
    worker = start(argv=LEGACY, env=env if key is None else {**env, "GEMINI_API_KEY": key})
    worker.ok("create_program", PROGRAM)
    reply = worker.call("execute_program", {"program_id": "p", "inputs": {"question": "why?"}})
    assert reply["success"] is (key is not None)
    assert key is not None or reply["error"] == "No LM is loaded."
