//! Bytes that are held for a worker: S18. A trace shows no bytes, so whoever holds some says so.

use crate::checkers::docket::Docket;
use crate::checkers::law::Law;

/// What holds a worker's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A frame that is being read.
    Frame,
    /// The end of its stderr.
    Stderr,
}

/// `bytes` are held where `limit` may be; from half of it on the law is put to the test.
pub(super) fn holds(held: Held, bytes: usize, limit: usize, docket: &mut Docket) {
    docket
        .check(Law::S18, bytes <= limit, || format!("{bytes} bytes of {held:?} where {limit} may"));
    docket.sometimes(Law::S18, bytes >= limit / 2);
}
