//! Faults that strike at any moment, whatever the pools do.

use std::time::Duration;

use poolshift::Lane;
use poolshift::WorkerId;
use poolshift::machine::{PoolMachine, Reply};

use crate::fault::{Fault, Strikes};
use crate::trace::{Event, Frame, Watcher};
use crate::world::World;
use crate::world::pool::Pool;
use crate::world::process::KILLED;
use crate::world::rig::Rig;
use crate::world::scene::{Due, Scene};
use crate::world::worker::{Letter, SeatStage};

impl<R: Rig, W: Watcher> World<R, W> {
    pub(super) fn plan_strikes(&mut self) {
        for fault in Fault::ALL {
            if fault.strikes() == Strikes::Moment {
                self.plan_strike(fault);
            }
        }
    }

    fn plan_strike(&mut self, fault: Fault) {
        let now = self.scene.now;
        if let Some(at) = self.scene.hazard.next(now, fault) {
            self.scene.at(at, Due::Strike(fault));
        }
    }

    pub(super) fn strike(&mut self, fault: Fault) {
        let now = self.scene.now;
        let Some((lane, lot)) = self.scene.hazard.strike(now, fault) else { return };
        match fault {
            Fault::SpawnExhausted => {
                self.scene.strike(None, fault, None);
                self.scene.exhausted_until =
                    self.scene.now + Duration::from_nanos(lot % 2_000_000_000);
            }
            Fault::HostStall => {
                self.scene.strike(None, fault, None);
                let until = self.scene.now + Duration::from_nanos(lot % 5_000_000_000);
                // One that begins within another does not end it.
                self.scene.stalled_until = until.max(self.scene.stalled_until);
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
