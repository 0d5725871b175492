//! Real Python workers behind the production shim, seen from outside.
//!
//! - [`site`] is what one run keeps on disk: the app that fails as it is told, and its ledgers.
//! - `caller` makes calls and tells what came of them; [`recorder`] puts that into the trace's
//!   order, with what the workers noted in their [`ledgers`], under the eyes of the
//!   [`Onlooker`](crate::shell_rig::onlooker::Onlooker).
//! - [`kernel`] is what the operating system knows: processes, descriptors, threads, memory.
//! - [`stop`] is how a run is told to; [`error`] says why there was none.
//! - [`mod@replay`] runs a plan file in this world and compares: `stage` plays it, `means` says how
//!   its events are done and which cannot be, [`ending`] is what is compared.
//!
//! # What is seen
//!
//! `Submit`, `Route`, `Cancel` and `Done` by callers; `Config`, `Drain` and `Drained` by operators;
//! `Executes` in the ledgers, at the latest when their call's caller is told. `Route` comes with
//! the answer, as in the shell rig. Leases, writes and ends of processes are the pools' own: what
//! must hold of processes is judged by the kernel's count of them.

pub(crate) mod caller;
pub mod ending;
pub mod error;
pub(crate) mod ground;
pub mod kernel;
pub mod ledgers;
mod means;
pub(crate) mod operators;
pub mod recorder;
pub mod replay;
pub mod site;
mod stage;
pub mod stop;
