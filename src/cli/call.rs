//! `poolshift call`: start what is needed, one call, print the result.

use std::sync::Arc;

use clap::Args as ClapArgs;
use poolshift::clock::{Clock, millis};
use poolshift::config::Config;
use poolshift::v2_session_pool::V2SessionPool; // legacy
use poolshift::v3_pool::V3Pool;
use poolshift::{Answer, Args, Call, CallError, Lane, Pool, Shim, ShimError, ShimOptions};
use poolshift::{StartError, shim};
use serde_json::json;
use serde_json::value::RawValue;

use crate::cli::failure::Failure;
use crate::cli::run::pool::PoolArg;
use crate::cli::stdout;
use crate::cli::stop::Stop;

#[derive(Debug, ClapArgs)]
pub(crate) struct CallArgs {
    /// What the worker is asked to do, such as calculate
    command: String,
    /// Its args: one JSON object
    #[arg(default_value = "{}", value_name = "ARGS_JSON")]
    args: String,
    /// The caller's session
    #[arg(long)]
    session: Option<String>,
    /// Force a lane; without it the rollout file decides
    #[arg(long)]
    pool: Option<PoolArg>,
}

pub(crate) async fn call(
    mut config: Config,
    args: CallArgs,
    json: bool,
    stop: Stop,
) -> Result<(), Failure> {
    let mut call = Call::new(args.command, Args::parse(&args.args)?);
    if let Some(session) = &args.session {
        call = call.with_session(session)?;
    }
    // One call needs one worker.
    config.v2.size = 1; // legacy
    (config.v3.size, config.v3.min_ready, config.v3.max_starting) = (1, 1, 0);
    let drained = config.worker.drain_timeout;
    let (lane, answer) = match args.pool {
        Some(pool) => (pool.lane(), in_lane(&config, pool.lane(), call, &stop).await?),
        None => {
            let shim = stop.before_calls(Shim::start(&config, ShimOptions::default())).await??;
            let routed = stop.draining(shim.call(call), drained, |limit| shim.drain_within(limit));
            // Dropped here: the call is cancelled, and its worker killed with the shim.
            let routed = routed.await;
            shim.drain().await;
            (routed.decision.lane, routed.answer)
        }
    };
    report(lane, answer, json)
}

/// Only the pool of the forced lane is started.
async fn in_lane(
    config: &Config,
    lane: Lane,
    mut call: Call,
    stop: &Stop,
) -> Result<Answer, Failure> {
    let sessions = shim::sessions(config);
    let spawner = shim::spawner(config, lane, None).map_err(Failure::failed)?;
    let clock = Clock::start();
    call.class = sessions.commands().get(&call.command).class;
    let failed = |error: StartError| Failure::from(ShimError::Pool { lane, error });
    let drained = config.worker.drain_timeout;
    // legacy begin
    if lane == Lane::V2 {
        let sessions = Arc::clone(&sessions);
        let (v2, worker) = (&config.v2, &config.worker);
        let pool = V2SessionPool::start(v2, worker, spawner, sessions, clock);
        let pool = stop.before_calls(pool).await?.map_err(failed)?;
        let answer = stop.draining(pool.call(call), drained, |limit| pool.drain(limit)).await;
        pool.drain(drained).await;
        return Ok(answer);
    }
    // legacy end
    let pool = V3Pool::start(&config.v3, &config.worker, spawner, Arc::clone(&sessions), clock);
    let pool = stop.before_calls(pool).await?.map_err(failed)?;
    let answer = stop.draining(pool.call(call), drained, |limit| pool.drain(limit)).await;
    pool.drain(drained).await;
    Ok(answer)
}

fn report(lane: Lane, answer: Answer, as_json: bool) -> Result<(), Failure> {
    let worker = answer.worker.map(|worker| format!("{lane}-{worker}"));
    let total_ms = millis(answer.timing.total());
    match answer.result {
        Ok(result) if as_json => {
            let result: &RawValue = &result;
            stdout::json(&json!({
                "result": result, "lane": lane, "worker": worker, "total_ms": total_ms,
            }))
        }
        Ok(result) => stdout::line(result.get()),
        Err(error) => {
            let (outcome, ran) = (error.outcome().as_str(), error.ran().as_str());
            let (error_type, traceback) = match &error {
                CallError::Raised { error_type, traceback, .. } => {
                    (error_type.as_deref(), &traceback[..])
                }
                _ => (None, &[][..]),
            };
            if as_json {
                stdout::json(&json!({
                    "error": error.to_string(), "error_type": error_type, "traceback": traceback,
                    "outcome": outcome, "ran": ran,
                    "lane": lane, "worker": worker, "total_ms": total_ms,
                }))?;
            }
            let told = format!("{outcome} in {lane} (ran: {ran}): {error}");
            let lines = traceback.iter().flat_map(|part| part.lines());
            let traceback: String = lines.map(|line| format!("\n  {line}")).collect();
            Err(Failure::Failed(told + &traceback))
        }
    }
}
