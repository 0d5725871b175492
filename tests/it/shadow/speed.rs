//! What shadows cost callers, with real workers: measurements for a machine that does nothing
//! else. They are told on stderr, and fail beyond their limits:
//! `cargo test --release --test it -- --ignored --nocapture shadow::speed`.

use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::config::Config;
use poolshift::meter::Series;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::router::shadow::{Dropped, ShadowStatus};
use poolshift::{Args, Call, Shim, ShimOptions};
use tokio::task::JoinSet;

use crate::leaks::resident_kib;
use crate::tool::Tool;

/// Calls a second, and seconds of one round.
const RATE: u32 = 200;
const ROUND_S: u32 = 5;

/// Rounds of each kind, which alternate.
const ROUNDS: u32 = 5;

/// How much later callers may be answered.
const DEARER: f64 = 1.05;

/// A command takes V2 and V3 as long as its args say.
const APP: &str = "import time\n\
    from poolshift_worker import command\n\
    @command('look')\n\
    def look(args, context):\n    \
    time.sleep(args['v3_s' if context.worker_id.startswith('v3') else 'v2_s'])\n    \
    return {'text': 'x' * 200}\n";

/// Eight workers in each lane, all of them ready; callers are answered by V2.
async fn start(tool: &Tool, sample: u32) -> Arc<Shim> {
    let (folder, store) = (tool.path("."), tool.path("kept"));
    let text = format!(
        "[worker]\napp = \"app\"\nenv = {{ PYTHONPATH = {folder:?} }}\n\
         [v2]\nsize = 8\n[v3]\nsize = 8\nmin_ready = 8\n[commands.look]\nclass = \"read\"\n\
         [shadow]\nsample = {sample}\nnoise = 0\nmax_per_s = 100000\nstore = {store:?}\n"
    );
    let config = Config::parse("poolshift.toml", &text, []).unwrap();
    let options = ShimOptions { percents: Some(Percents::all(Percent::ZERO)), ledger: None };
    let shim = Shim::start(&config, options).await.unwrap();
    shim.router().legacy().ready(8).await.unwrap();
    Arc::new(shim)
}

/// How many seconds V2 and V3 take.
#[derive(Clone, Copy)]
struct Pace {
    v2_s: f64,
    v3_s: f64,
}

async fn look(shim: &Shim, n: u32, pace: Pace, planned: Option<Moment>) -> Duration {
    let Pace { v2_s, v3_s } = pace;
    let args = format!("{{\"n\":{n},\"v2_s\":{v2_s},\"v3_s\":{v3_s}}}");
    let call = Call::new("look", Args::parse(&args).unwrap());
    let mut call = call.with_session(&format!("s{}", n % 400)).unwrap();
    call.planned = planned;
    let answer = shim.call(call).await.answer;
    assert!(answer.result.is_ok(), "{:?}", answer.result);
    answer.timing.total()
}

/// What callers noticed of one round, and what became of shadows.
struct Round {
    p99: Duration,
    calls_per_s: f64,
    shadow: ShadowStatus,
}

/// Calls come at their planned moments, whether or not earlier ones have been answered.
async fn round(tool: &Tool, sample: u32, v3_s: f64) -> Round {
    let shim = start(tool, sample).await;
    let began = shim.clock().now();
    let mut calls = JoinSet::new();
    for n in 0..RATE * ROUND_S {
        let shim = Arc::clone(&shim);
        calls.spawn(async move {
            let planned = began + Duration::from_secs(1) * n / RATE;
            shim.clock().sleep_until(planned).await;
            look(&shim, n, Pace { v2_s: 0.02, v3_s }, Some(planned)).await
        });
    }
    let mut series = Series::default();
    while let Some(took) = calls.join_next().await {
        series.record(took.unwrap());
    }
    let took = shim.clock().now().since(began).as_secs_f64();
    let shadow = shim.router().shadow().unwrap_or_default();
    shim.drain().await;
    let calls_per_s = f64::from(RATE * ROUND_S) / took;
    Round { p99: series.quantile(0.99), calls_per_s, shadow }
}

/// Rounds without and with shadows in turn; the median of callers' p99s must not tell which.
#[expect(clippy::print_stderr, reason = "a measurement, told")]
fn callers_notice_nothing(name: &str, v3_s: f64, looks_right: impl Fn(&ShadowStatus) -> bool) {
    let tool = Tool::new();
    tool.write("app.py", APP);
    let mut rounds = [Vec::new(), Vec::new()];
    let runtime = runtime();
    for n in 0..ROUNDS {
        for sample in [n % 2, 1 - n % 2] {
            let round = runtime.block_on(round(&tool, sample, v3_s));
            let Round { p99, calls_per_s, shadow } = &round;
            eprintln!("{name}, sample {sample}: p99 {p99:?}, {calls_per_s:.1} calls/s, {shadow:?}");
            assert!(sample == 0 || looks_right(shadow), "{shadow:?}");
            rounds[sample as usize].push(round);
        }
    }
    let median = |of: &dyn Fn(&Round) -> f64, rounds: &[Round]| {
        let mut figures: Vec<f64> = rounds.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let [p99, rate] =
        [&(|round: &Round| round.p99.as_secs_f64()) as &dyn Fn(&Round) -> f64, &|round: &Round| {
            round.calls_per_s
        }]
        .map(|of| median(of, &rounds[1]) / median(of, &rounds[0]));
    eprintln!("{name}: with shadows p99 is {p99:.3} times as long, and calls/s {rate:.3} times");
    assert!(p99 <= DEARER && rate >= 1.0 / DEARER, "callers notice: {p99:.3}, {rate:.3}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn callers_notice_no_candidate_that_is_twice_as_slow() {
    callers_notice_nothing("twice as slow", 0.04, |shadow| shadow.paired > 500);
}

#[test]
#[ignore = "a measurement"]
fn callers_notice_no_candidate_that_hangs() {
    callers_notice_nothing("hung", 60.0, |shadow| {
        let no_room = shadow.dropped.get(&Dropped::NoRoom).copied().unwrap_or(0);
        shadow.paired == 0 && no_room > 900
    });
}

/// The lane hangs through all of it, its workers are replaced, and hang again.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "a measurement, told")]
fn memory_is_bounded_while_the_candidate_hangs() {
    const CALLS: u32 = 20_000;
    let tool = Tool::new();
    tool.write("app.py", APP);
    runtime().block_on(async {
        let shim = start(&tool, 1).await;
        let mut held = Vec::new();
        for part in 0..6 {
            for n in 0..CALLS {
                look(&shim, part * CALLS + n, Pace { v2_s: 0.0, v3_s: 60.0 }, None).await;
            }
            let shadow = shim.router().shadow().unwrap();
            assert!(shadow.buffered_bytes < 1024 * 1024, "{shadow:?}");
            let kib = resident_kib(std::process::id());
            eprintln!("{} calls: {kib} KiB, {shadow:?}", (part + 1) * CALLS);
            held.push(kib);
        }
        shim.drain().await;
        // The first part fills buffers, pins and histograms.
        let grown = held[5].saturating_sub(held[1]);
        assert!(grown < 4096, "{grown} KiB more after {} calls more: {held:?}", 4 * CALLS);
    });
}
