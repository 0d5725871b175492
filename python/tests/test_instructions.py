"""scripts/instructions: what it makes of the lines that counting prints."""

import importlib.machinery
import importlib.util
import json
import pathlib
from types import ModuleType

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/instructions"


def instructions() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("instructions", str(SCRIPT))
    spec = importlib.util.spec_from_loader("instructions", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def summary(name: str, count: int) -> str:
    metrics = {"Ir": {"values": {"new": count}}}
    profile = {"data": {"total": {"metrics": metrics}}}
    return json.dumps({"function_name": name, "id": "one", "profiles": [profile]})


def test_each_line_is_a_benchmarks_count() -> None:
    printed = f"{summary('b', 2)}\n\n{summary('a', 1)}\n"
    assert instructions().counts_of(printed) == {"a/one": 1, "b/one": 2}


@pytest.mark.parametrize(
    "stray",
    [
        "warning: a benchmark speaks",
        "[1, 2]",
        "7",
        "null",
        json.dumps({"function_name": "a", "id": "one", "profiles": []}),
        summary("a", 1).replace("Ir", "Bc"),
        "x" * 5000,
    ],
)
def test_a_line_that_is_no_summary_is_shown(stray: str) -> None:
    with pytest.raises(SystemExit) as ended:
        instructions().counts_of(f"{summary('a', 1)}\n{stray}\n")
    told = str(ended.value)
    assert "no summary of a benchmark" in told and repr(stray[:50])[:-1] in told
    assert len(told) < 500 and "\n" not in told
