//! Charts as inline SVG, from small pure functions: a scale maps numbers to pixels, an axis shows
//! it, a path follows a series.

pub mod gantt;
mod panel;
pub mod quantiles;
mod scale;
pub mod split;
pub(super) mod svg;
pub mod timeline;
