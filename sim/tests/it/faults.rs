//! Every kind of fault happens, is survived, and looks unlike all others.

use std::collections::BTreeMap;

use poolshift::{Lane, WorkerId};
use poolshift_sim::fault::Fault;
use poolshift_sim::run::run;
use poolshift_sim::scenario::Scenario;
use poolshift_sim::trace::{CallNo, Event, Frame, Stamp};
use poolshift_sim::world::{Product, World};

type Trace = Vec<(Stamp, Event)>;

fn trace(fault: Fault) -> Trace {
    let options = Scenario::Only(fault).options(5, 8000);
    World::new(&Product, 5, options, Trace::new()).run().watcher
}

/// The worker and the call of an event.
fn subjects(event: &Event) -> (Option<WorkerId>, Option<CallNo>) {
    match *event {
        Event::Lease { call, worker }
        | Event::Dispatch { call, worker, .. }
        | Event::Executes { call, worker }
        | Event::Reply { call, worker, .. }
        | Event::Broke { call, worker, .. }
        | Event::Abandon { call, worker } => (Some(worker), Some(call)),
        Event::Enqueue { call, .. } | Event::Done { call, .. } => (None, Some(call)),
        Event::Start { worker }
        | Event::Ready { worker }
        | Event::StartFailed { worker, .. }
        | Event::Writes { worker, .. }
        | Event::Probe { worker }
        | Event::Probed { worker, .. }
        | Event::Stop { worker, .. }
        | Event::Terminate { worker }
        | Event::Closes { worker }
        | Event::Exit { worker, .. }
        | Event::Reaped { worker } => (Some(worker), None),
        _ => (None, None),
    }
}

/// The event's name with what matters of it, and nothing that differs from run to run.
fn sign(event: &Event, asked: u64) -> String {
    match event {
        Event::Writes { frame: Frame::Reply { id, .. }, .. } => {
            format!("Writes(reply, {})", if *id == asked { "right id" } else { "wrong id" })
        }
        Event::Writes { frame, .. } => format!("Writes({frame:?})"),
        Event::Dispatch { sent, .. } => format!("Dispatch({sent:?})"),
        Event::Broke { sent, cause, .. } => format!("Broke({sent:?}, {cause:?})"),
        Event::Reply { recycle, .. } => format!("Reply(recycle {recycle})"),
        Event::Done { outcome, .. } => format!("Done({outcome:?})"),
        Event::StartFailed { why, .. } => format!("StartFailed({why:?})"),
        Event::Stop { how, .. } => format!("Stop({how:?})"),
        Event::Exit { how, holds_pipe, .. } => format!("Exit({how:?}, holds pipe {holds_pipe})"),
        Event::Probed { healthy, .. } => format!("Probed({healthy})"),
        other => {
            let text = format!("{other:?}");
            text.split([' ', '{']).next().unwrap().to_owned()
        }
    }
}

/// What happened to the worker and to its call, from just before the strike until both are
/// over; the strike itself is left out, since a pool does not see it either.
fn pattern(trace: &Trace, at: usize) -> Vec<String> {
    let (stamp, Event::Fault { worker, .. }) = trace[at] else { panic!("no strike at {at}") };
    let Some(worker) = worker else { return spread(trace, at) };
    let of_lane = |it: &(Stamp, Event)| it.0.lane == stamp.lane;
    let before = trace[..at].iter().rev().filter(|it| of_lane(it));
    let before: Vec<&(Stamp, Event)> =
        before.take_while(|it| it.0.at == stamp.at && subjects(&it.1).0 == Some(worker)).collect();
    let call = before.iter().find_map(|it| subjects(&it.1).1);
    let asked = asked(trace, at, stamp.lane, worker);
    let (mut pattern, mut is_reaped, mut is_done) = (Vec::new(), false, call.is_none());
    for (_, event) in trace[at + 1..].iter().filter(|it| of_lane(it)) {
        let (whose, which) = subjects(event);
        let of_worker = whose == Some(worker) && (which.is_none() || which == call);
        if !is_reaped && of_worker || !is_done && call.is_some() && which == call {
            pattern.push(sign(event, asked));
        }
        let ends = matches!(event, Event::Reaped { .. } | Event::StartFailed { .. });
        is_reaped |= ends && whose == Some(worker);
        is_done |= matches!(event, Event::Done { .. }) && which == call;
        if is_reaped && is_done || pattern.len() > 30 {
            break;
        }
    }
    pattern
}

/// The id of the last request on the worker's pipe: its leases that wrote anything, its pings,
/// and the start ping.
fn asked(trace: &Trace, at: usize, lane: Option<Lane>, worker: WorkerId) -> u64 {
    let before = trace[..=at + 1].iter().filter(|it| it.0.lane == lane);
    let requests = before.filter(|it| match it.1 {
        Event::Dispatch { worker: to, .. } | Event::Start { worker: to } => to == worker,
        Event::Probe { worker: to } => to == worker,
        _ => false,
    });
    requests.count() as u64
}

/// A strike that hit more than one worker: what happened in that instant, or next.
fn spread(trace: &Trace, at: usize) -> Vec<String> {
    let rest = trace[at + 1..].iter();
    let failed = |event: &Event| matches!(event, Event::StartFailed { .. });
    let told =
        rest.filter(|it| it.0.at == trace[at].0.at || failed(&it.1) && trace[at].0.lane.is_none());
    told.take(8).map(|it| sign(&it.1, 0)).collect()
}

/// What most strikes of this kind look like, of the first fifteen that leave a trace.
fn usual_pattern(fault: Fault) -> Vec<String> {
    let trace = trace(fault);
    let hit = |at: &usize| matches!(trace[*at].1, Event::Fault { fault: of, .. } if of == fault);
    let patterns = (0..trace.len()).filter(hit).map(|at| pattern(&trace, at));
    let mut counts: BTreeMap<Vec<String>, u32> = BTreeMap::new();
    for pattern in patterns.filter(|pattern| !pattern.is_empty()).take(15) {
        *counts.entry(pattern).or_default() += 1;
    }
    let usual = counts.into_iter().max_by_key(|(_, count)| *count);
    usual.unwrap_or_else(|| panic!("{fault:?} leaves no trace")).0
}

#[test]
fn the_patterns_of_all_faults_differ() {
    let mut patterns: BTreeMap<Vec<String>, Fault> = BTreeMap::new();
    for fault in Fault::ALL {
        let pattern = usual_pattern(fault);
        if let Some(other) = patterns.insert(pattern.clone(), fault) {
            panic!("{fault:?} looks like {other:?}: {pattern:?}");
        }
    }
    assert_eq!(patterns.len(), Fault::ALL.len());
}

#[test]
fn every_fault_is_survived_in_every_scenario() {
    for fault in Fault::ALL {
        let run = run(&Product, 11, Scenario::Only(fault).options(11, 5000));
        assert!(run.is_good(), "{fault:?}: {:?}", run.verdict.broken);
    }
    let full = run(&Product, 7, Scenario::Full.options(7, 60_000));
    assert!(full.is_good(), "{:?}", full.verdict.broken);
    let ended = full.ended.unwrap();
    for (fault, struck) in Fault::ALL.into_iter().zip(ended.faults) {
        assert!(struck > 0 || fault == Fault::HostStall, "{fault:?} never struck");
    }
}
