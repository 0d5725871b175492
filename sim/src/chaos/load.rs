//! The calls of a chaos run: a function of seed, caller and count.

use std::time::Duration;

use poolshift::Class;

use crate::real::caller::Request;
use crate::rng::{Domain, Seed, Stream};
use crate::shell_rig::plan::Leaves;
use crate::trace::{CallNo, SessionNo};

/// So many callers for each worker of a lane: two lanes are kept busy, and calls wait.
pub(crate) const CALLERS_PER_WORKER: usize = 3;

/// Calls of one session.
const SESSION_CALLS: u64 = 25;

/// The share of calls that make their worker do harm, in a million.
const FAULTS: u32 = 40_000;

/// Those calls whose caller goes away, in a million.
const CANCELS: u32 = 80_000;

/// Those that bring a budget of their own, in a million.
const BUDGETS: u32 = 150_000;

/// What a worker does when it is told to, and what it is told beside that. Harm that its next call
/// meets is done by `go_deaf` and `close_stdin`.
const HARM: [&str; 27] = [
    r#""exits""#,
    r#""cut","at":3"#,
    r#""cut","at":20"#,
    r#""reply_and_die""#,
    r#""die""#,
    r#""orphan","file":"/dev/null""#,
    r#""exhaust""#,
    r#""spin""#,
    r#""pause""#,
    r#""twice""#,
    r#""misnumber","by":1"#,
    r#""misnumber","by":-1"#,
    r#""swap""#,
    r#""garbage""#,
    r#""flip","byte":0,"bit":7"#,
    r#""flip","byte":3,"bit":1"#,
    r#""flip","byte":4,"bit":0"#,
    r#""claim","bytes":4294967295"#,
    r#""claim","bytes":0"#,
    r#""talk""#,
    r#""talk_in_the_pipe""#,
    r#""flood","lines":160"#,
    r#""close_stdout""#,
    r#""go_deaf","room":1"#,
    r#""close_stdin","room":1"#,
    r#""drip","bytes":7,"every_ms":1"#,
    r#""recycle""#,
];

/// One call, with the harm that it does.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) request: Request,
    /// Its name, if it does any.
    pub(crate) harm: Option<&'static str>,
    /// How long its caller rests after it.
    pub(crate) rest: Duration,
}

/// The `n`-th call of a caller, of whom two share each session.
pub(crate) fn planned(seed: Seed, caller: u64, n: u64, no: CallNo) -> Planned {
    let mut stream = seed.stream(Domain::Call, caller, n);
    let is_anonymous = stream.chance(300_000);
    let (pair, age) = (caller / 2, n % SESSION_CALLS);
    let session = SessionNo(((n / SESSION_CALLS) << 16) | pair);
    let ends_session = !is_anonymous && age == SESSION_CALLS - 1 && stream.chance(500_000);
    let class = match stream.below(10) {
        0 => Class::Critical,
        1..=3 => Class::Write,
        _ => Class::Read,
    };
    let work_ms = stream.exponential(6_000_000).min(60_000_000) / 1_000_000;
    let harm = stream.chance(FAULTS).then(|| *stream.pick(&HARM));
    let raises = harm.is_none() && stream.chance(20_000);
    let fault = if raises { Some(r#""raise""#) } else { harm };
    let fault = fault.map_or(String::new(), |fault| format!(",\"fault\":{fault}"));
    let budget = stream.chance(BUDGETS).then(|| millis(&mut stream, 2, 300));
    let leaves = stream.chance(CANCELS).then(|| leaves(&mut stream));
    let rest = millis(&mut stream, 0, 12);
    let request = Request {
        no,
        class,
        session: (!is_anonymous).then_some(session),
        ends_session,
        members: format!("\"work_ms\":{work_ms}{fault}"),
        budget,
        leaves,
    };
    Planned { request, harm: harm.map(name), rest }
}

fn leaves(stream: &mut Stream) -> Leaves {
    match stream.chance(500_000) {
        true => Leaves::AtPoll(stream.between(1, 4)),
        false => Leaves::After(millis(stream, 0, 40)),
    }
}

/// The first text of the members is the fault's.
fn name(harm: &'static str) -> &'static str {
    harm.split('"').nth(1).expect("each kind of harm begins with its name")
}

fn millis(stream: &mut Stream, low: u64, high: u64) -> Duration {
    Duration::from_millis(stream.between(low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_function_of_its_seed_and_does_every_kind_of_harm() {
        let plan = |seed, caller| {
            let calls = (0..20_000).map(|n| planned(Seed(seed), caller, n, CallNo(n)));
            calls.map(|call| format!("{call:?}")).collect::<Vec<String>>()
        };
        let first = plan(1, 0);
        assert_eq!(first, plan(1, 0));
        assert!(first != plan(2, 0) && first != plan(1, 1));
        for harm in HARM {
            let member = format!(",\"fault\":{harm}").replace('"', "\\\"");
            assert!(first.iter().any(|call| call.contains(&member)), "{harm}");
        }
    }
}
