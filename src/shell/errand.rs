//! The path of one try of a call. The caller does its own IO: it waits for a lease, loads session
//! data, writes the request, reads the reply and reports, which may hand the same link to the
//! next waiter without another task in between.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::call::{Answer, Call, SessionId};
use crate::clock::{Clock, Moment};
use crate::error::{CallError, PostMortem, Refusal};
use crate::machine::{Breakage, End, Event, PoolMachine, Reply, Sent, Ticket};
use crate::pool::WorkerId;
use crate::shell::Shell;
use crate::shell::bell::Bell;
use crate::shell::desk::{Attempt, Finished, Lease, Overdue, Record};
use crate::shell::digest::digest;
use crate::shell::held::HeldDesk;
use crate::shell::shadow;
use crate::tape::ShadowCall;
use crate::worker::link::LinkError;
use crate::worker::wire::{Outgoing, WireReply};
use crate::worker::{Process, Spawner};

/// How long a failed call may wait for its worker's post-mortem (R4): longer than the reaping of
/// a killed process takes, and no longer than a caller would notice.
pub(super) const POST_MORTEM: Duration = Duration::from_millis(250);

/// The part of it that a worker has to write its stacks; the rest is for killing and reaping.
pub(super) const STACK_DUMP: Duration = Duration::from_millis(150);

/// A submitted call in its caller's hands. Its drop settles what is left of it.
pub(super) struct Errand<'a, M: PoolMachine, S: Spawner> {
    shell: &'a Arc<Shell<M, S>>,
    call: &'a Call,
    /// What a shadow is a copy of.
    copy: Option<&'a ShadowCall>,
    ticket: Ticket,
    /// The end of the caller's own budget, if it brought one.
    deadline: Option<Moment>,
    bell: Arc<Bell<S>>,
    lease: Option<Lease<S>>,
    /// That of the worker whose lease ended last.
    record: Option<Arc<Record<S::Process>>>,
    /// What the worker answered, and whether it asked to be replaced, once that has been read.
    replied: Option<(Reply, bool)>,
    finished: Option<Finished>,
}

/// What the worker said, for the answer.
enum Heard {
    Nothing,
    Reply(Result<Box<RawValue>, CallError>),
    Breach(String),
}

/// Why the holder of a lease stopped waiting for the pipe.
enum Exchange {
    Reply(Result<WireReply, LinkError>),
    /// The request could not be made or must not be sent.
    Unsent(Breakage),
    /// The worker has exited, or the call is finished.
    Interrupted,
}

impl<'a, M: PoolMachine, S: Spawner> Errand<'a, M, S> {
    pub(super) fn submit(
        shell: &'a Arc<Shell<M, S>>,
        call: &'a Call,
        attempt: &Attempt,
        copy: Option<&'a ShadowCall>,
    ) -> Self {
        let kind = shadow::kind(copy);
        // What a shadow kills is held against no caller.
        let counts = copy.is_none() && shell.settings.quarantine;
        let digest = counts.then(|| digest(call, shell.sessions.commands()));
        let (class, session) = (call.class, call.session.clone().filter(|_| copy.is_none()));
        let bell = Arc::new(Bell::new());
        let mut desk = shell.lock();
        let now = shell.clock.now();
        let ticket = desk.book(now, call, attempt, kind, Arc::clone(&bell));
        let deadline = attempt.deadline.or_else(|| call.budget.map(|budget| now + budget));
        let event = Event::Submit { call: ticket, kind, class, session, deadline, digest };
        shell.step_at_desk(&mut desk, now, ticket, event);
        drop(desk);
        let (lease, record, replied, finished) = (None, None, None, None);
        let mut errand =
            Self { shell, call, copy, ticket, deadline, bell, lease, record, replied, finished };
        errand.collect();
        errand
    }

    pub(super) async fn run(&mut self) -> Answer {
        let mut heard = Heard::Nothing;
        while self.finished.is_none() {
            if self.lease.is_some() {
                // Boxed, so that calls that wait are small: there are many of them, and as many
                // turns as workers. Dropped here: as inside of it.
                heard = Box::pin(self.turn()).await;
            } else {
                // Dropped here: a waiting call is cancelled; a lease in the mail was never used.
                self.bell.rung().await;
                self.collect();
            }
        }
        let finished = self.finished.as_ref().expect("it was waited for above");
        self.log(finished);
        let (worker, timing) = (finished.worker, finished.timing);
        let result = match (&finished.end, heard) {
            (End::Replied(_), Heard::Reply(result)) => result,
            // Dropped here: the outcome is counted already, only its explanation is lost.
            (end, heard) => Err(Box::pin(self.explain(end.clone(), heard, finished)).await),
        };
        Answer { result, worker, timing, first_try: None }
    }

