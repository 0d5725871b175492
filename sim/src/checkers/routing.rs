//! Where the router sends calls: S20 to S23 and L8.

use poolshift::router::policy::Reason;
use poolshift::{Class, Lane};

use crate::checkers::calls::CallBook;
use crate::checkers::docket::Docket;
use crate::checkers::law::Law;
use crate::checkers::pins::Choice;
use crate::checkers::scene::Scene;
use crate::trace::{Event, SessionNo, Stamp};

/// All of V3, in the thousandths of a percent that shares are given in.
const WHOLE: u32 = 100_000;

/// How many standard deviations a share may be off. Five would cry wolf once in a million runs
/// and a soak makes that many; six do once in five hundred million.
const SIGMAS: f64 = 6.0;

/// A share is judged when so much variance has come together that the normal law describes it.
const ENOUGH: f64 = 100.0;

/// If V3 was to get so many draws and got none, the share is not what was asked for: by chance
/// that happens with a probability below exp(-40).
const OVERDUE: f64 = 40.0;

/// Draws of different keys, and what was to be expected of them.
#[derive(Clone, Copy, Debug, Default)]
struct Draws {
    v3: f64,
    expected: f64,
    variance: f64,
}

/// What the router's laws remember of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct Routing {
    /// By session or anonymous, and class.
    draws: [[Draws; Class::ALL.len()]; 2],
    /// Draws that V3 was to get since the kill switch was taken back, until it gets one.
    owed: Option<f64>,
}

impl Routing {
    #[inline]
    pub(super) fn event(
        &mut self,
        scene: &Scene,
        stamp: Stamp,
        event: &Event,
        docket: &mut Docket,
    ) {
        match *event {
            Event::Route { call, lane, epoch, reason, drawn, percent } => {
                let Some(book) = scene.calls.live(call) else { return };
                by_policy(scene, book, epoch, percent, docket);
                let choice = Choice { lane, class: book.class, reason, drawn };
                by_kill(scene, choice, docket);
                if choice.is_by_bucket() && book.lane.is_none() {
                    self.by_bucket(scene, stamp, book.session, choice, docket);
                }
            }
            Event::Config { epoch, killed, .. } => {
                docket.check(Law::S23, epoch > scene.policies.epoch, || {
                    format!("policy {epoch} replaces policy {}", scene.policies.epoch)
                });
                let taken_back = scene.policies.killed && !killed;
                self.owed = if killed { None } else { self.owed.or(taken_back.then_some(0.0)) };
            }
            _ => {}
        }
    }

    fn by_bucket(
        &mut self,
        scene: &Scene,
        stamp: Stamp,
        session: Option<SessionNo>,
        choice: Choice,
        docket: &mut Docket,
    ) {
        let pin = match session {
            Some(session) if !remembered(scene, stamp, session, choice, docket) => return,
            Some(session) => scene.pin(session, stamp.at).map(|(pin, _)| pin),
            None => None,
        };
        let percents = scene.governing(pin.filter(|_| !choice.drawn));
        let share = scene.share(percents, choice.class);
        if session.is_none() && percents[choice.class as usize] != share {
            // Whether the lowest share governs what is no session is not for this law to say.
            return;
        }
        let in_v3 = choice.lane == Lane::V3;
        let forbidden = if in_v3 { 0 } else { WHOLE };
        let exact = !choice.drawn || share != forbidden;
        docket.check(Law::S22, exact, || {
            format!("drawn to {} at {share} thousandths", choice.lane.as_str())
        });
        let book = session.and_then(|session| scene.sessions.get(session));
        if let Some(book) = book.filter(|_| exact) {
            let (least, below) = book.bucket;
            let fits = if in_v3 { least < share } else { below > share };
            docket.check(Law::S21, fits, || {
                format!(
                    "sent to {} at {share} thousandths, but earlier calls showed that its bucket \
                     is at least {least} and below {below}",
                    choice.lane.as_str()
                )
            });
            docket.sometimes(Law::S21, book.lanes[1 - choice.lane as usize]);
        }
        if choice.drawn && book.is_none_or(|book| !book.drawn) {
            self.drawn(session.is_some(), choice, share, docket);
        }
    }

