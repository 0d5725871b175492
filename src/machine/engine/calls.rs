//! What happens to a call: submitted, waiting, running, finished exactly once.

use crate::call::SessionId;
use crate::clock::Moment;
use crate::error::Refusal;
use crate::machine::discipline::{Admission, Discipline};
use crate::machine::engine::{Due, Engine, Entry, MAX_RETURNS, Stage};
use crate::machine::slot::SlotState;
use crate::machine::slot::Standing;
use crate::machine::{Action, Breakage, Digest, End, OnCancel, Reply, Sent, Stop, Ticket};
use crate::pool::{RecycleReason, WorkerId};

impl<D: Discipline> Engine<D> {
    pub(super) fn submit(
        &mut self,
        now: Moment,
        call: Ticket,
        session: Option<SessionId>,
        deadline: Option<Moment>,
        digest: Option<Digest>,
    ) {
        let deadline = deadline.unwrap_or(now + self.terms.budget);
        let wait_until = deadline.min(now + self.terms.queue_timeout);
        if let Some(end) = self.refusal(now, wait_until, digest) {
            self.actions.push_back(Action::Finish { call, end });
            return;
        }
        let admission = self.discipline.admit(now, session.as_ref());
        let stage = Stage::Waiting;
        let (due, returns, shadow) = (None, 0, false);
        let entry = Entry { session, deadline, wait_until, stage, due, digest, returns, shadow };
        let known = self.calls.insert(call, entry);
        assert!(known.is_none(), "{call:?} was submitted twice");
        match admission {
            Admission::SessionLost => self.finish(now, call, End::SessionLost),
            Admission::Anywhere => self.place(now, call, self.crew.longest_idle(), None),
            Admission::At(slot) => {
                let idle = matches!(self.crew.slot(slot).state, SlotState::Idle { .. });
                self.place(now, call, idle.then_some(slot), Some(slot));
            }
        }
    }

    /// R16: on the longest idle of the spare workers, if nobody waits and enough of them are left.
    pub(super) fn submit_shadow(
        &mut self,
        now: Moment,
        call: Ticket,
        reserve: usize,
        deadline: Option<Moment>,
    ) {
        let deadline = deadline.unwrap_or(now + self.terms.budget);
        let mut spare = self.crew.idle().filter(|slot| self.discipline.is_spare(*slot));
        let slot = spare.next();
        let enough = spare.count() >= reserve;
        let open = !self.is_draining() && self.discipline.waiting() == 0 && now < deadline;
        let Some(slot) = slot.filter(|_| enough && open) else {
            let end = End::Rejected(Refusal::NoSpareWorker);
            self.actions.push_back(Action::Finish { call, end });
            return;
        };
        let (session, digest, stage) = (None, None, Stage::Waiting);
        let (wait_until, due, returns, shadow) = (deadline, None, 0, true);
        let entry = Entry { session, deadline, wait_until, stage, due, digest, returns, shadow };
        let known = self.calls.insert(call, entry);
        assert!(known.is_none(), "{call:?} was submitted twice");
        self.lent.insert(slot);
        self.discipline.lend(slot, true);
        self.assign(now, slot, call);
    }

    /// The worker in `slot` serves no shadow any more.
    fn take_back(&mut self, slot: u32) {
        if self.lent.remove(slot) {
            self.discipline.lend(slot, false);
        }
    }

    /// Why a new call is over before it begins, if it is.
    fn refusal(&self, now: Moment, wait_until: Moment, digest: Option<Digest>) -> Option<End> {
        if self.is_draining() {
            return Some(End::Draining);
        }
        if wait_until <= now {
            return Some(End::QueueTimeout);
        }
        let in_vain = self.waits_in_vain();
        in_vain.or_else(|| self.quarantine.refusal(now, digest).map(End::Rejected))
    }

    /// R6: no worker is there, and starting one is no use for now.
    fn waits_in_vain(&self) -> Option<End> {
        let in_vain = self.breaker.is_open() && self.crew.serving() == 0;
        in_vain.then(|| End::NoWorker { failures: self.breaker.failures() })
    }

    /// R6: whoever waits when the last hope is gone is told at once.
    pub(super) fn refuse_in_vain(&mut self, now: Moment) {
        let Some(end) = self.waits_in_vain() else { return };
        if self.discipline.waiting() == 0 {
            return;
        }
        let waits = |(_, entry): &(&Ticket, &Entry)| entry.stage == Stage::Waiting;
        let waiting = self.calls.iter().filter(waits).map(|(call, _)| *call);
        for call in oldest_first(waiting) {
            self.discipline.withdraw(call, self.calls[&call].session.as_ref());
            self.finish(now, call, end.clone());
        }
    }

    /// Gives a new call to an idle worker, or lets it wait, or refuses it.
    fn place(&mut self, now: Moment, call: Ticket, idle: Option<u32>, bound: Option<u32>) {
        if let Some(slot) = idle {
            self.assign(now, slot, call);
        } else if self.discipline.has_room() {
            self.wait(call, bound);
        } else {
            let waiting = self.discipline.waiting();
            self.finish(now, call, End::Rejected(Refusal::QueueFull { waiting }));
        }
    }

