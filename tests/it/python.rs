//! Both pools on real Python: what the customer's guide tests, and what it promises.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::config::{Config, WorkerProgram};
use poolshift::report::ledger::{Audit, CallerLedger, Execution, WorkerLedger};
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::v2_session_pool::V2SessionPool;
use poolshift::v3_pool::V3Pool;
use poolshift::worker::link::{Link, Progress};
use poolshift::worker::wire::Outgoing;
use poolshift::worker::{Process, Spawner};
use poolshift::{
    Answer, Args, Call, CallError, Lane, Outcome, Pool, PoolStatus, Shim, ShimOptions, WorkerId,
    shim,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

fn config(workers: usize) -> Config {
    let mut config = Config::default();
    (config.v2.size, config.v3.size, config.v3.min_ready) = (workers, workers, workers);
    config
}

pub(crate) async fn v3(config: &Config) -> V3Pool {
    let spawner = shim::spawner(config, Lane::V3, None).unwrap();
    let sessions = shim::sessions(config);
    V3Pool::start(&config.v3, &config.worker, spawner, sessions, Clock::start()).await.unwrap()
}

pub(crate) async fn v2(config: &Config) -> V2SessionPool {
    let spawner = shim::spawner(config, Lane::V2, None).unwrap();
    let sessions = shim::sessions(config);
    V2SessionPool::start(&config.v2, &config.worker, spawner, sessions, Clock::start())
        .await
        .unwrap()
}

pub(crate) fn call(command: &str, args: &Value) -> Call {
    Call::new(command, Args::parse(&args.to_string()).unwrap())
}

pub(crate) fn result(answer: &Answer) -> Value {
    let result = answer.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_str(result.get()).unwrap()
}

#[tokio::test]
async fn a_worker_answers_requests_and_ends_with_its_stdin() {
    let spawner = shim::spawner(&Config::default(), Lane::V3, None).unwrap();
    let spawned = spawner.spawn(WorkerId { slot: 3, generation: 2 }).await.unwrap();
    let mut link = Link::new(spawned.reader, spawned.writer, 1 << 20);
    let args = Args::default();
    link.prepare(Outgoing::own("ping", &args)).unwrap();
    link.send(&Progress::default()).await.unwrap();
    let pong: Value =
        serde_json::from_str(link.receive().await.unwrap().result.unwrap().get()).unwrap();
    assert_eq!((&pong["status"], &pong["mode"]), (&json!("ok"), &json!("pool-worker")));
    assert_eq!((&pong["worker_id"], &pong["protocol"]), (&json!("v3-3.2"), &json!(1)));
    assert_eq!(pong["pid"].as_u64(), spawned.process.pid().map(u64::from));
    link.prepare(Outgoing::own("no such command", &args)).unwrap();
    link.send(&Progress::default()).await.unwrap();
    let raised = link.receive().await.unwrap().result.unwrap_err();
    assert_eq!(raised.to_string(), "Unknown command: no such command");
    link.close_writer();
    assert_eq!(spawned.process.exited().await, "exit status 0");
}

/// Spans during which workers imported the app, from their own notes.
fn spans(folder: &Path) -> Vec<(u64, u64)> {
    let notes = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut spans: Vec<(u64, u64)> = notes
        .filter(|path| path.extension().is_some_and(|end| end == "span"))
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let (began, ended) = text.trim().split_once(' ').unwrap();
            (began.parse().unwrap(), ended.parse().unwrap())
        })
        .collect();
    spans.sort_unstable();
    spans
}

/// Workers that run an app of `tests/fixtures`.
fn fixture(app: &str, workers: usize) -> Config {
    let mut config = config(workers);
    config.worker.program = WorkerProgram::App(app.to_owned());
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    config.worker.env.insert("PYTHONPATH".to_owned(), fixtures.to_owned());
    config
}

fn gathering(folder: &Path, size: usize) -> Config {
    let mut config = fixture("gathering", 4);
    let folder = folder.to_str().unwrap();
    for (name, value) in [("GATHERING", folder), ("GATHERING_SIZE", &size.to_string())] {
        config.worker.env.insert(name.to_owned(), value.to_owned());
    }
    config
}

