"""Frames: how requests arrive, how replies leave, and what is no request at all."""

from __future__ import annotations

import fcntl
import json
import signal
import struct
import termios
import time
from typing import Any

import pytest
from conftest import Worker, Workers, encoded, frame, until

REQUEST = encoded({"id": 1, "command": "echo", "args": {"text": "grüße"}})

PRINTING = """
    import os
    import subprocess
    import sys
    from poolshift_worker import command

    print("printed on import", flush=True)
    os.write(1, b"written on import\\n")

    @command("print")
    def to_stdout(args, ctx):
        print("printed")
        return {}

    @command("pieces")
    def in_pieces(args, ctx):
        print("no end of line", end="")
        return {}

    @command("write")
    def to_fd(args, ctx):
        os.write(1, b"written\\n")
        return {}

    @command("run")
    def in_subprocess(args, ctx):
        subprocess.run([sys.executable, "-c", "print('echoed')"], check=True)
        return {}
"""


def drained(worker: Worker) -> bool:
    """Whether the worker has read all that was written."""
    unread = fcntl.ioctl(worker.stdin.fileno(), termios.FIONREAD, struct.pack("i", 0))
    return bool(struct.unpack("i", unread)[0] == 0)


def serves(worker: Worker) -> bool:
    return bool(worker.ok("echo", {"still": "there"}) == {"still": "there"})


def test_a_request_split_anywhere_is_answered(shared: Worker) -> None:
    for cut in range(1, len(REQUEST)):
        shared.write(REQUEST[:cut])
        until(lambda: drained(shared), "the first part to be read")
        shared.write(REQUEST[cut:])
        assert shared.read()["result"] == {"text": "grüße"}, f"cut at {cut}"


def test_a_request_in_single_bytes_is_answered(shared: Worker) -> None:
    for byte in REQUEST:
        shared.write(bytes([byte]))
        until(lambda: drained(shared), "the byte to be read")
    assert shared.read()["result"] == {"text": "grüße"}


def test_requests_in_one_write_are_answered_in_order(shared: Worker) -> None:
    shared.write(b"".join(encoded({"id": n, "command": "ping"}) for n in (7, 3, 5)))
    assert [shared.read()["id"] for _ in range(3)] == [7, 3, 5]


def test_a_write_may_end_inside_the_next_request(shared: Worker) -> None:
    for cut in (2, 4, 9):
        shared.write(REQUEST + REQUEST[:cut])
        assert shared.read()["id"] == 1
        shared.write(REQUEST[cut:])
        assert shared.read()["id"] == 1


def test_a_request_and_a_reply_may_be_larger_than_a_pipe(shared: Worker) -> None:
    text = "x" * 3_000_000
    assert shared.ok("echo", {"text": text}) == {"text": text}


def test_a_reply_that_a_signal_interrupts_is_whole(start: Workers) -> None:
    worker = start()
    text = "x" * 3_000_000
    worker.send("echo", {"text": text})
    until(lambda: drained(worker), "the request to be read")

    def interrupted() -> bool:
        worker.process.send_signal(signal.SIGUSR1)
        return "in send" in worker.told()

    until(interrupted, "a signal while the reply waits for its reader")
    assert worker.read()["result"] == {"text": text}
    assert serves(worker)


def test_replies_carry_raw_utf8(shared: Worker) -> None:
    shared.write(encoded({"id": 1, "command": "echo", "args": {"text": "grüße 🚀"}}))
    assert '"grüße 🚀"'.encode() in shared.read_bytes()


def test_a_reply_has_the_legacy_fields(shared: Worker) -> None:
    reply = shared.call("echo", {"a": 1})
    assert set(reply) == {"id", "success", "result", "timestamp"}
    assert isinstance(reply["timestamp"], float)
    assert reply["timestamp"] == pytest.approx(time.time(), abs=60)


def test_unknown_keys_of_a_request_are_ignored(shared: Worker) -> None:
    reply = shared.call("echo", {}, timestamp="2025-01-01T00:00:00Z", more=[1])
    assert reply["result"] == {}


@pytest.mark.parametrize(
    "request_id", [0, -1, 1.5, 2**70, "text", "", True, False, [1, "a"], {"a": None}, []], ids=repr
)
def test_an_id_of_any_type_comes_back(shared: Worker, request_id: Any) -> None:
    for command in ("echo", "fail"):
        shared.write(encoded({"id": request_id, "command": command}))
        answered = shared.read()["id"]
        assert answered == request_id
        assert type(answered) is type(request_id)


@pytest.mark.parametrize("request_id", ["NaN", "-Infinity", r'"\ud800"', r'{"a": ["\udfff"]}'])
def test_an_id_that_json_cannot_carry_does_not_end_the_worker(
    start: Workers, request_id: str
) -> None:
    worker = start()
    worker.write(frame(b'{"id": %s, "command": "echo"}' % request_id.encode()))
    assert serves(worker)
    assert "an id that JSON cannot carry" in worker.told()


@pytest.mark.parametrize("request_fields", [{}, {"id": None}], ids=repr)
def test_a_request_without_an_id_gets_a_line_on_stderr(start: Workers, request_fields: Any) -> None:
    worker = start()
    worker.write(encoded({**request_fields, "command": "calculate"}))
    assert serves(worker)
    assert "poolshift_worker: request without an id, command 'calculate'" in worker.told()