    /// For the worker in the slot to which its session is bound, or for any.
    fn wait(&mut self, call: Ticket, bound: Option<u32>) {
        let entry = self.calls.get_mut(&call).expect("only a submitted call waits");
        self.timers.move_to(Due::Call(call), &mut entry.due, entry.wait_until);
        self.discipline.enqueue(call, bound);
    }

    fn assign(&mut self, now: Moment, slot: u32, call: Ticket) {
        let worker = self.crew.worker(slot);
        let entry = self.calls.get_mut(&call).expect("only a submitted call is assigned");
        assert!(now < entry.deadline, "{call:?} is assigned after its deadline");
        let until = entry.deadline.min(now + self.terms.run_timeout);
        entry.stage = Stage::Running { worker, since: now, until };
        // If it waited, what is due is the end of that. Where it comes first, as it mostly does, it
        // is put right when it has come, which most calls do not live to see.
        if entry.due.is_none_or(|due| until < due) {
            self.timers.move_to(Due::Call(call), &mut entry.due, until);
        }
        self.crew.set(slot, SlotState::Busy { call });
        self.actions.push_back(Action::Assign { call, worker });
    }

    /// The worker in `slot` has nothing to do: it takes the next call, rests, or leaves.
    pub(super) fn release(&mut self, now: Moment, slot: u32) {
        self.take_back(slot);
        if self.crew.slot(slot).standing == Standing::Surplus {
            self.retire(now, slot, Stop::Politely);
        } else if let Some(call) = self.next_live_call(now, slot) {
            self.assign(now, slot, call);
        } else if self.is_draining() {
            self.retire(now, slot, Stop::Politely);
        } else {
            self.crew.tally(slot).last_used = now;
            self.crew.set(slot, SlotState::Idle { since: now });
        }
    }

    /// Drops what expired at this very moment before it can reach a worker (R5), and what has
    /// turned out to kill workers while it waited.
    fn next_live_call(&mut self, now: Moment, slot: u32) -> Option<Ticket> {
        while let Some(call) = self.discipline.next_for(slot) {
            let entry = &self.calls[&call];
            if entry.wait_until <= now {
                self.finish(now, call, End::QueueTimeout);
            } else if let Some(refusal) = self.quarantine.refusal(now, entry.digest) {
                self.finish(now, call, End::Rejected(refusal));
            } else {
                return Some(call);
            }
        }
        None
    }

    /// Waiting calls may have moved to other slots: hands them to workers that are idle there.
    /// Only a lost worker and a returned call bring that about, so only they ask each idle one.
    pub(super) fn serve_idle(&mut self, now: Moment) {
        if self.discipline.first_called(self.crew.idle_slots()).is_none() {
            return;
        }
        let idle: Vec<u32> = self.crew.idle().collect();
        for slot in idle {
            if let Some(call) = self.next_live_call(now, slot) {
                self.assign(now, slot, call);
            }
        }
    }

    pub(super) fn cancel(&mut self, now: Moment, call: Ticket) {
        let Some(entry) = self.calls.get(&call) else { return };
        let waiting = entry.stage == Stage::Waiting;
        assert!(waiting, "{call:?} is leased: its lease ends with CallBroke, not Cancel");
        self.discipline.withdraw(call, entry.session.as_ref());
        self.finish(now, call, End::Cancelled);
    }

    pub(super) fn replied(
        &mut self,
        now: Moment,
        call: Ticket,
        worker: WorkerId,
        reply: Reply,
        recycle: bool,
    ) {
        if let Some((since, _)) = self.running(call, worker) {
            let tally = self.crew.tally(worker.slot);
            tally.requests += 1;
            tally.errors += u64::from(reply == Reply::Raised);
            tally.busy += now.since(since);
            self.finish(now, call, End::Replied(reply));
        }
        if self.holds(worker, call) {
            self.timers.clear(Due::Slot(worker.slot));
            self.answered(now, worker);
            if recycle {
                self.tired(now, worker.slot, RecycleReason::Asked);
            }
            if self.holds(worker, call) {
                self.release(now, worker.slot);
            }
        }
    }

    pub(super) fn call_broke(
        &mut self,
        now: Moment,
        call: Ticket,
        worker: WorkerId,
        sent: Sent,
        cause: Breakage,
    ) {
        let held = self.holds(worker, call);
        let until = self.running(call, worker).map(|(_, until)| until);
        let digest = match self.calls.get(&call) {
            Some(entry) => entry.digest,
            None if held => self.crew.slot(worker.slot).abandoned,
            None => None,
        };
        if cause == Breakage::Lost && sent != Sent::None && (held || until.is_some()) {
            self.quarantine.died(now, digest, worker);
        }
        if until.is_some() {
            if cause == Breakage::Lost && sent == Sent::None {
                self.send_back(now, call);
            } else {
                self.finish(now, call, end_of(&cause));
            }
        }
        if !held {
            return;
        }
        match (cause, sent, until) {
            (Breakage::Refused(_), _, Some(_)) | (Breakage::Dropped, Sent::None, Some(_)) => {
                self.release(now, worker.slot);
            }
            (Breakage::Dropped, Sent::All, Some(until))
                if self.terms.on_cancel == OnCancel::Drain && now < until =>
            {
                self.abandon(call, worker, until, digest);
            }
            // Half a request is in the pipe, the pipe is broken, or the late reply never came.
            (cause, ..) => {
                self.deaths += u64::from(matches!(cause, Breakage::Lost | Breakage::Garbled));
                self.retire(now, worker.slot, Stop::Kill);
            }
        }
    }

