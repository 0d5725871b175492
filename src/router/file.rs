//! The rollout file's text.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use crate::router::percent::Percent;
use crate::router::policy::{Percents, Policy};
use crate::router::ramp::RampMark;
use crate::router::reader::Reader;
use crate::router::rules::{self, Rules};
use crate::router::stage::Stages;

/// What a rollout file says.
///
/// ```toml
/// version = 3
/// percent = 12.5          # of every class,
/// [classes]               # but for those named here
/// critical = 0
/// ```
///
/// `percent` may be left out of a file that says `killed = true`. [`rules`] come below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutFile {
    /// Raised by each change; a file without one counts as new whenever it differs.
    pub version: Option<u64>,
    /// V3's share of every class that the file does not name.
    pub percent: Option<Percent>,
    /// V3's share of each class; a kill switch alone leaves the shares as they are.
    pub percents: Option<Percents>,
    /// Everything goes to V2.
    pub killed: bool,
    /// The salt of the buckets, if the file sets it.
    pub flag: Option<Arc<str>>,
    /// The calls that go by what they are.
    pub rules: Arc<Rules>,
    /// How far each class has come, where the shares alone do not tell.
    pub stages: Option<Stages>,
    /// The ramp under way, if one is.
    pub ramp: Option<RampMark>,
    /// Whether a drill has switched the canary.
    pub canary: bool,
    /// The hash of the audit line that put the file into place, if the tool wrote it.
    pub audit: Option<Arc<str>>,
}

/// What a rollout file says about the rollout, and nothing about how it came to say so: two
/// files with the same standing ask for the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The file's version, if it gives one.
    pub version: Option<u64>,
    /// V3's share of each class; none where a kill switch leaves them as they are.
    pub percents: Option<Percents>,
    /// Everything goes to V2.
    pub killed: bool,
    /// The salt of the buckets, if the file sets it.
    pub flag: Option<Arc<str>>,
    /// The calls that go by what they are.
    #[serde(default, skip_serializing_if = "are_none")]
    pub rules: Arc<Rules>,
    /// How far each class has come, where the shares alone do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
    /// The ramp under way, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<RampMark>,
    /// Whether a drill has switched the canary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
}

fn are_none(rules: &Arc<Rules>) -> bool {
    rules.are_none()
}

/// Why a file is refused; the last good one stays in force.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", problems.join("; "))]
pub struct BadRolloutFile {
    /// Each with its line.
    pub problems: Vec<String>,
    /// Whether it turns the kill switch on all the same: whoever does that must be heard.
    pub killed: bool,
    /// Its format, if that is newer than [`FORMAT`]; such a file is never written over.
    pub newer: Option<u64>,
}

/// The newest format of rollout files that this version reads; a file that names none is of it.
pub const FORMAT: u64 = 1;

/// More changes than anybody makes; the next version must always be a number that TOML and JSON
/// can carry.
pub const MAX_VERSION: u64 = 1 << 53;

impl RolloutFile {
    /// Reads a file's bytes, as they were found on disk.
    ///
    /// # Errors
    /// As [`Self::parse`]; also if they are not UTF-8.
    pub fn read(bytes: &[u8]) -> Result<Self, BadRolloutFile> {
        let error = match std::str::from_utf8(bytes) {
            Ok(text) => return Self::parse(text),
            Err(error) => error,
        };
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        let problems = vec![format!("line {line}: not UTF-8; save the file as UTF-8")];
        let killed = is_killed_by_eye(&String::from_utf8_lossy(bytes));
        Err(BadRolloutFile { problems, killed, newer: None })
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// With every problem at once. A file that is refused turns the kill switch on all the same
    /// if any of its lines says `killed = true`.
    pub fn parse(text: &str) -> Result<Self, BadRolloutFile> {
        Self::parse_strictly(text).map_err(|error| BadRolloutFile {
            killed: error.killed || is_killed_by_eye(text),
            ..error
        })
    }

    fn parse_strictly(text: &str) -> Result<Self, BadRolloutFile> {
        let bad = |problems, killed, newer| BadRolloutFile { problems, killed, newer };
        let table = DeTable::parse(text)
            .map_err(|error| bad(vec![syntax(text, &error)], false, None))?
            .into_inner();
        let mut reader = Reader::new(text);
        let format = whole_number(&mut reader, &table, "format").filter(|format| *format > FORMAT);
        let file = read(&mut reader, &table);
        if let Some(format) = format {
            // Whatever else is strange in it is not a mistake.
            let problem = format!(
                "it is of format {format}, newer than {FORMAT}, which this version understands; \
                 use a newer poolshift"
            );
            return Err(bad(vec![problem], file.killed, Some(format)));
        }
        if reader.problems.is_empty() {
            return Ok(file);
        }
        Err(bad(reader.problems, file.killed, None))
    }

    /// What it says about the rollout.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let Self { version, percents, killed, stages, canary, .. } = *self;
        let (flag, ramp, rules) = (self.flag.clone(), self.ramp.clone(), Arc::clone(&self.rules));
        Standing { version, percents, killed, flag, rules, stages, ramp, canary }
    }

