//! What each key is for, in a line: for `config show`, and for the editor that has the schema.

/// By the key's path; `commands.*` stands for every command.
const ABOUT: &[(&str, &str)] = &[
    ("debug.debug", "Log every line that a worker writes to stderr."),
    ("debug.trace_requests", "Log each frame between host and worker, without secrets."),
    ("debug.redact", "Leave out of logged frames what has a key that contains one of these."),
    ("worker.app", "The app that workers run: MODULE or MODULE:ATTR."),
    ("worker.script", "A script that speaks the legacy protocol, in place of an app."),
    ("worker.script_args", "Arguments of the script."),
    ("worker.start_method", "Workers are spawned, forked from a warm parent, or as it can be."),
    ("worker.preload", "Modules that a warm parent imports before the app."),
    ("worker.python_path", "The Python executable."),
    ("worker.python_args", "Arguments of Python itself."),
    ("worker.env", "Variables added to the workers' environment."),
    ("worker.max_frame_bytes", "The largest request or reply, in bytes."),
    ("worker.health_timeout", "From a health check's ping to its answer."),
    ("worker.stop_grace", "From the polite request to stop until SIGTERM."),
    ("worker.kill_grace", "From SIGTERM until SIGKILL."),
    ("worker.drain_timeout", "How long a drain serves calls that wait or run."),
    ("v2.size", "Workers of the legacy pool."),
    ("v2.startup_timeout", "From spawn to an answer to the start ping."),
    ("v2.checkout_timeout", "How long a call may wait for its worker."),
    ("v2.operation_timeout", "How long a call may run."),
    ("v2.session_idle", "How long a session without calls stays bound to its worker."),
    ("v2.max_queue_size", "How many calls may wait; 0 is no limit, as in the legacy pool."),
    ("v2.on_cancel", "A worker whose caller went away is drained of the late reply, or killed."),
    ("v3.size", "Workers of the new pool; twice the cores unless set."),
    ("v3.startup_timeout", "From spawn to a good answer to the start ping."),
    ("v3.health_check_interval", "How long a worker may be idle before it is probed; 0s never."),
    ("v3.max_queue_size", "How many calls may wait; more are rejected."),
    ("v3.queue_timeout", "How much of a call's time may be spent waiting."),
    ("v3.timeout", "A call's whole time, unless it brings its own."),
    ("v3.max_starting", "How many workers may be starting at once; 0 is all."),
    ("v3.min_ready", "How many workers must be ready before the pool is."),
    ("v3.on_cancel", "A worker whose caller went away is drained of the late reply, or killed."),
    ("v3.restart_backoff", "The first and the longest delay after failed starts."),
    ("v3.breaker_failures", "Failed starts in a row after which the breaker opens; 0 never."),
    ("v3.breaker_probe", "From a failed start to the next try, while the breaker is open."),
    ("v3.max_requests", "Calls after which a worker is replaced, at the earliest; 0 never."),
    ("v3.max_age", "How long a worker serves at least before it is replaced; 0s is for ever."),
    ("v3.max_memory_growth", "Bytes of growth after which a worker is replaced; 0 is any number."),
    ("v3.max_recycling", "How many workers may be on their way out at once."),
    ("commands.*.class", "How much it may change: read moves to V3 first, then write, critical."),
    ("commands.*.idempotent", "Whether it may run twice; true for reads unless set."),
    ("commands.*.ends_session", "Whether a good answer ends the call's session."),
    (
        "commands.*.shadow",
        "The share of its calls that are shadowed, in place of [shadow] sample; or \"always\".",
    ),
    ("commands.*.saves", "The row that a good answer leaves with the session."),
    ("commands.*.loads", "The row of the session that is added to the args."),
    ("compare.*", "Rules of what does not count as a difference; * is for every command."),
    ("session.ttl", "How long a session is kept after its last call."),
    ("session.max_sessions", "How many sessions are kept; the longest idle one goes first."),
    ("rollout.file", "The rollout file, which is watched."),
    ("rollout.flag", "The flag's key, which salts each session's bucket."),
    ("rollout.session_lane", "Whether a session's classes may be in different lanes."),
    ("rollout.max_pins", "How many sessions keep the shares of their first call."),
    ("rollout.fallback", "Not in this version."),
    ("retry.attempts", "How often a call is tried again whose worker was lost; 0 never."),
    ("retry.budget", "How many retries there may be for each call, from 0 to 1."),
    ("quarantine.deaths", "Worker deaths after which a call that was in them is refused; 0 never."),
    ("quarantine.window", "How long a death is held against a call."),
    ("shadow.sample", "The share of sessions whose reads the other lane answers, too; 0 is none."),
    ("shadow.noise", "The share of them that control's own lane answers again, as noise."),
    ("shadow.reserve", "So many idle workers are left alone by shadows."),
    ("shadow.max_per_s", "At most so many shadows a second."),
    ("shadow.timeout", "How long a shadow may take."),
    ("shadow.store", "The folder where counts and samples of compared answers are kept."),
    ("shadow.store_max_bytes", "How many bytes samples may take there."),
    ("shadow.redact", "Left out of samples beside secrets: parts of key names, or /globs."),
    ("shadow.max_compare_bytes", "Larger answers are not compared, and counted as skipped."),
];

/// What a key is for.
///
/// # Panics
/// If nobody has written it down: a new key needs its line here.
pub(super) fn about(path: &str) -> &'static str {
    let general = general(path);
    let line = ABOUT.iter().find(|(key, _)| *key == general);
    line.unwrap_or_else(|| panic!("{path} has no line in config/about.rs")).1
}

/// The path with `*` for a command's name, which may hold dots itself.
pub(super) fn general(path: &str) -> String {
    if path.starts_with("compare.") {
        return "compare.*".to_owned();
    }
    match path.strip_prefix("commands.").and_then(|rest| rest.rsplit_once('.')) {
        Some((_, key)) => format!("commands.*.{key}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::survey::take;

    #[test]
    fn each_key_has_one_line_and_each_line_a_key() {
        let (_, taken) = take("test", "[commands.x]\n[[compare.x]]\nat = \"\"\n", []);
        let keys: BTreeSet<String> = taken.iter().map(|taken| general(&taken.path)).collect();
        let lines: Vec<&str> = ABOUT.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, lines.iter().map(|key| (*key).to_owned()).collect());
        assert_eq!(keys.len(), lines.len(), "one line each");
        assert!(ABOUT.iter().all(|(_, line)| line.ends_with('.')));
    }
}
