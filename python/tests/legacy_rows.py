"""Part 1 of the protocol as a table: a row per command, field and error text.

Each row holds for the legacy worker and for ours, unless ``ours`` says what ours does knowingly.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple, Union

from conftest import ANONYMOUS, ASKING, NAMED, now


class Like(NamedTuple):
    """A value that is told by what it is like."""

    name: str
    holds: Callable[[Any], bool]


def starts(text: str) -> Like:
    """Any text that begins so."""
    return Like(f"{text}...", lambda value: isinstance(value, str) and value.startswith(text))


NOW = Like("now, a float", now)
SPAN = Like("seconds, a float", lambda value: isinstance(value, float) and 0 <= value < 60)
FLAG = Like("a flag", lambda value: isinstance(value, bool))
TEXT = Like("some text", lambda value: isinstance(value, str) and value != "")
COUNT = Like("a whole number", lambda value: type(value) is int and value >= 0)
SHARE = Like("a percentage", lambda value: isinstance(value, (int, float)) and 0 <= value < 100)
NAMES = Like("names", lambda value: isinstance(value, list) and "ping" in value)
CLASS = Like(
    "Dynamic_EPOCH",
    lambda value: value.startswith("Dynamic_") and abs(int(value[8:]) - time.time()) < 60,
)

# A result's pattern, or an error's text.
Expected = Union[Dict[str, Any], str, Like]
Setup = Tuple[str, Dict[str, Any]]
SAME = "the same"
BOTH = "SP"


class Row(NamedTuple):
    """One request, what it is answered with, in which modes, and what came before it."""

    command: str
    args: Dict[str, Any]
    legacy: Expected
    ours: Expected = SAME
    modes: str = BOTH
    first: Sequence[Setup] = ()


def fits(expected: Any, value: Any) -> bool:
    """Whether a value is the expected one: to the key, and to the type."""
    if isinstance(expected, Like):
        return expected.holds(value)
    if isinstance(expected, dict):
        same = isinstance(value, dict) and set(value) == set(expected)
        return same and all(fits(item, value[key]) for key, item in expected.items())
    if isinstance(expected, list):
        same = isinstance(value, list) and len(value) == len(expected)
        return same and all(fits(*pair) for pair in zip(expected, value))
    return type(value) is type(expected) and bool(value == expected)


FLAGS = {"dspy_available": FLAG, "gemini_available": FLAG}
PONG_S = {"status": "ok", "timestamp": NOW, "uptime": SPAN, "mode": "standalone", **FLAGS}
PONG_P = {**PONG_S, "mode": "pool-worker", "worker_id": "worker_1"}
OURS = {
    "protocol": 1,
    "runtime": starts("poolshift_worker/"),
    "pid": COUNT,
    "python": TEXT,
    "commands": NAMES,
    "import_s": SPAN,
}
CONFIGURED = {
    "status": "configured",
    "model": "gemini-2",
    "provider": "google",
    "temperature": 0.7,
}
CREATED = {
    "program_id": "p",
    "status": "created",
    "signature": ASKING,
    "program_type": "predict",
    "signature_class": CLASS,
    "field_mapping": {"question": "question", "answer": "answer"},
    "fallback_used": False,
    "signature_def": ASKING,
}
FALLBACK: Dict[str, Any] = {"signature_class": None, "field_mapping": {}, "fallback_used": True}
NOTHING = {**CREATED, **FALLBACK, "signature": {}, "signature_def": {}}
GEMINI = {
    "program_id": "g",
    "status": "created",
    "type": "gemini",
    "model_name": "gemini-1.5-flash",
    "signature": ASKING,
}
ODD = {
    "name": "Elixir.Shop.Pricing",
    "inputs": [{"name": "unit-price"}, {"name": "2nd"}],
    "outputs": [{"name": "_x"}, {"name": ""}],
}
ODD_MADE = {
    **CREATED,
    "signature": ODD,
    "signature_def": ODD,
    "signature_class": "Pricing",
    "field_mapping": {"unit-price": "unit_price", "2nd": "field_1", "_x": "field_2", "": "field_3"},
}
RAN = {"program_id": "p", "outputs": {"answer": "answer for question=why?"}, "execution_time": NOW}
RAN_G = {**RAN, "program_id": "g", "raw_response": "answer: answer for question=why?"}
ASK = {"question": "why?"}
UNASKED = {"outputs": {"answer": "answer for question="}}
UNSIGNED: Dict[str, Any] = {"model_name": "m", "signature": {}}
DECLINED = {"program_type": "react", "use_dynamic_signature": False}
UPDATE = {"operation": "set", "key": "k", "value": 1, **NAMED}
FACTS = {"created_at": NOW, "execution_count": 0, "last_executed": None, "signature": ASKING}
STORED = {"program_id": "p", "signature_def": ASKING, "signature": ASKING, "created_at": 1}
RECORD = {**STORED, "signature_class": "A", "field_mapping": {}, "fallback_used": False}
STATS = {"programs_count": 1, "command_count": 2, "error_count": 0, "uptime": SPAN, **FLAGS}

P1: Setup = ("create_program", {"id": "p", "signature": ASKING, **ANONYMOUS})
G1: Setup = ("create_gemini_program", {"id": "g", "signature": ASKING, **ANONYMOUS})
KEY: Setup = ("configure_lm", {"model": "gemini-2", "api_key": "k"})

P_ID = {"program_id": "p", **ANONYMOUS}
G_ID = {"program_id": "g", **ANONYMOUS}
NEEDED = "Program ID is required"
SESSION_NEEDED = "Session ID required in pool-worker mode"
SENT = {"program_data": RECORD, "inputs": ASK}
KEYED = {"model": "gemini-2", "api_key": "k"}
UNSUPPORTED = "Unsupported provider/model combination: "

BUILDING = "Failed to create program: "
BUILDING_G = "Failed to create Gemini program: "
RECREATING = "Failed to recreate program from data: "
RUNNING = "Program execution failed: "
RUNNING_G = "Gemini program execution failed: "
SHUT = {"status": "shutting_down", "worker_id": None, "mode": "standalone", "sessions_cleaned": 0}
TWICE = "Program with ID 'p' already exists"
TWICE_G = "Program with ID 'g' already exists"
MEMORY = {"memory_usage": {"rss": COUNT, "vms": COUNT, "percent": SHARE}}
NO_MEMORY = {"memory_usage": {"rss": 0, "vms": 0, "percent": 0, "error": TEXT}}
ONE = {"total_count": 1}
LISTED: Dict[str, Any] = {"programs": [], "total_count": 0}
RESET = {"status": "reset", "programs_cleared": 1, "commands_reset": 3, "errors_reset": 1}
DELETED = {"program_id": "p", "status": "deleted"}
EMPTY: Setup = ("create_program", {"id": "p", **ANONYMOUS})
OTHER: Setup = ("create_program", {"id": "p", **NAMED})
N_ID = {"program_id": "p", **NAMED}
ODD1: Setup = ("create_program", {"id": "p", "signature": ODD, **ANONYMOUS})
RESETS: Setup = ("reset_state", {})
SHUTS: Setup = ("shutdown", {})

# fmt: off
ROWS: List[Row] = [
    Row("ping", {"initialization": True}, PONG_S, {**PONG_S, **OURS}, "S"),
    Row("ping", {"health_check": True}, PONG_P, {**PONG_P, **OURS}, "P"),
    Row("pong", {}, "Unknown command: pong"),

    Row("configure_lm", KEYED, CONFIGURED),
    Row("configure_lm", {**KEYED, "temperature": 1}, {**CONFIGURED, "temperature": 1}),
    Row("configure_lm", {"api_key": "k"}, {"error": "Model name is required"}),
    Row("configure_lm", {"model": "gemini-2"}, {"error": "API key is required"}),
    Row("configure_lm", {**KEYED, "model": "gpt"}, {"error": f"{UNSUPPORTED}google/gpt"}),
    Row("configure_lm", {**KEYED, "provider": "x"}, {"error": f"{UNSUPPORTED}x/gemini-2"}),

    Row("create_program", {"id": "p", "signature": ASKING, **NAMED}, CREATED),
    Row("create_program", {"id": "p", "signature": ASKING, **ANONYMOUS}, CREATED),
    Row("create_program", {"id": "p", "signature": ODD, **NAMED}, ODD_MADE),
    Row("create_program", {"id": "p", **NAMED}, NOTHING),
    Row("create_program", {"id": 7, **NAMED}, {**NOTHING, "program_id": 7}),
    Row("create_program", {"id": "p", **DECLINED, **NAMED}, {**NOTHING, "program_type": "react"}),
    Row("create_program", NAMED, NEEDED),
    Row("create_program", {"id": "p"}, SESSION_NEEDED, modes="P"),
    Row("create_program", {"id": "p"}, TWICE, SAME, "S", [P1]),
    Row("create_program", {"id": "p", **ANONYMOUS}, NOTHING, SAME, "P", [P1]),
    Row("create_program", {"id": ["p"], **ANONYMOUS}, starts(BUILDING), modes="P"),

    Row("create_gemini_program", {"id": "g", "signature": ASKING}, GEMINI),
    Row("create_gemini_program", {"id": "g", "model": "m"}, {**GEMINI, **UNSIGNED}),
    Row("create_gemini_program", {}, NEEDED),
    Row("create_gemini_program", {"id": "g"}, TWICE_G, SAME, "S", [G1]),
    Row("create_gemini_program", {"id": ["g"]}, starts(BUILDING_G), modes="P"),

    Row("execute_program", {**P_ID, "inputs": ASK}, RAN, first=[KEY, P1]),
    Row("execute_program", {**P_ID, "inputs": {"text": "why?"}}, RAN, first=[KEY, EMPTY]),
    Row("execute_program", P_ID, {**RAN, **UNASKED}, first=[KEY, EMPTY]),
    Row("execute_program", {}, NEEDED),
    Row("execute_program", P_ID, "Program not found: p"),
    Row("execute_program", N_ID, "Program not found: p", SAME, "P", [OTHER]),
    Row("execute_program", {**P_ID, "program_data": RECORD}, "Program not found: p", modes="S"),
    Row("execute_program", {**N_ID, **SENT}, RAN, SAME, "P", [KEY]),
    Row("execute_program", {**P_ID, **SENT}, RAN, SAME, "P", [KEY, ODD1]),
    Row("execute_program", {**P_ID, **SENT, "program_data": {}}, RAN, SAME, "P", [KEY, ODD1]),
    Row("execute_program", {**P_ID, **SENT, "program_data": None}, RAN, SAME, "P", [KEY, P1]),
    Row("execute_program", {**P_ID, "program_data": "x"}, starts(RECREATING), SAME, "P", [P1]),
    Row("execute_program", {**P_ID, "inputs": None}, starts(RUNNING), first=[KEY, P1]),
    Row("execute_program", {**P_ID, "inputs": ASK}, RAN, first=[KEY, RESETS, P1]),
    Row("execute_program", G_ID, "'program'", first=[G1]),

    Row("execute_gemini_program", {**G_ID, "inputs": ASK}, RAN_G, first=[G1]),
    Row("execute_gemini_program", {}, NEEDED),
    Row("execute_gemini_program", G_ID, "Program not found: g"),
    Row("execute_gemini_program", P_ID, "Program p is not a Gemini program", first=[P1]),
    Row("execute_gemini_program", {**G_ID, "inputs": None}, starts(RUNNING_G), first=[G1]),

    Row("list_programs", {}, LISTED),
    Row("list_programs", ANONYMOUS, LISTED, SAME, "P", [P1]),
    Row("list_programs", {}, {**ONE, "programs": [{"id": "g", **FACTS}]}, SAME, "S", [G1]),
    Row("list_programs", {}, "'signature'", {**ONE, "programs": [{"id": "p", **FACTS}]}, "S", [P1]),

    Row("delete_program", P_ID, DELETED, first=[P1]),
    Row("delete_program", NAMED, NEEDED),
    Row("delete_program", {"program_id": "p"}, SESSION_NEEDED, modes="P"),
    Row("delete_program", P_ID, "Program not found: p", modes="S"),
    Row("delete_program", P_ID, "Program not found: p", DELETED, "P"),
    Row("delete_program", N_ID, "Session not found: s1", DELETED, "P"),

    Row("get_program_info", P_ID, "'signature'", {"program_id": "p", **FACTS}, BOTH, [P1]),
    Row("get_program_info", G_ID, {"program_id": "g", **FACTS}, first=[G1]),
    Row("get_program_info", {}, NEEDED),
    Row("get_program_info", P_ID, "Program not found: p", first=[P1, RESETS]),

    Row("get_stats", {}, {**STATS, **NO_MEMORY}, {**STATS, **MEMORY}, BOTH, [P1]),
    Row("cleanup", {}, {"status": "cleaned", "programs_removed": 2}, first=[P1, G1]),
    Row("reset_state", {}, RESET, first=[P1, ("execute_program", {})]),

    Row("cleanup_session", NAMED, {"status": "not_applicable", "mode": "standalone"}, modes="S"),
    Row("cleanup_session", NAMED, {"status": "cleaned", "programs_removed": 0, **NAMED}, modes="P"),
    Row("cleanup_session", {}, "Session ID required for cleanup", modes="P"),
    Row("get_session_data", NAMED, {"status": "not_stored_locally", "message": TEXT, **NAMED}),
    Row("get_session_data", {}, {"error": TEXT}),
    Row("update_session_data", UPDATE, {"status": "acknowledged", "message": TEXT, **NAMED}),
    Row("update_session_data", {}, {"error": TEXT}),

    Row("shutdown", {"any": 1}, SHUT, modes="S"),
    Row("shutdown", {}, {**SHUT, "worker_id": "worker_1", "mode": "pool-worker"}, modes="P"),
    Row("execute_program", P_ID, "Program not found: p", SAME, "S", [P1, SHUTS]),
    Row("execute_program", {**P_ID, "inputs": ASK}, RAN, SAME, "P", [KEY, P1, SHUTS]),
]
# fmt: on