#[tokio::test]
async fn v3_starts_its_workers_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // No worker gets through its import before all four have begun theirs.
    let pool = v3(&gathering(folder.path(), 4)).await;
    assert_eq!(pool.status().ready, 4);
    assert_eq!(spans(folder.path()).len(), 4);
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn r10_v2_starts_its_workers_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let pool = v2(&gathering(folder.path(), 1)).await;
    pool.ready(4).await.unwrap();
    let spans = spans(folder.path());
    assert_eq!(spans.len(), 4);
    for pair in spans.windows(2) {
        assert!(pair[0].1 < pair[1].0, "two imports overlap: {spans:?}");
    }
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_hundred_concurrent_calculations_on_four_workers() {
    let pool = Arc::new(v3(&config(4)).await);
    let mut calls = JoinSet::new();
    for n in 0..100_u64 {
        let pool = Arc::clone(&pool);
        let call = call("calculate", &json!({"expression": format!("{n} * {n} + 1")}));
        calls.spawn(async move { (n, pool.call(call).await) });
    }
    let mut workers = BTreeSet::new();
    while let Some(done) = calls.join_next().await {
        let (n, answer) = done.unwrap();
        assert_eq!(result(&answer), json!({"result": n * n + 1}));
        workers.insert(answer.worker.unwrap());
    }
    assert_eq!(workers.len(), 4, "all of them worked");
    let status = pool.status();
    assert_eq!(status.workers.iter().map(|worker| worker.requests).sum::<u64>(), 100);
    assert!(status.workers.iter().all(|worker| worker.errors == 0));
    pool.drain(Duration::from_secs(5)).await;
}

/// The whole command set in one session, then without one; volatile fields are taken out.
async fn everything(pool: &impl Pool) -> Vec<Value> {
    let signature = json!({
        "name": "qa.Ask", "inputs": [{"name": "question"}], "outputs": [{"name": "answer"}],
    });
    let create = json!({"id": "p", "signature": signature});
    let execute = json!({"program_id": "p", "inputs": {"question": "why?"}});
    let script = [
        ("echo", json!({"text": "ünï", "n": 1.5, "list": [1, null]})),
        ("calculate", json!({"expression": "2 ** 10 / 4 - 1"})),
        ("calculate", json!({"expression": "1 / 0"})),
        ("fail", json!({"message": "as told"})),
        ("execute_program", execute.clone()),
        ("create_program", create),
        ("execute_program", execute),
        ("get_program_info", json!({"program_id": "p"})),
        ("list_programs", json!({})),
        ("delete_program", json!({"program_id": "p"})),
        ("delete_program", json!({"program_id": "p"})),
        ("no_such_command", json!({})),
    ];
    let mut results = Vec::new();
    for session in ["alice", "anonymous"] {
        for (command, args) in &script {
            let call = call(command, args).with_session(session).unwrap();
            let answer = pool.call(call).await;
            let mut result = match &answer.result {
                Ok(_) => result(&answer),
                Err(error) => json!({"raised": error.to_string()}),
            };
            for volatile in ["execution_time", "created_at", "last_executed"] {
                if let Some(value) = result.get_mut(volatile) {
                    *value = json!("volatile");
                }
            }
            results.push(json!([session, command, result]));
        }
    }
    results
}

#[tokio::test]
async fn v2_and_v3_give_the_same_results() {
    let config = config(2);
    let (old, new) = tokio::join!(v2(&config), v3(&config));
    let (from_v2, from_v3) = tokio::join!(everything(&old), everything(&new));
    assert_eq!(from_v2, from_v3);
    let answer = "answer for question=why?";
    let executed = from_v3.iter().filter(|line| line[2]["outputs"]["answer"] == json!(answer));
    assert_eq!(executed.count(), 2, "once for each session: {from_v3:#?}");
    tokio::join!(old.drain(Duration::from_secs(5)), new.drain(Duration::from_secs(5)));
}