    /// R1: no byte was accepted, so the call takes its old place in the queue again.
    fn send_back(&mut self, now: Moment, call: Ticket) {
        let entry = self.calls.get_mut(&call).expect("the call runs");
        if entry.shadow || entry.returns >= MAX_RETURNS || entry.wait_until <= now {
            self.finish(now, call, End::WorkerLost);
            return;
        }
        entry.returns += 1;
        entry.stage = Stage::Waiting;
        // Its session may have been lost or bound elsewhere while it was out.
        self.discipline.finished(now, entry.session.as_ref());
        match self.discipline.admit(now, entry.session.as_ref()) {
            Admission::SessionLost => self.finish(now, call, End::SessionLost),
            Admission::Anywhere => self.wait(call, None),
            Admission::At(slot) => self.wait(call, Some(slot)),
        }
    }

    /// The caller is gone and the worker is at work: its late reply must not meet a new call.
    fn abandon(&mut self, call: Ticket, worker: WorkerId, until: Moment, digest: Option<Digest>) {
        self.crew.set(worker.slot, SlotState::Abandoned { call });
        self.crew.tally(worker.slot).abandoned = digest;
        self.timers.set(Due::Slot(worker.slot), until);
        self.actions.push_back(Action::Abandon { call, worker });
    }

    /// The call's queue time or budget is over.
    pub(super) fn call_overdue(&mut self, now: Moment, call: Ticket) {
        let entry = self.calls.get_mut(&call).expect("a finished call has no deadline");
        entry.due = None;
        match entry.stage {
            Stage::Running { until, .. } if now < until => {
                self.timers.move_to(Due::Call(call), &mut entry.due, until);
            }
            Stage::Waiting => {
                self.discipline.withdraw(call, entry.session.as_ref());
                self.finish(now, call, End::QueueTimeout);
            }
            Stage::Running { worker, .. } => self.run_overdue(now, call, worker),
        }
    }

    fn run_overdue(&mut self, now: Moment, call: Ticket, worker: WorkerId) {
        if self.holds(worker, call) {
            self.finish(now, call, End::ExecTimeout);
            self.retire(now, worker.slot, Stop::DumpAndKill);
        } else {
            // The worker had exited, and the lease holder never came back to say what it read.
            self.quarantine.died(now, self.calls[&call].digest, worker);
            self.finish(now, call, End::WorkerLost);
        }
    }

    /// The drain's limit has passed: nobody is served any more, and all calls are walked over.
    pub(super) fn give_up(&mut self, now: Moment) {
        for call in oldest_first(self.calls.keys().copied()) {
            let entry = &self.calls[&call];
            if entry.stage == Stage::Waiting {
                self.discipline.withdraw(call, entry.session.as_ref());
                self.finish(now, call, End::Draining);
            } else {
                self.finish(now, call, End::WorkerLost);
            }
        }
        self.retire_all(now);
    }

    /// An admitted call is over.
    pub(super) fn finish(&mut self, now: Moment, call: Ticket, end: End) {
        let entry = self.calls.remove(&call).expect("a call finishes once");
        self.timers.forget(Due::Call(call), entry.due);
        self.discipline.finished(now, entry.session.as_ref());
        self.actions.push_back(Action::Finish { call, end });
    }

    /// Since when this worker has run this call, and until when it may.
    fn running(&self, call: Ticket, worker: WorkerId) -> Option<(Moment, Moment)> {
        let entry = self.calls.get(&call)?;
        match entry.stage {
            Stage::Running { worker: on, since, until } if on == worker => Some((since, until)),
            _ => None,
        }
    }

    /// Whether the call is what keeps the worker from being idle.
    fn holds(&self, worker: WorkerId, call: Ticket) -> bool {
        let state = self.crew.present(worker).map(|slot| slot.state);
        state.is_some_and(|state| {
            state == SlotState::Busy { call } || state == SlotState::Abandoned { call }
        })
    }
}

fn oldest_first(calls: impl Iterator<Item = Ticket>) -> Vec<Ticket> {
    let mut calls: Vec<Ticket> = calls.collect();
    calls.sort_unstable();
    calls
}

fn end_of(cause: &Breakage) -> End {
    match cause {
        Breakage::Dropped => End::Cancelled,
        Breakage::Refused(refusal) => End::Rejected(refusal.clone()),
        Breakage::Lost => End::WorkerLost,
        Breakage::Garbled => End::Protocol,
    }
}
