//! The pool's one timer.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::machine::{Event, PoolMachine};
use crate::shell::Shell;
use crate::worker::Spawner;

/// A timer that wakes later than this was not late by itself: the host was stalled (R4).
const STALL: Duration = Duration::from_millis(20);

/// Fires the machine's deadlines until the pool is empty.
///
/// `armed` is only ever moved earlier by others, so calls that finish before their deadline
/// cost the timer nothing: it wakes at the old moment, finds nothing due and looks again.
pub(super) async fn run<M: PoolMachine, S: Spawner>(shell: Arc<Shell<M, S>>) {
    loop {
        let (armed, empty) = {
            let desk = shell.lock();
            (desk.armed, desk.progress.empty)
        };
        if empty {
            return;
        }
        tokio::select! {
            biased;
            () = shell.rearm.notified() => {}
            () = shell.clock.sleep_until(armed) => {
                yield_to_replies(&shell, armed).await;
                shell.handle(Event::DeadlineReached);
                let mut desk = shell.lock();
                desk.armed = desk.machine.next_deadline().unwrap_or(Moment::NEVER);
            }
        }
    }
}

/// R4: after a stall, replies and deadlines are due together. Whoever holds a lease gets as
/// long as a stall lasts to read what its worker had already answered.
async fn yield_to_replies<M: PoolMachine, S: Spawner>(shell: &Shell<M, S>, armed: Moment) {
    let now = shell.clock.now();
    if now.since(armed) > STALL {
        shell.clock.sleep_until(now + STALL).await;
    }
}
