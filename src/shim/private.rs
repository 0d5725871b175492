//! Lanes that nobody else uses, to be asked the same and compared.

use std::sync::Arc;
use std::time::Duration;

use crate::call::{Answer, Call, Lane};
use crate::clock::Clock;
use crate::config::Config;
use crate::pool::Pool;
use crate::session::Sessions;
use crate::shim::{Ground, Legacy, ShimError, ShimOptions, start_legacy, start_next};
use crate::v3_pool::V3Pool;

/// V2, V3 and perhaps a second V2, each with sessions of its own, so that what one does is seen
/// by no other. Dropping them without a drain kills every worker.
#[derive(Debug)]
pub struct PrivateLanes {
    clock: Clock,
    v2: PrivateLane<Legacy>,
    v3: PrivateLane<V3Pool>,
    twin: Option<PrivateLane<Legacy>>,
}

/// What each lane answered to one call.
#[derive(Debug)]
pub struct Answers {
    /// V2.
    pub v2: Answer,
    /// V3.
    pub v3: Answer,
    /// The second V2, if it was asked.
    pub twin: Option<Answer>,
}

impl PrivateLanes {
    /// Starts the lanes; with a twin of V2, if that is wanted, which shows how V2 differs from
    /// itself. Returns when every worker is ready, so that none is measured while others start.
    ///
    /// # Errors
    /// As [`Shim::start`](crate::shim::Shim::start).
    pub async fn start(config: &Config, with_twin: bool) -> Result<Self, ShimError> {
        let clock = Clock::start();
        let twin = async {
            match with_twin {
                true => legacy(config, clock).await.map(Some),
                false => Ok(None),
            }
        };
        let next = async {
            let mut config = config.clone();
            config.v3.min_ready = config.v3.size;
            let ground = Ground::on(&config, clock);
            let pool = start_next(&config, &ShimOptions::default(), &ground).await?;
            Ok::<_, ShimError>(PrivateLane { pool, sessions: ground.sessions })
        };
        // Dropped here: pools that are starting are dropped too, and end their workers.
        let (v2, v3, twin) = tokio::join!(legacy(config, clock), next, twin);
        Ok(Self { clock, v2: v2?, v3: v3?, twin: twin? })
    }

    /// The clock on which calls are planned and timed.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Asks V2 and V3 at once, and V2's twin where there is one and `with_twin` is set.
    pub async fn call(&self, call: &Call, with_twin: bool) -> Answers {
        let twin = async {
            match &self.twin {
                Some(twin) if with_twin => Some(twin.call(call.clone()).await),
                _ => None,
            }
        };
        let (v2, v3) = (self.v2.call(call.clone()), self.v3.call(call.clone()));
        // Dropped here: each pool cancels its call.
        let (v2, v3, twin) = tokio::join!(v2, v3, twin);
        Answers { v2, v3, twin }
    }

    /// Stops every worker; calls in flight are given at most `limit`.
    pub async fn drain(&self, limit: Duration) {
        let twin = async {
            if let Some(twin) = &self.twin {
                twin.pool.drain(limit).await;
            }
        };
        // Dropped here: the drains go on in the pools' own tasks.
        tokio::join!(self.v2.pool.drain(limit), self.v3.pool.drain(limit), twin);
    }
}

async fn legacy(config: &Config, clock: Clock) -> Result<PrivateLane<Legacy>, ShimError> {
    let ground = Ground::on(config, clock);
    let pool = start_legacy(config, &ShimOptions::default(), &ground).await?;
    let ready = pool.ready(config.v2.size).await;
    ready.map_err(|error| ShimError::Pool { lane: Lane::V2, error })?;
    Ok(PrivateLane { pool, sessions: ground.sessions })
}

/// One pool and its sessions.
#[derive(Debug)]
struct PrivateLane<P> {
    pool: P,
    sessions: Arc<Sessions>,
}

impl<P: Pool> PrivateLane<P> {
    async fn call(&self, mut call: Call) -> Answer {
        let command = self.sessions.commands().get(&call.command);
        call.class = command.class;
        let ending = call.session.clone().filter(|_| command.ends_session);
        let answer = self.pool.call(call).await;
        if let Some(session) = ending.filter(|_| answer.result.is_ok()) {
            self.pool.end_session(&session);
            // Dropped here: the record is left for its time to live.
            self.sessions.end(&session).await;
        }
        answer
    }
}
