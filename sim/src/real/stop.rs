//! Ctrl-C and SIGTERM, while real processes are at work.

use std::future::pending;
use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long a run that is told to stop at once has for it: longer than killed workers take to be
/// gone on a machine with other work.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What an interrupted process exits with.
const INTERRUPTED: i32 = 130;

/// How often this process was told to stop. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    signals: watch::Receiver<u32>,
    /// Which signal means at once.
    at_once: u32,
}

impl Stop {
    /// Nobody tells it to.
    #[must_use]
    pub fn never() -> Self {
        Self { signals: watch::channel(0).1, at_once: 1 }
    }

    /// Takes signals from now on. The first one asks a run that `drains` to do so; the second one,
    /// and the first to any other, ends it at once, and the process soon after.
    ///
    /// # Errors
    /// If signals cannot be taken, or there is no room for the thread that waits for them.
    pub fn listen(drains: bool) -> io::Result<Self> {
        let (told, signals) = watch::channel(0);
        let at_once = if drains { 2 } else { 1 };
        let (registered, is_registered) = mpsc::sync_channel(1);
        let work = move || match listener() {
            Ok((runtime, next)) => {
                let _ = registered.send(Ok(()));
                runtime.block_on(follow(next, at_once, told));
            }
            Err(error) => drop(registered.send(Err(error))),
        };
        // Of its own, since a run has runtimes that come and go.
        std::thread::Builder::new().name("sim-signals".to_owned()).spawn(work)?;
        is_registered.recv().expect("the thread tells before it ends")?;
        Ok(Self { signals, at_once })
    }

    /// Completes once it is told to stop. Dropping loses nothing.
    pub(crate) async fn asked(&self) {
        self.told(1).await;
    }

    /// Completes once it is to stop at once. Dropping loses nothing.
    pub(crate) async fn hurried(&self) {
        self.told(self.at_once).await;
    }

    async fn told(&self, times: u32) {
        let mut signals = self.signals.clone();
        if signals.wait_for(|told| *told >= times).await.is_err() {
            pending().await
        }
    }
}

/// Either signal, as it comes.
struct Next(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

fn listener() -> io::Result<(tokio::runtime::Runtime, Next)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let next = Next(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(entered);
    Ok((runtime, next))
}

async fn follow(mut next: Next, at_once: u32, told: watch::Sender<u32>) {
    for times in 1..=at_once {
        next.signal().await;
        told.send_replace(times);
        if times < at_once {
            // Nobody to tell it to is no reason not to drain.
            let _ =
                writeln!(io::stderr(), "poolshift-sim: draining; a second signal stops at once");
        }
    }
    let _ = tokio::time::timeout(LAST_WORDS, next.signal()).await;
    // Workers are killed by the kernel, and what they started by the guardian (R17).
    std::process::exit(INTERRUPTED);
}

impl Next {
    async fn signal(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}
