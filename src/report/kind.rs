//! Which calls a histogram is of, and which of their times.

use std::fmt;
use std::str::FromStr;

use crate::call::{Class, Lane};
use crate::error::Outcome;
use crate::meter::{Merge, SparseSeries};

/// Calls that are measured together: those of one lane, class and ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Where the router sent them; `None` if the run ended before that could be seen.
    pub lane: Option<Lane>,
    /// The class of their command.
    pub class: Class,
    /// What came of them.
    pub ending: Ending,
}

/// What came of a call, as far as the run saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The caller was told this.
    Told(Outcome),
    /// It was alive when the run ended, so that its times are at least as long as they say.
    Censored,
}

impl Ending {
    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Told(outcome) => outcome.as_str(),
            Self::Censored => "censored",
        }
    }
}

/// One of a call's times. The last three make up the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// From planned arrival to outcome.
    Response,
    /// From planned arrival to the worker, or to the end if there was none, without the lag.
    Wait,
    /// From the worker's assignment to outcome.
    Service,
    /// By how much the load generator was late.
    Lag,
}

impl Span {
    /// Every span, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Response, Self::Wait, Self::Service, Self::Lag];

    /// The name used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Wait => "wait",
            Self::Service => "service",
            Self::Lag => "lag",
        }
    }
}

/// The times of calls of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spans([SparseSeries; Span::ALL.len()]);

impl Spans {
    /// One of the times.
    #[must_use]
    pub const fn of(&self, span: Span) -> &SparseSeries {
        &self.0[span as usize]
    }

    /// One of the times, to add to it.
    pub const fn of_mut(&mut self, span: Span) -> &mut SparseSeries {
        &mut self.0[span as usize]
    }
}

impl Merge for Spans {
    fn merge(&mut self, other: Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            own.merge(other);
        }
    }
}

/// The name of a histogram in a log: lane, class, ending and span, such as `v3.read.ok.response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// Which calls.
    pub kind: Kind,
    /// Which of their times.
    pub span: Span,
}

/// What a lane is called that nobody saw.
const UNKNOWN: &str = "unknown";

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = self.lane.map_or(UNKNOWN, Lane::as_str);
        write!(f, "{lane}.{}.{}", self.class.as_str(), self.ending.as_str())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.span.as_str())
    }
}

impl FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is no tag of ours: expected LANE.CLASS.OUTCOME.TIME, as in \
                 v3.read.ok.response"
            )
        };
        let (kind, span) = text.rsplit_once('.').ok_or_else(bad)?;
        let span = Span::ALL.into_iter().find(|known| known.as_str() == span).ok_or_else(bad)?;
        Ok(Self { kind: kind.parse().map_err(|()| bad())?, span })
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('.').collect();
        let [lane, class, ending] = parts[..] else { return Err(()) };
        let lanes = [None, Some(Lane::V2), Some(Lane::V3)].into_iter();
        let lane = lanes.into_iter().find(|known| known.map_or(UNKNOWN, Lane::as_str) == lane);
        let class = Class::ALL.into_iter().find(|known| known.as_str() == class);
        let told = Outcome::ALL.map(Ending::Told).into_iter();
        let ending = told.chain([Ending::Censored]).find(|known| known.as_str() == ending);
        Ok(Self { lane: lane.ok_or(())?, class: class.ok_or(())?, ending: ending.ok_or(())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        for lane in [None, Some(Lane::V2), Some(Lane::V3)] {
            for class in Class::ALL {
                let told = Outcome::ALL.map(Ending::Told).into_iter();
                for ending in told.chain([Ending::Censored]) {
                    for span in Span::ALL {
                        let tag = Tag { kind: Kind { lane, class, ending }, span };
                        assert_eq!(tag.to_string().parse(), Ok(tag));
                    }
                }
            }
        }
        for bad in
            ["", "v3", "v3.read.ok", "v4.read.ok.wait", "v3.read.ok.wait.x", "v3.read.ok.total"]
        {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }
}
