//! How a plan's events are done to real processes, and which cannot be.

use std::time::Duration;

use poolshift::clock::Moment;
use poolshift::machine::Reply;

use crate::fault::Fault;
use crate::hazard::{Hazard, Strike};
use crate::plan::Plan;
use crate::real::caller::Request;
use crate::rng::Seed;
use crate::shell_rig::plan::Leaves;
use crate::workload::{self, PlannedCall};
use crate::world::work::Work;

/// What a call tells its worker to do, by the fault that strikes it; the reason if it cannot be
/// told.
pub(crate) fn at_request(fault: Fault) -> Result<&'static str, &'static str> {
    Ok(match fault {
        Fault::CrashAfterRead => r#""exits""#,
        Fault::CrashMidFrame => r#""cut","at":20"#,
        // A moment later, since a real process has no instant: a call may come between.
        Fault::ReplyThenExit => r#""reply_and_die""#,
        Fault::Hang => r#""pause""#,
        Fault::Frozen => r#""freeze""#,
        Fault::DuplicateReply => r#""twice""#,
        Fault::WrongId => r#""misnumber","by":-1"#,
        Fault::Garbage => r#""garbage""#,
        Fault::ClosedStdout => r#""close_stdout""#,
        Fault::HeldPipe => r#""orphan","file":"/dev/null""#,
        Fault::OutOfMemory => r#""die""#,
        Fault::SlowWorker => r#""recycle""#,
        Fault::CrashBeforeRead | Fault::Poison => {
            return Err("nobody outside knows which worker is leased next, to kill it before");
        }
        Fault::DeafStdin | Fault::BrokenStdin => {
            return Err("a worker is told by a call, and this strikes before its bytes are read");
        }
        Fault::LateReply => return Err("no clock outside is as exact as a deadline"),
        _ => return Err("it does not strike requests"),
    })
}

/// How a worker is born that fails so.
pub(crate) fn at_start(fault: Fault) -> Result<&'static str, &'static str> {
    match fault {
        Fault::CrashLoop => Ok("exit"),
        Fault::SlowStart => Ok("rest"),
        Fault::BadHandshake => Ok("protocol"),
        _ => Err("all workers of a lane have one program, which is there or not"),
    }
}

/// Whether a strike at a moment can be done.
pub(crate) fn at_moment(fault: Fault) -> Result<(), &'static str> {
    match fault {
        Fault::DeathWhileIdle | Fault::AllDie => Ok(()),
        Fault::Unsolicited => Err("an idle worker says nothing that nobody told it to"),
        Fault::HostStall => Err("the host is the one that would have to go on"),
        _ => Err("processes and files are the machine's, and others need them, too"),
    }
}

/// Events of the plan that cannot be done, each with the reason; and the moment of the first of
/// them that a caller could feel. From then on the worlds may part.
pub(crate) fn missing(plan: &Plan) -> (Vec<String>, Moment) {
    let mut missing = Vec::new();
    let mut parting = Moment::NEVER;
    let at = |number: u64| {
        let call = plan.calls.iter().find(|call| call.call.0 == number);
        call.map_or(Moment::ZERO, |call| call.at)
    };
    for strike in &plan.strikes {
        let fault = strike.fault();
        let (felt, why) = match *strike {
            Strike::Request { call, attempt, .. } => {
                let again = (attempt > 1).then_some("nobody outside sees that a call comes back");
                (at(call), at_request(fault).err().or(again))
            }
            Strike::Start { .. } => (Moment::ZERO, at_start(fault).err()),
            Strike::Stop { .. } => {
                (Moment::NEVER, Some("no outcome tells whether a worker minds SIGTERM"))
            }
            Strike::Moment { at_ns, .. } => (Moment::from_nanos(at_ns), at_moment(fault).err()),
        };
        if let Some(why) = why {
            missing.push(format!("{}: {why}", described(strike)));
            parting = parting.min(felt);
        }
    }
    for call in &plan.calls {
        let (number, at_hand_off) = (call.call.0, workload::Leaves::AtHandOff);
        let leaves = (call.leaves == Some(at_hand_off))
            .then(|| format!("call {number} leaves at its hand-off: nobody outside sees one"));
        let poison = at_request(Fault::Poison).err().filter(|_| call.is_poison);
        let poison = poison.map(|why| format!("call {number} is poison: {why}"));
        for what in leaves.into_iter().chain(poison) {
            missing.push(what);
            parting = parting.min(call.at);
        }
    }
    (missing, parting)
}

fn described(strike: &Strike) -> String {
    let fault = strike.fault().as_str();
    match strike {
        Strike::Request { call, attempt, .. } => {
            format!("{fault} at request {attempt} of call {call}")
        }
        Strike::Start { lane, slot, generation, .. } => {
            format!("{fault} at the start of {lane}:{slot}.{generation}")
        }
        Strike::Stop { lane, slot, generation, .. } => {
            format!("{fault} at the stop of {lane}:{slot}.{generation}")
        }
        Strike::Moment { at_ns, lane, .. } => format!("{fault} in {lane} at {at_ns} ns"),
    }
}

/// The call as it is made: with the work that the simulated worker would have, and the fault.
pub(crate) fn request(plan: &Plan, hazard: &Hazard, call: &PlannedCall, slower: u32) -> Request {
    let (work, fault) = Work::of(Seed(plan.seed), &plan.options, hazard, call.call);
    let told = fault.and_then(|fault| at_request(fault).ok());
    let told = told.or((work.kind == Reply::Raised).then_some(r#""raise""#));
    let told = told.or(work.recycle.then_some(r#""recycle""#));
    let told = told.map_or(String::new(), |told| format!(",\"fault\":{told}"));
    let scaled = |span: Duration| span * slower;
    let work_ms = scaled(work.takes).as_secs_f64() * 1e3;
    let leaves = call.leaves.and_then(|leaves| match leaves {
        workload::Leaves::After(span) => Some(Leaves::After(scaled(span))),
        workload::Leaves::AtHandOff => None,
    });
    Request {
        no: call.call,
        class: call.class,
        session: call.session.as_ref().map(|(number, _)| *number),
        ends_session: call.ends_session,
        members: format!("\"work_ms\":{work_ms:.3}{told}"),
        budget: call.budget.map(scaled),
        leaves,
    }
}