@pytest.mark.parametrize("fields", [{}, {"command": None}, {"command": 7}], ids=repr)
def test_a_request_without_a_command_gets_an_error(shared: Worker, fields: Any) -> None:
    shared.write(encoded({"id": 1, "args": {}, **fields}))
    reply = shared.read()
    assert reply["success"] is False
    assert reply["error"] == "the request names no command"


@pytest.mark.parametrize(
    ("args", "kind"),
    [([], "list"), ("text", "str"), (None, "NoneType"), (7, "int"), (True, "bool")],
    ids=repr,
)
@pytest.mark.parametrize("command", ["ping", "echo", "configure_lm"])
def test_args_that_are_no_object_get_an_error(
    shared: Worker, command: str, args: Any, kind: str
) -> None:
    shared.write(encoded({"id": 1, "command": command, "args": args}))
    reply = shared.read()
    assert reply["success"] is False
    assert reply["error"] == f"args must be an object, not {kind}"


def test_absent_args_are_empty(shared: Worker) -> None:
    assert shared.ok("echo") == {}


def test_an_unknown_command_is_named(shared: Worker) -> None:
    assert shared.error("no_such") == "Unknown command: no_such"


def test_nan_and_infinity_are_accepted_in_requests(shared: Worker) -> None:
    shared.write(frame(b'{"id": 1, "command": "sleep", "args": {"unused": [NaN, -Infinity]}}'))
    assert shared.read()["success"] is True


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, len(REQUEST) - 1])
def test_a_truncated_frame_at_end_of_file_is_an_end(start: Workers, size: int) -> None:
    worker = start()
    worker.write(REQUEST + REQUEST[:size])
    worker.eof()
    assert worker.read()["id"] == 1
    assert worker.rest() == b""
    assert worker.exit_code() == 0
    assert worker.told() == ""


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "request is not JSON"),
        (b"{", "request is not JSON"),
        (b'{"id": 1} x', "request is not JSON"),
        (b'{"id": "\xff"}', "request is not JSON"),
        (b"\x83h\x01", "request is not JSON"),
        (b"null", "request is not an object: b'null'"),
        (b"[1]", "request is not an object: b'[1]'"),
        (b'"ping"', "request is not an object"),
        (b"7", "request is not an object: b'7'"),
    ],
    ids=repr,
)
def test_bytes_that_are_no_request_end_the_worker(
    start: Workers, mode: str, body: bytes, complaint: str
) -> None:
    worker = start("--mode", mode)
    worker.write(frame(body) + REQUEST)
    assert worker.rest() == b""
    assert worker.exit_code() == 0
    assert f"poolshift_worker: {complaint}" in worker.told()


def test_only_the_first_bytes_of_a_bad_request_are_quoted(start: Workers) -> None:
    worker = start()
    worker.write(frame(b"secret-" + b"x" * 100))
    assert worker.exit_code() == 0
    assert repr(b"secret-" + b"x" * 57) in worker.told()
    assert "x" * 58 not in worker.told()


@pytest.mark.parametrize("command", ["print", "write", "run"])
def test_what_an_app_prints_goes_to_stderr_and_not_between_frames(
    start: Workers, command: str
) -> None:
    worker = start(app=PRINTING)
    text = {"print": "printed\n", "write": "written\n", "run": "echoed\n"}[command]
    assert worker.ok(command) == {}
    assert text in worker.told()
    assert worker.ok("ping")["status"] == "ok"
    worker.eof()
    assert worker.rest() == b""


def test_what_an_app_prints_while_it_loads_goes_to_stderr(start: Workers) -> None:
    worker = start(app=PRINTING)
    assert worker.ok("ping")["status"] == "ok"
    assert worker.told() == "printed on import\nwritten on import\n"


def test_text_without_an_end_of_line_is_on_stderr_at_the_end(start: Workers) -> None:
    worker = start(app=PRINTING)
    worker.ok("pieces")
    worker.eof()
    assert worker.exit_code() == 0
    assert "no end of line" in worker.told()


def test_a_subprocess_of_an_app_does_not_hold_the_frames(start: Workers) -> None:
    # Else a host would wait for the end of a reply from a worker that is gone.
    worker = start(
        app="""
        import subprocess
        import sys
        from poolshift_worker import command

        @command("leave_behind")
        def leave_behind(args, ctx):
            code = "import sys; sys.stdin.read()"
            subprocess.Popen([sys.executable, "-c", code], close_fds=False)
            return {}
        """
    )
    worker.ok("leave_behind")
    worker.process.kill()
    assert worker.rest() == b""


def test_a_subprocess_of_an_app_cannot_read_the_next_request(start: Workers) -> None:
    worker = start(
        app="""
        import subprocess
        from poolshift_worker import command

        @command("read")
        def read(args, ctx):
            return {"read": subprocess.run(["cat"], stdout=subprocess.PIPE).stdout.decode()}
        """
    )
    worker.write(encoded({"id": 1, "command": "read"}) + encoded({"id": 2, "command": "read"}))
    for request_id in (1, 2):
        reply = worker.read()
        assert (reply["id"], reply["result"]) == (request_id, {"read": ""})


def test_the_reply_is_one_json_document(shared: Worker) -> None:
    shared.write(REQUEST)
    body = shared.read_bytes()
    assert b"\n" not in body
    assert json.loads(body)["id"] == 1
