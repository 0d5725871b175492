//! What came of calls, by command: the evidence by which retries and rollouts are judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Outcome, Ran};
use crate::pool::LedgerRow;

/// Commands are named by callers, so there may be any number of them; the first so many have
/// rows of their own.
const MAX_COMMANDS: usize = 100;

/// A longer name would make a status file of any size.
const MAX_NAME: usize = 128;

/// What all the others share.
const OTHERS: &str = "…";

/// Counts of outcomes, by command and by whether the call can have run.
#[derive(Clone, Debug, Default)]
pub struct OutcomeLedger {
    commands: BTreeMap<Arc<str>, Counts>,
    others: Counts,
}

/// First tries and retries.
type Counts = BTreeMap<(Outcome, Ran), [u64; 2]>;

impl OutcomeLedger {
    /// A call has come to an end, tried for the first time or again.
    pub fn record(&mut self, command: &Arc<str>, outcome: Outcome, ran: Ran, again: bool) {
        let has_room = self.commands.len() < MAX_COMMANDS && command.len() <= MAX_NAME;
        let counts = match self.commands.get_mut(command) {
            Some(counts) => counts,
            None if has_room => self.commands.entry(Arc::clone(command)).or_default(),
            None => &mut self.others,
        };
        counts.entry((outcome, ran)).or_default()[usize::from(again)] += 1;
    }

    /// All rows, by command; those of other commands come last.
    #[must_use]
    pub fn rows(&self) -> Vec<LedgerRow> {
        let named = self.commands.iter().map(|(command, counts)| (&**command, counts));
        let all = named.chain([(OTHERS, &self.others)]);
        let rows = all.flat_map(|(command, counts)| {
            counts.iter().map(move |(&(outcome, ran), &[calls, retries])| LedgerRow {
                command: command.to_owned(),
                outcome,
                ran,
                calls,
                retries,
            })
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_bounded_and_none_is_uncounted() {
        let mut ledger = OutcomeLedger::default();
        for n in 0..150 {
            let command: Arc<str> = format!("c{n}").into();
            ledger.record(&command, Outcome::Ok, Ran::Yes, false);
            ledger.record(&command, Outcome::WorkerLost, Ran::Maybe, n % 2 == 0);
        }
        ledger.record(&"x".repeat(1000).into(), Outcome::Ok, Ran::Yes, false);
        let rows = ledger.rows();
        assert_eq!(rows.len(), 2 * (MAX_COMMANDS + 1));
        let of = |command: &str, outcome| {
            let row = rows.iter().find(|row| row.command == command && row.outcome == outcome);
            row.map(|row| (row.ran, row.calls, row.retries))
        };
        assert_eq!(of("c7", Outcome::Ok), Some((Ran::Yes, 1, 0)));
        assert_eq!(of("c8", Outcome::WorkerLost), Some((Ran::Maybe, 0, 1)));
        assert_eq!(of(OTHERS, Outcome::Ok), Some((Ran::Yes, 51, 0)));
        assert_eq!(of(OTHERS, Outcome::WorkerLost), Some((Ran::Maybe, 25, 25)));
    }
}
