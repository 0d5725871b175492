//! From text to settings: defaults, overrides, and every problem at once.

use std::time::Duration;

use poolshift::Class;
use poolshift::config::{Config, SessionLane, WorkerProgram};
use poolshift::machine::OnCancel;
use poolshift::session::commands::Source;

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse("poolshift.toml", text, env).map_err(|error| {
        error.problems.iter().map(|p| format!("{}: {}", p.place, p.message)).collect()
    })
}

/// Every key of the interface, at its default.
const DEFAULTS: &str = r#"
[worker]
python_path = "python3"
python_args = ["-u"]
app = "poolshift_worker.apps.demo"
env = {}
max_frame_bytes = 16777216
start_method = "spawn"
preload = []
health_timeout = "5s"
stop_grace = "500ms"
kill_grace = "500ms"
drain_timeout = "25s"
[v2]
size = 4
startup_timeout = "10s"
checkout_timeout = "75s"
operation_timeout = "60s"
session_idle = "1h"
max_queue_size = 0
on_cancel = "drain"
[v3]
startup_timeout = "10s"
health_check_interval = "30s"
max_queue_size = 1000
queue_timeout = "5s"
timeout = "60s"
max_starting = 0
min_ready = 1
on_cancel = "drain"
restart_backoff = ["100ms", "30s"]
breaker_failures = 5
breaker_probe = "1s"
max_requests = 0
max_age = "0s"
max_memory_growth = 0
max_recycling = 1
[session]
ttl = "1h"
max_sessions = 10000
[retry]
attempts = 0
budget = 0.1
[quarantine]
deaths = 0
window = "10m"
[rollout]
file = "rollout.toml"
flag = "v3-rollout"
session_lane = "per_class"
fallback = false
max_pins = 200000
[shadow]
sample = 0.0
noise = 0.1
reserve = 1
max_per_s = 50
timeout = "10s"
store = "shadow.d"
store_max_bytes = 67108864
redact = []
max_compare_bytes = 1048576
[debug]
debug = false
trace_requests = false
"#;

/// The pools' seeds are drawn anew for each load.
fn unseeded(mut config: Config) -> Config {
    config.v3.seed = 0;
    config
}

#[test]
fn every_key_is_known_and_the_defaults_are_the_defaults() {
    let written = unseeded(parse(DEFAULTS, &[]).unwrap());
    assert_eq!(written, unseeded(parse("", &[]).unwrap()));
    assert_eq!(written, unseeded(Config::default()));
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(Config::default().v3.size, cores * 2);
}

