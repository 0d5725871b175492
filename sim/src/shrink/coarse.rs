//! Options made smaller by proptest's shrinking: fewer calls, fewer workers, fewer kinds of
//! fault, one after the other.

use std::time::Duration;

use poolshift::Lane;
use proptest::num::u64::BinarySearch;
use proptest::strategy::ValueTree;

use crate::fault::Fault;
use crate::options::Options;

/// Something about options that can be made smaller.
#[derive(Clone, Copy, Debug)]
enum Knob {
    Calls,
    Size(Lane),
    Sessions,
    Fault(Fault),
    Recycles,
    Cancels,
    Budgets,
    Changes,
    Resizes,
    Lags,
    Raises,
}

impl Knob {
    fn all() -> Vec<Self> {
        let mut knobs = vec![Self::Calls, Self::Size(Lane::V2), Self::Size(Lane::V3)];
        knobs.extend(Fault::ALL.map(Self::Fault));
        knobs.extend([Self::Recycles, Self::Cancels, Self::Budgets, Self::Changes, Self::Resizes]);
        knobs.extend([Self::Lags, Self::Raises, Self::Sessions]);
        knobs
    }

    /// Its least value and its present one. What can only be left out is 1, or 0 without it.
    fn range(self, options: &Options) -> (u64, u64) {
        let is_on = |on: bool| (0, u64::from(on));
        match self {
            Self::Calls => (1, options.calls),
            Self::Size(lane) => (1, options.lanes[lane as usize].terms.size as u64),
            Self::Sessions => (1, options.mix.sessions as u64),
            Self::Fault(fault) => is_on(options.faults.of(fault) > 0),
            Self::Recycles => is_on(options.recycles > 0),
            Self::Cancels => is_on(options.mix.cancels.0 > 0),
            Self::Budgets => is_on(options.mix.budgets.0 > 0),
            Self::Changes => is_on(!options.operators.change_every.is_zero()),
            Self::Resizes => is_on(!options.operators.resize_every.is_zero()),
            Self::Lags => is_on(options.lags > 0),
            Self::Raises => is_on(options.raises > 0),
        }
    }

    fn turned(self, options: &Options, value: u64) -> Options {
        let mut options = options.clone();
        match self {
            Self::Calls => {
                options.calls = value;
                let before = &mut options.operators.drain_before;
                *before = before.map(|calls| calls.min(value));
            }
            Self::Size(lane) => options.lane_mut(lane).terms.size = value as usize,
            Self::Sessions => options.mix.sessions = value as usize,
            _ if value > 0 => {}
            Self::Fault(fault) => options.faults.set(fault, 0),
            Self::Recycles => options.recycles = 0,
            Self::Cancels => options.mix.cancels.0 = 0,
            Self::Budgets => options.mix.budgets.0 = 0,
            Self::Changes => options.operators.change_every = Duration::ZERO,
            Self::Resizes => options.operators.resize_every = Duration::ZERO,
            Self::Lags => options.lags = 0,
            Self::Raises => options.raises = 0,
        }
        options
    }
}

/// Smaller options that still fail. `fails` says no to everything when its budget is spent.
pub(super) fn coarse(options: &Options, mut fails: impl FnMut(&Options) -> bool) -> Options {
    let mut smallest = options.clone();
    for knob in Knob::all() {
        let (least, present) = knob.range(&smallest);
        let mut search = BinarySearch::new_above(least, present);
        let mut goes_on = least < present && search.simplify();
        while goes_on {
            let tried = knob.turned(&smallest, search.current());
            goes_on = if fails(&tried) {
                smallest = tried;
                search.simplify()
            } else {
                search.complicate()
            };
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn what_does_not_matter_goes_and_what_matters_stays() {
        let options = Scenario::Full.options(1, 10_000);
        let fails = |options: &Options| {
            options.calls >= 77 && options.faults.of(Fault::Hang) > 0 && options.lags > 0
        };
        let small = coarse(&options, fails);
        assert!(fails(&small));
        assert_eq!((small.calls, small.lanes[0].terms.size, small.mix.sessions), (77, 1, 1));
        assert!(Fault::ALL.iter().all(|it| (small.faults.of(*it) > 0) == (*it == Fault::Hang)));
        assert!(crate::bounds::check(&small).is_ok());
    }

    #[test]
    fn nothing_is_lost_when_no_smaller_options_fail() {
        let options = Scenario::Full.options(1, 1000);
        let mut asked = 0;
        let same = coarse(&options, |_| {
            asked += 1;
            false
        });
        assert_eq!((same.calls, same.lags), (options.calls, options.lags));
        assert!(asked < 100, "{asked}");
    }
}
