//! What this process holds before and after a run.

use std::io;

use poolshift::config::Config;
use poolshift::router::percent::Percent;
use poolshift::router::policy::Percents;
use poolshift::{Args, Call, Lane, Shim, ShimOptions};
use tokio::runtime::{Builder, Runtime};

use crate::real::error::RealError;
use crate::real::kernel::{Holdings, Kin, kin, settled};
use crate::real::stop::Stop;

/// Threads of the runtime: a host has more than one, and what they do must not depend on which.
const THREADS: usize = 2;

pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()
}

/// Has the product make all that it makes once for the life of its process: a call in each lane,
/// and an end without a drain. Gives the runtime for the run itself.
pub(super) fn warm_up(config: &Config, mark: &str, stop: &Stop) -> Result<Runtime, RealError> {
    let mut config = config.clone();
    (config.v2.size, config.v3.size) = (1, 1);
    let first = runtime()?;
    let calls = async {
        let percents = Some(Percents::all(Percent::ZERO));
        let shim = Shim::start(&config, ShimOptions { percents, ledger: None }).await?;
        for forced in [Lane::V2, Lane::V3] {
            let args = Args::parse(r#"{"tag": 0}"#).expect("it is an object");
            shim.call(Call { forced: Some(forced), ..Call::new("look", args) }).await;
        }
        Ok(shim)
    };
    let shim = first.block_on(async {
        tokio::select! {
            biased;
            // Dropped here: what has been started, with its runtime.
            () = stop.asked() => Err(RealError::Interrupted),
            shim = calls => shim,
        }
    })?;
    // The tasks that would reap the workers go first, so that they are reaped without them.
    drop(first);
    let runtime = runtime()?;
    let entered = runtime.enter();
    drop(shim);
    drop(entered);
    let left = runtime.block_on(children(mark))?;
    match left.len() {
        0 => Ok(runtime),
        left => Err(io::Error::other(format!("{left} processes live on before the run")).into()),
    }
}

/// The children of this process, once they have gone, or cannot go any more.
pub(super) async fn children(mark: &str) -> io::Result<Vec<Kin>> {
    settled(|| kin(mark), Vec::is_empty).await
}

/// What this process holds once that is what it held before, or cannot be any more.
pub(super) async fn holdings(before: Holdings) -> io::Result<Holdings> {
    settled(Holdings::now, |now| *now == before).await
}
