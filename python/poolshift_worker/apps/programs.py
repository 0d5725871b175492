"""The program commands of the protocol, against the built-in model."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Optional

from ..app import Args, command
from ..context import ANONYMOUS, Context
from ..loop import available
from .model import answer
from .signature import FALLBACK_INPUT, FALLBACK_OUTPUT, Signature, normalise

Program = Dict[str, Any]

# As many as the host keeps of a session; the oldest goes first.
MAX_PROGRAMS = 10_000


class State:
    """What one worker holds. In a pool, named sessions are the host's to keep."""

    def __init__(self) -> None:
        self.programs: Dict[str, Program] = {}
        self.started = time.time()
        self.lm: Optional[Dict[str, Any]] = None


STATE = State()


def _program_id(args: Args, key: str) -> str:
    program_id = args.get(key)
    if not program_id:
        raise ValueError("Program ID is required")
    return str(program_id)


def _kept_here(args: Args, context: Context) -> bool:
    """Standalone keeps everything; a pool worker keeps anonymous programs only."""
    if context.mode == "standalone":
        return True
    session = args.get("session_id")
    if not session:
        raise ValueError("Session ID required in pool-worker mode")
    return bool(session == ANONYMOUS)


def _refuse_twice(program_id: str, context: Context) -> None:
    if context.mode == "standalone" and program_id in STATE.programs:
        raise ValueError(f"Program with ID '{program_id}' already exists")


def _keep(program: Program, args: Args, context: Context) -> None:
    if not _kept_here(args, context):
        return
    _refuse_twice(program["program_id"], context)
    _put(program)


def _put(program: Program) -> None:
    STATE.programs[program["program_id"]] = program
    if len(STATE.programs) > MAX_PROGRAMS:
        del STATE.programs[next(iter(STATE.programs))]


def _find(args: Args) -> Program:
    program_id = _program_id(args, "program_id")
    data = args.get("program_data")
    if data is not None:
        if not isinstance(data, dict):
            raise ValueError("Failed to recreate program from data: not an object")
        return data
    program = STATE.programs.get(program_id)
    if program is None:
        raise ValueError(f"Program not found: {program_id}")
    return program


def _record(program_id: str, signature: Any, **more: Any) -> Program:
    return {
        "program_id": program_id,
        "signature_def": signature,
        "signature": signature,
        "created_at": time.time(),
        "execution_count": 0,
        "last_executed": None,
        **more,
    }


@command("create_program")
def create_program(args: Args, context: Context) -> Any:
    """Builds a program from a signature."""
    program_id = _program_id(args, "id")
    definition = normalise(args.get("signature", {}))
    dynamic = args.get("use_dynamic_signature")
    if dynamic is None:
        dynamic = os.environ.get("DSPEX_DYNAMIC_SIGNATURES", "true").lower() == "true"
    signature = Signature(definition, bool(dynamic))
    program = _record(
        program_id,
        definition,
        program_type=args.get("program_type", "predict"),
        signature_class=signature.class_name,
        field_mapping=signature.field_mapping,
        fallback_used=signature.fallback_used,
    )
    _keep(program, args, context)
    fields = ("signature", "program_type", "signature_class", "field_mapping", "fallback_used")
    return {
        "program_id": program_id,
        "status": "created",
        **{field: program[field] for field in fields},
        "signature_def": definition,
    }


@command("create_gemini_program")
def create_gemini_program(args: Args, context: Context) -> Any:
    """Builds a program for one model."""
    program_id = _program_id(args, "id")
    _refuse_twice(program_id, context)
    model = args.get("model", "gemini-1.5-flash")
    signature = normalise(args.get("signature", {}))
    _put(_record(program_id, signature, type="gemini", model_name=model))
    return {
        "program_id": program_id,
        "status": "created",
        "type": "gemini",
        "model_name": model,
        "signature": signature,
    }


def _run(program: Program, inputs: Any, failure: str) -> Dict[str, Any]:
    try:
        return _outputs(program, inputs)
    except Exception as error:
        raise RuntimeError(f"{failure}: {error}") from error


def _outputs(program: Program, inputs: Any) -> Dict[str, Any]:
    if not isinstance(inputs, dict):
        raise TypeError("inputs must be an object")
    definition = program.get("signature_def") or program.get("signature") or {}
    if program.get("fallback_used", False) or not definition.get("outputs"):
        question = inputs.get(FALLBACK_INPUT, next(iter(inputs.values()), ""))
        return {FALLBACK_OUTPUT: answer(FALLBACK_OUTPUT, {FALLBACK_INPUT: question})}
    names = [field["name"] for field in definition["outputs"]]
    return {name: answer(name, inputs) for name in names}


def _executed(program: Program) -> float:
    now = time.time()
    program["execution_count"] = program.get("execution_count", 0) + 1
    program["last_executed"] = now
    return now


@command("execute_program")
def execute_program(args: Args, _context: Context) -> Any:
    """Runs a program on inputs."""
    program = _find(args)
    outputs = _run(program, args.get("inputs", {}), "Program execution failed")
    return {
        "program_id": args["program_id"],
        "outputs": outputs,
        "execution_time": _executed(program),
    }


@command("execute_gemini_program")
def execute_gemini_program(args: Args, _context: Context) -> Any:
    """Runs a program made for one model."""
    program = _find(args)
    if program.get("type") != "gemini":
        raise ValueError(f"Program {args['program_id']} is not a Gemini program")
    outputs = _run(program, args.get("inputs", {}), "Gemini program execution failed")
    return {
        "program_id": args["program_id"],
        "outputs": outputs,
        "execution_time": _executed(program),
        "raw_response": "\n".join(f"{name}: {value}" for name, value in outputs.items()),
    }


@command("list_programs")
def list_programs(_args: Args, context: Context) -> Any:
    """The programs kept here; a pool worker keeps none that would matter."""
    kept = STATE.programs.items() if context.mode == "standalone" else ()
    fields = ("created_at", "execution_count", "last_executed", "signature")
    programs = [
        {"id": program_id, **{field: program[field] for field in fields}}
        for program_id, program in kept
    ]
    return {"programs": programs, "total_count": len(programs)}


@command("delete_program")
def delete_program(args: Args, context: Context) -> Any:
    """Forgets a program; the host forgets its own record of it."""
    program_id = _program_id(args, "program_id")
    known = not _kept_here(args, context) or STATE.programs.pop(program_id, None) is not None
    if not known and context.mode == "standalone":
        raise ValueError(f"Program not found: {program_id}")
    return {"program_id": program_id, "status": "deleted"}


@command("get_program_info")
def get_program_info(args: Args, _context: Context) -> Any:
    """What is known of a program."""
    program = _find(args)
    fields = ("signature", "created_at", "execution_count", "last_executed")
    info = {field: program.get(field) for field in fields}
    return {"program_id": args["program_id"], **info}


@command("get_stats")
def get_stats(_args: Args, context: Context) -> Any:
    """Counters of this process."""
    return {
        "programs_count": len(STATE.programs),
        "command_count": context.worker.commands,
        "error_count": context.worker.errors,
        "uptime": time.time() - STATE.started,
        "memory_usage": {"rss": 0, "vms": 0, "percent": 0, "error": "psutil not available"},
        "dspy_available": available("dspy"),
        "gemini_available": available("google.generativeai"),
    }
