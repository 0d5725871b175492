//! Faults that strike at any moment, whatever the pools do.

use std::time::Duration;

use poolshift::Lane;
use poolshift::WorkerId;
use poolshift::machine::{PoolMachine, Reply};

use crate::fault::{Fault, Strikes};
use crate::rng::{Domain, Stream};
use crate::trace::{Event, Frame, Watcher};
use crate::world::World;
use crate::world::pool::Pool;
use crate::world::process::KILLED;
use crate::world::rig::Rig;
use crate::world::scene::{Due, Scene};
use crate::world::worker::{Letter, SeatStage};

const HOUR: u64 = 3_600_000_000_000;

impl<R: Rig, W: Watcher> World<R, W> {
    pub(super) fn plan_strikes(&mut self) {
        for fault in Fault::ALL {
            if fault.strikes() == Strikes::Moment && self.scene.rate(fault) > 0 {
                let stream = self.scene.seed.stream(Domain::Strike, u64::from(fault.number()), 0);
                self.strikes.push((fault, stream));
                self.plan_strike(fault);
            }
        }
    }

    /// One that has healed is not planned any more.
    fn plan_strike(&mut self, fault: Fault) {
        let rate = self.scene.rate(fault);
        if rate > 0 {
            let gap = self.stream(fault).exponential(HOUR / u64::from(rate));
            self.scene.after(Duration::from_nanos(gap), Due::Strike(fault));
        }
    }

    fn stream(&mut self, fault: Fault) -> &mut Stream {
        let mut streams = self.strikes.iter_mut();
        let found = streams.find(|(of, _)| *of == fault);
        found.map(|(_, stream)| stream).expect("it has had a stream since it was planned")
    }

    pub(super) fn strike(&mut self, fault: Fault) {
        if self.scene.rate(fault) == 0 {
            return;
        }
        let stream = self.stream(fault);
        let lane = if stream.chance(500_000) { Lane::V2 } else { Lane::V3 };
        let lot = stream.below(u64::MAX);
        match fault {
            Fault::SpawnExhausted => {
                self.scene.strike(None, fault, None);
                self.scene.exhausted_until =
                    self.scene.now + Duration::from_nanos(lot % 2_000_000_000);
            }
            Fault::HostStall => {
                self.scene.strike(None, fault, None);
                let until = self.scene.now + Duration::from_nanos(lot % 5_000_000_000);
                self.scene.stalled_until = until;
                self.scene.tell(Event::Stall { until });
            }
            _ => match lane {
                Lane::V2 => self.v2.struck(&mut self.scene, fault, lot),
                Lane::V3 => self.v3.struck(&mut self.scene, fault, lot),
            },
        }
        self.plan_strike(fault);
    }
}

impl<M: PoolMachine> Pool<M> {
    fn struck<W: Watcher>(&mut self, scene: &mut Scene<W>, fault: Fault, lot: u64) {
        if fault == Fault::AllDie {
            scene.strike(Some(self.lane), fault, None);
            for slot in 0..self.seats.len() {
                let seat = &self.seats[slot];
                if seat.stage != SeatStage::Empty {
                    self.die(scene, seat.worker, KILLED, true);
                }
            }
            return;
        }
        let idle = self.seats.iter().filter(|seat| seat.is_idle());
        let idle: Vec<WorkerId> = idle.map(|seat| seat.worker).collect();
        if idle.is_empty() {
            return;
        }
        let worker = idle[(lot % idle.len() as u64) as usize];
        scene.strike(Some(self.lane), fault, Some(worker));
        if fault == Fault::DeathWhileIdle {
            self.die(scene, worker, KILLED, true);
        } else {
            let letter = Letter { frame: Frame::Junk, kind: Reply::Ok, recycle: false };
            self.writes(scene, worker, letter);
        }
    }
}
