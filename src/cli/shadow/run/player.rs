//! Plays the calls of a script in every lane.

use std::io;
use std::sync::Arc;

use poolshift::clock::{Clock, Moment};
use poolshift::router::bucket::draw;
use poolshift::router::percent::Percent;
use poolshift::shadow::{Side, Trial};
use poolshift::shim::private::{Answers, PrivateLanes};
use poolshift::{Call, Lane};
use tokio::sync::mpsc;

use crate::cli::corpus::Step;
use crate::cli::pace::{self, Pace, Playing, Slot, Turn};
use crate::cli::shadow::run::script::Script;

/// Salts the draw of the sessions that are asked of V2's twin.
const SALT: &str = "shadow-run/noise";

/// Pairs that wait to be compared; players wait for room. Few, since answers may be large.
const WAITING: usize = 8;

/// Starts every session; given are the trials of each call, as they come.
///
/// # Errors
/// If there is no room for the plan's thread.
pub(super) fn play(
    script: Script,
    lanes: &Arc<PrivateLanes>,
    pace: &Pace,
    noise: Percent,
) -> io::Result<(Playing, mpsc::Receiver<Vec<Trial>>)> {
    let (trials, received) = mpsc::channel(WAITING);
    let player = Player { lanes: Arc::clone(lanes), noise, trials };
    let playing = pace.play(script.sessions, lanes.clock(), |_| player)?;
    Ok((playing, received))
}

/// Sessions are drawn whole: the twin must have met a session's earlier calls, too.
fn is_drawn(call: &Call, noise: Percent) -> bool {
    let key = call.session.as_ref().map_or_else(|| call.id.to_string(), ToString::to_string);
    draw(SALT, &key).bucket < noise.buckets()
}

/// Makes each call in every lane.
#[derive(Clone)]
struct Player {
    lanes: Arc<PrivateLanes>,
    /// The share of sessions that the twin is asked, too.
    noise: Percent,
    trials: mpsc::Sender<Vec<Trial>>,
}

impl pace::Player for Player {
    async fn play(&self, step: Step, turn: Turn, slot: Slot) -> Option<Moment> {
        let mut call = step.call;
        if let Turn::Planned { at, .. } = turn {
            call.planned = Some(at);
        }
        let answers = self.lanes.call(&call, is_drawn(&call, self.noise)).await;
        let over = self.lanes.clock().now();
        // If it cannot be sent the command has failed meanwhile; nobody listens any more.
        let sent = self.trials.send(trials(&call, answers)).await;
        // Not before: else answers would pile up while they are compared.
        drop(slot);
        sent.ok().map(|()| over)
    }
}

fn trials(call: &Call, Answers { v2, v3, twin }: Answers) -> Vec<Trial> {
    let at = Clock::unix_now();
    let trial = |control: Side, candidate: Side| Trial {
        command: Arc::clone(&call.command),
        id: call.id.clone(),
        session: call.session.clone(),
        args: call.args.clone(),
        control,
        candidate,
        at,
    };
    let v2 = Side::of(Lane::V2, v2);
    let noise = twin.map(|twin| trial(v2.clone(), Side::of(Lane::V2, twin)));
    noise.into_iter().chain([trial(v2, Side::of(Lane::V3, v3))]).collect()
}
