//! What a run leaves behind: who was slow, and whether anything was lost.
//!
//! A [`recorder`] makes a [`run`] of what callers see; [`files`] and [`outputs`] keep it, as an
//! HdrHistogram [`hlog`] with a [`record`] beside it. A report is a [`verdict`], tables of
//! [`quantiles`] and a [`compare`]ison, as [`text`] or a page; two runs make a [`contrast`].

pub mod bootstrap;
pub mod chart;
pub mod compare;
pub mod contrast;
pub mod files;
pub mod hgrm;
pub mod hlog;
pub mod html;
pub mod kind;
pub mod latency;
pub mod ledger;
mod limits;
pub mod markup;
pub mod outputs;
pub mod quantiles;
pub mod record;
pub mod recorder;
pub mod run;
pub mod shadow;
mod story;
pub mod text;
pub mod verdict;
