//! The legacy worker's faults: what a call gets of each, and whether its worker is kept.

use super::Fate::{Retired, Stays};
use super::Seen::{Broken, Is, NotJson, Nothing, Raised, RaisedWith};
use super::{Bridge, Fate, Row, Seen, walk};

/// Without a session: in V2, a session would have to be told of each worker that is retired.
const fn row(command: &'static str, args: &'static str, seen: Seen, fate: Fate) -> Row {
    Row { command, session: "anonymous", args, seen, fate }
}

const MADE: &str = r#"{"program_id": "p", "status": "created", "program_type": "predict",
    "signature_class": null, "field_mapping": {}, "fallback_used": true,
    "signature": {}, "signature_def": {}}"#;

#[rustfmt::skip]
const FAULTS: &[Row] = &[
    row("create_program", r#"{"id": "p"}"#, Is(MADE), Stays),
    // A field that was not predicted is a text, and a success.
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "be silent"}}"#,
        Is(r#"{"program_id": "p", "execution_time": "<now>",
            "outputs": {"answer": "Field 'answer' not found in prediction."}}"#), Stays),
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "be down"}}"#,
        Raised("Program execution failed: the model is down"), Stays),
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "be no json"}}"#,
        Raised("Object of type set is not JSON serializable"), Stays),
    // NaN and Infinity in a reply are the result's fault, not the worker's.
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "be nan"}}"#,
        NotJson, Stays),
    row("configure_lm", r#"{"model": "gemini-2", "api_key": "k", "temperature": -1e999}"#,
        NotJson, Stays),
    // A lone surrogate cannot be written: no reply ever comes.
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "be a surrogate"}}"#,
        Nothing, Retired),
    row("create_program", r#"{"id": "\ud800"}"#, Nothing, Retired),
    // No guard of stdout: what is printed stands where a frame should begin.
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "print"}}"#,
        Broken("it begins with \"a library speaks on stdout"), Retired),
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "wait"}}"#,
        Nothing, Retired),
    // The host kept the program through all of this.
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "why?"}}"#,
        Is(r#"{"program_id": "p", "execution_time": "<now>",
            "outputs": {"answer": "answer for question=why?"}}"#), Stays),
];

#[rustfmt::skip]
const SHORT_OF_MEMORY: &[Row] = &[
    row("get_stats", "{}",
        Is(r#"{"programs_count": 0, "command_count": "<count>", "error_count": 0,
            "uptime": "<span>", "dspy_available": true, "gemini_available": false,
            "memory_usage": {"rss": "<count>", "vms": "<count>", "percent": 81.0}}"#), Stays),
    row("create_program", r#"{"id": "p"}"#, Is(MADE), Stays),
    // A good result, and a variable that was never bound.
    row("execute_program", r#"{"program_id": "p", "inputs": {"question": "why?"}}"#,
        RaisedWith("Program execution failed: "), Stays),
];

#[tokio::test]
async fn each_fault_has_its_outcome_and_its_workers_fate() {
    walk(Bridge::new(1, "dspy gemini").with_env("GEMINI_API_KEY", "k"), FAULTS).await;
}

#[tokio::test]
async fn above_80_percent_of_memory_a_good_result_is_an_error() {
    walk(Bridge::new(1, "dspy psutil=81").with_env("GEMINI_API_KEY", "k"), SHORT_OF_MEMORY).await;
}
