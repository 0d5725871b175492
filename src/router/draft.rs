//! The text of a changed rollout file. What people wrote around the settings stays.

use std::fmt;

use serde::Serialize;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::call::Class;
use crate::router::file::{FORMAT, RolloutFile, Standing};
use crate::router::percent::Percent;
use crate::router::policy::Percents;
use crate::router::ramp::{RampMark, Says};
use crate::router::rules::Rules;
use crate::router::stage::{By, Move, Stage, Stages};
use crate::router::steer::Steer;

/// What can be done to a rollout file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// V3's share of one class, or of all that have no share of their own.
    Set {
        /// The share.
        percent: Percent,
        /// The class; `None` is the share that holds for all but the classes named beside it.
        class: Option<Class>,
        /// Whether the shares of single classes are dropped.
        all: bool,
    },
    /// The kill switch on: everything to V2.
    Kill,
    /// The kill switch off.
    Unkill,
    /// Every share to 0, at once and for live sessions too; rules are suspended until a human
    /// deletes `rules_suspended`, since they do not go by shares.
    Rollback,
    /// Stages, or the ramp, and the shares that go with them.
    Steer(Box<Steer>),
    /// A verdict that changes nothing, put on record.
    Judge(Says),
    /// The canary of a drill, switched or not.
    Canary(bool),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { percent, class: None, all: false } => write!(f, "set {percent}"),
            Self::Set { percent, class: None, all: true } => write!(f, "set {percent} --all"),
            Self::Set { percent, class: Some(class), .. } => {
                write!(f, "set {percent} --class {}", class.as_str())
            }
            Self::Kill => f.write_str("kill"),
            Self::Unkill => f.write_str("unkill"),
            Self::Rollback => f.write_str("rollback"),
            Self::Steer(steer) => f.write_str(&steer.what),
            Self::Judge(says) => write!(f, "verdict {}", says.as_str()),
            Self::Canary(true) => f.write_str("drill"),
            Self::Canary(false) => f.write_str("drill over"),
        }
    }
}

/// What a file begins with that the tool makes; people may change it as they like.
const HEAD: &str = "\
# V3's share of sessions and anonymous calls, in percent. Every running process follows this file.
# Change it by `poolshift rollout set 10`, or here; in an emergency write `killed = true`.
";

/// The text with the action done to it.
///
/// # Panics
/// If `old` is not TOML: callers have parsed it.
#[must_use]
pub fn draft(old: &str, action: &Action, version: u64) -> String {
    // With a key below it, the head stays at the top whatever is added.
    let begun = format!("{HEAD}version = 0\n");
    let old = if old.is_empty() { &begun } else { old };
    let mut document: DocumentMut = old.parse().expect("a rollout file that was parsed is TOML");
    let table = document.as_table_mut();
    put(table, "version", value(version));
    match action {
        Action::Set { percent, class: None, all } => {
            put(table, "percent", value(percent));
            if *all {
                table.remove("classes");
            }
        }
        Action::Set { percent, class: Some(class), .. } => set_class(table, *class, *percent),
        Action::Kill => put(table, "killed", Value::from(true)),
        Action::Unkill => {
            table.remove("killed");
            silence_is_zero(table);
            if let Some((mark, mut stages)) = staged(old).filter(|(mark, _)| mark.is_some()) {
                stages.unkill(By::Human).expect("it is on here, and a human asks");
                set_ramp(table, &stages, mark.as_ref());
            }
        }
        Action::Rollback => {
            put(table, "percent", value(Percent::ZERO));
            table.remove("classes");
            suspend_rules(table);
            if let Some((mark, mut stages)) = staged(old)
                && stages.make(Move::RollBack, Class::Read, By::Human).is_ok()
            {
                let mark = mark.map(|mark| RampMark { number: mark.number + 1, ..mark });
                set_ramp(table, &stages, mark.as_ref());
            }
        }
        Action::Steer(steer) => {
            set_percents(table, &steer.percents);
            set_ramp(table, &steer.stages, steer.ramp.as_ref());
            // A rule that gives calls to V3 does not go by shares: it would outlive the rollback.
            if steer.stages.overall() == Stage::RolledBack {
                suspend_rules(table);
            }
            if steer.ramp.is_none() && steer.stages == Stages::implied_by(&steer.percents) {
                table.remove("stages");
            }
        }
        Action::Judge(_) => {}
        Action::Canary(on) => {
            put(table, "canary", Value::from(*on));
            if !table.contains_key("killed") {
                silence_is_zero(table);
            }
        }
    }
    document.to_string()
}

