//! From the files as they are and a change to the texts that are to be written.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use crate::clock::Clock;
use crate::router::audit::{Audit, AuditLine, BY_HAND, Fault, hash};
use crate::router::draft::{Action, draft, emergency, restored, sign};
use crate::router::edit::{Change, Changed, EditError, read_audit, read_bytes};
use crate::router::file::{BadRolloutFile, MAX_VERSION, RolloutFile, Standing};
use crate::router::paths::RolloutPaths;
use crate::router::steer::may_set;

/// The files as they are.
pub(super) struct Editor<'a> {
    pub(super) paths: &'a RolloutPaths,
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) parsed: Result<Option<RolloutFile>, BadRolloutFile>,
    pub(super) audit: Audit,
}

/// A change, ready to be written.
pub(super) struct Decided {
    pub(super) changed: Changed,
    pub(super) text: String,
    pub(super) lines: String,
    /// A text that could not be understood, to be kept beside.
    pub(super) kept: Option<Kept>,
}

/// A file's path, and its content.
type Kept = (PathBuf, Vec<u8>);

impl<'a> Editor<'a> {
    pub(super) fn read(paths: &'a RolloutPaths) -> Result<Self, EditError> {
        let bytes = read_bytes(paths.file())?;
        let parsed = bytes.as_deref().map(RolloutFile::read).transpose();
        let mut audit = read_audit(paths)?;
        audit.compare(parsed.as_ref().ok().and_then(Option::as_ref));
        Ok(Self { paths, bytes, parsed, audit })
    }

    pub(super) fn decide(&self, change: &Change) -> Result<Decided, EditError> {
        let file = self.paths.file().to_owned();
        if let Err(BadRolloutFile { newer: Some(format), .. }) = self.parsed {
            return Err(EditError::Newer { file, format });
        }
        let standing = |parsed: &RolloutFile| parsed.standing();
        let before = self.parsed.as_ref().ok().and_then(|file| file.as_ref().map(standing));
        let found = before.as_ref().and_then(|before| before.version).unwrap_or(0);
        if let Some(wanted) = change.if_version.filter(|wanted| *wanted != found) {
            return Err(EditError::Version { file, wanted, found });
        }
        let highest = found.max(self.audit.highest_version()).max(change.above);
        // A verdict on record is no other version: nobody has to follow it.
        let notes = matches!(change.action, Action::Judge(_));
        let version = if notes { found } else { (highest + 1).min(MAX_VERSION) };
        let mut remarks = Vec::new();
        let (text, kept) = self.draft(change, version, &mut remarks)?;
        let refused = |error| EditError::Refused { action: change.action.clone(), error };
        let parsed = RolloutFile::parse(&text).map_err(refused)?;
        if let (Action::Set { .. }, Ok(Some(before))) = (&change.action, &self.parsed) {
            let unsteered = |error| EditError::Unsteered { action: change.action.clone(), error };
            may_set(before, &parsed).map_err(unsteered)?;
        }
        let (percent, after) = (parsed.percent, parsed.standing());
        let same = |before: &Standing| Standing { version: after.version, ..before.clone() };
        // Not if anything newer is known: a process may refuse what the file says now.
        let newest = before.as_ref().is_some_and(|before| before.version == Some(highest));
        if let Some(before) =
            before.clone().filter(|before| !notes && newest && same(before) == after)
        {
            let remarks = vec!["it says so already; nothing was changed".to_owned()];
            let (after, before) = (before.clone(), Some(before));
            let changed = Changed { before, after, percent, written: false, remarks };
            return Ok(Decided { changed, text: String::new(), lines: String::new(), kept: None });
        }
        // What was changed by hand is put on record with this change.
        let told = |fault: &&Fault| !fault.is_harmless() && !matches!(fault, Fault::ByHand { .. });
        let faults = self.audit.faults.iter().filter(told);
        remarks.extend(faults.map(|fault| format!("audit: {fault}")));
        let (lines, last) = self.lines(change, before.as_ref(), &after);
        let text = sign(&text, &last, &change.actor, change.reason.as_deref());
        let changed = Changed { before, after, percent, written: true, remarks };
        Ok(Decided { changed, text, lines, kept })
    }