#[test]
fn each_key_sets_what_it_names() {
    let text = r#"
        [worker]
        script = "bridge.py"
        script_args = ["--quiet"]
        env = { A = "1" }
        max_frame_bytes = 2048
        health_timeout = "1s"
        [v2]
        size = 1
        checkout_timeout = "3s"
        on_cancel = "kill"
        [v3]
        size = 8
        min_ready = 8
        max_starting = 2
        queue_timeout = "1s"
        timeout = "2s"
        restart_backoff = ["1s", "2s"]
        breaker_failures = 0
        max_requests = 9
        max_age = "1h"
        max_memory_growth = 7
        [retry]
        attempts = 2
        budget = 1
        [quarantine]
        deaths = 3
        [session]
        ttl = "2h"
        [rollout]
        session_lane = "whole"
        file = "elsewhere/rollout.toml"
        [commands.deploy]
        class = "write"
        ends_session = true
        saves = { table = "t", key = "args.id", row = { a = "result.a", at = "now", n = 1 } }
        loads = { table = "t", key = "args.id", into = "row" }
        [commands.ping]
        idempotent = false
    "#;
    let config = parse(text, &[]).unwrap();
    let program = WorkerProgram::Script("bridge.py".to_owned(), vec!["--quiet".to_owned()]);
    assert_eq!(config.worker.program, program);
    assert_eq!((config.v2.size, config.v2.on_cancel), (1, OnCancel::Kill));
    assert_eq!((config.v3.size, config.v3.max_starting), (8, 2));
    assert_eq!(config.v3.restart_backoff, (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!(config.rollout.session_lane, SessionLane::Whole);
    assert_eq!(config.pin_ttl(), Duration::from_secs(7200), "R14: the longer of the two");
    assert_eq!((config.v3.breaker_failures, config.v3.max_requests), (0, 9));
    assert_eq!((config.v3.max_age, config.v3.max_memory_growth), (Duration::from_secs(3600), 7));
    let retry = config.worker.retry.unwrap();
    assert_eq!((retry.attempts, retry.budget.get()), (2, 1.0));
    let quarantine = config.worker.quarantine.unwrap();
    assert_eq!((quarantine.deaths, quarantine.window), (3, Duration::from_secs(600)));
    let deploy = config.commands.get("deploy");
    assert_eq!((deploy.class, deploy.idempotent, deploy.ends_session), (Class::Write, false, true));
    let row = deploy.saves.as_ref().unwrap().row.as_ref().unwrap();
    assert_eq!((&row["at"], &row["n"]), (&Source::Now, &Source::Literal(1.into())));
    assert_eq!(config.commands.get("ping").class, Class::Read);
    assert!(!config.commands.get("ping").idempotent);
}

#[test]
fn the_environment_beats_the_file() {
    let env = [
        ("POOLSHIFT__V3__SIZE", "3"),
        ("POOLSHIFT__WORKER__PYTHON_PATH", "/usr/bin/python3"),
        ("POOLSHIFT__WORKER__PYTHON_ARGS", "[\"-X\", \"dev\"]"),
        ("POOLSHIFT__V3__TIMEOUT", "7s"),
        ("POOLSHIFT__COMMANDS__ECHO__CLASS", "critical"),
        ("HOME", "/"),
    ];
    let config = parse("[v3]\nsize = 8\n", &env).unwrap();
    assert_eq!((config.v3.size, config.v3.timeout), (3, Duration::from_secs(7)));
    assert_eq!(config.worker.python_path, "/usr/bin/python3");
    assert_eq!(config.worker.python_args, ["-X", "dev"]);
    assert_eq!(config.commands.get("echo").class, Class::Critical);
}

#[test]
fn every_problem_is_reported_at_once_with_its_line() {
    let text = "[worker]\n\
                app = \"a\"\n\
                script = \"b.py\"\n\
                [v3]\n\
                size = 0\n\
                queue_timeot = \"1s\"\n\
                timeout = 5\n\
                [shadows]\n\
                [commands.x]\n\
                class = \"reed\"\n\
                loads = { table = \"t\", key = \"result.x\", into = \"y\" }\n";
    let env = [
        ("POOLSHIFT__V2__SIZE", "many"),
        ("POOLSHIFT__V2__SIZZE", "4"),
        ("POOLSHIFT__V3__MAX_RECYCLING", "0"),
        ("POOLSHIFT__WHATEVER", "4"),
    ];
    let problems = parse(text, &env).unwrap_err();
    let expected = [
        "POOLSHIFT__V2__SIZE: \"many\" is wrong: expected a whole number from 0",
        "POOLSHIFT__V2__SIZZE: no such setting; the form is POOLSHIFT__SECTION__KEY; did you mean \
         POOLSHIFT__V2__SIZE?",
        "POOLSHIFT__V3__MAX_RECYCLING: [v3] max_recycling: 0 would let no worker",
        "POOLSHIFT__WHATEVER: no such setting; the form is POOLSHIFT__SECTION__KEY",
        "poolshift.toml:3: [worker] script: a worker runs an app or a script, not both",
        "poolshift.toml:5: [v3] size: 0 is not 1 to 1024",
        "poolshift.toml:6: [v3] queue_timeot: no such key; did you mean queue_timeout?",
        "poolshift.toml:7: [v3] timeout: 5 is wrong: expected a time in quotes",
        "poolshift.toml:8: unknown section [shadows]; did you mean shadow?",
        "poolshift.toml:10: [commands.x] class: \"reed\" is wrong: expected \"read\", \"write\"",
        "poolshift.toml:11: [commands.x] loads: key must be args.NAME",
    ];
    for expected in expected {
        assert!(problems.iter().any(|got| got.starts_with(expected)), "{expected}: {problems:#?}");
    }
    assert!(!problems.iter().any(|got| got.contains("WHATEVER") && got.contains("mean")));
    // A pool of no workers can have no ready one either.
    assert_eq!(problems.len(), expected.len() + 1, "{problems:#?}");
}

#[test]
fn impossible_combinations_are_refused() {
    for (text, told) in [
        ("[v2]\nsize = 0", "size: 0 is not 1 to 1024"),
        ("[v3]\nsize = 2\nmin_ready = 3", "min_ready: 3 is not 1 to size = 2"),
        ("[v3]\nsize = 2\nmax_starting = 3", "max_starting: 3 is above size = 2"),
        ("[v3]\nqueue_timeout = \"61s\"", "queue_timeout: 61s is above timeout = 60s"),
        ("[v3]\ntimeout = \"0s\"", "timeout: 0s leaves no time"),
        ("[v3]\nrestart_backoff = [\"2s\", \"1s\"]", "restart_backoff: the first delay 2s"),
        ("[v2]\ncheckout_timeout = \"0s\"", "checkout_timeout: 0s leaves no time"),
        ("[worker]\nscript_args = []", "script_args: there is no script"),
        ("[worker]\nstart_method = \"fork\"\nscript = \"a.py\"", "start_method: \"fork\" needs an"),
        ("[worker]\nstart_method = \"auto\"\nscript = \"a.py\"", "start_method: \"auto\" needs an"),
        ("[worker]\nstart_method = \"forkserver\"", "expected \"spawn\", \"fork\" or \"auto\""),
        ("[worker]\npreload = [\"numpy\"]", "preload: only a warm parent preloads"),
        ("[worker]\nstart_method = \"auto\"\npreload = [\"\"]", "preload: an empty text names"),
        ("[worker]\nmax_frame_bytes = 10", "max_frame_bytes: 10 is not 1024 to"),
        ("[worker]\npython_path = \"\"", "python_path: is empty"),
        ("[session]\nmax_sessions = 0", "max_sessions: 0 would refuse"),
        ("[session]\nttl = \"0s\"", "ttl: 0s would forget"),
        ("[rollout]\nflag = \"\"", "flag: is empty"),
        ("[rollout]\nmax_pins = 0", "max_pins: 0 would let"),
        ("[rollout]\nfallback = true", "fallback: true is not available"),
        ("[retry]\nattempts = 2\nbudget = 0", "budget: 0 would never try again"),
        ("[retry]\nbudget = 1.5", "budget: 1.5 is wrong: expected a number from 0 to 1"),
        ("[quarantine]\ndeaths = 2\nwindow = \"0s\"", "window: 0s would forget"),
        ("[v3]\nbreaker_probe = \"0s\"", "breaker_probe: 0s would start one"),
        ("[v3]\nmax_recycling = 0", "max_recycling: 0 would let no worker"),
        ("[shadow]\nmax_per_s = 0", "max_per_s: 0 admits no shadow"),
        ("[commands.x]\nclass = \"write\"\nshadow = 0.5", "shadow: only reads are shadowed"),
        ("[commands.x]\nclass = \"read\"\nshadow = \"often\"", "shadow: \"often\" is wrong"),
        ("[commands.x]\nsaves = { table = \"t\", key = \"k\" }", "saves: needs either row"),
        ("[v3\nsize = 1", "poolshift.toml:1: "),
    ] {
        let problems = parse(text, &[]).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(told)), "{told}: {problems:?}");
    }
}
