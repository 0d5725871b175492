//! How fast calls are made, and in which order.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::cli::corpus::Step;
use crate::cli::open_loop::{Hurry, OpenLoop};

/// When calls start. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    beat: Beat,
    hurry: Hurry,
}

/// As other calls end, or by plan.
#[derive(Clone, Debug)]
enum Beat {
    /// At most so many at once.
    Concurrency(Arc<Semaphore>),
    /// So many a second, from the first call on.
    Rate(f64),
}

/// How it came to a call's turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// Others were over.
    Free,
    /// It was planned for this moment, and nothing else held it back since `ready`.
    Planned { at: Moment, ready: Moment },
    /// There is nothing to wait for any more: it was not its turn yet.
    Hurried,
}

/// Held until a call is over, if only so many are made at once.
pub(crate) type Slot = Option<OwnedSemaphorePermit>;

/// Who makes the calls.
pub(crate) trait Player: Clone + Send + Sync + 'static {
    /// Makes one call. Given is when it was over; nothing if nobody listens any more.
    fn play(
        &self,
        step: Step,
        turn: Turn,
        slot: Slot,
    ) -> impl Future<Output = Option<Moment>> + Send;
}

/// Calls that are made at a pace. Dropping it ends a plan; what has begun goes on.
#[derive(Debug)]
#[must_use]
pub(crate) struct Playing {
    _plan: Option<OpenLoop>,
}

impl Pace {
    /// A rate if one is given, else so many calls at once.
    pub(crate) fn of(rate: Option<f64>, concurrency: usize) -> Self {
        let beat = match rate {
            Some(rate) => Beat::Rate(rate),
            None => Beat::Concurrency(Arc::new(Semaphore::new(concurrency))),
        };
        Self { beat, hurry: Hurry::default() }
    }

    /// There is nothing to wait for any more: it is everybody's turn, since calls are refused.
    pub(crate) fn hurry(&self) {
        self.hurry.tell();
    }

    /// Makes all calls: those of one session one after the other, sessions beside each other.
    /// `player` is made when everything is ready, and told the moment from which a plan counts.
    ///
    /// # Errors
    /// If there is no room for the plan's thread.
    pub(crate) fn play<P: Player>(
        &self,
        sessions: Vec<Vec<Step>>,
        clock: Clock,
        player: impl FnOnce(Moment) -> P,
    ) -> io::Result<Playing> {
        match &self.beat {
            Beat::Concurrency(slots) => {
                let player = player(clock.now());
                for steps in sessions {
                    tokio::spawn(self.clone().by_slots(Arc::clone(slots), steps, player.clone()));
                }
                Ok(Playing { _plan: None })
            }
            Beat::Rate(rate) => {
                let plan = Some(self.by_plan(*rate, sessions, clock, player)?);
                Ok(Playing { _plan: plan })
            }
        }
    }

    /// Closed loop: each call of a session waits for a slot.
    async fn by_slots(self, slots: Arc<Semaphore>, steps: Vec<Step>, player: impl Player) {
        for step in steps {
            // Dropped here: the place among those who wait for a slot.
            let (turn, slot) = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => {
                    (Turn::Free, Some(slot.expect("nobody closes the semaphore")))
                }
                () = self.hurry.told() => (Turn::Hurried, None),
            };
            if player.play(step, turn, slot).await.is_none() {
                return;
            }
        }
    }

    /// Open loop: each call begins at its moment. One of a session whose last is not over is held
    /// back, and still measured from its moment.
    fn by_plan<P: Player>(
        &self,
        rate: f64,
        sessions: Vec<Vec<Step>>,
        clock: Clock,
        player: impl FnOnce(Moment) -> P,
    ) -> io::Result<OpenLoop> {
        // Made by the first call of each session with several.
        let mut lines: Vec<Option<mpsc::UnboundedSender<Due>>> = vec![None; sessions.len()];
        let is_alone: Vec<bool> = sessions.iter().map(|steps| steps.len() == 1).collect();
        let steps = sessions.into_iter().enumerate();
        let steps = steps.flat_map(|(line, steps)| steps.into_iter().map(move |it| (line, it)));
        let mut steps: Vec<(usize, Step)> = steps.collect();
        steps.sort_by_key(|(_, step)| step.index);
        let runtime = Handle::current();
        // Nothing that takes long comes between this and the first call.
        let began = clock.now();
        let player = player(began);
        let at = move |step: &Step| began + Duration::from_secs_f64(step.index as f64 / rate);
        let plan = steps.into_iter().map(move |(line, step)| (at(&step), (line, step)));
        OpenLoop::start(clock, self.hurry.clone(), plan, move |at, (line, step)| {
            if is_alone[line] {
                let player = player.clone();
                let turn = at.map_or(Turn::Hurried, |at| Turn::Planned { at, ready: at });
                runtime.spawn(async move { player.play(step, turn, None).await });
                return;
            }
            let line = lines[line].get_or_insert_with(|| {
                // Bounded by the calls, which are in memory already.
                let (due, received) = mpsc::unbounded_channel();
                runtime.spawn(one_after_another(player.clone(), received));
                due
            });
            // Its task listens as long as anybody does.
            let _ = line.send(Due { at, step });
        })
    }
}

/// A call of a plan whose moment has come, or that need not wait for it.
struct Due {
    at: Option<Moment>,
    step: Step,
}

async fn one_after_another(player: impl Player, mut calls: mpsc::UnboundedReceiver<Due>) {
    let mut free = Moment::ZERO;
    // Dropped here, as below: the runtime ends, and with it the run.
    while let Some(Due { at, step }) = calls.recv().await {
        let turn = at.map_or(Turn::Hurried, |at| Turn::Planned { at, ready: free.max(at) });
        let Some(over) = player.play(step, turn, None).await else { return };
        free = over;
    }
}

/// Calls per second. The lower bound keeps plans within what a clock can say.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("must be 0.001 to 1000000 calls a second".to_owned()),
    }
}