    /// The text with the change made, and one that could not be understood, to be kept.
    fn draft(
        &self,
        change: &Change,
        version: u64,
        remarks: &mut Vec<String>,
    ) -> Result<(String, Option<Kept>), EditError> {
        let old = self.bytes.as_deref().unwrap_or_default();
        let text = String::from_utf8_lossy(old);
        let drafted = match &self.parsed {
            Ok(Some(_)) => (draft(&text, &change.action, version), None),
            Ok(None) => {
                // Running processes still have in force what it said last, the kill switch too.
                let last = self.audit.lines.last();
                if let Some(last) = last {
                    let line = last.line;
                    remarks
                        .push(format!("the file was gone; it begins as audit line {line} left it"));
                }
                let last = last.and_then(|last| last.after.clone());
                let last = last
                    .map(|last| Standing { killed: last.killed || change.killed_anywhere, ..last });
                let old = last.as_ref().map(restored).unwrap_or_default();
                (draft(&old, &change.action, version), None)
            }
            Err(error) if change.action == Action::Kill => {
                let kept = self.paths.folder().join(format!("refused-{version}.toml"));
                remarks.push(format!(
                    "the file could not be understood ({error}); it was replaced by the kill \
                     switch alone and kept as {}",
                    kept.display()
                ));
                (emergency(version), Some((kept, old.to_owned())))
            }
            Err(error) => {
                let file = self.paths.file().to_owned();
                return Err(EditError::Bad { file, error: error.clone() });
            }
        };
        Ok(drafted)
    }

    /// The new audit lines, and the hash of the last. What somebody changed with an editor since
    /// the last line comes first, so that each line's `before` is the `after` of the one before.
    fn lines(
        &self,
        change: &Change,
        before: Option<&Standing>,
        after: &Standing,
    ) -> (String, String) {
        let parsed = self.parsed.as_ref().ok().and_then(Option::as_ref);
        let anchor = parsed.and_then(|file| file.audit.as_deref()).map(str::to_owned);
        let at = humantime::format_rfc3339_millis(UNIX_EPOCH + Clock::unix_now()).to_string();
        let line = |number, prev: Option<String>| AuditLine {
            line: number,
            at: at.clone(),
            action: change.action.to_string(),
            actor: change.actor.clone(),
            reason: change.reason.clone(),
            before: before.cloned(),
            after: Some(after.clone()),
            anchor: anchor.clone(),
            verdict: change.verdict.clone(),
            prev,
        };
        let mut number = self.audit.next_number();
        let mut prev = self.audit.last_hash().map(str::to_owned);
        let mut text = String::new();
        let known = self.audit.in_force(anchor.as_deref());
        let by_hand = known.filter(|known| before.is_some() && known.after.as_ref() != before);
        let mut anchor_of_change = anchor.clone();
        if let Some(known) = by_hand {
            let by_hand = AuditLine {
                action: BY_HAND.to_owned(),
                actor: "unknown".to_owned(),
                reason: None,
                verdict: None,
                before: known.after.clone(),
                after: before.cloned(),
                ..line(number, prev)
            };
            prev = Some(push(&mut text, &by_hand));
            anchor_of_change.clone_from(&prev);
            number += 1;
        }
        let change = AuditLine { anchor: anchor_of_change, ..line(number, prev) };
        let last = push(&mut text, &change);
        (text, last)
    }
}

fn push(text: &mut String, line: &AuditLine) -> String {
    let json = serde_json::to_string(line).expect("an audit line is plain data");
    text.push_str(&json);
    text.push('\n');
    hash(json.as_bytes())
}
