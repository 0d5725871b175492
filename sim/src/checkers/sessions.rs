//! What a session has in V2, and where the router sent it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use poolshift::clock::Moment;
use poolshift::{Lane, WorkerId};

use crate::trace::SessionNo;

/// Sessions below this number are not worth a sweep.
const FEW: usize = 1024;

/// One session.
#[derive(Clone, Debug)]
pub(super) struct SessionBook {
    /// The V2 process that its calls were leased to, while it is bound to that.
    pub(super) home: Option<WorkerId>,
    /// Since when, in events, losses of V2 workers may have been its own.
    pub(super) bound_since: u64,
    /// Calls that V2 has taken and not finished.
    pub(super) unfinished: u32,
    /// It was ended while calls were unfinished: with the last of them its binding goes.
    pub(super) unbinds: bool,
    /// When the last of them was finished.
    pub(super) rests_since: Moment,
    /// The youngest call that V2 has leased, and the number of that lease.
    pub(super) youngest: Option<(u64, u64)>,
    /// The router's memory of it.
    pub(super) pin: Option<PinBook>,
    /// When it was last heard of.
    pub(super) seen: Moment,
    /// What its draws say of its bucket: at least the first, below the second.
    pub(super) bucket: (u32, u32),
    /// The lanes that its calls were sent to.
    pub(super) lanes: [bool; 2],
    /// Whether it was ever drawn.
    pub(super) drawn: bool,
    /// Whether it is over, and was not heard of since.
    pub(super) ended: bool,
}

/// A session's pin: the percentages that govern it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PinBook {
    pub(super) touched: Moment,
    /// The lowest percentages in force since the draw, up to `epoch`.
    pub(super) percents: [u32; 3],
    pub(super) epoch: u64,
    /// Kills until then: one drops the pins of V3, and the trace does not say which those are.
    pub(super) kills: u64,
    /// The lane of each class under `epoch`.
    pub(super) lanes: [Option<Lane>; 3],
}

impl SessionBook {
    pub(super) const fn new(seen: Moment, bound_since: u64) -> Self {
        Self {
            home: None,
            bound_since,
            unfinished: 0,
            unbinds: false,
            rests_since: seen,
            youngest: None,
            pin: None,
            seen,
            bucket: (0, 100_000),
            lanes: [false; 2],
            drawn: false,
            ended: false,
        }
    }
}

/// Sessions by number, forgotten when neither router nor V2 may remember them any more.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    books: HashMap<u64, SessionBook, BuildHasherDefault<Scatter>>,
    /// The map is swept when it has grown to this: the cost of a sweep is spread over the
    /// sessions that came since the last one.
    sweep_at: usize,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { books: HashMap::default(), sweep_at: FEW }
    }

    #[inline]
    pub(super) fn get(&self, session: SessionNo) -> Option<&SessionBook> {
        self.books.get(&session.0)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, session: SessionNo) -> Option<&mut SessionBook> {
        self.books.get_mut(&session.0)
    }

    /// The session, new if it is not known. Those silent since before `horizon` may go.
    pub(super) fn open(
        &mut self,
        session: SessionNo,
        now: Moment,
        seq: u64,
        horizon: Moment,
    ) -> &mut SessionBook {
        if self.books.len() >= self.sweep_at {
            let lives = |book: &SessionBook| !book.ended && book.seen >= horizon;
            self.books.retain(|_, book| book.unfinished > 0 || lives(book));
            self.sweep_at = (self.books.len() * 2).max(FEW);
        }
        self.books.entry(session.0).or_insert_with(|| SessionBook::new(now, seq))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.books.len()
    }
}

/// Scatters dense numbers; nothing depends on the order in which a map holds them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scatter(u64);

impl Hasher for Scatter {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, n: u64) {
        // The high bits of the product choose the group, the low ones are mixed in for it.
        let product = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