    /// How far each class has come, beneath the kill switch, at these shares.
    #[must_use]
    pub fn stages(&self, percents: &Percents) -> Stages {
        self.stages.unwrap_or_else(|| Stages::implied_by(percents))
    }

    /// The kill switch and nothing else.
    #[must_use]
    pub fn kill_switch() -> Self {
        Self { killed: true, ..Self::default() }
    }

    /// The policy that the file asks for in place of the one in force.
    #[must_use]
    pub fn policy(&self, in_force: &Policy) -> Policy {
        let percents = self.percents.unwrap_or(in_force.percents);
        Policy {
            epoch: in_force.epoch,
            version: self.version.unwrap_or_else(|| in_force.version.saturating_add(1)),
            flag: self.flag.clone().unwrap_or_else(|| Arc::clone(&in_force.flag)),
            killed: self.killed,
            percents,
            stages: self.stages(&percents),
            canary: self.canary,
            whole_sessions: in_force.whole_sessions,
            // A kill switch alone leaves them as they are, as it does with the shares.
            rules: Arc::clone(match self.percents {
                Some(_) => &self.rules,
                None => &in_force.rules,
            }),
        }
    }
}

/// Whether any line reads `killed = true`, wherever it stands: whoever writes that in a hurry must
/// be heard, be it below `[classes]`, beside `killed = false`, or in a file that is no TOML.
fn is_killed_by_eye(text: &str) -> bool {
    text.lines().any(|line| {
        let said = line.trim_start().strip_prefix("killed").map(str::trim_start);
        let value = said.and_then(|rest| rest.strip_prefix('=')).map(str::trim_start);
        let rest = value.and_then(|value| value.strip_prefix("true"));
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// In one line, since it stands in the middle of a sentence.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
    let line = before.matches('\n').count() + 1;
    format!("line {line}: {}", error.message().replace('\n', "; "))
}

const KEYS: [&str; 15] = [
    "format",
    "version",
    "percent",
    "classes",
    "killed",
    "flag",
    "rules",
    "rules_suspended",
    "force_attrs",
    "stages",
    "ramp",
    "canary",
    "reason",
    "actor",
    "audit",
];
const CLASSES: [&str; 3] = ["read", "write", "critical"];

fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> RolloutFile {
    reader.only(table, &KEYS);
    let killed = reader.take(table, "killed", "true or false", |value| value.as_bool());
    let killed = killed.unwrap_or_default();
    // An editor that writes in place shows an empty file first, which must not roll back.
    let silent = !table.contains_key("percent");
    if silent && !killed {
        reader.problems.push("no percent; write V3's share, such as percent = 12.5".to_owned());
    }
    let percent = share(reader, table, "percent");
    let percents = shares(reader, table, percent.unwrap_or(Percent::ZERO));
    RolloutFile {
        version: version(reader, table),
        percent,
        percents: percents.filter(|_| !silent),
        killed,
        flag: reader.take(table, "flag", "a text", |value| value.as_str().map(Arc::from)),
        rules: Arc::new(rules::read(reader, table)),
        stages: reader.section(table, "stages"),
        ramp: reader.section(table, "ramp"),
        canary: reader.take(table, "canary", "true or false", |v| v.as_bool()).unwrap_or(false),
        audit: reader.take(table, "audit", "a text", |value| value.as_str().map(Arc::from)),
    }
}

fn version(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<u64> {
    let version = whole_number(reader, table, "version")?;
    if version > MAX_VERSION {
        reader.problems.push(format!("version = {version} is above {MAX_VERSION}"));
    }
    Some(version)
}

fn whole_number(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<u64> {
    reader.take(table, key, "a whole number", |value| match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
        _ => None,
    })
}

fn shares(reader: &mut Reader<'_>, table: &DeTable<'_>, percent: Percent) -> Option<Percents> {
    let mut of = [percent; 3];
    if table.contains_key("classes") {
        let is_table = |value: &DeValue<'_>| value.as_table().map(|_| ());
        reader.take(table, "classes", "a section of percentages", is_table)?;
        let classes = table.get("classes")?.get_ref().as_table()?;
        reader.only(classes, &CLASSES);
        for (slot, class) in of.iter_mut().zip(CLASSES) {
            *slot = share(reader, classes, class).unwrap_or(percent);
        }
    }
    let [read, write, critical] = of;
    let percents = Percents::new(read, write, critical);
    // Only a section of classes can put them out of order.
    let at = table.get_key_value("classes").map_or(0, |(key, _)| key.span().start);
    percents.map_err(|error| reader.problem(at, &error.to_string())).ok()
}

/// From the number's own text, so that no float comes between.
fn share(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<Percent> {
    reader.take(table, key, "0 to 100 with at most three decimals", |value| {
        let text = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            DeValue::String(text) => text.as_ref(),
            _ => return None,
        };
        text.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Class;

    #[test]
    fn percentages_are_read_from_their_text() {
        let file = "version = 3\npercent = 12.345\n[classes]\ncritical = \"0.1\"\nread = 50\n";
        let file = RolloutFile::parse(file).unwrap();
        let of = |class| file.percents.unwrap().of(class).buckets();
        assert_eq!([of(Class::Read), of(Class::Write), of(Class::Critical)], [50_000, 12_345, 100]);
        assert_eq!((file.version, file.killed), (Some(3), false));
    }

    #[test]
    fn a_file_that_says_nothing_is_refused_and_the_kill_switch_alone_is_enough() {
        for text in ["", "# percent = 50\n", "version = 7\n", "killed = false\n"] {
            let error = RolloutFile::parse(text).unwrap_err();
            assert!(error.to_string().contains("no percent"), "{text:?}: {error}");
        }
        let killed = RolloutFile::parse("killed = true\n").unwrap();
        assert_eq!(killed, RolloutFile::kill_switch());
    }

    #[test]
    fn what_is_not_understood_is_refused_but_never_the_kill_switch() {
        for text in [
            "percent = 100\nclasses = \"critical = 0\"\n",
            "percent = 0x10\n",
            "percent = 1\nversion = 0x1\n",
            "percent = 1\n[classes]\ncritical = 5\n",
        ] {
            assert!(!RolloutFile::parse(text).unwrap_err().killed, "{text}");
            let killed = RolloutFile::parse(&format!("killed = true\n{text}")).unwrap_err();
            assert!(killed.killed, "{text}");
        }
    }

    #[test]
    fn a_file_of_a_newer_format_is_refused_as_such_and_its_kill_switch_is_heard() {
        let error = RolloutFile::parse("format = 2\nkilled = true\nstages = [1]\n").unwrap_err();
        assert_eq!((error.problems.len(), error.killed, error.newer), (1, true, Some(2)));
        assert!(error.to_string().contains("format 2, newer than 1"), "{error}");
        assert!(RolloutFile::parse("format = 1\npercent = 5\n").is_ok());
    }

    #[test]
    fn a_kill_switch_written_in_a_hurry_is_heard_wherever_it_stands() {
        for text in [
            "percent = 50\n[classes]\ncritical = 0\nkilled = true\n",
            "killed = true\nkilled = false\npercent = 50\n",
            "killed=true\npercent = \n",
            "percent = 5O\n  killed  =  true # now\n",
            "version = 9223372036854775807\npercent = 5\nkilled = true\n",
        ] {
            assert!(RolloutFile::parse(text).unwrap_err().killed, "{text}");
        }
        let latin = RolloutFile::read(b"percent = 30 # caf\xe9\nkilled = true\n").unwrap_err();
        assert!(latin.killed && latin.to_string().contains("line 1: not UTF-8"), "{latin}");
        for text in ["percent = \n# killed = true\n", "percent = \nkilled = truely\n"] {
            assert!(!RolloutFile::parse(text).unwrap_err().killed, "{text}");
        }
        assert!(!RolloutFile::read(b"percent = 30 # caf\xe9\n").unwrap_err().killed);
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let error = RolloutFile::parse("percent = 1.2345\nkiled = true\nversion = -1\n");
        let problems = error.unwrap_err().problems;
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("line 2: no key kiled")));
        assert!(problems.iter().any(|problem| problem.contains("percent = 1.2345")));
        // Found by fuzzing: which classes, but not where.
        let text = "percent = 100\n\nclasses = { write = 0 }\n";
        let problems = RolloutFile::parse(text).unwrap_err().problems;
        assert!(problems[0].starts_with("line 3: read 100 %, write 0 %"), "{problems:?}");
    }
}
