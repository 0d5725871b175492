//! What is kept of compared answers, and what is told of it.

mod copy;
mod desk;
mod live;
mod redaction;
mod report;
mod rig;
mod run;
mod service;
mod speed;
mod store;

use std::path::Path;
use std::time::Duration;

use poolshift::router::compare::Verdict;
use poolshift::router::compare::rule::RuleBook;
use poolshift::shadow::quota::Quota;
use poolshift::shadow::redactor::Redactor;
use poolshift::shadow::{Limits, Side, Store, StoreError, Trial};
use poolshift::{Args, CallError, CallId, Lane, SessionId};
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) const MIB: usize = 1024 * 1024;

pub(crate) fn open(folder: &Path, max_bytes: usize) -> Result<Store, StoreError> {
    let limits = Limits { max_bytes, quota: Quota::default() };
    Store::open(folder, limits, Redactor::new(&["/answer/name".to_owned()]).unwrap(), 7)
}

/// A pair on its way into a store.
pub(crate) struct Pair<'a> {
    pub(crate) command: &'a str,
    pub(crate) lanes: [Lane; 2],
    pub(crate) answers: [Result<Value, CallError>; 2],
    pub(crate) args: Value,
    pub(crate) took_ms: [u64; 2],
    pub(crate) session: &'a str,
    /// Its id is this and its number.
    pub(crate) name: &'a str,
}

impl<'a> Pair<'a> {
    /// V2 told the caller the first, V3 would have told the second.
    pub(crate) fn of(command: &'a str, v2: &Value, v3: &Value) -> Self {
        Self {
            command,
            lanes: [Lane::V2, Lane::V3],
            answers: [Ok(v2.clone()), Ok(v3.clone())],
            args: Value::Object(Default::default()),
            took_ms: [10, 20],
            session: "alice",
            name: "call",
        }
    }

    /// Two answers of V2.
    pub(crate) fn noise(command: &'a str, one: &Value, other: &Value) -> Self {
        Self { lanes: [Lane::V2; 2], ..Self::of(command, one, other) }
    }

    /// Compares and records it as the `n`th call.
    pub(crate) fn record(self, store: &mut Store, n: u64) -> Verdict {
        let trial = self.trial(n);
        let verdict = trial.verdict(&RuleBook::default());
        store.record(&trial, &verdict).unwrap();
        verdict
    }

    /// The `n`th call, `n` seconds after a fixed moment.
    pub(crate) fn trial(self, n: u64) -> Trial {
        let [first, second] = self.answers;
        let side = |index: usize, answer: Result<Value, CallError>| {
            let answer = match answer {
                Ok(value) => Ok(RawValue::from_string(value.to_string()).unwrap()),
                Err(error) => Err(error),
            };
            let took = Some(Duration::from_millis(self.took_ms[index]));
            Side { lane: self.lanes[index], answer, took }
        };
        Trial {
            command: self.command.into(),
            id: CallId::new(&format!("{}-{n}", self.name)).unwrap(),
            session: Some(SessionId::new(self.session).unwrap()),
            args: Args::parse(&self.args.to_string()).unwrap(),
            control: side(0, first),
            candidate: side(1, second),
            at: Duration::from_secs(1_700_000_000 + n),
        }
    }
}
