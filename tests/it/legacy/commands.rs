//! The command table of the protocol, in pool mode, through V2 and V3.

use super::Fate::Stays;
use super::Seen::{self, Is, Raised, RaisedWith};
use super::{Bridge, Row, walk};

const fn row(command: &'static str, session: &'static str, args: &'static str, seen: Seen) -> Row {
    Row { command, session, args, seen, fate: Stays }
}

/// The session of calls that name none.
const NONE: &str = "anonymous";

const ASK_P: &str = r#"{"program_id": "p", "inputs": {"question": "why?"}}"#;
const SAYS_P: &str = r#"{"program_id": "p", "outputs": {"answer": "answer for question=why?"},
    "execution_time": "<now>"}"#;
const MADE_A: &str = r#"{"program_id": "a", "status": "created", "program_type": "predict",
    "signature_class": null, "field_mapping": {}, "fallback_used": true,
    "signature": {}, "signature_def": {}}"#;

#[rustfmt::skip]
const WITH_LIBRARIES: &[Row] = &[
    row("ping", "s", "{}", Is(r#"{"status": "ok", "timestamp": "<now>", "uptime": "<span>",
        "mode": "pool-worker", "worker_id": "<text>", "dspy_available": true,
        "gemini_available": true}"#)),
    row("pong", "s", "{}", Raised("Unknown command: pong")),

    row("create_program", "s", r#"{"id": "p", "signature":
            {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]}}"#,
        Is(r#"{"program_id": "p", "status": "created", "program_type": "predict",
            "signature": {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]},
            "signature_class": "<class>", "fallback_used": false,
            "field_mapping": {"question": "question", "answer": "answer"},
            "signature_def": {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]}
        }"#)),
    row("create_program", "s", r#"{"id": "odd", "program_type": "react", "signature": {
            "name": "Elixir.Shop.Pricing", "inputs": [{"name": "unit-price"}, {"name": "2nd"}],
            "outputs": [{"name": "_x"}]}}"#,
        Is(r#"{"program_id": "odd", "status": "created", "program_type": "react",
            "signature": {"name": "Elixir.Shop.Pricing", "outputs": [{"name": "_x"}],
                "inputs": [{"name": "unit-price"}, {"name": "2nd"}]},
            "signature_class": "Pricing", "fallback_used": false,
            "field_mapping": {"unit-price": "unit_price", "2nd": "field_1", "_x": "field_2"},
            "signature_def": {"name": "Elixir.Shop.Pricing", "outputs": [{"name": "_x"}],
                "inputs": [{"name": "unit-price"}, {"name": "2nd"}]}}"#)),
    row("create_program", "s", r#"{"id": "plain"}"#,
        Is(r#"{"program_id": "plain", "status": "created", "program_type": "predict",
            "signature_class": null, "field_mapping": {}, "fallback_used": true,
            "signature": {}, "signature_def": {}}"#)),
    row("create_program", "s", "{}", Raised("Program ID is required")),
    row("create_program", NONE, r#"{"id": ["p"]}"#, RaisedWith("Failed to create program: ")),

    row("execute_program", "s", ASK_P, Raised("No LM is loaded.")),
    row("configure_lm", "s", r#"{"api_key": "k"}"#, Is(r#"{"error": "Model name is required"}"#)),
    row("configure_lm", "s", r#"{"model": "gemini"}"#, Is(r#"{"error": "API key is required"}"#)),
    row("configure_lm", "s", r#"{"model": "gpt", "api_key": "k"}"#,
        Is(r#"{"error": "Unsupported provider/model combination: google/gpt"}"#)),
    row("configure_lm", "s", r#"{"model": "gemini-2", "api_key": "k", "provider": "x"}"#,
        Is(r#"{"error": "Unsupported provider/model combination: x/gemini-2"}"#)),
    row("configure_lm", "s", r#"{"model": "gemini-2", "api_key": "k"}"#,
        Is(r#"{"status": "configured", "model": "gemini-2", "provider": "google",
            "temperature": 0.7}"#)),

    // A named session's program is the host's to keep: it comes back as program_data.
    row("execute_program", "s", ASK_P, Is(SAYS_P)),
    row("execute_program", "s", r#"{"program_id": "odd", "inputs": {"2nd": 2, "unit-price": 1}}"#,
        Is(r#"{"program_id": "odd", "outputs": {"_x": "_x for 2nd=2, unit-price=1"},
            "execution_time": "<now>"}"#)),
    row("execute_program", "s", r#"{"program_id": "plain", "inputs": {"text": "why?"}}"#,
        Is(r#"{"program_id": "plain", "outputs": {"answer": "answer for question=why?"},
            "execution_time": "<now>"}"#)),
    row("execute_program", "s", r#"{"program_id": "plain"}"#,
        Is(r#"{"program_id": "plain", "outputs": {"answer": "answer for question="},
            "execution_time": "<now>"}"#)),
    row("execute_program", "other", ASK_P, Raised("Program not found: p")),
    row("execute_program", "s", "{}", Raised("Program ID is required")),
    row("execute_program", "s", r#"{"program_id": "p", "inputs": null}"#,
        RaisedWith("Program execution failed: ")),
    row("execute_program", "s", r#"{"program_id": "none", "program_data": 7}"#,
        RaisedWith("Failed to recreate program from data: ")),
    row("get_program_info", "s", r#"{"program_id": "p"}"#, Raised("Program not found: p")),
    row("delete_program", "s", "{}", Raised("Program ID is required")),
    row("delete_program", "s", r#"{"program_id": "p"}"#, Raised("Session not found: s")),
    row("execute_program", "s", ASK_P, Is(SAYS_P)),

    // Without a session: kept by the worker, and by the host for all workers of both lanes.
    row("create_program", NONE, r#"{"id": "a"}"#, Is(MADE_A)),
    row("create_program", NONE, r#"{"id": "a"}"#, Is(MADE_A)),
    row("execute_program", NONE, r#"{"program_id": "a", "inputs": {"question": "why?"}}"#,
        Is(r#"{"program_id": "a", "outputs": {"answer": "answer for question=why?"},
            "execution_time": "<now>"}"#)),
    row("get_program_info", NONE, r#"{"program_id": "a"}"#, Raised("'signature'")),
    row("get_program_info", NONE, "{}", Raised("Program ID is required")),
    row("list_programs", NONE, "{}", Is(r#"{"programs": [], "total_count": 0}"#)),
    row("execute_gemini_program", NONE, r#"{"program_id": "a"}"#,
        Raised("Program a is not a Gemini program")),
    row("delete_program", NONE, r#"{"program_id": "a"}"#,
        Is(r#"{"program_id": "a", "status": "deleted"}"#)),
    row("delete_program", NONE, r#"{"program_id": "a"}"#, Raised("Program not found: a")),
    row("execute_program", NONE, r#"{"program_id": "a"}"#, Raised("Program not found: a")),

    // A Gemini program is kept by its worker, whatever the session is.
    row("create_gemini_program", "s", "{}", Raised("Program ID is required")),
    row("create_gemini_program", "s", r#"{"id": ["g"]}"#,
        RaisedWith("Failed to create Gemini program: ")),
    row("create_gemini_program", "s", r#"{"id": "g", "model": "gemini-2"}"#,
        Is(r#"{"program_id": "g", "status": "created", "type": "gemini",
            "model_name": "gemini-2", "signature": {}}"#)),
    row("execute_gemini_program", "s", r#"{"program_id": "g", "inputs": {"question": "why?"}}"#,
        Is(r#"{"program_id": "g", "outputs": {"answer": "answer for question=why?"},
            "execution_time": "<now>", "raw_response": "answer: answer for question=why?"}"#)),
    row("execute_gemini_program", "s", "{}", Raised("Program ID is required")),
    row("execute_gemini_program", "s", r#"{"program_id": "none"}"#,
        Raised("Program not found: none")),
    row("execute_gemini_program", "s", r#"{"program_id": "g", "inputs": null}"#,
        RaisedWith("Gemini program execution failed: ")),
    row("execute_program", "other", r#"{"program_id": "g"}"#, Raised("'program'")),
    row("get_program_info", "s", r#"{"program_id": "g"}"#,
        Is(r#"{"program_id": "g", "signature": {}, "created_at": "<now>", "execution_count": 1,
            "last_executed": "<now>"}"#)),

    row("get_stats", "s", "{}",
        Is(r#"{"programs_count": 1, "command_count": "<count>", "error_count": "<count>",
            "uptime": "<span>", "dspy_available": true, "gemini_available": true,
            "memory_usage": {"rss": 0, "vms": 0, "percent": 0, "error": "<text>"}}"#)),
    row("cleanup", "s", "{}", Is(r#"{"status": "cleaned", "programs_removed": 1}"#)),
    row("reset_state", "s", "{}",
        Is(r#"{"status": "reset", "programs_cleared": 0, "commands_reset": "<count>",
            "errors_reset": "<count>"}"#)),
    // It counts itself, and the two pings by which each row looks who serves.
    row("reset_state", "s", "{}",
        Is(r#"{"status": "reset", "programs_cleared": 0, "commands_reset": 3,
            "errors_reset": 0}"#)),
    row("get_session_data", "s", "{}",
        Is(r#"{"session_id": "s", "status": "not_stored_locally", "message": "<text>"}"#)),
    row("update_session_data", "s", r#"{"operation": "set", "key": "k", "value": 1}"#,
        Is(r#"{"session_id": "s", "status": "acknowledged", "message": "<text>"}"#)),
    row("cleanup_session", "s", "{}",
        Is(r#"{"status": "cleaned", "session_id": "s", "programs_removed": 0}"#)),

    // It says so, and stays.
    row("shutdown", "s", r#"{"worker_id": "any"}"#,
        Is(r#"{"status": "shutting_down", "worker_id": "<text>", "mode": "pool-worker",
            "sessions_cleaned": 0}"#)),
    row("execute_program", "s", ASK_P, Is(SAYS_P)),
];

#[rustfmt::skip]
const WITHOUT_LIBRARIES: &[Row] = &[
    row("ping", "s", "{}", Is(r#"{"status": "ok", "timestamp": "<now>", "uptime": "<span>",
        "mode": "pool-worker", "worker_id": "<text>", "dspy_available": false,
        "gemini_available": false}"#)),
    row("create_program", "s", r#"{"id": "p"}"#,
        Raised("DSPy not available - cannot create programs")),
    row("create_gemini_program", "s", r#"{"id": "g"}"#,
        Raised("Gemini not available - cannot create Gemini programs")),
    row("configure_lm", "s", r#"{"model": "gemini-2", "api_key": "k"}"#,
        Is(r#"{"error": "<text>"}"#)),
];

#[tokio::test]
async fn each_command_is_answered_through_both_pools() {
    walk(Bridge::new(1, "dspy gemini"), WITH_LIBRARIES).await;
}

#[tokio::test]
async fn a_worker_without_its_libraries_says_so_through_both_pools() {
    walk(Bridge::new(1, ""), WITHOUT_LIBRARIES).await;
}
