"""The legacy host: what its decoder makes of frames, and how it starts and ends workers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator

import pytest
from legacy_host import (
    Decoded,
    Error,
    Fault,
    HostCrashedError,
    Kind,
    LegacyHost,
    Ok,
    StartError,
    decode,
)
from test_legacy_commands import COMMANDS, legacy_env

MALFORMED = "Malformed response structure"


@pytest.mark.parametrize(
    ("body", "decoded"),
    [
        (b'{"id": 1, "success": true, "result": {}}', Ok(1, {})),
        (b'{"id": 0, "success": true, "result": null, "more": 1}', Ok(0, None)),
        (b'{"id": 1, "success": false, "error": ""}', Error(1, "")),
        (b'{"id": 1, "success": true}', Error(1, MALFORMED)),
        (b'{"id": 1, "success": false, "result": {}}', Error(1, MALFORMED)),
        (b'{"id": 1, "success": "true", "result": {}}', Error(1, MALFORMED)),
        (b'{"id": 1}', Error(1, MALFORMED)),
        (b'{"id": "1", "success": true, "result": {}}', Fault("malformed_response")),
        (b'{"id": 1.0, "success": true, "result": {}}', Fault("malformed_response")),
        (b'{"success": true, "result": {}}', Fault("malformed_response")),
        (b"{}", Fault("malformed_response")),
        (b"", Fault("decode_error")),
        (b"{", Fault("decode_error")),
        (b'{"id": 1, "success": true, "result": NaN}', Fault("decode_error")),
        (b'{"id": "\xff"}', Fault("decode_error")),
        (b'\x83m\0\0\0\x08{"id":1}', Error(1, MALFORMED)),
        (b'\x83k\0\x08{"id":1}', Error(1, MALFORMED)),
        (b'\x83k\0\x09{"id":1}', Fault("binary_data")),
        (b"\x83h\x01", Fault("binary_data")),
        (b"\x83", Fault("binary_data")),
    ],
)
def test_a_frame_is_decoded(body: bytes, decoded: Decoded) -> None:
    assert decode(body) == decoded


@pytest.mark.parametrize("body", [b"null", b"[1]", b'"text"', b"7"])
def test_json_that_is_no_object_crashes_the_client(body: bytes) -> None:
    with pytest.raises(HostCrashedError):
        decode(body)


@pytest.fixture(params=COMMANDS)
def worker(request: pytest.FixtureRequest) -> str:
    """The legacy worker, and ours."""
    return str(request.param)


@pytest.fixture(params=Kind)
def host(request: pytest.FixtureRequest, worker: str, tmp_path: Path) -> Iterator[LegacyHost]:
    """Each host on each worker."""
    with LegacyHost(COMMANDS[worker], request.param, env=legacy_env(tmp_path)) as host:
        yield host


def test_each_host_starts_each_worker(host: LegacyHost) -> None:
    pong = host.start()
    seen = (pong["status"], pong["mode"], pong.get("worker_id"))
    expected = {
        Kind.V2: ("ok", "pool-worker", "worker_1"),
        Kind.V3: ("ok", "pool-worker", None),
        Kind.SINGLE: ("ok", "standalone", None),
    }
    assert seen == expected[host.kind]
    for answer in (host.health_ping(), host.warm_up_ping(1)):
        assert isinstance(answer, Ok)
        assert answer.result["status"] == "ok"


def test_ids_are_unique_and_the_last_one_is_the_single_hosts_own(host: LegacyHost) -> None:
    host.start()
    first, second = host.health_ping(), host.health_ping()
    assert isinstance(first, Ok)
    assert isinstance(second, Ok)
    last = host.shut_down()
    assert isinstance(last, Ok)
    assert last.result["status"] == "shutting_down"
    ids = [first.id, second.id, last.id]
    assert ids == ([1, 2, 999999] if host.kind is Kind.SINGLE else [1, 2, 3])


def test_a_worker_of_ours_ends_when_its_host_lets_go_of_it(host: LegacyHost, worker: str) -> None:
    host.start()
    host.shut_down()
    # A legacy pool worker spins instead, as the table of quirks has it.
    if worker == "ours" or host.kind is Kind.SINGLE:
        assert host.process.wait(10) == 0


WARM = str(Path(__file__).parents[2] / "tests" / "fixtures" / "warm.py")


@pytest.mark.parametrize("kind", Kind)
def test_only_v3_wants_status_ok(kind: Kind) -> None:
    with LegacyHost([sys.executable, WARM], kind) as host:
        if kind is Kind.V3:
            with pytest.raises(StartError):
                host.start()
        else:
            assert host.start() == {"status": "warm"}
