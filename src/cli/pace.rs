//! How fast calls are made.

use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// When calls start. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    beat: Beat,
    hurry: CancellationToken,
}

/// As other calls end, or by plan.
#[derive(Clone, Debug)]
enum Beat {
    /// At most so many at once.
    Concurrency(Arc<Semaphore>),
    /// So many a second, from the first call on.
    Rate(f64),
}

impl Pace {
    /// A rate if one is given, else so many calls at once.
    pub(crate) fn of(rate: Option<f64>, concurrency: usize) -> Self {
        let beat = match rate {
            Some(rate) => Beat::Rate(rate),
            None => Beat::Concurrency(Arc::new(Semaphore::new(concurrency))),
        };
        Self { beat, hurry: CancellationToken::new() }
    }

    /// There is nothing to wait for any more: it is everybody's turn, since calls are refused.
    pub(crate) fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Waits for the turn of the call with this index. Given is the permit to hold until the call
    /// is over, and when the call was planned.
    pub(crate) async fn turn(
        &self,
        index: usize,
        began: Moment,
        clock: Clock,
    ) -> (Option<OwnedSemaphorePermit>, Option<Moment>) {
        let turn = async {
            match &self.beat {
                Beat::Concurrency(slots) => {
                    let permit = Arc::clone(slots).acquire_owned().await;
                    (Some(permit.expect("nobody closes the semaphore")), None)
                }
                Beat::Rate(rate) => {
                    let planned = began + Duration::from_secs_f64(index as f64 / rate);
                    clock.sleep_until(planned).await;
                    (None, Some(planned))
                }
            }
        };
        // Dropped here: the place among those who wait for a slot.
        tokio::select! {
            turn = turn => turn,
            () = self.hurry.cancelled() => (None, None),
        }
    }
}

/// Calls per second. The lower bound keeps plans within what a clock can say.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("must be 0.001 to 1000000 calls a second".to_owned()),
    }
}