/// A file that says what one said that is gone.
#[must_use]
pub fn restored(standing: &Standing) -> String {
    let begun = format!("{HEAD}version = 0\n");
    let mut document: DocumentMut = begun.parse().expect("comments and a key are TOML");
    let table = document.as_table_mut();
    if let Some(flag) = &standing.flag {
        put(table, "flag", Value::from(flag.as_ref()));
    }
    if standing.killed {
        put(table, "killed", Value::from(true));
    }
    if let Some(percents) = standing.percents {
        set_percents(table, &percents);
    }
    if standing.canary {
        put(table, "canary", Value::from(true));
    }
    if let Some(stages) = &standing.stages {
        set_ramp(table, stages, standing.ramp.as_ref());
    }
    restore_rules(table, &standing.rules);
    document.to_string()
}

fn restore_rules(table: &mut Table, rules: &Rules) {
    if !rules.force_attrs().is_empty() {
        put(table, "force_attrs", list(rules.force_attrs()));
    }
    if rules.are_suspended() {
        put(table, "rules_suspended", Value::from(true));
    }
    if rules.list().is_empty() {
        return;
    }
    let mut tables = ArrayOfTables::new();
    for rule in rules.list() {
        let mut table = Table::new();
        if let Some(name) = &rule.name {
            put(&mut table, "name", Value::from(name));
        }
        let classes: Vec<String> = rule.classes.iter().map(|c| c.as_str().to_owned()).collect();
        let lists =
            [("commands", &rule.commands), ("classes", &classes), ("sessions", &rule.sessions)];
        for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
            put(&mut table, key, list(values));
        }
        if !rule.attrs.is_empty() {
            let attrs = rule.attrs.iter().map(|(attr, values)| (attr, list(values)));
            put(&mut table, "attrs", Value::InlineTable(InlineTable::from_iter(attrs)));
        }
        put(&mut table, "lane", Value::from(rule.lane.as_str()));
        tables.push(table);
    }
    table.insert("rules", Item::ArrayOfTables(tables));
}

fn list(texts: &[String]) -> Value {
    Value::Array(texts.iter().collect::<Array>())
}

/// The kill switch and nothing else, for a file that cannot be understood.
#[must_use]
pub fn emergency(version: u64) -> String {
    format!("version = {version}\nkilled = true\n")
}

/// The text with who wrote it and why, the audit line that says so, and its format.
///
/// # Panics
/// If `text` is not TOML: [`draft`] made it.
#[must_use]
pub fn sign(text: &str, audit: &str, actor: &str, reason: Option<&str>) -> String {
    let mut document: DocumentMut = text.parse().expect("a draft is TOML");
    let table = document.as_table_mut();
    put(table, "format", value(FORMAT));
    put(table, "actor", Value::from(actor));
    match reason {
        Some(reason) => put(table, "reason", Value::from(reason)),
        None => drop(table.remove("reason")),
    }
    put(table, "audit", Value::from(audit));
    document.to_string()
}

fn set_percents(table: &mut Table, percents: &Percents) {
    let [read, write, critical] = Class::ALL.map(|class| percents.of(class));
    // Classes are set apart at one end or the other: the middle one goes with the rest.
    put(table, "percent", value(write));
    table.remove("classes");
    for (class, percent) in [(Class::Read, read), (Class::Critical, critical)] {
        if percent != write {
            set_class(table, class, percent);
        }
    }
}

/// The ramp and the stages of a file that has any, under its kill switch.
fn staged(text: &str) -> Option<(Option<RampMark>, Stages)> {
    let file = RolloutFile::parse(text).expect("callers have parsed it");
    let stages = file.stages?;
    Some((file.ramp, stages.with_kill_switch(true)))
}

/// What only the tool writes, as whole sections.
fn set_ramp(table: &mut Table, stages: &Stages, ramp: Option<&RampMark>) {
    let stages = stages.with_kill_switch(false);
    table.insert("stages", section(&stages));
    match ramp {
        Some(mark) => drop(table.insert("ramp", section(mark))),
        None => drop(table.remove("ramp")),
    }
}

fn section(content: &impl Serialize) -> Item {
    let text = toml::to_string(content).expect("names and numbers are TOML");
    let mut document: DocumentMut = text.parse().expect("it was made as TOML above");
    for (_, item) in document.as_table_mut().iter_mut() {
        item.make_value();
    }
    let mut section = document.as_table().clone();
    section.set_position(None);
    Item::Table(section)
}

fn set_class(table: &mut Table, class: Class, percent: Percent) {
    silence_is_zero(table);
    let classes = table.entry("classes").or_insert_with(|| Item::Table(Table::new()));
    let classes = classes.as_table_like_mut().expect("the parser takes a section only");
    put(classes, class.as_str(), value(percent));
}

/// A file that only held the kill switch says no share, which is refused without the switch.
fn silence_is_zero(table: &mut Table) {
    if !table.contains_key("percent") {
        put(table, "percent", value(Percent::ZERO));
    }
}

/// By its own text, so that no float comes between.
fn value(number: impl fmt::Display) -> Value {
    number.to_string().parse().expect("a number's text is a value")
}

/// Replaces a value, and keeps the space and the comment around it.
/// None counts until a human deletes the key again.
fn suspend_rules(table: &mut dyn TableLike) {
    if table.contains_key("rules") {
        put(table, "rules_suspended", Value::from(true));
    }
}

