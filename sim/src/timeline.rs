//! A run as text: one line an event, a column a worker, within a hundred columns.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use poolshift::clock::Moment;
use poolshift::{Lane, WorkerId};

use crate::trace::{CallNo, Event, Frame, Stamp, Watcher};
use crate::verdict::Broken;

/// As wide as a terminal at night.
const WIDTH: usize = 100;

/// What is left for words, at least.
const WORDS: usize = 38;

/// Events that are kept and shown: nobody reads more, and a plan that was shrunk has far fewer.
const MOST_EVENTS: usize = 20_000;

/// The first events of a run, and how many came after them.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    events: Vec<(Stamp, Event)>,
    more: u64,
}

impl Watcher for Opening {
    fn event(&mut self, stamp: Stamp, event: &Event) {
        if self.events.len() < MOST_EVENTS {
            self.events.push((stamp, *event));
        } else {
            self.more += 1;
        }
    }
}

/// What the marks in workers' columns mean.
pub const LEGEND: &str = "\
 columns: milliseconds, calls that wait in v2 and v3, a column a worker (lane 2 or 3, slot)
 states:  : starts   . idle   # has a call   ? is asked   ! is told to stop   x dead, not reaped
 events:  S start  R ready  F start failed  L lease  D dispatch  E executes  W writes  < reply
          B broke  A abandon  P probe  p probed  ! stop  T terminate  C closes stdout  x exit
          _ reaped  * fault
";

type Slot = (Lane, u32);

/// Who can be seen at a line.
struct Stage {
    /// Each worker's state, in the order of columns.
    slots: BTreeMap<Slot, char>,
    /// The slots that have a column.
    shown: Vec<Slot>,
    waiting: [BTreeSet<CallNo>; 2],
}

/// The events of a run, and what was broken at them.
#[must_use]
pub fn timeline(trace: &Opening, broken: &[Broken]) -> String {
    let mut stage = Stage::of(&trace.events);
    let mut text = stage.head();
    let mut broken = broken.iter().peekable();
    for (stamp, event) in &trace.events {
        text.push_str(&stage.line(*stamp, event));
        while let Some(found) = broken.next_if(|found| found.seq <= stamp.seq) {
            verdict(&mut text, found);
        }
    }
    if trace.more > 0 {
        let _ = writeln!(text, "... and {} events more", trace.more);
    }
    broken.for_each(|found| verdict(&mut text, found));
    text
}

