//! Plays the calls of a script in every lane.

use std::sync::Arc;

use poolshift::clock::{Clock, Moment};
use poolshift::router::bucket::draw;
use poolshift::router::percent::Percent;
use poolshift::shadow::{Side, Trial};
use poolshift::shim::private::{Answers, PrivateLanes};
use poolshift::{Call, Lane};
use tokio::sync::mpsc;

use crate::cli::corpus::Step;
use crate::cli::pace::Pace;
use crate::cli::shadow::run::script::Script;

/// Salts the draw of the sessions that are asked of V2's twin.
const SALT: &str = "shadow-run/noise";

/// Pairs that wait to be compared; players wait for room.
const WAITING: usize = 64;

/// Starts every session; given are the trials of each call, as they come.
pub(super) fn play(
    script: Script,
    lanes: &Arc<PrivateLanes>,
    pace: &Pace,
    noise: Percent,
) -> mpsc::Receiver<Vec<Trial>> {
    let (trials, received) = mpsc::channel(WAITING);
    let began = lanes.clock().now();
    for steps in script.sessions {
        let (lanes, pace, trials) = (Arc::clone(lanes), pace.clone(), trials.clone());
        let with_twin = is_drawn(&steps[0].call, noise);
        let player = Player { lanes, pace, began, with_twin, trials };
        tokio::spawn(player.play(steps));
    }
    received
}

/// Sessions are drawn whole: the twin must have met a session's earlier calls, too.
fn is_drawn(call: &Call, noise: Percent) -> bool {
    let key = call.session.as_ref().map_or_else(|| call.id.to_string(), ToString::to_string);
    draw(SALT, &key).bucket < noise.buckets()
}

/// Plays the calls of one session, or one call without a session.
struct Player {
    lanes: Arc<PrivateLanes>,
    pace: Pace,
    began: Moment,
    with_twin: bool,
    trials: mpsc::Sender<Vec<Trial>>,
}

impl Player {
    async fn play(self, steps: Vec<Step>) {
        for Step { index, mut call } in steps {
            let permit;
            (permit, call.planned) = self.pace.turn(index, self.began, self.lanes.clock()).await;
            let answers = self.lanes.call(&call, self.with_twin).await;
            drop(permit);
            if self.trials.send(trials(&call, answers)).await.is_err() {
                // The command has failed meanwhile; nobody listens any more.
                return;
            }
        }
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
