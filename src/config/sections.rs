//! The sections, key by key.

use std::time::Duration;

use serde_json::json;
use toml::{Table, Value};

use crate::config::random_seed;
use crate::config::reader::{Reader, Section};
use crate::config::setting::Setting;
use crate::config::{
    DebugConfig, RolloutConfig, SessionConfig, StartMethod, WorkerConfig, WorkerProgram,
};
use crate::machine::Flaw;
use crate::machine::quarantine::QuarantineTerms;
use crate::machine::retry::{RetryTerms, Share};
use crate::v2_session_pool::config::V2Config; // legacy
use crate::v3_pool::config::V3Config;

pub(super) fn worker(reader: &mut Reader<'_>) -> WorkerConfig {
    let default = WorkerConfig::default();
    let mut worker = processes(&mut reader.section("worker"), default.clone());
    worker.retry = retry(reader);
    worker.quarantine = quarantine(reader);
    worker.debug = debug(reader, default.debug);
    worker
}

fn retry(reader: &mut Reader<'_>) -> Option<RetryTerms> {
    let section = &mut reader.section("retry");
    let tenth = Share::new(0.1).expect("a tenth is a share");
    let (attempts, budget) = (section.take("attempts", 0), section.take("budget", tenth));
    if attempts > 0 && budget.get() == 0.0 {
        let message = "0 would never try again; set attempts = 0 to say so";
        section.flaw("budget", message.to_owned());
    }
    (attempts > 0).then_some(RetryTerms { attempts, budget })
}

fn quarantine(reader: &mut Reader<'_>) -> Option<QuarantineTerms> {
    let section = &mut reader.section("quarantine");
    let ten_minutes = Duration::from_secs(600);
    let (deaths, window) = (section.take("deaths", 0), section.take("window", ten_minutes));
    if deaths > 0 && window.is_zero() {
        let message = "0s would forget each death at once; set deaths = 0 to say so";
        section.flaw("window", message.to_owned());
    }
    (deaths > 0).then_some(QuarantineTerms { deaths, window })
}

fn processes(section: &mut Section<'_, '_>, default: WorkerConfig) -> WorkerConfig {
    let program = program(section, default.program);
    let worker = WorkerConfig {
        python_path: section.take("python_path", default.python_path),
        python_args: section.take("python_args", default.python_args),
        program,
        start_method: section.take("start_method", default.start_method),
        preload: section.take("preload", default.preload),
        env: section.take("env", default.env),
        max_frame_bytes: section.take("max_frame_bytes", default.max_frame_bytes),
        health_timeout: section.take("health_timeout", default.health_timeout),
        stop_grace: section.take("stop_grace", default.stop_grace),
        kill_grace: section.take("kill_grace", default.kill_grace),
        drain_timeout: section.take("drain_timeout", default.drain_timeout),
        retry: default.retry,
        quarantine: default.quarantine,
        debug: default.debug,
    };
    warmth(section, &worker);
    if !(1024..=u32::MAX as usize).contains(&worker.max_frame_bytes) {
        let message = format!("{} is not 1024 to {}", worker.max_frame_bytes, u32::MAX);
        section.flaw("max_frame_bytes", message);
    }
    if worker.health_timeout.is_zero() {
        section.flaw("health_timeout", "0s leaves no time at all".to_owned());
    }
    if worker.python_path.is_empty() {
        section.flaw("python_path", "is empty; name an executable, such as python3".to_owned());
    }
    worker
}

/// What a warm parent can do, and what only it can.
fn warmth(section: &mut Section<'_, '_>, worker: &WorkerConfig) {
    let method = worker.start_method.as_str();
    let is_script = matches!(worker.program, WorkerProgram::Script(..));
    if worker.start_method == StartMethod::Spawn {
        if !worker.preload.is_empty() {
            let message = "only a warm parent preloads; set start_method = \"fork\" or \"auto\"";
            section.flaw("preload", message.to_owned());
        }
    } else if is_script {
        let message = format!("{method:?} needs an app: a script starts itself; use \"spawn\"");
        section.flaw("start_method", message);
    }
    if worker.preload.iter().any(String::is_empty) {
        section.flaw("preload", "an empty text names no module; leave it out".to_owned());
    }
}

fn debug(reader: &mut Reader<'_>, default: DebugConfig) -> DebugConfig {
    let section = &mut reader.section("debug");
    let config = DebugConfig {
        debug: section.take("debug", default.debug),
        trace_requests: section.take("trace_requests", default.trace_requests),
        redact: section.take("redact", default.redact),
    };
    if config.redact.iter().any(String::is_empty) {
        section.flaw("redact", "an empty text is part of every key; leave it out".to_owned());
    }
    config
}

