//! A router between two desks, on a paused clock.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use poolshift::clock::Clock;
use poolshift::machine::retry::Share;
use poolshift::router::compare::rule::RuleBook;
use poolshift::router::policy::Policy;
use poolshift::router::shadow::{Dropped, ShadowStatus, ShadowTerms};
use poolshift::router::{PinLimits, Router};
use poolshift::session::Sessions;
use poolshift::session::commands::{Command, Commands, LoadRule, SaveRule, Source};
use poolshift::session::memory::MemoryStore;
use poolshift::shadow::recorder::{ComparedCounts, Recorder};
use poolshift::{Args, Call, Class, Outcome};
use tempfile::TempDir;

use super::desk::{Desk, Manner};
use super::{MIB, open};
use crate::tool::until;

pub(super) struct Rig {
    pub(super) router: Router<Desk, Desk>,
    clock: Clock,
    _store: TempDir,
}

pub(super) const NONE: ComparedCounts =
    ComparedCounts { compared: 0, matched: 0, noise_compared: 0, noise_matched: 0 };

pub(super) fn share(share: f64) -> Share {
    Share::new(share).unwrap()
}

pub(super) fn terms() -> ShadowTerms {
    ShadowTerms {
        flag: "v3-rollout".to_owned(),
        sample: share(1.0),
        noise: share(0.0),
        reserve: 3,
        max_per_s: 1_000_000,
        timeout: Duration::from_secs(10),
        max_bytes: MIB,
    }
}

/// `note` and `peek` save a row of their session, and `look` is given it.
pub(super) fn commands() -> Commands {
    let mut commands = Commands::default();
    let (table, key) = ("notes".to_owned(), Source::Args("topic".to_owned()));
    let row = Some([("args".to_owned(), Source::Result("args".to_owned()))].into());
    let saves = Some(SaveRule { table: table.clone(), key: key.clone(), row });
    commands.set("note", Command { saves: saves.clone(), ..Command::of(Class::Write) });
    commands.set("peek", Command { saves, ..Command::of(Class::Read) });
    let loads = Some(LoadRule { table, key, into: "note".to_owned() });
    commands.set("look", Command { loads, ..Command::of(Class::Read) });
    commands.set("leave", Command { ends_session: true, ..Command::of(Class::Read) });
    commands
}

impl Rig {
    pub(super) fn new(terms: ShadowTerms, commands: Commands, manner: Manner) -> Self {
        let clock = Clock::start();
        let store = MemoryStore::new(Duration::from_secs(3600), 10_000);
        let sessions = Arc::new(Sessions::new(Arc::new(store), Arc::new(commands)));
        let desk = || Arc::new(Desk::new(clock, Arc::clone(&sessions), manner));
        let folder = tempfile::tempdir().unwrap();
        let recorder = open(folder.path(), MIB).unwrap();
        let recorder = Recorder::start(recorder, RuleBook::default(), clock).unwrap();
        let pins = PinLimits { ttl: Duration::from_secs(3600), max_pins: 100_000 };
        let policy = Policy::initial("v3-rollout", false);
        let router = Router::new(desk(), desk(), policy, pins, Arc::clone(&sessions), clock);
        Self { router: router.with_shadow(terms, recorder), clock, _store: folder }
    }

    /// Makes a call, which takes no time at all.
    pub(super) async fn call(&self, call: Call) -> Result<String, Outcome> {
        let before = self.clock.now();
        let routed = self.router.call(call).await;
        assert_eq!(self.clock.now(), before, "the caller was held up");
        match routed.answer.result {
            Ok(result) => Ok(result.get().to_owned()),
            Err(error) => Err(error.outcome()),
        }
    }

    /// Lets everything that can go on do so, without time passing on the paused clock, and waits
    /// for the thread that compares.
    pub(super) async fn settle(&self) -> ShadowStatus {
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
        until("all pairs are compared", || {
            let ShadowStatus { paired, compared, .. } = self.status();
            let counts = compared.commands.values();
            paired == counts.map(|counts| counts.compared + counts.noise_compared).sum::<u64>()
        });
        self.status()
    }

    pub(super) fn status(&self) -> ShadowStatus {
        self.router.shadow().unwrap()
    }

    /// The end of all shadows, with everything written that was compared.
    pub(super) async fn counts(&self, command: &str) -> ComparedCounts {
        self.settle().await;
        self.router.close_shadow().await;
        self.status().compared.commands.get(command).copied().unwrap_or_default()
    }

    pub(super) fn v3(&self) -> &Desk {
        self.router.next()
    }
}

pub(super) fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test);
}

pub(super) fn call(command: &str, session: &str, args: &serde_json::Value) -> Call {
    let args = Args::parse(&args.to_string()).unwrap();
    Call::new(command, args).with_session(session).unwrap()
}

pub(super) fn dropped(status: &ShadowStatus, reason: Dropped) -> u64 {
    status.dropped.get(&reason).copied().unwrap_or(0)
}
