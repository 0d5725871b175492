//! A service that embeds both pools: a rollout from 0 to 100 % and back, in one process.
//!
//! ```text
//! cargo run --example embed
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;

use poolshift::config::Config;
use poolshift::router::policy::Percents;
use poolshift::{Args, Call, CallError, Lane, Ran, Shim, ShimOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A service reads its own file: Config::load(Some(path), environment()).
    let config = Config::parse("embed.toml", "[v2]\nsize = 2\n[v3]\nsize = 2\n", [])?;
    // A service leaves `percents` at None, and follows `rollout.toml`.
    let percents = Some(Percents::all("0".parse()?));
    let shim = Shim::start(&config, ShimOptions { percents, ..ShimOptions::default() }).await?;

    for percent in ["0", "25", "100"] {
        shim.router().set_percents(Percents::all(percent.parse()?));
        let mut lanes: BTreeMap<Lane, u32> = BTreeMap::new();
        for n in 0..200 {
            let session = format!("{percent}-{n}");
            let args = Args::parse(&format!(r#"{{"expression": "{n} * 2"}}"#))?;
            let routed = shim.call(Call::new("calculate", args).with_session(&session)?).await;
            let answer = routed.answer.result?;
            assert_eq!(answer.get(), format!(r#"{{"result":{}}}"#, n * 2));
            *lanes.entry(routed.decision.lane).or_default() += 1;
        }
        println!("V3 at {percent} %: {lanes:?} of 200 new sessions");
    }

    // A failed call says whether it can have run: only then is asking again safe.
    let crash = shim.call(Call::new("crash", Args::default())).await;
    match crash.answer.result {
        Err(error @ CallError::WorkerLost { .. }) if error.ran() == Ran::Maybe => {
            println!("lost in {}, and it may have run: {error}", crash.decision.lane);
        }
        other => return Err(format!("a crash is not {other:?}").into()),
    }

    // From here on everything goes to V2, live sessions too.
    shim.router().kill();
    let routed = shim.call(Call::new("ping", Args::default()).with_session("100-0")?).await;
    assert_eq!(routed.decision.lane, Lane::V2);
    println!("killed: {} because {}", routed.decision.lane, routed.decision.reason.as_str());
    shim.drain().await;
    Ok(())
}
