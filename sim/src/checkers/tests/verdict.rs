//! How a story ends, and what the checkers say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolshift::machine::Stop;
use poolshift::meter::MeterSnapshot;
use poolshift::pool::PoolStatus;
use poolshift::{Class, Lane};

use super::story::Story;
use crate::checkers::{Checkers, Law};
use crate::trace::{Closing, Event, LaneClosing, Watcher};

impl Story {
    /// Every worker of both lanes ends, and the books are closed as the trace has it.
    pub(super) fn closes(self) -> Self {
        self.v2().shuts_down().v3().shuts_down().books(|_| {})
    }

    fn shuts_down(self) -> Self {
        let live: Vec<((Lane, u32), bool)> = self.live.clone().into_iter().collect();
        let story = self.drain(1_000_000);
        let lane = story.lane;
        let story = live.into_iter().filter(|((of, _), _)| *of == lane).fold(
            story,
            |story, ((_, slot), stopped)| {
                let story = if stopped { story } else { story.stop(slot, Stop::Kill) };
                story.dies(slot)
            },
        );
        story.event(Event::Drained)
    }

    /// The run ends with these books, changed.
    pub(super) fn books(mut self, change: impl FnOnce(&mut Closing)) -> Self {
        let mut closing = self.honest_books();
        change(&mut closing);
        self.closing = Some(Box::new(closing));
        self
    }

    fn honest_books(&self) -> Closing {
        let status = PoolStatus::default();
        let lane = LaneClosing { status, meter: MeterSnapshot::default(), processes: 0 };
        let mut closing = Closing { at: self.at, lanes: [lane.clone(), lane] };
        let mut lanes = BTreeMap::new();
        for (stamp, event) in &self.events {
            match *event {
                Event::Route { call, lane, .. } => {
                    lanes.insert(call, lane);
                    closing.lanes[lane as usize].meter.submitted += 1;
                }
                Event::Done { call, outcome, .. } => {
                    let books = &mut closing.lanes[lanes[&call] as usize];
                    *books.status.outcomes.entry(outcome).or_default() += 1;
                    let key = (Class::Read, outcome);
                    let latencies = books.meter.latencies.entry(key).or_default();
                    latencies.queued.record(Duration::ZERO);
                    latencies.service.record(Duration::ZERO);
                    latencies.total.record(Duration::ZERO);
                }
                Event::Start { worker } if worker.generation > 1 => {
                    closing.lanes[stamp.lane.unwrap() as usize].status.restarts += 1;
                }
                Event::StartFailed { .. } => {
                    closing.lanes[stamp.lane.unwrap() as usize].status.start_failures += 1;
                }
                _ => {}
            }
        }
        closing
    }

    pub(super) fn check(&self) -> Checkers {
        let mut checkers = Checkers::new().with_slack(self.slack);
        checkers.begin(&self.ground);
        self.events.iter().for_each(|(stamp, event)| checkers.event(*stamp, event));
        self.closing.iter().for_each(|closing| checkers.end(closing));
        checkers
    }

    /// No law is broken, and this one was put to the test.
    #[track_caller]
    pub(super) fn keeps(&self, law: Law) {
        let checkers = self.clean();
        let tally = checkers.laws()[&law];
        assert!(tally.checked > 0, "{law} was not checked");
        assert!(tally.sometimes > 0, "{law} was not put to the test");
    }

    /// No law is broken.
    #[track_caller]
    pub(super) fn clean(&self) -> Checkers {
        let checkers = self.check();
        assert!(checkers.violations().is_empty(), "{}", told(&checkers));
        checkers
    }

    /// This law is broken, and no other.
    #[track_caller]
    pub(super) fn breaks(&self, law: Law) {
        let checkers = self.check();
        let broken: BTreeSet<Law> = checkers.violations().iter().map(|found| found.law).collect();
        assert_eq!(broken, [law].into(), "{}", told(&checkers));
    }
}

fn told(checkers: &Checkers) -> String {
    let lines: Vec<String> = checkers.violations().iter().map(ToString::to_string).collect();
    lines.join("\n")
}
