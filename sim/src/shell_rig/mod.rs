//! The shell, the pools' handles, the router and the session rules on tokio's paused clock:
//! everything of the product but its processes, around fake workers that speak real frames.
//!
//! - [`run`](mod@run) plays a [`plan`] drawn by a seed: callers that leave, operators, deaths, a
//!   drain; [`onlooker`] judges what could be seen, [`journal`] holds it.
//! - [`spawner`] starts fake processes, [`worker`] is one, [`script`] says what it does; a
//!   script rides in its call's args.
//! - [`pipes`] are the host's ends of a worker's pipes: they misbehave when told to, and see what
//!   goes through. [`handoff`] has tasks step aside, so that seeds differ in their interleavings.
//! - [`unnoticed`] judges shadows, also by a run beside the same run without them; [`planted`] has
//!   bugs in how they are made, the proof that this sees something.
//!
//! # Which fault lives where
//!
//! The *world* drives the machines, which see ids and moments and never a byte: what it has is
//! listed in [`crate::fault`]. The *rig* has what is made of bytes, pipes and polls. Some kinds
//! are in both, since a machine must bear what follows and a shell must notice what happened.
//!
//! | # | fault | world | rig | why |
//! |---|---|---|---|---|
//! | 1 | crash before the request is read | yes | `CloseStdin` and outside kills | |
//! | 2 | crash after it | yes | `Exit` | |
//! | 3 | crash mid-frame, at every byte | one cut | `CutReply` | a machine knows no bytes |
//! | 4 | reply and end in one instant | yes | `ReplyAndExit` | both orders, by hand-off |
//! | 5 | death while idle | yes | outside kills | |
//! | 6 | all die | yes | no | one kill after the other is what a shell sees |
//! | 7 | crash loop | yes | `Exits` | |
//! | 8 | spawn refused | yes | `Unspawnable` | |
//! | 9 | no process left for a while | yes | no | to a shell the same refusal as 8 |
//! | 10 | slow start | yes | `Silent` | |
//! | 11 | bad handshake | one kind | `NotOk`, `Babbles`, `Misnumbers`, `Raises` | |
//! | 12 | hang | yes | `Hang` | |
//! | 13 | ignores SIGTERM | yes | no | fake processes die of every signal |
//! | 14 | frozen, goes on later | yes | no | a moment, not a byte |
//! | 15 | late reply | yes | calls whose work outlasts their budget | |
//! | 16 | duplicate reply | yes | `ReplyTwice` | read in one go with the first |
//! | 17 | wrong or stale id | yes | `WrongId`, `StaleId` | |
//! | 18 | swapped replies | no | `Swap` | one request at a time: the reply before comes again |
//! | 19 | unsolicited frame while idle | yes | `SpeakLater` | |
//! | 20 | garbage, bit flips | yes | `Garble`, `FlipBit` | not inside a result: no checksum |
//! | 21 | impossible length | no | `ClaimLength` | S18: nothing is allocated for it |
//! | 22 | `print` into stdout | no | `Print` | |
//! | 23 | stderr flood | no | no | drained below `Process`: real processes only |
//! | 24 | stdout closed, process lives | yes | `CloseStdout` | |
//! | 25 | a grandchild holds the pipe | yes | `ExitHoldingPipe` | |
//! | 26 | stdin is not read, the pipe nearly full | yes | `GoDeaf` | `ran` depends on the room |
//! | 27 | a byte at a time | no | `Drip` | the deadline is the call's, not the read's |
//! | 28 | any split of frames | no | `Split` | |
//! | 29 | stdin closed | yes | `CloseStdin` | run elsewhere, or lost, by bytes accepted |
//! | 30 | wake-ups without progress | no | `Stutter` | and the pipes' own, at every hand-off |
//! | 31 | killed for memory | yes | no | to a shell an exit like others |
//! | 32 | poison request | yes | no | a plan's property |
//! | 33 | slow, asks to be replaced | yes | `ReplyAndRecycle` | |
//! | 34 | wall clock jumps | no | no | no decision reads the wall clock |
//! | 35 | host stands still | yes | no | a paused clock cannot stall |
//! | 36 | cancel at any poll | any moment | callers that leave | the shell is what has polls |
//! | 37, 38 | shutdown and changes at any moment | yes | a plan's moves | |
//!
//! Names in the rig's column are [`Act`](script::Act)s and [`Birth`](script::Birth)s.
//!
//! # Which laws can be checked
//!
//! From outside nobody sees a lease, a queue, or what the pool was told and when; so `Lease`,
//! `Enqueue`, `Reply`, `Broke`, `Abandon`, `Probe` and `Stop` are not in this trace, and
//! [`Checkers`](crate::checkers::Checkers), which need them, are not for it. `Dispatch` is told
//! when the pipe has taken the whole request, `Ready` when the start ping has been answered, and
//! `Route` with the answer, since the router tells its decision then; of a caller that left
//! there is no `Route` and no `Done`, but a `Cancel`. The onlooker and the pipes check:
//!
//! | law | what of it |
//! |---|---|
//! | S1 S2 | each call has one end: an answer, or a caller that left |
//! | S3 | a caller is given its own answer, and none without success |
//! | S4 S7 | a request is written when all earlier ones were answered, and nothing else is there |
//! | S8 | when a caller has left, no more calls are in flight than callers wait |
//! | S10 S17 | gauges end at zero; each process ends, is reaped once, and outlives no drain |
//! | S13 L1 | nothing is written after a deadline; nobody is told later than R4 allows |
//! | S14 | nothing is executed or sent twice; `ran` does not soothe; success is its executor's |
//! | S18 | the host makes no room for more than a frame may have |
//! | S19 | a complete reply is no lost worker; the books have what was told, and no more |
//! | S23 | the policy at the submit decides, also a kill |
//! | S24 | what runs, runs in that lane; a shadow once of an answered read, and unnoticed |
//! | S26 | one seed, one trace: by the tests, in one process and in two |
//! | L6 L9 | a run ends; no task spins |
//!
//! The other laws speak of queues, leases and moments of decisions, which the world checks.

pub mod handoff;
pub mod journal;
mod latch;
pub mod onlooker;
pub mod pipes;
pub mod plan;
pub mod planted;
pub mod run;
pub mod script;
mod service;
pub mod spawner;
mod store;
pub mod unnoticed;
pub mod worker;
