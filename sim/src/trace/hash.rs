//! One number for a whole run.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::trace::{Event, Stamp, Watcher};

/// The hash of a trace: equal for two runs of one seed, one set of options and one code, in
/// any process and any build profile; different for all others but one in 2^128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceHash(pub u128);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Rolls over every event with its stamp.
///
/// Two 64-bit lanes, each a multiply and a rotation per word: this sees ten events a call, and
/// guards against slips of determinism, not against an adversary.
#[derive(Clone, Debug)]
pub struct TraceHasher {
    low: u64,
    high: u64,
}

impl TraceHasher {
    /// The hash of no events.
    #[must_use]
    pub const fn new() -> Self {
        // The first digits of pi's fraction.
        Self { low: 0x243f_6a88_85a3_08d3, high: 0x1319_8a2e_0370_7344 }
    }

    /// The hash of the events so far.
    #[must_use]
    pub fn value(&self) -> TraceHash {
        TraceHash(u128::from(self.high) << 64 | u128::from(self.low))
    }

    #[inline]
    fn mix(&mut self, word: u64) {
        self.low = (self.low.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.high = (self.high.rotate_left(29) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.high ^= self.low >> 32;
    }
}

impl Default for TraceHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// Each integer is one word, whatever its width: no layout of memory reaches the hash.
impl Hasher for TraceHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mix(u64::from(*byte)));
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.mix(n as u64);
    }

    fn finish(&self) -> u64 {
        self.low ^ self.high
    }
}

impl Watcher for TraceHasher {
    #[inline]
    fn event(&mut self, stamp: Stamp, event: &Event) {
        stamp.hash(self);
        event.hash(self);
    }
}

#[cfg(test)]
mod tests {
    use poolshift::clock::Moment;

    use super::*;
    use crate::trace::{CallNo, SessionNo};

    fn hash(events: &[(u64, Event)]) -> TraceHash {
        let mut hasher = TraceHasher::new();
        for (seq, (at, event)) in events.iter().enumerate() {
            let stamp = Stamp { at: Moment::from_nanos(*at), seq: seq as u64, lane: None };
            hasher.event(stamp, event);
        }
        hasher.value()
    }

    #[test]
    fn every_part_and_the_order_count() {
        let cancel = |call| Event::Cancel { call: CallNo(call) };
        let ended = Event::EndSession { session: SessionNo(1) };
        let traces = [
            vec![],
            vec![(1, cancel(1))],
            vec![(2, cancel(1))],
            vec![(1, cancel(2))],
            vec![(1, ended)],
            vec![(1, cancel(1)), (1, cancel(2))],
            vec![(1, cancel(2)), (1, cancel(1))],
            vec![(1, Event::Drained)],
        ];
        let hashes: std::collections::BTreeSet<TraceHash> =
            traces.iter().map(|trace| hash(trace)).collect();
        assert_eq!(hashes.len(), traces.len());
    }

    #[test]
    fn the_hash_is_the_same_everywhere() {
        let trace = [(7, Event::Resize { size: 3 }), (9, Event::Cancel { call: CallNo(5) })];
        assert_eq!(hash(&trace).to_string(), "d5da5ecd30f48518e5445055c2808792");
    }
}