    /// The lease, from its beginning to its end.
    async fn turn(&mut self) -> Heard {
        // Dropped here: the lease ends with as much sent as `progress` says.
        match self.exchange().await {
            // Dropped here: the lease ends with the reply that was read.
            Exchange::Reply(Ok(reply)) => self.deliver(reply).await,
            Exchange::Reply(Err(error)) => self.broke(error),
            Exchange::Unsent(cause) => self.end_lease(cause),
            // Boxed, as explanations are: what is rare must not make every turn large. Dropped
            // here: as in `deliver`, the only place in it that waits.
            Exchange::Interrupted => Box::pin(self.read_what_is_left()).await,
        }
    }

    /// Takes the mail: a lease, or the end of the call.
    fn collect(&mut self) {
        let mail = self.bell.collect();
        self.lease = mail.lease.or(self.lease.take());
        self.finished = mail.finished;
        // A deadline beat a lease that was granted and not used; its worker is retired already.
        if self.finished.is_some()
            && let Some(lease) = self.lease.take()
        {
            self.record = Some(self.shell.lock().give_back(lease));
        }
    }

    /// R11: session data is loaded right before the request is written. R1: nothing is written
    /// to a pipe that has something to say.
    async fn exchange(&mut self) -> Exchange {
        let (shell, call, bell, deadline) = (self.shell, self.call, &self.bell, self.deadline);
        let copy = self.copy;
        let Lease { worker, link, .. } = self.lease.as_mut().expect("the caller holds a lease");
        let exchange = async {
            let enriched;
            let extra = if let Some(copy) = copy {
                shadow::loaded(copy)
            } else {
                enriched = match shell.sessions.enrich(call).await {
                    Ok(enriched) => enriched,
                    Err(refusal) => return Exchange::Unsent(Breakage::Refused(refusal)),
                };
                enriched.as_ref().map(|(into, row)| (*into, row.get()))
            };
            let session = call.session.as_ref();
            let request = Outgoing {
                command: &call.command,
                args: &call.args,
                session_id: Some(session.map_or(SessionId::ANONYMOUS, SessionId::as_str)),
                extra,
                call_id: shell.settings.ledger.then_some(&call.id),
                budget: deadline.map(|deadline| deadline.since(shell.clock.now())),
                shadow: copy.is_some(),
                unix: Clock::unix_now(),
            };
            link.about(Some(&call.id));
            if let Err(refusal) = link.prepare(request) {
                return Exchange::Unsent(Breakage::Refused(refusal));
            }
            if !link.is_quiet() {
                if let Some(noise) = link.noise() {
                    shell.tell_breach(*worker, &format!("it spoke unasked: {noise}"));
                }
                return Exchange::Unsent(Breakage::Lost);
            }
            Exchange::Reply(match link.send(&bell.progress).await {
                Ok(()) => link.receive().await,
                Err(error) => Err(error),
            })
        };
        tokio::select! {
            biased;
            exchange = exchange => exchange,
            () = bell.interruption() => Exchange::Interrupted,
        }
    }

    /// R2: the worker has exited; a complete reply that is in its pipe still wins. A call that is
    /// over has its end already, and the reply comes too late for it.
    async fn read_what_is_left(&mut self) -> Heard {
        let link = &mut self.lease.as_mut().expect("the caller holds a lease").link;
        if self.bell.is_over() || self.bell.progress.get() != Sent::All {
            return self.end_lease(Breakage::Lost);
        }
        match link.receive_ready() {
            Some(Ok(reply)) => self.deliver(reply).await,
            Some(Err(error)) => self.broke(error),
            None => self.end_lease(Breakage::Lost),
        }
    }

    /// R11: saves are applied before the reply is reported, so the session's next call sees them.
    async fn deliver(&mut self, reply: WireReply) -> Heard {
        let kind = if reply.result.is_ok() { Reply::Ok } else { Reply::Raised };
        let recycle = reply.recycle;
        self.replied = Some((kind, recycle));
        let sessions = &self.shell.sessions;
        // Asked here too, lest the wall clock be read for commands that save nothing, as most.
        let saves = sessions.commands().get(&self.call.command).saves.is_some();
        if let (true, Ok(result), None) = (saves, &reply.result, self.copy) {
            // Dropped here: the call has run, and the worker is free; the save may be lost.
            sessions.record(self.call, result, Clock::unix_now()).await;
        }
        self.measure();
        self.report(|call, worker| Event::Replied { call, worker, reply: kind, recycle });
        Heard::Reply(reply.result)
    }

    /// Between two calls, a worker holds no more memory than it keeps.
    fn measure(&self) {
        let lease = self.lease.as_ref().expect("the caller holds a lease");
        if let Some(rss) = lease.record.measured() {
            self.shell.handle(Event::Measured { worker: lease.worker, rss });
        }
    }

