"""The program commands of the protocol, against the built-in model."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional

from ..app import Args, command
from ..context import ANONYMOUS, Context
from ..loop import available
from . import model
from .memory import memory_usage
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


def _program_id(args: Args, key: str) -> Any:
    program_id = args.get(key)
    if not program_id:
        raise ValueError("Program ID is required")
    return program_id


def _kept_here(args: Args, context: Context) -> bool:
    """Standalone keeps everything; a pool worker keeps anonymous programs only."""
    if context.mode == "standalone":
        return True
    session = args.get("session_id")
    if not session:
        raise ValueError("Session ID required in pool-worker mode")
    return bool(session == ANONYMOUS)


def _refuse_twice(program_id: Any, context: Context) -> None:
    if context.mode == "standalone" and program_id in STATE.programs:
        raise ValueError(f"Program with ID '{program_id}' already exists")


def _put(program: Program) -> None:
    STATE.programs[program["program_id"]] = program
    if len(STATE.programs) > MAX_PROGRAMS:
        del STATE.programs[next(iter(STATE.programs))]


def _find(args: Args, context: Context) -> Program:
    """The host's record, where it sent one, wins over what is kept here."""
    program_id = _program_id(args, "program_id")
    data = None if context.mode == "standalone" else args.get("program_data")
    if data is not None:
        return _recreated(data)
    program = STATE.programs.get(program_id)
    if program is None:
        raise ValueError(f"Program not found: {program_id}")
    return program


def _recreated(data: Any) -> Program:
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise ValueError(f"Failed to recreate program from data: it must be an object, not {kind}")
    # A Gemini program's record has no such member: its signature is taken as it stands.
    dynamic = not data.get("fallback_used", True)
    definition = data.get("signature_def") or data.get("signature")
    return {**data, "outputs": Signature(definition, dynamic).outputs}


def _record(program_id: Any, signature: Any, **more: Any) -> Program:
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
    model.require("DSPy not available - cannot create programs")
    program_id = _program_id(args, "id")
    keep = _kept_here(args, context)
    try:
        program = _created(program_id, args)
        if keep:
            _refuse_twice(program_id, context)
            _put(program)
    except TypeError as error:
        raise RuntimeError(f"Failed to create program: {error}") from error
    fields = ("signature", "program_type", "signature_class", "field_mapping", "fallback_used")
    return {
        "program_id": program_id,
        "status": "created",
        **{field: program[field] for field in fields},
        "signature_def": program["signature_def"],
    }


def _created(program_id: Any, args: Args) -> Program:
    definition = normalise(args.get("signature", {}))
    dynamic = args.get("use_dynamic_signature")
    if dynamic is None:
        dynamic = os.environ.get("DSPEX_DYNAMIC_SIGNATURES", "true").lower() == "true"
    signature = Signature(definition, bool(dynamic))
    return _record(
        program_id,
        definition,
        program_type=args.get("program_type", "predict"),
        signature_class=signature.class_name,
        field_mapping=signature.field_mapping,
        fallback_used=signature.fallback_used,
        outputs=signature.outputs,
    )


@command("create_gemini_program")
def create_gemini_program(args: Args, context: Context) -> Any:
    """Builds a program for one model."""
    model.require("Gemini not available - cannot create Gemini programs")
    program_id = _program_id(args, "id")
    name = args.get("model", "gemini-1.5-flash")
    signature = normalise(args.get("signature", {}))
    outputs = Signature(signature).outputs
    program = _record(program_id, signature, type="gemini", model_name=name, outputs=outputs)
    try:
        _refuse_twice(program_id, context)
        _put(program)
    except TypeError as error:
        raise RuntimeError(f"Failed to create Gemini program: {error}") from error
    return {
        "program_id": program_id,
        "status": "created",
        "type": "gemini",
        "model_name": name,
        "signature": signature,
    }


def _run(program: Program, inputs: Any, failure: str) -> Dict[str, Any]:
    model.require("No LM is loaded.")
    try:
        return _outputs(program["outputs"], inputs)
    except Exception as error:
        raise RuntimeError(f"{failure}: {error}") from error


def _outputs(names: Optional[List[str]], inputs: Any) -> Dict[str, Any]:
    if not isinstance(inputs, dict):
        raise TypeError("inputs must be an object")
    if names is None:
        question = inputs.get(FALLBACK_INPUT, next(iter(inputs.values()), ""))
        return {FALLBACK_OUTPUT: model.answer(FALLBACK_OUTPUT, {FALLBACK_INPUT: question})}
    return {name: model.answer(name, inputs) for name in names}


def _executed(program: Program) -> float:
    now = time.time()
    program["execution_count"] = program.get("execution_count", 0) + 1
    program["last_executed"] = now
    return now


@command("execute_program")
def execute_program(args: Args, context: Context) -> Any:
    """Runs a program on inputs."""
    program = _find(args, context)
    if program.get("type") == "gemini":
        # The legacy worker's own text, which clients match: it looks for a member of that name.
        raise KeyError("program")
    outputs = _run(program, args.get("inputs", {}), "Program execution failed")
    return {
        "program_id": args["program_id"],
        "outputs": outputs,
        "execution_time": _executed(program),
    }


@command("execute_gemini_program")
def execute_gemini_program(args: Args, context: Context) -> Any:
    """Runs a program made for one model."""
    program = _find(args, context)
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
    # In a pool it may have been made on another worker, and it is the host's record that counts.
    if not known and context.mode == "standalone":
        raise ValueError(f"Program not found: {program_id}")
    return {"program_id": program_id, "status": "deleted"}


@command("get_program_info")
def get_program_info(args: Args, context: Context) -> Any:
    """What is known of a program."""
    program = _find(args, context)
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
        "memory_usage": memory_usage(),
        "dspy_available": available("dspy"),
        "gemini_available": available("google.generativeai"),
    }
