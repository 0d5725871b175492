//! Fuses: faults so gross that nobody waits for statistics. A burnt fuse stays burnt.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;

/// Burns when so many of V3's sessions and anonymous calls fail one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InARow {
    limit: u32,
    length: u32,
    longest: u32,
    good_before: u64,
}

impl InARow {
    /// A fuse for `limit` failures, at least 1.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit: limit.max(1), length: 0, longest: 0, good_before: 0 }
    }

    /// A failure, when V3 had given `good` good answers in all. Good answers need not be told:
    /// that their count moved is enough.
    pub fn failed(&mut self, good: u64) {
        self.length = if good == self.good_before { self.length.saturating_add(1) } else { 1 };
        self.good_before = good;
        self.longest = self.longest.max(self.length);
    }

    /// One that burnt in another process is burnt here.
    pub fn absorb(&mut self, other: &Self) {
        self.longest = self.longest.max(other.longest);
    }

    /// The longest row so far, and the one that burns the fuse.
    #[must_use]
    pub const fn load(&self) -> (u32, u32) {
        (self.longest, self.limit)
    }

    /// Whether it burnt.
    #[must_use]
    pub const fn is_burnt(&self) -> bool {
        self.longest >= self.limit
    }
}

/// Burns when so many of V3's workers die within a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashLoop {
    limit: u32,
    within_ms: u64,
    /// The last deaths, at most `limit`.
    deaths: VecDeque<Wall>,
    most: u32,
}

impl CrashLoop {
    /// A fuse for `limit` deaths, at least 1, within this time.
    #[must_use]
    pub fn new(limit: u32, within: Duration) -> Self {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        Self { limit: limit.max(1), within_ms, deaths: VecDeque::new(), most: 0 }
    }

    /// A worker that had been ready died.
    pub fn died(&mut self, now: Wall) {
        let within = Duration::from_millis(self.within_ms);
        // A death later than now was noted before the clock was put back, and tells no time.
        self.deaths.retain(|death| *death <= now && now.since(*death) <= within);
        self.deaths.push_back(now);
        self.most = self.most.max(self.deaths.len() as u32);
        if self.deaths.len() as u32 > self.limit {
            self.deaths.pop_front();
        }
    }

    /// One that burnt in another process is burnt here. Deaths in different processes are not
    /// added up: each has a pool of its own.
    pub fn absorb(&mut self, other: &Self) {
        self.most = self.most.max(other.most);
    }

    /// The most deaths within the time so far, and how many burn the fuse.
    #[must_use]
    pub fn load(&self) -> (u32, u32) {
        (self.most.min(self.limit), self.limit)
    }

    /// Whether it burnt.
    #[must_use]
    pub const fn is_burnt(&self) -> bool {
        self.most >= self.limit
    }
}
