//! What callers and operators do in one run, drawn before it begins.

use std::time::Duration;

use poolshift::machine::OnCancel;

use crate::options::PerMillion;
use crate::rng::{Domain, Seed, Stream};
use crate::shell_rig::planted::ShadowBug;
use crate::shell_rig::script::{Act, Birth, Script};

/// How large a run of the shell rig is, and how rough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RigOptions {
    /// How many calls are made.
    pub calls: u64,
    /// How many sessions they are in; some calls are in none.
    pub sessions: u64,
    /// Workers of V2 and, until it is resized, of V3.
    pub sizes: [usize; 2],
    /// How many calls may wait in V3.
    pub max_waiting: usize,
    /// What becomes of a worker whose caller went away.
    pub on_cancel: OnCancel,
    /// The share of calls that make their worker do harm.
    pub faults: PerMillion,
    /// The share of calls that are dropped before their answer.
    pub cancels: PerMillion,
    /// The share of sessions whose reads are shadowed, and of these, the share that is asked of
    /// the same lane again.
    pub shadows: [PerMillion; 2],
    /// The share of calls whose shadows fare otherwise than they do themselves.
    pub shadow_faults: PerMillion,
    /// What is wrong with how shadows are made, if something is to be.
    pub bug: Option<ShadowBug>,
    /// The share of starts, after the first ones, that fail.
    pub bad_births: PerMillion,
    /// How many things operators and the outside world do.
    pub moves: u64,
    /// How often a task steps aside at one hand-off, at most.
    pub most_yields: u64,
}

impl RigOptions {
    /// Options drawn by the seed, so that a swarm of seeds is a swarm of kinds of runs.
    #[must_use]
    pub fn swarm(seed: u64) -> Self {
        let mut stream = Seed(seed).stream(Domain::Swarm, 0, 0);
        let mut rate = |rates: &[PerMillion]| *stream.pick(rates);
        let faults = rate(&[0, 50_000, 200_000, 500_000]);
        let cancels = rate(&[0, 100_000, 400_000]);
        let bad_births = rate(&[0, 200_000, 500_000]);
        Self {
            calls: stream.between(20, 120),
            sessions: stream.between(1, 12),
            sizes: [stream.between(1, 4) as usize, stream.between(1, 4) as usize],
            max_waiting: *stream.pick(&[0, 3, 1000]),
            on_cancel: *stream.pick(&[OnCancel::Drain, OnCancel::Kill]),
            faults,
            cancels,
            bad_births,
            moves: stream.between(0, 20),
            most_yields: *stream.pick(&[0, 1, 3, 8]),
            shadows: [*stream.pick(&[0, 300_000, 1_000_000]), *stream.pick(&[0, 300_000])],
            shadow_faults: *stream.pick(&[0, 300_000, 900_000]),
            bug: None,
        }
    }
}

/// One call that will be made.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) at: Duration,
    pub(super) session: Option<u64>,
    pub(super) command: &'static str,
    pub(super) program: u64,
    pub(super) script: Script,
    pub(super) budget: Option<Duration>,
    pub(super) leaves: Option<Leaves>,
}

/// When a caller goes away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaves {
    /// When its call has been polled so often, and is not done.
    AtPoll(u64),
    /// After this long.
    After(Duration),
}

/// What an operator or the outside world does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    Kill,
    Unkill,
    /// Thousandths of a percent, highest first.
    Percents([u32; 3]),
    Resize(usize),
    /// The worker that has lived longest of those, counted round, dies.
    Murder {
        lane: usize,
        nth: u64,
    },
    EndSession(u64),
    /// Both pools are drained, with this much time. The last move.
    Drain(Duration),
}

/// A whole run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) calls: Vec<Planned>,
    pub(super) moves: Vec<(Duration, Move)>,
    pub(super) births: [Vec<Birth>; 2],
}

impl Plan {
    pub(super) fn of(seed: Seed, options: &RigOptions) -> Self {
        let mut at = Duration::ZERO;
        let calls: Vec<Planned> = (0..options.calls)
            .map(|n| {
                let mut stream = seed.stream(Domain::Call, n, 0);
                at += millis(&mut stream, 0, 5);
                planned(at, &mut stream, options)
            })
            .collect();
        let span = at.as_millis() as u64;
        let mut moves: Vec<(Duration, Move)> = (0..options.moves)
            .map(|n| {
                let mut stream = seed.stream(Domain::Operator, n, 0);
                (millis(&mut stream, 0, span), operation(&mut stream, options))
            })
            .collect();
        moves.sort_by_key(|(at, _)| *at);
        let mut stream = seed.stream(Domain::Operator, u64::MAX, 0);
        // Some calls come while the pools are drained, and some after that.
        let drain = millis(&mut stream, span / 2, span + 50);
        moves.retain(|(at, _)| *at < drain);
        moves.push((drain, Move::Drain(millis(&mut stream, 0, 300))));
        let births = [0, 1].map(|lane| births(seed, lane, options));
        Self { calls, moves, births }
    }
}

