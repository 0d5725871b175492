//! The audit: one line for each change of the rollout file, each carrying the hash of the one
//! before, the rollout file carrying the hash of the last.
//!
//! A changed byte and a cut tail show. A chain that was computed anew by somebody who may write
//! both files does not: send the lines elsewhere, too, if that matters to you.

mod fault;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::router::audit::fault::Fault;
use crate::router::file::{RolloutFile, Standing};

/// What the tool notes as the action when it meets a file that somebody changed with an editor.
pub const BY_HAND: &str = "by hand";

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its number, from 1.
    pub line: u64,
    /// When, in UTC (RFC 3339).
    pub at: String,
    /// What was done: "set 10", "kill", or [`BY_HAND`].
    pub action: String,
    /// Who.
    pub actor: String,
    /// Why, if they said.
    pub reason: Option<String>,
    /// What the file said before; none if there was no file, or none that could be read.
    pub before: Option<Standing>,
    /// What it said from then on.
    pub after: Option<Standing>,
    /// The audit line that the file named before.
    pub anchor: Option<String>,
    /// The verdict that asked for it, with all that went into it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<serde_json::Value>,
    /// The hash of the line before; none in the first.
    pub prev: Option<String>,
}

/// An audit as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The lines that can be read.
    pub lines: Vec<AuditLine>,
    /// What is wrong with them.
    pub faults: Vec<Fault>,
    /// The hash of each complete line, readable or not.
    hashes: Vec<String>,
    /// How many bytes the complete lines take.
    pub complete_bytes: usize,
}

impl Audit {
    /// Reads an audit file's bytes and checks its chain.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut audit = Self::default();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = piece.strip_suffix(b"\n") else {
                audit.faults.push(Fault::Torn);
                break;
            };
            audit.complete_bytes += piece.len();
            audit.take(line);
        }
        audit
    }

    fn take(&mut self, line: &[u8]) {
        let prev = self.hashes.last().cloned();
        let number = self.hashes.len() as u64 + 1;
        match serde_json::from_slice::<AuditLine>(line) {
            Ok(line) => {
                if line.prev != prev || line.line != number {
                    self.faults.push(Fault::Broken { line: number });
                }
                self.check_anchor(&line, number);
                self.lines.push(line);
            }
            Err(error) => {
                self.faults.push(Fault::Unreadable { line: number, error: error.to_string() });
            }
        }
        self.hashes.push(hash(line));
    }

    /// What the file named when a line was written: the line before; an earlier one, if its
    /// successors never came into force; none, if it was replaced by hand.
    fn check_anchor(&mut self, line: &AuditLine, number: u64) {
        let Some(anchor) = &line.anchor else { return };
        match self.position(anchor) {
            Some(named) => self.unfinished(named),
            None => self.faults.push(Fault::Gap { line: number }),
        }
    }

    /// The file names a line that is not the last. What a crash left was written when the file
    /// named that line already, or follows what was noted as done by hand in the same change;
    /// anything else was in force, and the file was put back.
    fn unfinished(&mut self, named: u64) {
        let next = self.hashes.len() as u64 + 1;
        let mut known = vec![self.hashes[named as usize - 1].clone()];
        let later = self.lines.iter().filter(|line| line.line > named && line.line < next);
        for line in later {
            if !line.anchor.as_ref().is_some_and(|anchor| known.contains(anchor)) {
                self.faults.push(Fault::PutBack { line: named, before: next });
                return;
            }
            if line.action == BY_HAND {
                known.push(self.hashes[line.line as usize - 1].clone());
            }
        }
        for line in named + 1..next {
            let fault = Fault::Unfinished { line };
            if !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
    }

    fn position(&self, hash: &str) -> Option<u64> {
        let index = self.hashes.iter().rposition(|known| known == hash)?;
        Some(index as u64 + 1)
    }

    /// Checks the audit against the rollout file as it is now.
    pub fn compare(&mut self, file: Option<&RolloutFile>) {
        let lines = self.hashes.len() as u64;
        let anchor = file.and_then(|file| file.audit.as_deref());
        let named = anchor.and_then(|anchor| self.position(anchor));
        match (file, anchor, named) {
            (None, ..) if lines == 0 => {}
            (None, ..) => self.faults.push(Fault::NoFile { lines }),
            (Some(_), None, _) if lines == 0 => {}
            (Some(_), None, _) => self.faults.push(Fault::Unanchored { lines }),
            (Some(_), Some(anchor), None) => {
                self.faults.push(Fault::Tail { anchor: anchor.to_owned() });
            }
            (Some(file), _, Some(named)) => {
                self.unfinished(named);
                let line = self.lines.iter().find(|line| line.line == named);
                let after = line.and_then(|line| line.after.as_ref());
                if after.is_some_and(|after| *after != file.standing()) {
                    self.faults.push(Fault::ByHand { line: named });
                }
            }
        }
    }

    /// The line that the rollout file came from: the one that it names, else the last.
    #[must_use]
    pub fn in_force(&self, anchor: Option<&str>) -> Option<&AuditLine> {
        let named = anchor.and_then(|anchor| self.position(anchor));
        let of_number = |number| self.lines.iter().find(|line| line.line == number);
        named.and_then(of_number).or(self.lines.last())
    }

    /// The hash of the last complete line.
    #[must_use]
    pub fn last_hash(&self) -> Option<&str> {
        self.hashes.last().map(String::as_str)
    }

    /// The number of the next line.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.hashes.len() as u64 + 1
    }

    /// The highest version that any line speaks of.
    #[must_use]
    pub fn highest_version(&self) -> u64 {
        let after = self.lines.iter().filter_map(|line| line.after.as_ref()?.version);
        after.max().unwrap_or(0)
    }

    /// Whether anything is wrong that a crash does not explain.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.iter().all(Fault::is_harmless)
    }
}