/// What was broken, folded at the width.
fn verdict(text: &mut String, broken: &Broken) {
    let mut line = ">>> ".to_owned();
    if !broken.what.starts_with(broken.law) {
        let _ = write!(line, "{} ", broken.law);
    }
    for word in broken.what.split_whitespace() {
        if line.chars().count() + word.chars().count() >= WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = "    ".to_owned();
        }
        line.push_str(word);
        line.push(' ');
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

/// The worker of an event.
const fn worker_of(event: &Event) -> Option<WorkerId> {
    match event {
        Event::Lease { worker, .. }
        | Event::Dispatch { worker, .. }
        | Event::Executes { worker, .. }
        | Event::Writes { worker, .. }
        | Event::Reply { worker, .. }
        | Event::Broke { worker, .. }
        | Event::Abandon { worker, .. }
        | Event::Start { worker }
        | Event::Ready { worker }
        | Event::StartFailed { worker, .. }
        | Event::Probe { worker }
        | Event::Probed { worker, .. }
        | Event::Stop { worker, .. }
        | Event::Terminate { worker }
        | Event::Closes { worker }
        | Event::Exit { worker, .. }
        | Event::Reaped { worker } => Some(*worker),
        Event::Fault { worker, .. } => *worker,
        _ => None,
    }
}

/// An event's mark in its worker's column, and the worker's state after it, if that changes.
const fn mark(event: &Event) -> (char, Option<char>) {
    match event {
        Event::Start { .. } => ('S', Some(':')),
        Event::Ready { .. } => ('R', Some('.')),
        Event::StartFailed { .. } => ('F', Some(' ')),
        Event::Lease { .. } => ('L', Some('#')),
        Event::Dispatch { .. } => ('D', None),
        Event::Executes { .. } => ('E', None),
        Event::Writes { .. } => ('W', None),
        Event::Reply { .. } => ('<', Some('.')),
        Event::Broke { .. } => ('B', Some('.')),
        Event::Abandon { .. } => ('A', Some('#')),
        Event::Probe { .. } => ('P', Some('?')),
        Event::Probed { .. } => ('p', Some('.')),
        Event::Stop { .. } => ('!', Some('!')),
        Event::Terminate { .. } => ('T', None),
        Event::Closes { .. } => ('C', None),
        Event::Exit { .. } => ('x', Some('x')),
        Event::Reaped { .. } => ('_', Some(' ')),
        _ => ('*', None),
    }
}

impl Stage {
    fn of(trace: &[(Stamp, Event)]) -> Self {
        let seen =
            trace.iter().filter_map(|(stamp, event)| Some((stamp.lane?, worker_of(event)?.slot)));
        let slots: BTreeMap<Slot, char> = seen.map(|slot| (slot, ' ')).collect();
        let room = (WIDTH - WORDS - Self::FRONT) / 2;
        let shown = slots.keys().copied().take(room).collect();
        Self { slots, shown, waiting: [BTreeSet::new(), BTreeSet::new()] }
    }

    /// Time and the two lines.
    const FRONT: usize = 12 + 5 + 5 + 1;

    /// As wide as there is room.
    fn column(&self) -> usize {
        let room = WIDTH - WORDS - Self::FRONT;
        (room / self.shown.len().max(1)).clamp(2, 4)
    }

    fn head(&self) -> String {
        let column = self.column();
        let names = |name: fn(&Slot) -> String| {
            self.shown.iter().map(|slot| format!("{:>column$}", name(slot))).collect::<String>()
        };
        let lanes = names(|(lane, _)| if *lane == Lane::V2 { "2" } else { "3" }.to_owned());
        let slots = names(|(_, slot)| (slot % 10).to_string());
        let mut head = LEGEND.to_owned();
        if self.shown.len() < self.slots.len() {
            let left = self.slots.len() - self.shown.len();
            let _ = writeln!(head, " {left} workers have no column: the words name them");
        }
        let _ = writeln!(head, "{:>12}{:>5}{:>5} {lanes}", "", "", "");
        let _ = writeln!(head, "{:>12}{:>5}{:>5} {slots}", "ms", "q2", "q3");
        head
    }

    fn line(&mut self, stamp: Stamp, event: &Event) -> String {
        self.count_waiting(stamp, event);
        let slot = stamp.lane.zip(worker_of(event)).map(|(lane, worker)| (lane, worker.slot));
        let (mark, state) = mark(event);
        let mut text = format!("{:>12.3}", stamp.at.as_nanos() as f64 / 1e6);
        for waiting in &self.waiting {
            let count = match waiting.len() {
                0 => String::new(),
                count => count.to_string(),
            };
            let _ = write!(text, "{count:>5}");
        }
        text.push(' ');
        let column = self.column();
        for shown in &self.shown {
            let at = if slot == Some(*shown) { mark } else { self.slots[shown] };
            let _ = write!(text, "{at:>column$}");
        }
        if let Some((slot, state)) = slot.zip(state) {
            let now = self.slots.get_mut(&slot).expect("every slot of the trace is known");
            // Who is told to stop, or dead, stays so until it is reaped.
            let is_final = matches!(*now, '!' | 'x') && matches!(state, '.' | '#' | '?');
            *now = if is_final { *now } else { state };
        }
        let words = format!("{text}  {}", words(stamp, event));
        let mut line: String = words.chars().take(WIDTH).collect();
        line.truncate(line.trim_end().len());
        line + "\n"
    }

    fn count_waiting(&mut self, stamp: Stamp, event: &Event) {
        let Some(lane) = stamp.lane else { return };
        let waiting = &mut self.waiting[lane as usize];
        match event {
            Event::Enqueue { call, .. } => drop(waiting.insert(*call)),
            Event::Lease { call, .. } | Event::Done { call, .. } => drop(waiting.remove(call)),
            _ => {}
        }
    }
}

/// An event in words.
fn words(stamp: Stamp, event: &Event) -> String {
    let lane = stamp.lane.map_or("", Lane::as_str);
    let at = |worker: &WorkerId| format!("{lane}:{worker}");
    match event {
        Event::Submit { call: CallNo(call), session, class, .. } => {
            let session = session.map(|session| format!(", session {}", session.0));
            let session = session.unwrap_or_default();
            format!("call {call} arrives: {}{session}", class.as_str())
        }
        Event::Route { call: CallNo(call), lane, reason, .. } => {
            format!("call {call} goes to {lane} ({reason:?})")
        }
        Event::Enqueue { call: CallNo(call), again, .. } => {
            format!("call {call} waits in {lane}{}", if *again { " again" } else { "" })
        }
        Event::Lease { call: CallNo(call), worker } => format!("call {call} gets {}", at(worker)),
        Event::Dispatch { call: CallNo(call), worker, sent } => {
            format!("call {call} to {}, sent: {sent:?}", at(worker))
        }
        Event::Executes { call: CallNo(call), worker } => {
            format!("{} runs call {call}", at(worker))
        }
        Event::Writes { worker, frame } => format!("{} {}", at(worker), wrote(frame)),
        Event::Reply { call: CallNo(call), worker, kind, nonce: CallNo(nonce), recycle } => {
            let recycle = if *recycle { ", recycle" } else { "" };
            let other = if nonce == call { String::new() } else { format!(" of call {nonce}!") };
            format!("call {call} has reply{other} from {}: {kind:?}{recycle}", at(worker))
        }
        Event::Broke { call: CallNo(call), worker, sent, cause } => {
            format!("call {call} broke on {}: {cause:?}, sent {sent:?}", at(worker))
        }
        Event::Abandon { call: CallNo(call), worker } => {
            format!("late reply of call {call} awaited from {}", at(worker))
        }
        Event::Cancel { call: CallNo(call) } => format!("call {call}: its caller goes away"),
        Event::Done { call: CallNo(call), outcome, ran, .. } => {
            format!("call {call} is over: {}, ran: {ran:?}", outcome.as_str())
        }
        Event::EndSession { session } => format!("session {} ends", session.0),
        Event::Start { worker } => format!("{} starts", at(worker)),
        Event::Ready { worker } => format!("{} is ready", at(worker)),
        Event::StartFailed { worker, why } => format!("{} did not start: {why:?}", at(worker)),
        Event::Probe { worker } => format!("{} is probed", at(worker)),
        Event::Probed { worker, healthy: true } => format!("{} is well", at(worker)),
        Event::Probed { worker, healthy: false } => format!("{} is not well", at(worker)),
        Event::Stop { worker, how } => format!("{} is told to stop: {how:?}", at(worker)),
        Event::Terminate { worker } => format!("{} gets SIGTERM", at(worker)),
        Event::Closes { worker } => format!("{} closes its stdout", at(worker)),
        Event::Exit { worker, how, .. } => format!("{} ends: {how:?}", at(worker)),
        Event::Reaped { worker } => format!("{} is reaped", at(worker)),
        Event::Config { epoch, percents, killed } => {
            format!(
                "policy {epoch}: {} %{}",
                shares(*percents),
                if *killed { ", KILLED" } else { "" }
            )
        }
        Event::Resize { size } => format!("{lane} is resized to {size}"),
        Event::Drain { until } => format!("{lane} drains until {:.3} ms", millis(*until)),
        Event::Drained => format!("{lane} is drained"),
        Event::Fault { fault, worker } => {
            let whom = worker.as_ref().map_or_else(|| lane.to_owned(), at);
            format!("FAULT {} {whom}", fault.as_str())
        }
        Event::Heal { fault } => format!("no more {}", fault.as_str()),
        Event::Stall { until } => format!("the host stalls until {:.3} ms", millis(*until)),
        Event::Phase { phase } => format!("-- {phase:?} --"),
    }
}

fn wrote(frame: &Frame) -> String {
    match frame {
        Frame::Reply { id, nonce: Some(CallNo(call)) } => {
            format!("writes reply {id}, of call {call}")
        }
        Frame::Reply { id, nonce: None } => format!("answers ping {id}"),
        Frame::Part => "writes half a reply".to_owned(),
        Frame::Junk => "writes junk".to_owned(),
    }
}

/// Percentages of reads, writes and critical calls.
fn shares(percents: [u32; 3]) -> String {
    percents.map(|share| (f64::from(share) / 1000.0).to_string()).join("/")
}

fn millis(moment: Moment) -> f64 {
    moment.as_nanos() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use poolshift::clock::Moment;

    use super::*;
    use crate::scenario::Scenario;
    use crate::world::{Product, World};

    fn trace(seed: u64, calls: u64) -> Opening {
        let options = Scenario::Swarm.options(seed, calls);
        World::new(&Product, seed, options, Opening::default()).run().watcher
    }

    #[test]
    fn only_the_opening_of_a_long_run_is_kept() {
        let trace = trace(1, 10_000);
        assert_eq!(trace.events.len(), MOST_EVENTS);
        let last = format!("... and {} events more\n", trace.more);
        assert!(trace.more > 0 && timeline(&trace, &[]).ends_with(&last));
    }

    #[test]
    fn each_event_has_a_line_and_no_line_is_too_wide() {
        for seed in 0..20 {
            let trace = trace(seed, 300);
            let what = "word ".repeat(100);
            let broken = [Broken { law: "S1", at_ns: 0, seq: 5, what }];
            let text = timeline(&trace, &broken);
            let lines: Vec<&str> = text.lines().collect();
            let wide = lines.iter().find(|line| line.chars().count() > WIDTH);
            assert_eq!(wide, None, "seed {seed}");
            let told = lines.iter().filter(|line| line.contains(">>> S1")).count();
            assert_eq!(told, 1);
            let events = text.lines().filter(|line| line.find('.') == Some(8)).count();
            assert_eq!(events, trace.events.len(), "seed {seed}");
        }
    }

    #[test]
    fn a_lease_is_in_its_workers_column() {
        let worker = WorkerId { slot: 1, generation: 1 };
        let stamp = |seq| Stamp { at: Moment::from_nanos(1_500_000), seq, lane: Some(Lane::V3) };
        let other = WorkerId { slot: 0, generation: 1 };
        let events = vec![
            (stamp(0), Event::Start { worker: other }),
            (stamp(1), Event::Enqueue { call: CallNo(7), waiting: 1, again: false }),
            (stamp(2), Event::Lease { call: CallNo(7), worker }),
        ];
        let text = timeline(&Opening { events, more: 0 }, &[]);
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        assert_eq!(lines[0], "       1.500              :   L  call 7 gets v3:1.1");
        assert_eq!(lines[1], "       1.500         1    :      call 7 waits in v3");
        assert_eq!(lines[2], "       1.500              S      v3:0.1 starts");
    }
}