fn planned(at: Duration, stream: &mut Stream, options: &RigOptions) -> Planned {
    let session = (!stream.chance(250_000)).then(|| stream.below(options.sessions));
    let commands = ["echo", "echo", "calculate", "create_program", "execute_program"];
    let command = match stream.below(12) {
        0 => "configure_lm",
        1 if session.is_some() => "cleanup_session",
        _ => stream.pick(&commands),
    };
    let act = if stream.chance(options.faults) { fault(stream) } else { harmless(stream) };
    let after_ms = stream.below(25);
    let budget = stream.chance(200_000).then(|| millis(stream, 1, 150));
    let leaves = stream.chance(options.cancels).then(|| match stream.chance(500_000) {
        true => Leaves::AtPoll(stream.between(1, 8)),
        false => Leaves::After(millis(stream, 0, 40)),
    });
    let program = stream.below(3);
    let shadow = stream.chance(options.shadow_faults).then(|| match stream.below(3) {
        0 => Act::Lie,
        1 => Act::Hang,
        _ => fault(stream),
    });
    let script = Script { after_ms, act, shadow };
    Planned { at, session, command, program, script, budget, leaves }
}

fn harmless(stream: &mut Stream) -> Act {
    *stream.pick(&[Act::Reply, Act::Reply, Act::Reply, Act::Raise, Act::ReplyAndRecycle])
}

fn fault(stream: &mut Stream) -> Act {
    match stream.below(20) {
        0 => Act::Exit,
        1 => Act::CutReply { at: stream.below(80) as usize },
        2 => Act::ReplyAndExit,
        3 => Act::Hang,
        4 => Act::ReplyTwice,
        5 => Act::WrongId,
        6 => Act::StaleId,
        7 => Act::Swap,
        8 => Act::SpeakLater { after_ms: stream.below(10) },
        9 => Act::Garble,
        // Header and envelope: a flip in the result is beyond detection.
        10 => Act::FlipBit { bit: stream.below(36 * 8) as usize },
        // Impossible, short of what follows, close to the limit, at it, and beyond it.
        11 => Act::ClaimLength { bytes: *stream.pick(&[0, 9, 60_000, 65_536, 65_537, u32::MAX]) },
        12 => Act::Print,
        13 => Act::CloseStdout,
        14 => Act::ExitHoldingPipe,
        15 => Act::GoDeaf { room: *stream.pick(&[0, 1, 1000]) },
        16 => Act::Drip { every_ms: stream.between(1, 5) },
        17 => Act::Split { bytes: stream.between(1, 30) as usize },
        18 => Act::CloseStdin { room: *stream.pick(&[0, 1, 1000]) },
        _ => Act::Stutter { wakes: stream.between(1, 4) as u32 },
    }
}

fn operation(stream: &mut Stream, options: &RigOptions) -> Move {
    match stream.below(8) {
        0 => Move::Kill,
        1 => Move::Unkill,
        2 | 3 => {
            let mut percents = [0; 3].map(|_| *stream.pick(&[0, 10_000, 50_000, 100_000]));
            percents.sort_unstable_by(|one, other| other.cmp(one));
            Move::Percents(percents)
        }
        4 => Move::Resize(stream.between(1, 5) as usize),
        5 => Move::EndSession(stream.below(options.sessions)),
        _ => Move::Murder { lane: stream.below(2) as usize, nth: stream.below(5) },
    }
}

/// The first workers come up well, since a pool that does not start has no story to tell.
fn births(seed: Seed, lane: usize, options: &RigOptions) -> Vec<Birth> {
    let first = options.sizes[lane] as u64;
    let births = (0..first + 20).map(|n| {
        let mut stream = seed.stream(Domain::Birth, lane as u64, n);
        let after = millis(&mut stream, 0, 10);
        if n < first || !stream.chance(options.bad_births) {
            return Birth::Ready(after);
        }
        let bad = [
            Birth::Unspawnable,
            Birth::Exits(after),
            Birth::Babbles,
            Birth::Misnumbers,
            Birth::Raises,
            Birth::NotOk,
            Birth::Silent,
        ];
        stream.pick(&bad).clone()
    });
    births.collect()
}

fn millis(stream: &mut Stream, low: u64, high: u64) -> Duration {
    Duration::from_millis(stream.between(low, high))
}
