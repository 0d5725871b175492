//! Makes one call of the shim, and tells all that a caller sees of it.

use std::time::Duration;

use poolshift::router::Routed;
use poolshift::{Args, Call, CallId, Class, Pool, Ran, Shim};
use serde::Deserialize;

use crate::real::recorder::Recorder;
use crate::shell_rig::plan::Leaves;
use crate::shell_rig::run::until_gone;
use crate::trace::{CallNo, Event, SessionNo, Watcher};
use crate::workload::session_id;

/// Whoever waits so much longer than its lane may take waits for ever: its call is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// One call that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) no: CallNo,
    /// What its command is of.
    pub(crate) class: Class,
    pub(crate) session: Option<SessionNo>,
    /// Whether a good answer ends the session.
    pub(crate) ends_session: bool,
    /// Members of its args beside its tag, as JSON: `"work_ms":5`.
    pub(crate) members: String,
    pub(crate) budget: Option<Duration>,
    pub(crate) leaves: Option<Leaves>,
}

impl Request {
    /// The call, named as in the simulated world, so that it is drawn alike.
    fn call(&self) -> Call {
        let Self { no, class, members, budget, .. } = self;
        let command = match class {
            Class::Read => "look",
            Class::Write => "change",
            Class::Critical => "decide",
        };
        let command = format!("{command}{}", if self.ends_session { "_last" } else { "" });
        let comma = if members.is_empty() { "" } else { "," };
        let args = Args::parse(&format!("{{\"tag\":{}{comma}{members}}}", no.0));
        let id = CallId::Random(u128::from(no.0));
        let session = self.session.map(session_id);
        let call = Call::new(command, args.expect("the members are of an object"));
        Call { id, session, budget: *budget, ..call }
    }
}

/// Who makes calls.
#[derive(Debug)]
pub(crate) struct Caller<'a, L, W> {
    pub(crate) shim: &'a Shim<L>,
    pub(crate) recorder: &'a Recorder<W>,
    /// How long either lane may take for a call.
    pub(crate) longest: Duration,
}

impl<L: Pool, W: Watcher> Caller<'_, L, W> {
    /// Makes the call; nothing comes of it if its caller has left, or waits for ever.
    pub(crate) async fn make(&self, request: &Request) -> Option<Routed> {
        let Request { no, class, session, ends_session, budget, leaves, .. } = *request;
        let (call, now) = (request.call(), self.recorder.now());
        let deadline = budget.map(|budget| now + budget);
        let idempotent = class == Class::Read;
        let submit = Event::Submit { call: no, session, class, idempotent, deadline, planned: now };
        self.recorder.tell(None, submit);
        // The router decides in the poll that this begins.
        let percent = self.shim.router().policy().percents.of(class).buckets();
        let routed = until_gone(leaves, self.shim.call(call));
        let limit = self.longest.min(budget.unwrap_or(Duration::MAX)) + PATIENCE;
        let Ok(routed) = tokio::time::timeout(limit, routed).await else { return None };
        let Some(routed) = routed else {
            self.recorder.tell(None, Event::Cancel { call: no });
            return None;
        };
        self.tell(no, percent, &routed);
        if let Some(session) = session.filter(|_| ends_session && routed.answer.result.is_ok()) {
            self.recorder.tell(None, Event::EndSession { session });
        }
        Some(routed)
    }

    fn tell(&self, call: CallNo, percent: u32, routed: &Routed) {
        let (decision, answer) = (&routed.decision, &routed.answer);
        let (lane, epoch) = (decision.lane, decision.epoch);
        let (reason, drawn) = (decision.reason, decision.drawn);
        let route = Event::Route { call, lane, epoch, reason, drawn, percent };
        let ran = answer.result.as_ref().map_or_else(|error| error.ran(), |_| Ran::Yes);
        let said = answer.result.as_ref().ok().and_then(|result| tag(result.get()));
        let (outcome, worker) = (answer.outcome(), answer.worker);
        let done = Event::Done { call, outcome, ran, worker, answer: said };
        self.recorder.done(lane, worker, route, done);
    }
}

#[derive(Deserialize)]
struct Echo {
    tag: u64,
}

/// The call whose worker made this result.
fn tag(result: &str) -> Option<CallNo> {
    serde_json::from_str(result).ok().map(|echo: Echo| CallNo(echo.tag))
}

/// The settings that give [`Request`]s' commands their classes.
pub(crate) const COMMANDS: &str = r#"
[commands.look]
class = "read"
[commands.change]
class = "write"
[commands.decide]
class = "critical"
[commands.look_last]
class = "read"
ends_session = true
[commands.change_last]
class = "write"
ends_session = true
[commands.decide_last]
class = "critical"
ends_session = true
"#;
