//! What shadows cost callers; measurements, told on stderr:
//! `cargo test --release -- --ignored --nocapture callers_with_and_without_shadows`.

use std::sync::Arc;
use std::time::Duration;

use poolshift::config::Config;
use poolshift::meter::Series;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Args, Call, Shim, ShimOptions};

use crate::tool::Tool;

/// Calls a second, and seconds of one round.
const RATE: u32 = 200;
const ROUND_S: u32 = 5;

const APP: &str = "import time\n\
    from poolshift_worker import command\n\
    @command('look')\n\
    def look(args, context):\n    \
    time.sleep(args['v3_s'] if context.worker_id.startswith('v3') else 0.02)\n    \
    return {'text': 'x' * 200}\n";

fn config(tool: &Tool, sample: u32) -> Config {
    let folder = tool.path(".").display().to_string();
    let text = format!(
        "[worker]\napp = \"app\"\nenv = {{ PYTHONPATH = {folder:?} }}\n\
         [v2]\nsize = 8\n[v3]\nsize = 8\nmin_ready = 8\n[commands.look]\nclass = \"read\"\n\
         [shadow]\nsample = {sample}\nnoise = 0\nmax_per_s = 100000\nstore = {:?}\n",
        tool.path("kept").display().to_string()
    );
    Config::parse("poolshift.toml", &text, []).unwrap()
}

/// One round: how long callers waited from their planned arrivals, and how many a second there
/// were; and how many pairs were made.
async fn round(tool: &Tool, sample: u32, v3_s: f64) -> (Series, f64, u64) {
    let percents = Some(Percents::all(Percent::ZERO));
    let options = ShimOptions { percents, ledger: None };
    let shim = Arc::new(Shim::start(&config(tool, sample), options).await.unwrap());
    shim.router().legacy().ready(8).await.unwrap();
    let began = shim.clock().now();
    let calls = (0..RATE * ROUND_S).map(|n| {
        let shim = Arc::clone(&shim);
        tokio::spawn(async move {
            let planned = began + Duration::from_secs(1) * n / RATE;
            shim.clock().sleep_until(planned).await;
            let args = Args::parse(&format!("{{\"n\":{n},\"v3_s\":{v3_s}}}")).unwrap();
            let mut call = Call::new("look", args).with_session(&format!("s{}", n % 400)).unwrap();
            call.planned = Some(planned);
            let answer = shim.call(call).await.answer;
            assert!(answer.result.is_ok());
            answer.timing.total()
        })
    });
    let calls: Vec<_> = calls.collect();
    let mut series = Series::default();
    for call in calls {
        series.record(call.await.unwrap());
    }
    let took = shim.clock().now().since(began).as_secs_f64();
    let status = shim.router().shadow();
    assert!(status.as_ref().is_none_or(|status| status.buffered_bytes < 1024 * 1024));
    shim.drain().await;
    (series, f64::from(RATE * ROUND_S) / took, status.map_or(0, |status| status.paired))
}

#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "a measurement, told")]
fn callers_with_and_without_shadows() {
    let tool = Tool::new();
    tool.write("app.py", APP);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for (name, v3_s) in [("twice as slow", 0.04), ("hung", 60.0)] {
        let mut rounds = [Vec::new(), Vec::new()];
        for n in 0..5_u32 {
            for sample in [n % 2, 1 - n % 2] {
                let (series, rate, paired) = runtime.block_on(round(&tool, sample, v3_s));
                let p99 = series.quantile(0.99);
                eprintln!(
                    "{name}, sample {sample}: p99 {p99:?}, {rate:.1} calls/s, {paired} pairs"
                );
                rounds[sample as usize].push((p99, rate));
            }
        }
        let [without, with] = rounds.map(|mut rounds| {
            rounds.sort_by_key(|(p99, _)| *p99);
            rounds[2]
        });
        let ratio = with.0.as_secs_f64() / without.0.as_secs_f64();
        eprintln!("{name}: median p99 {:?} and {:?}, ratio {ratio:.3}", without.0, with.0);
    }
}
