//! The laws, by their numbers.

use std::fmt;

use serde::{Serialize, Serializer};

/// Says each law once: its number, and its statement as documentation and as text.
macro_rules! laws {
    ($($number:ident $statement:literal;)*) => {
        /// What must hold in every run: S for safety, L for liveness.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Law {
            $(#[doc = $statement] $number,)*
        }

        impl Law {
            /// Every law, in order.
            pub const ALL: [Self; [$($statement),*].len()] = [$(Self::$number),*];

            /// Its number, which is its name in reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$number => stringify!($number),)*
                }
            }

            /// What it says.
            #[must_use]
            pub const fn statement(self) -> &'static str {
                match self {
                    $(Self::$number => $statement,)*
                }
            }
        }
    };
}

laws! {
    S1 "every submitted call has exactly one outcome";
    S2 "no outcome without a submit";
    S3 "a caller is given the answer to its own call";
    S4 "a worker has at most one lease at a time, probes included";
    S5 "only a ready worker that is not being retired is leased";
    S6 "a worker that broke the protocol is never leased again";
    S7 "nothing is written to a worker whose pipe holds unread or unsent bytes";
    S8 "a call is in exactly one place: waiting, on one worker, or done";
    S9 "no more calls wait than may, and one is rejected only when as many wait";
    S10 "a slot has one process, starts hold permits, and all permits come back";
    S11 "V3 leases waiting calls in the order of their submits";
    S12 "V2 runs a live session in order on one process; a loss is told exactly once";
    S13 "no lease at or after a deadline; a timeout is told at its deadline";
    S14 "a call is executed at most once, and never if its caller is told that it did not run";
    S15 "a cancelled call's worker is drained of its late reply or retired, never leased before";
    S16 "the k-th failed start in a row is followed by a wait of base * 2^(k-1), less the jitter";
    S17 "every process that was started is reaped, once";
    S18 "what is held of a worker's bytes stays within its limit";
    S19 "counters, histograms and trace agree to the unit, and each failure has one class";
    S20 "one session, class and epoch: one lane, while the pin lives";
    S21 "raising a share only moves sessions to V3, lowering it only back";
    S22 "draws at 0 and 100 % are exact, and between them the share is what was asked for";
    S23 "a call is decided once, by the policy in force; after a kill nothing is sent to V3";
    S24 "a call is executed in the lane that it was sent to, and in no other";
    S25 "a call is queued and leased in the lane that it was sent to: there is no fallback yet";
    S26 "one seed, one set of options and one code: one trace";
    L1 "no call outlives its deadline, whatever faults it met";
    L2 "a slot without a process gets one when its wait is over and a permit is free";
    L3 "time does not pass while a call waits and an idle worker may take it";
    L4 "while calls wait, ready workers are at work, so a backlog drains at their rate";
    L5 "with some workers hung, the others' calls end within the time that a call may run";
    L6 "a stopped process ends within its graces, and a drain by its limit and theirs";
    L7 "no younger call overtakes a waiting call that the same worker could take";
    L8 "after the kill switch is taken back, V3's share returns";
    L9 "the events of one moment, and of one second, are bounded by the work there is";
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Law {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
