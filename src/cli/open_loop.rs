//! The load generator: each step of a plan begins at its moment, whatever became of earlier ones.

use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use poolshift::clock::{Clock, Moment};
use tokio_util::sync::CancellationToken;

/// Told once, when there is nothing left to wait for. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hurry {
    told: CancellationToken,
    bell: Arc<(Mutex<()>, Condvar)>,
}

impl Hurry {
    /// Whatever waits for its turn has it.
    pub(crate) fn tell(&self) {
        self.told.cancel();
        self.ring();
    }

    /// Completes once it is told. Dropping loses nothing.
    pub(crate) async fn told(&self) {
        self.told.cancelled().await;
    }

    /// Wakes plans that sleep. Who has looked already and found nothing sleeps by now, as it
    /// holds the lock from one to the other.
    fn ring(&self) {
        let (_, rung) = &*self.bell;
        let _sleeping = self.lock();
        rung.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.bell.0.lock().expect("nothing panics with it")
    }
}

/// A plan that is being carried out. Dropping it ends it: what has not begun does not begin.
#[derive(Debug)]
pub(crate) struct OpenLoop {
    thread: Option<JoinHandle<()>>,
    plan: Plan,
}

#[derive(Clone, Debug)]
struct Plan {
    clock: Clock,
    hurry: Hurry,
    stopped: Arc<AtomicBool>,
}

impl OpenLoop {
    /// Carries out steps, which are in the order of their moments. `begin` gets each with its
    /// moment, or without one if it is told to hurry before that has come; it must not block.
    ///
    /// A thread of its own sleeps until each moment, as the runtime's timers are a millisecond
    /// wide, which is longer than many a call takes.
    ///
    /// # Errors
    /// If there is no room for the thread.
    pub(crate) fn start<T: Send + 'static>(
        clock: Clock,
        hurry: Hurry,
        steps: impl Iterator<Item = (Moment, T)> + Send + 'static,
        mut begin: impl FnMut(Option<Moment>, T) + Send + 'static,
    ) -> io::Result<Self> {
        let plan = Plan { clock, hurry, stopped: Arc::default() };
        let sleeper = plan.clone();
        let work = move || {
            // Without it the kernel may wake us 50 us late, to save power; late is measured.
            let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
            for (at, step) in steps {
                match sleeper.sleep_until(at) {
                    Woken::Due => begin(Some(at), step),
                    Woken::Hurried => begin(None, step),
                    Woken::Stopped => return,
                }
            }
        };
        let thread = thread::Builder::new().name("poolshift-plan".to_owned()).spawn(work)?;
        Ok(Self { thread: Some(thread), plan })
    }
}

/// Why a plan sleeps no longer.
enum Woken {
    Due,
    Hurried,
    Stopped,
}

impl Plan {
    fn sleep_until(&self, at: Moment) -> Woken {
        let mut awake = self.hurry.lock();
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return Woken::Stopped;
            }
            let now = self.clock.now();
            if now >= at {
                return Woken::Due;
            }
            if self.hurry.told.is_cancelled() {
                return Woken::Hurried;
            }
            let (_, rung) = &*self.hurry.bell;
            let slept = rung.wait_timeout(awake, at.since(now));
            (awake, _) = slept.expect("nothing panics with it");
        }
    }
}

impl Drop for OpenLoop {
    fn drop(&mut self) {
        self.plan.stopped.store(true, Ordering::Relaxed);
        self.plan.hurry.ring();
        if let Some(thread) = self.thread.take() {
            // It ends at once: it sleeps only where it can be woken, and `begin` does not block.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    type Begun = (Moment, Option<Moment>, usize);

    /// Steps that say when they began.
    fn started(clock: Clock, hurry: &Hurry, at: Vec<Moment>) -> (OpenLoop, mpsc::Receiver<Begun>) {
        let (begun, steps) = mpsc::channel();
        let plan = at.into_iter().enumerate().map(|(n, at)| (at, n));
        let running = OpenLoop::start(clock, hurry.clone(), plan, move |at, n| {
            // The receiver is held by the test.
            let _ = begun.send((clock.now(), at, n));
        });
        (running.unwrap(), steps)
    }

    #[test]
    fn steps_begin_in_order_and_none_before_its_moment() {
        let clock = Clock::start();
        let plan: Vec<Moment> = (0..20).map(|n| clock.now() + Duration::from_millis(n)).collect();
        let (_running, steps) = started(clock, &Hurry::default(), plan.clone());
        let begun: Vec<Begun> = steps.iter().collect();
        assert_eq!(begun.len(), 20);
        for (n, (planned, (now, at, step))) in plan.into_iter().zip(begun).enumerate() {
            assert!(n == step && at == Some(planned) && now >= planned, "{step} at {now:?}");
        }
    }

    #[test]
    fn dropping_it_ends_the_plan_at_once() {
        let clock = Clock::start();
        let (running, steps) =
            started(clock, &Hurry::default(), vec![clock.now(), clock.now() + HOUR]);
        assert_eq!(steps.recv().unwrap().2, 0);
        drop(running);
        assert!(steps.recv().is_err(), "nothing begins any more");
        assert!(clock.now() < Moment::ZERO + HOUR);
    }

    #[test]
    fn told_to_hurry_it_begins_what_is_left_at_once_and_says_that_it_is_early() {
        let clock = Clock::start();
        let hurry = Hurry::default();
        let plan = vec![clock.now(), clock.now() + HOUR, clock.now() + HOUR * 2];
        let (_running, steps) = started(clock, &hurry, plan.clone());
        assert_eq!(steps.recv().unwrap().1, Some(plan[0]));
        hurry.tell();
        let rest: Vec<_> = steps.iter().map(|(_, at, n)| (at, n)).collect();
        assert_eq!(rest, [(None, 1), (None, 2)]);
        assert!(clock.now() < Moment::ZERO + HOUR);
        // A plan that begins after it was told waits for nothing either.
        let (_running, steps) = started(clock, &hurry, plan.clone());
        let again: Vec<_> = steps.iter().map(|(_, at, _)| at).collect();
        assert_eq!(again, [Some(plan[0]), None, None]);
    }
}