/// The SHA-256 of a line's text without its end, in hexadecimal digits.
#[must_use]
pub fn hash(line: &[u8]) -> String {
    Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(version: u64, audit: Option<&str>) -> RolloutFile {
        let audit = audit.map_or_else(String::new, |audit| format!("audit = \"{audit}\"\n"));
        RolloutFile::parse(&format!("version = {version}\npercent = {version}\n{audit}")).unwrap()
    }

    /// As many changes, and the file after the last.
    fn changes(count: u64) -> (String, RolloutFile) {
        let (mut text, mut named) = (String::new(), None);
        for line in 1..=count {
            let (anchor, prev) = (named.clone(), named.clone());
            let line = AuditLine {
                line,
                at: "2026-01-01T00:00:00Z".to_owned(),
                action: format!("set {line}"),
                actor: "ann".to_owned(),
                reason: None,
                before: (line > 1).then(|| file(line - 1, None).standing()),
                after: Some(file(line, None).standing()),
                anchor,
                verdict: None,
                prev,
            };
            let json = serde_json::to_string(&line).unwrap();
            named = Some(hash(json.as_bytes()));
            text.push_str(&json);
            text.push('\n');
        }
        (text, file(count, named.as_deref()))
    }

    fn faults(text: &str, file: &RolloutFile) -> Vec<Fault> {
        let mut audit = Audit::read(text.as_bytes());
        audit.compare(Some(file));
        audit.faults
    }

    #[test]
    fn an_untouched_audit_is_sound() {
        let (text, file) = changes(5);
        assert_eq!(faults(&text, &file), []);
        assert_eq!(Audit::read(text.as_bytes()).highest_version(), 5);
    }

    proptest! {
        #[test]
        fn every_changed_byte_is_found(at in 0_usize..10_000, with: u8) {
            let (text, file) = changes(4);
            let mut bytes = text.clone().into_bytes();
            let at = at % bytes.len();
            prop_assume!(bytes[at] != with);
            bytes[at] = with;
            let mut audit = Audit::read(&bytes);
            audit.compare(Some(&file));
            prop_assert!(!audit.is_sound());
        }

        #[test]
        fn every_cut_is_found(from in 0_usize..10_000, bytes in 1_usize..3000) {
            let (text, file) = changes(4);
            let from = from % text.len();
            let end = (from + bytes).min(text.len());
            let mut audit = Audit::read(format!("{}{}", &text[..from], &text[end..]).as_bytes());
            audit.compare(Some(&file));
            prop_assert!(!audit.is_sound());
        }
    }

    #[test]
    fn a_cut_tail_stays_on_record_when_more_is_written() {
        let (text, file) = changes(3);
        let kept: Vec<&str> = text.lines().take(2).collect();
        let next = AuditLine {
            line: 3,
            at: String::new(),
            action: "kill".to_owned(),
            actor: "ann".to_owned(),
            reason: None,
            before: Some(file.standing()),
            after: Some(file.standing()),
            anchor: file.audit.as_deref().map(str::to_owned),
            verdict: None,
            prev: Some(hash(kept[1].as_bytes())),
        };
        let json = serde_json::to_string(&next).unwrap();
        let file = RolloutFile { audit: Some(hash(json.as_bytes()).into()), ..file };
        let text = format!("{}\n{}\n{json}\n", kept[0], kept[1]);
        assert_eq!(faults(&text, &file), [Fault::Gap { line: 3 }]);
    }

    #[test]
    fn an_older_file_put_back_is_found_and_stays_on_record() {
        let (text, _) = changes(5);
        let (_, older) = changes(2);
        let put_back = |before| Fault::PutBack { line: 2, before };
        assert_eq!(faults(&text, &older), [put_back(6)]);
        let last = text.lines().last().unwrap();
        let next = AuditLine {
            line: 6,
            anchor: older.audit.as_deref().map(str::to_owned),
            prev: Some(hash(last.as_bytes())),
            ..serde_json::from_str(last).unwrap()
        };
        let json = serde_json::to_string(&next).unwrap();
        let file = RolloutFile { audit: Some(hash(json.as_bytes()).into()), ..file(5, None) };
        assert_eq!(faults(&format!("{text}{json}\n"), &file), [put_back(6)]);
    }

    #[test]
    fn what_a_crash_leaves_is_harmless_and_what_a_hand_did_is_told() {
        let (text, last) = changes(3);
        let (_, earlier) = changes(2);
        assert_eq!(faults(&text, &earlier), [Fault::Unfinished { line: 3 }]);
        assert_eq!(faults(&format!("{text}{{\"li"), &last), [Fault::Torn]);
        let by_hand = RolloutFile { killed: true, ..last.clone() };
        assert_eq!(faults(&text, &by_hand), [Fault::ByHand { line: 3 }]);
        assert_eq!(faults(&text, &file(9, None)), [Fault::Unanchored { lines: 3 }]);
        let mut audit = Audit::read(text.as_bytes());
        audit.compare(None);
        assert_eq!(audit.faults, [Fault::NoFile { lines: 3 }]);
        assert!(!audit.is_sound());
    }
}
