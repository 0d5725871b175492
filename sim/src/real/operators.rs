//! What operators do to a real shim, told once it is in force.

use std::sync::{Mutex, PoisonError};

use poolshift::router::policy::Percents;
use poolshift::{Class, Pool, Shim};

use crate::real::recorder::Recorder;
use crate::trace::{Event, Watcher};
use crate::workload::Act;

/// Operators, and what they asked for last: that is what must be in force, whatever the router
/// says of itself.
#[derive(Debug)]
pub(crate) struct Operators {
    /// V3's shares, and the kill switch.
    asked: Mutex<(Percents, bool)>,
}

impl Operators {
    /// The shim has begun with these shares.
    pub(crate) fn begin<L: Pool, W: Watcher>(
        percents: Percents,
        shim: &Shim<L>,
        recorder: &Recorder<W>,
    ) -> Self {
        let asked = (percents, false);
        tell(asked, shim, recorder);
        Self { asked: Mutex::new(asked) }
    }

    /// Does it and tells it, before the next of them is done.
    pub(crate) fn act<L: Pool, W: Watcher>(
        &self,
        act: Act,
        shim: &Shim<L>,
        recorder: &Recorder<W>,
    ) {
        let router = shim.router();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match act {
            Act::Percents(percents) => {
                router.set_percents(percents);
                asked.0 = percents;
            }
            Act::Kill(killed) => {
                if killed {
                    router.kill()
                } else {
                    router.unkill()
                }
                asked.1 = killed;
            }
            Act::Resize(size) => return router.next().resize(size),
        }
        tell(*asked, shim, recorder);
    }
}

fn tell<L: Pool, W: Watcher>(asked: (Percents, bool), shim: &Shim<L>, recorder: &Recorder<W>) {
    let (percents, killed) = asked;
    let percents = Class::ALL.map(|class| percents.of(class).buckets());
    let epoch = shim.router().policy().epoch;
    recorder.tell(None, Event::Config { epoch, percents, killed });
}
