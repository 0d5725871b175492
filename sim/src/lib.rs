//! The simulation rig for poolshift's pools: fake Python workers, every fault, one seed.
//!
//! - [`trace`] is the contract: what happened in a run, seen from outside the pools, and who
//!   looks on. [`checkers`] judge a run by nothing else.
//! - [`world`] plays a whole service in virtual time around the production machines, or around
//!   what a [`world::Rig`] puts in their place; [`workload`] plans its calls, [`options`] and
//!   [`scenario`] say what may happen, [`fault`] what may go wrong, [`rng`] leaves it to chance.
//! - [`run`](mod@run) is one run with its checkers, [`trial`] what can only be tried beside it,
//!   [`report`] what is printed.
//! - [`latency`] makes the latency report of a run, [`prediction`] says what theory expects of it.
//! - [`plan`] is a run as an explicit list, [`shrink`](mod@shrink) makes it small, [`timeline`]
//!   shows it.
//! - [`planted`] has bugs in the product's place, to see that the laws find them.
//! - [`oracle`] knows what queueing theory expects, and [`textbook`] puts the real machines
//!   beside it.
//! - [`steady`] keeps machines and pins where they are, to see what a call costs there.
//! - [`shell_rig`] drives the *shell*, the pools' handles and the router on tokio's paused clock:
//!   fake workers over in-memory pipes, behind the trait that production uses.
//! - [`real`] sees the whole product, its Python processes too, from outside; [`chaos`] is a long
//!   run of it under faults by seed.

pub mod fault;
pub mod trace;

pub mod hazard;
pub mod options;
pub mod rng;
pub mod scenario;
pub mod source;
pub mod window;
pub mod workload;
pub mod world;

pub mod bounds;
pub mod checkers;
pub mod latency;
pub mod plan;
pub mod planted;
pub mod prediction;
pub mod report;
pub mod run;
pub mod shrink;
pub mod subject;
pub mod timeline;
pub mod trial;
pub mod verdict;

pub mod oracle;
pub mod steady;
pub mod textbook;

pub mod shell_rig;

pub mod chaos;
pub mod real;
