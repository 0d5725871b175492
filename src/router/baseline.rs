//! How long V2's good calls take, by command: what slow calls are measured by once a ramp begins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::meter::Series;
use crate::router::guard::slow::Thresholds;
use crate::router::guard::strata::Strata;

/// V2's latency while no ramp runs. During one it is frozen: V2 speeds up as load leaves it, and
/// would make V3 look slow.
#[derive(Debug, Default)]
pub struct Baseline {
    /// Bounded by the commands that guards can tell apart; the others have no threshold.
    commands: Mutex<BTreeMap<Arc<str>, Series>>,
}

impl Baseline {
    /// A good call of V2 took so long.
    pub fn record(&self, command: &Arc<str>, total: Duration) {
        let mut commands = self.lock();
        let has_room = commands.len() < Strata::MAX;
        match commands.get_mut(command) {
            Some(series) => series.record(total),
            None if has_room => {
                commands.entry(Arc::clone(command)).or_default().record(total);
            }
            None => {}
        }
    }

    /// The thresholds as they are now.
    #[must_use]
    pub fn freeze(&self) -> Thresholds {
        let mut thresholds = Thresholds::default();
        for (command, series) in self.lock().iter() {
            thresholds.freeze(command, series.count(), |share| series.quantile(share));
        }
        thresholds
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Series>> {
        self.commands.lock().expect("nothing panics while it holds this lock")
    }
}