#[tokio::test]
async fn a_program_made_in_one_lane_is_executed_in_the_other() {
    let config = config(2);
    let percents = Some(Percents::all(Percent::ZERO));
    let shim = Shim::start(&config, ShimOptions { percents, ledger: None }).await.unwrap();
    let signature = json!({"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]});
    for (made_in, run_in, session) in [
        (Lane::V2, Lane::V3, "alice"),
        (Lane::V3, Lane::V2, "bob"),
        (Lane::V2, Lane::V3, "anonymous"),
        (Lane::V3, Lane::V2, "anonymous"),
    ] {
        let id = format!("{session}-{made_in}");
        let forced = |lane, call: Call| Call { forced: Some(lane), ..call };
        let create = call("create_program", &json!({"id": id, "signature": signature}));
        let create = forced(made_in, create.with_session(session).unwrap());
        let made = shim.call(create).await;
        assert_eq!(result(&made.answer)["status"], json!("created"));
        let execute = json!({"program_id": id, "inputs": {"question": "why?"}});
        let execute = call("execute_program", &execute).with_session(session).unwrap();
        let ran = shim.call(forced(run_in, execute)).await;
        assert_eq!(ran.decision.lane, run_in);
        assert_eq!(result(&ran.answer)["outputs"], json!({"answer": "answer for question=why?"}));
    }
    shim.drain().await;
}

#[tokio::test]
async fn r4_a_call_that_times_out_tells_where_it_was() {
    let pool = v3(&config(1)).await;
    let spin =
        Call { budget: Some(Duration::from_millis(300)), ..call("sleep", &json!({"ms": 600_000})) };
    let answer = pool.call(spin).await;
    let error = answer.result.unwrap_err();
    let CallError::ExecTimeout { post_mortem, .. } = &error else { panic!("{error}") };
    let stacks = post_mortem.stacks.join("\n");
    assert!(stacks.contains("apps/demo.py") && stacks.contains("in sleep"), "{stacks}");
    assert!(stacks.contains("_run_module_as_main"), "the dump is whole: {stacks}");
    assert_eq!(post_mortem.exit.as_deref(), Some("killed by SIGKILL"));
    // Its worker was replaced.
    let next = pool.call(call("calculate", &json!({"expression": "1 + 1"}))).await;
    assert_eq!(result(&next), json!({"result": 2}));
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_crash_is_told_with_the_exit_and_the_last_words() {
    let pool = v3(&config(1)).await;
    let answer = pool.call(call("crash", &json!({}))).await;
    let error = answer.result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::WorkerLost);
    assert!(error.to_string().contains("exit status"), "{error}");
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn payloads_up_to_the_frame_limit_pass_and_above_it_are_refused_alone() {
    let mut config = config(1);
    config.worker.max_frame_bytes = 1 << 20;
    let pool = v3(&config).await;
    let text = |bytes: usize| json!({"text": "x".repeat(bytes)});
    let large = pool.call(call("echo", &text((1 << 20) - 1000))).await;
    assert_eq!(result(&large)["text"].as_str().map(str::len), Some((1 << 20) - 1000));
    let refused = pool.call(call("echo", &text(1 << 20))).await.result.unwrap_err();
    assert_eq!((refused.outcome(), refused.ran()), (Outcome::Rejected, poolshift::Ran::No));
    assert!(refused.to_string().contains("max_frame_bytes = 1048576"), "{refused}");
    assert_eq!(pool.status().restarts, 0, "the worker was not harmed");
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn r18_both_lanes_note_what_they_execute_and_a_doctored_ledger_shows() {
    let folder = tempfile::tempdir().unwrap();
    let (config, percents) = (config(1), Some(Percents::all(Percent::ZERO)));
    let options = ShimOptions { percents, ledger: Some(folder.path().to_owned()) };
    let shim = Shim::start(&config, options).await.unwrap();
    let mut callers = CallerLedger::default();
    for (n, lane) in [Lane::V2, Lane::V3].into_iter().cycle().take(20).enumerate() {
        // Not idempotent: a second execution is one too many.
        let call = call("reset_state", &json!({})).with_id(&n.to_string()).unwrap();
        let call = Call { forced: Some(lane), ..call };
        callers.submit(&n.to_string());
        let routed = shim.call(call).await;
        callers.finish(&n.to_string(), routed.answer.outcome());
    }
    let pid = |status: PoolStatus| status.workers[0].pid.unwrap();
    let expected =
        [("v2", pid(shim.router().legacy().status())), ("v3", pid(shim.router().next().status()))];
    let read = || WorkerLedger::read(folder.path(), &BTreeSet::new()).unwrap();
    for (lane, pid) in expected {
        let own = |execution: &&Execution| execution.worker.starts_with(lane);
        assert_eq!(read().executions().filter(own).count(), 10);
        assert!(read().executions().filter(own).all(|execution| execution.pid == pid));
    }
    let audit = |callers: &CallerLedger, workers: &WorkerLedger| {
        Audit::of(callers, workers, |name| config.commands.get(name).idempotent)
    };
    assert!(audit(&callers, &read()).is_clean());

    let mut told_twice = callers.clone();
    told_twice.finish("3", Outcome::Ok);
    assert_eq!(audit(&told_twice, &read()).duplicated, 1);
    let mut never_told = callers.clone();
    never_told.submit("20");
    assert_eq!(audit(&never_told, &read()).lost, 1);

    let files = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let [a, b] = files().collect::<Vec<_>>().try_into().unwrap();
    let text = std::fs::read_to_string(&a).unwrap();
    let with = |file: &Path, text: &str| std::fs::write(file, text).unwrap();
    with(&a, &format!("{text}{}\n", text.lines().next().unwrap()));
    assert_eq!(audit(&callers, &read()).duplicated, 1, "executed twice by one worker");
    with(&a, &format!("{text}{}", std::fs::read_to_string(&b).unwrap()));
    assert_eq!(audit(&callers, &read()).duplicated, 10, "executed in both lanes");
    with(&a, "");
    assert_eq!(audit(&callers, &read()).unexecuted, 10);
    shim.drain().await;
}

/// The figures of the guide, for `scripts/soak`: they need a machine with nothing else to do.
#[tokio::test]
#[ignore = "measures time; run by scripts/soak"]
#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
async fn start_up_figures() {
    let slow = |workers| fixture("slow_import", workers);
    let clock = Clock::start();
    let mut one = Duration::MAX;
    for _ in 0..3 {
        let began = clock.now();
        let pool = v3(&slow(1)).await;
        one = one.min(clock.now().since(began));
        pool.drain(Duration::ZERO).await;
    }
    let began = clock.now();
    let pool = v3(&slow(8)).await;
    let all = clock.now().since(began);
    pool.drain(Duration::ZERO).await;
    let began = clock.now();
    let pool = v2(&slow(8)).await;
    pool.ready(8).await.unwrap();
    let in_turn = clock.now().since(began);
    pool.drain(Duration::ZERO).await;
    println!("one worker {one:?}, 8 in V3 {all:?}, 8 in V2 {in_turn:?}");
    assert!(all <= one + Duration::from_millis(600));
    let ratio = in_turn.as_secs_f64() / (8.0 * one.as_secs_f64());
    assert!((0.95..=1.05).contains(&ratio), "V2 took {ratio} of eight times one worker");
}

#[tokio::test]
async fn r5_a_worker_is_told_what_is_left_of_the_budget() {
    let pool = v3(&fixture("timeouts", 1)).await;
    let second = Call { budget: Some(Duration::from_secs(20)), ..call("left", &json!({})) };
    let (first, second) =
        tokio::join!(pool.call(call("sleep", &json!({"ms": 500}))), pool.call(second));
    assert_eq!(first.outcome(), Outcome::Ok);
    let left = result(&second)["left_s"].as_f64().unwrap();
    assert!(left > 1.0 && left < 19.75, "{left} s: it waited for half a second");
    pool.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn r4_a_stack_of_more_frames_than_python_writes_is_told() {
    let pool = v3(&fixture("timeouts", 1)).await;
    let budget = Some(Duration::from_millis(300));
    let deep = Call { budget, ..call("recurse", &json!({"depth": 150})) };
    let error = pool.call(deep).await.result.unwrap_err();
    let CallError::ExecTimeout { post_mortem, .. } = &error else { panic!("{error}") };
    assert!(post_mortem.stacks.iter().any(|line| line.contains("in recurse")), "{error}");
    assert_eq!(post_mortem.exit.as_deref(), Some("killed by SIGKILL"));
    pool.drain(Duration::from_secs(5)).await;
}