    /// A key was drawn for the first time.
    fn drawn(&mut self, in_session: bool, choice: Choice, share: u32, docket: &mut Docket) {
        let p = f64::from(share) / f64::from(WHOLE);
        let in_v3 = choice.lane == Lane::V3;
        let partial = share > 0 && share < WHOLE;
        if partial {
            let draws = &mut self.draws[usize::from(in_session)][choice.class as usize];
            draws.v3 += f64::from(u8::from(in_v3));
            draws.expected += p;
            draws.variance += p * (1.0 - p);
        }
        docket.sometimes(Law::S22, partial);
        let Some(owed) = self.owed else { return };
        let owed = owed + p;
        docket.check(Law::L8, in_v3 || owed < OVERDUE, || {
            format!(
                "V3 was to get {owed:.0} draws since the kill switch was taken back; it got none"
            )
        });
        docket.sometimes(Law::L8, in_v3);
        self.owed = (!in_v3 && owed < OVERDUE).then_some(owed);
    }

    pub(super) fn end(&self, docket: &mut Docket) {
        let mut all = Draws::default();
        for (in_session, by_class) in self.draws.iter().enumerate() {
            for (class, draws) in Class::ALL.iter().zip(by_class) {
                let kind = if in_session == 1 { "sessions" } else { "anonymous calls" };
                judge(draws, &format!("{} {kind}", class.as_str()), docket);
                all.v3 += draws.v3;
                all.expected += draws.expected;
                all.variance += draws.variance;
            }
        }
        judge(&all, "keys", docket);
    }
}

fn judge(draws: &Draws, what: &str, docket: &mut Docket) {
    if draws.variance < ENOUGH {
        return;
    }
    let off = (draws.v3 - draws.expected).abs() / draws.variance.sqrt();
    docket.check(Law::S22, off <= SIGMAS, || {
        let Draws { v3, expected, .. } = draws;
        format!(
            "V3 got {v3} draws of {what} where {expected:.0} were to be expected: {off:.1} sigma"
        )
    });
}

/// S23: the policy in force at the submit decides, once.
fn by_policy(scene: &Scene, book: &CallBook, epoch: u64, percent: u32, docket: &mut Docket) {
    let policies = &scene.policies;
    docket.check(Law::S23, book.lane.is_none(), || "decided a second time".into());
    docket.check(Law::S23, epoch == policies.epoch, || {
        format!("decided by policy {epoch}, but policy {} is in force", policies.epoch)
    });
    let share = policies.percents[book.class as usize];
    docket.check(Law::S23, epoch != policies.epoch || percent == share, || {
        format!("decided at {percent} thousandths, but policy {epoch} has {share}")
    });
}

/// S23: the kill switch is stronger than everything, while it is on, and nothing after.
fn by_kill(scene: &Scene, choice: Choice, docket: &mut Docket) {
    let killed = scene.policies.killed;
    let obeyed = if killed { choice.lane == Lane::V2 } else { choice.reason != Reason::Killed };
    docket.check(Law::S23, obeyed, || {
        let (lane, reason) = (choice.lane.as_str(), choice.reason.as_str());
        format!(
            "sent to {lane} as {reason}, and the kill switch is {}",
            if killed { "on" } else { "off" }
        )
    });
    let v3 = scene.lane(Lane::V3);
    docket.sometimes(Law::S23, killed && v3.waiting + v3.held > 0);
}

/// S20: a live pin is kept, an expired one is not, and one epoch sends one class to one lane.
fn remembered(
    scene: &Scene,
    stamp: Stamp,
    session: SessionNo,
    choice: Choice,
    docket: &mut Docket,
) -> bool {
    let pin = scene.pin(session, stamp.at);
    let may_be_drawn = pin.is_none_or(|(_, killed)| killed);
    let fits = if choice.drawn { may_be_drawn } else { pin.is_some() };
    docket.check(Law::S20, fits, || match choice.drawn {
        true => "its session is drawn anew while its pin lives".into(),
        false => "its session is pinned, but no pin of it lives".into(),
    });
    let earlier = pin.filter(|(pin, _)| !choice.drawn && pin.epoch == scene.policies.epoch);
    let Some(earlier) = earlier.and_then(|(pin, _)| pin.lanes[choice.class as usize]) else {
        return fits;
    };
    docket.check(Law::S20, earlier == choice.lane, || {
        format!(
            "sent to {}, but a call of its session and class was sent to {} by the same policy",
            choice.lane.as_str(),
            earlier.as_str()
        )
    });
    let share = scene.policies.percents[choice.class as usize];
    docket.sometimes(Law::S20, share > 0 && share < WHOLE);
    fits && earlier == choice.lane
}
