//! What happens to a worker's link while no caller holds it.

use std::sync::Arc;

use crate::call::Args;
use crate::machine::{Breakage, Event, PoolMachine, Reply, Sent, Ticket};
use crate::shell::Shell;
use crate::shell::desk::Lease;
use crate::shell::ping::ping;
use crate::worker::link::LinkError;
use crate::worker::{Process, Spawner};

/// R8: pings an idle worker; no good answer within `health_timeout` retires it.
pub(super) async fn probe<M: PoolMachine, S: Spawner>(
    shell: Arc<Shell<M, S>>,
    mut lease: Lease<S>,
) {
    let limit = shell.settings.health_timeout;
    let record = Arc::clone(&lease.record);
    let purpose = Args::parse(r#"{"health_check":true}"#).expect("it is an object");
    let pinged = tokio::time::timeout(limit, ping::<S>(&mut lease.link, &purpose));
    let healthy = tokio::select! {
        biased;
        pinged = pinged => matches!(pinged, Ok(Ok(_))),
        _ = record.process.exited() => false,
    };
    let worker = lease.worker;
    if !healthy {
        tracing::warn!(lane = %shell.settings.lane, %worker, "no good answer to a health check");
    }
    let mut desk = shell.lock();
    desk.give_back(lease);
    shell.step(&mut desk, shell.clock.now(), Event::Probed { worker, healthy });
}

/// R3: reads the reply that nobody waits for, so that it cannot meet the next call. The
/// machine's deadline ends a wait that takes too long, by killing the worker.
pub(super) async fn read_late_reply<M: PoolMachine, S: Spawner>(
    shell: Arc<Shell<M, S>>,
    call: Ticket,
    mut lease: Lease<S>,
) {
    let worker = lease.worker;
    let record = Arc::clone(&lease.record);
    let reply = tokio::select! {
        biased;
        reply = lease.link.receive() => reply,
        exit = record.process.exited() => Err(LinkError::Closed(exit)),
    };
    let event = match reply {
        Ok(reply) => {
            let kind = if reply.result.is_ok() { Reply::Ok } else { Reply::Raised };
            Event::Replied { call, worker, reply: kind, recycle: reply.recycle }
        }
        Err(error) => {
            let cause = match &error {
                LinkError::Garbled(reason) => {
                    shell.tell_breach(worker, reason);
                    Breakage::Garbled
                }
                LinkError::Closed(_) => Breakage::Lost,
            };
            tracing::debug!(lane = %shell.settings.lane, %worker, %error, "no late reply");
            Event::CallBroke { call, worker, sent: Sent::All, cause }
        }
    };
    let mut desk = shell.lock();
    desk.give_back(lease);
    shell.step(&mut desk, shell.clock.now(), event);
}