fn program(section: &mut Section<'_, '_>, default: WorkerProgram) -> WorkerProgram {
    let app: Option<String> = section.take_optional("app");
    if let WorkerProgram::App(app) = &default {
        section.assume(app.write());
    }
    let script: Option<String> = section.take_optional("script");
    let args: Option<Vec<String>> = section.take_optional("script_args");
    if args.is_some() && script.is_none() {
        section.flaw("script_args", "there is no script to give them to".to_owned());
    }
    match (app, script) {
        (Some(_), Some(_)) => {
            section.flaw("script", "a worker runs an app or a script, not both".to_owned());
            default
        }
        (Some(app), None) => WorkerProgram::App(app),
        (None, Some(script)) => WorkerProgram::Script(script, args.unwrap_or_default()),
        (None, None) => default,
    }
}

// legacy begin
pub(super) fn v2(reader: &mut Reader<'_>) -> V2Config {
    let default = V2Config::default();
    let section = &mut reader.section("v2");
    let config = V2Config {
        size: section.take("size", default.size),
        startup_timeout: section.take("startup_timeout", default.startup_timeout),
        checkout_timeout: section.take("checkout_timeout", default.checkout_timeout),
        operation_timeout: section.take("operation_timeout", default.operation_timeout),
        session_idle: section.take("session_idle", default.session_idle),
        max_queue_size: section.take("max_queue_size", default.max_queue_size),
        on_cancel: section.take("on_cancel", default.on_cancel),
    };
    report(section, config.flaws());
    config
}
// legacy end

pub(super) fn v3(reader: &mut Reader<'_>) -> V3Config {
    let default = V3Config::default();
    let section = &mut reader.section("v3");
    let config = V3Config {
        size: section.take("size", default.size),
        startup_timeout: section.take("startup_timeout", default.startup_timeout),
        health_check_interval: section.take("health_check_interval", default.health_check_interval),
        max_queue_size: section.take("max_queue_size", default.max_queue_size),
        queue_timeout: section.take("queue_timeout", default.queue_timeout),
        timeout: section.take("timeout", default.timeout),
        max_starting: section.take("max_starting", default.max_starting),
        min_ready: section.take("min_ready", default.min_ready),
        on_cancel: section.take("on_cancel", default.on_cancel),
        restart_backoff: section.take("restart_backoff", default.restart_backoff),
        breaker_failures: section.take("breaker_failures", default.breaker_failures),
        breaker_probe: section.take("breaker_probe", default.breaker_probe),
        max_requests: section.take("max_requests", default.max_requests),
        max_age: section.take("max_age", default.max_age),
        max_memory_growth: section.take("max_memory_growth", default.max_memory_growth),
        max_recycling: section.take("max_recycling", default.max_recycling),
        seed: random_seed(),
    };
    report(section, config.flaws());
    config
}

fn report(section: &mut Section<'_, '_>, flaws: Vec<Flaw>) {
    for Flaw { key, message } in flaws {
        section.flaw(key, message);
    }
}

pub(super) fn session(reader: &mut Reader<'_>) -> SessionConfig {
    let default = SessionConfig::default();
    let section = &mut reader.section("session");
    let config = SessionConfig {
        ttl: section.take("ttl", default.ttl),
        max_sessions: section.take("max_sessions", default.max_sessions),
    };
    if config.max_sessions == 0 {
        section.flaw("max_sessions", "0 would refuse every call in a session".to_owned());
    }
    if config.ttl == Duration::ZERO {
        section.flaw("ttl", "0s would forget a session between two calls".to_owned());
    }
    config
}

pub(super) fn rollout(reader: &mut Reader<'_>) -> RolloutConfig {
    let default = RolloutConfig::default();
    let section = &mut reader.section("rollout");
    let config = RolloutConfig {
        file: section.take("file", default.file),
        flag: section.take("flag", default.flag),
        session_lane: section.take("session_lane", default.session_lane),
        max_pins: section.take("max_pins", default.max_pins),
    };
    if config.file.file_name().is_none() || config.file.to_string_lossy().ends_with(['/', '.']) {
        section.flaw("file", format!("{:?} names no file", config.file.display().to_string()));
    }
    if config.flag.is_empty() {
        section.flaw("flag", "is empty; the flag's key salts every session's bucket".to_owned());
    }
    if config.max_pins == 0 {
        section.flaw("max_pins", "0 would let sessions change lanes in mid-life".to_owned());
    }
    fixed(section, &[("fallback", "false")]);
    config
}

/// Keys whose feature this version does not have: they may be written down at the value that
/// means "off", and nothing else, so that none is read and ignored.
fn fixed(section: &mut Section<'_, '_>, keys: &[(&'static str, &str)]) {
    for (key, only) in keys {
        let only_value: serde_json::Value = serde_json::from_str(only).expect("all are JSON too");
        let taken = section.take_shaped::<Value>(key, json!({"const": only_value}));
        section.assume(toml_value(only));
        let Some(value) = taken else { continue };
        if value.to_string() != *only {
            let message = format!("{value} is not available in this version; leave it at {only}");
            section.flaw(key, message);
        }
    }
}

fn toml_value(text: &str) -> Value {
    let table: Table = format!("value = {text}").parse().expect("all are TOML");
    table["value"].clone()
}