fn put(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(percent: &str, class: Option<Class>, all: bool) -> Action {
        Action::Set { percent: percent.parse().unwrap(), class, all }
    }

    const RAMP: &str = "percent = 1\nkilled = true\ncanary = true\n\
                        [stages]\nread = \"ramp\"\nwrite = \"ramp\"\ncritical = \"hold\"\n\
                        [ramp]\nplan = \"0a\"\nbuild = \"b \\\"1\\\"\"\nnumber = 7\n\
                        since_ms = 5\nposition = { step = 2 }\n";

    #[test]
    fn a_rollback_and_the_end_of_a_kill_leave_stages_that_only_a_human_goes_on_from() {
        let standing = |text: &str| RolloutFile::parse(text).unwrap().standing();
        let stages = |standing: &Standing| {
            let stages = standing.stages.unwrap();
            Class::ALL.map(|class| stages.of(class).as_str())
        };
        let alive = standing(&draft(RAMP, &Action::Unkill, 2));
        assert_eq!(stages(&alive), ["hold"; 3]);
        let back = standing(&draft(RAMP, &Action::Rollback, 2));
        assert_eq!((stages(&back), back.ramp.unwrap().number), (["rolled_back"; 3], 8));
        for spoilt in [
            RAMP.replace("write = \"ramp\"", "write = \"off\""),
            RAMP.replace("write = \"ramp\"", "write = \"killed\""),
            RAMP.replace("number = 7", "number = -7"),
        ] {
            assert!(RolloutFile::parse(&spoilt).is_err(), "{spoilt}");
        }
    }

    #[test]
    fn what_people_wrote_stays() {
        let old = "# the pricing team's\nversion = 4   # raised by each change\n\
                   percent = 10\n\n[classes]  # careful\ncritical = 0 # not yet\n";
        let new = draft(old, &set("12.345", None, false), 5);
        let expected = old.replace("= 4 ", "= 5 ").replace("= 10", "= 12.345");
        assert_eq!(new, expected);
        let signed = sign(&new, "0a", "ann", Some("all \"good\""));
        let file = RolloutFile::parse(&signed).unwrap();
        assert_eq!((file.version, file.audit.as_deref()), (Some(5), Some("0a")));
        assert!(signed.contains("critical = 0 # not yet"), "{signed}");
    }

    #[test]
    fn a_file_that_is_gone_says_again_what_it_said() {
        for text in [
            "percent = 12.5\n",
            "percent = 50\nkilled = true\nflag = \"f\"\n[classes]\nread = 60\ncritical = 0.001\n",
            "killed = true\n",
            "percent = 1\nrules_suspended = true\nforce_attrs = [\"x\"]\n\
             [[rules]]\nname = \"n\"\ncommands = \"a\"\nclasses = [\"read\"]\nlane = \"v2\"\n\
             [[rules]]\nsessions = [\"s\", \"t\"]\nattrs = { \"a b\" = \"1\" }\nlane = \"draw\"\n",
            RAMP,
        ] {
            let standing = RolloutFile::parse(text).unwrap().standing();
            let again = restored(&standing);
            assert!(again.starts_with(HEAD), "{again}");
            let again = RolloutFile::parse(&again).unwrap().standing();
            assert_eq!(Standing { version: None, ..again }, standing, "{text}");
        }
    }

    #[test]
    fn each_action_does_what_it_says() {
        let of = |text: &str| {
            let file = RolloutFile::parse(text).unwrap();
            let percents =
                file.percents.map(|percents| Class::ALL.map(|c| percents.of(c).buckets()));
            (percents, file.killed)
        };
        let start = draft("", &set("50", None, false), 1);
        let with_class = draft(&start, &set("60", Some(Class::Read), false), 2);
        assert!(with_class.starts_with(HEAD), "{with_class}");
        assert_eq!(of(&start), (Some([50_000; 3]), false));
        let less = draft(&start, &set("1", Some(Class::Critical), false), 2);
        assert_eq!(of(&less), (Some([50_000, 50_000, 1000]), false));
        let killed = draft(&less, &Action::Kill, 3);
        assert_eq!(of(&killed), (Some([50_000, 50_000, 1000]), true));
        assert_eq!(of(&draft(&killed, &Action::Unkill, 4)), of(&less));
        assert_eq!(of(&draft(&less, &set("60", None, true), 4)), (Some([60_000; 3]), false));
        assert_eq!(of(&draft(&less, &Action::Rollback, 4)), (Some([0; 3]), false));
        let ruled = format!("{less}\n[[rules]]\ncommands = \"echo\"\nlane = \"v3\"\n");
        let back = RolloutFile::parse(&draft(&ruled, &Action::Rollback, 4)).unwrap();
        assert!(back.rules.are_suspended() && back.rules.list().len() == 1);
        assert_eq!(of(&draft(&emergency(7), &Action::Unkill, 8)), (Some([0; 3]), false));
    }
}