    fn broke(&mut self, error: LinkError) -> Heard {
        match error {
            LinkError::Closed(_) => self.end_lease(Breakage::Lost),
            LinkError::Garbled(reason) => {
                let worker = self.lease.as_ref().expect("the caller holds a lease").worker;
                self.shell.tell_breach(worker, &reason);
                self.end_lease(Breakage::Garbled);
                Heard::Breach(reason)
            }
        }
    }

    fn end_lease(&mut self, cause: Breakage) -> Heard {
        let sent = self.bell.progress.get();
        self.report(|call, worker| Event::CallBroke { call, worker, sent, cause });
        Heard::Nothing
    }

    /// The link goes back and the event says why, under one lock: the event's actions may hand
    /// the link on.
    fn report(&mut self, event: impl FnOnce(Ticket, WorkerId) -> Event) {
        let lease = self.lease.take().expect("the caller holds a lease");
        let event = event(self.ticket, lease.worker);
        let mut desk = self.shell.lock();
        self.record = Some(desk.give_back(lease));
        self.shell.step_at_desk(&mut desk, self.shell.clock.now(), self.ticket, event);
        drop(desk);
        self.collect();
    }

    async fn explain(&self, end: End, heard: Heard, finished: &Finished) -> CallError {
        let (ran, timing) = (finished.ran, finished.timing);
        match end {
            End::Replied(_) => unreachable!("a reply is reported by the one who read it"),
            End::Rejected(refusal) => refusal.into(),
            End::NoWorker { failures } => {
                let cause = self.start_error().unwrap_or_else(|| "one has become ready".to_owned());
                Refusal::NoWorker { failures, cause }.into()
            }
            End::QueueTimeout => {
                CallError::QueueTimeout { waited: timing.queued(), cause: self.start_error() }
            }
            End::ExecTimeout => CallError::ExecTimeout {
                command: self.call.command.to_string(),
                waited: timing.queued(),
                run: timing.service(),
                ran,
                post_mortem: self.post_mortem().await,
            },
            End::WorkerLost => CallError::WorkerLost { ran, post_mortem: self.post_mortem().await },
            End::SessionLost => {
                let session = self.call.session.clone();
                CallError::SessionLost { session: session.expect("only a session can be lost") }
            }
            End::Cancelled => CallError::Cancelled { ran },
            End::Protocol => match heard {
                Heard::Breach(reason) => CallError::Protocol { ran, reason },
                _ => unreachable!("a breach is reported by the one who read it"),
            },
            End::Draining => CallError::Draining,
        }
    }

    /// Why no worker came up, if none is there.
    fn start_error(&self) -> Option<String> {
        let desk = self.shell.lock();
        let none_ready = desk.machine.census().ready == 0;
        desk.start_error.as_ref().filter(|_| none_ready).map(ToString::to_string)
    }

    async fn post_mortem(&self) -> Box<PostMortem> {
        let Some(record) = &self.record else { return Box::default() };
        let exit = tokio::time::timeout(POST_MORTEM, record.process.exited()).await.ok();
        let Overdue { state, stacks, stackless } =
            record.overdue.get().cloned().unwrap_or_default();
        PostMortem { exit, state, stacks, stackless, stderr: record.process.stderr_tail() }.into()
    }

    /// One event for each request.
    fn log(&self, finished: &Finished) {
        tracing::debug!(
            target: "poolshift::request",
            lane = %self.shell.settings.lane,
            command = %self.call.command,
            call_id = %self.call.id,
            shadow = self.copy.is_some(),
            worker_id = finished.worker.map(tracing::field::display),
            outcome = finished.end.outcome().as_str(),
            queue_time = ?finished.timing.queued(),
            duration = ?finished.timing.total(),
        );
    }
}

impl<M: PoolMachine, S: Spawner> Drop for Errand<'_, M, S> {
    fn drop(&mut self) {
        if self.finished.is_some() {
            return;
        }
        // Poisoned: a machine's assertion has failed, and its panic says more than a second one.
        let Some(mut desk) = HeldDesk::of(&self.shell.desk) else { return };
        // Under the lock, so that nothing is granted or decided meanwhile.
        let mut mail = self.bell.collect();
        let lease = mail.lease.or(self.lease.take());
        let (call, sent) = (self.ticket, self.bell.progress.get());
        let event = match (&lease, self.replied) {
            (Some(Lease { worker, .. }), Some((reply, recycle))) => {
                Event::Replied { call, worker: *worker, reply, recycle }
            }
            (Some(Lease { worker, .. }), None) => {
                Event::CallBroke { call, worker: *worker, sent, cause: Breakage::Dropped }
            }
            (None, _) => Event::Cancel { call },
        };
        if let Some(lease) = lease {
            desk.give_back(lease);
        }
        if mail.finished.is_none() {
            self.shell.step(&mut desk, self.shell.clock.now(), event);
            mail = self.bell.collect();
        }
        drop(desk);
        let finished = mail.finished.expect("a dropped call is finished by its cancellation");
        self.log(&finished);
    }
}
