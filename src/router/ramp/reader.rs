//! A plan's text, taken apart and checked.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::{Spanned, Value};

use crate::call::Class;
use crate::router::guard::{Bounds, Metric, Settings};
use crate::router::percent::Percent;
use crate::router::policy::Percents;
use crate::router::ramp::plan::{Hook, MAX_STEPS, Plan, Proof, Step};

/// A plan as it is written. Everything may be missing here, so that all that is can be told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    alpha: Option<Spanned<f64>>,
    beta: Option<Spanned<f64>>,
    floor: Option<Spanned<f64>>,
    max_v2_load: Option<Spanned<f64>>,
    max_drill_age: Option<Spanned<String>>,
    max_drill_time: Option<Spanned<String>>,
    in_a_row: Option<Spanned<u32>>,
    crash_loop: Option<CrashLoopText>,
    on_verdict: Option<Spanned<Vec<String>>>,
    on_verdict_timeout: Option<Spanned<String>>,
    #[serde(default)]
    guards: BTreeMap<Spanned<String>, GuardText>,
    shadow: Option<Spanned<ProofText>>,
    #[serde(default)]
    gauntlet: BTreeMap<Spanned<String>, Spanned<u64>>,
    #[serde(default)]
    steps: Vec<Spanned<StepText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CrashLoopText {
    deaths: Spanned<u32>,
    within: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardText {
    tolerated: Option<Spanned<f64>>,
    unacceptable: Option<Spanned<f64>>,
    limit: Option<Spanned<f64>>,
    #[serde(default)]
    ignore: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofText {
    min_time: Option<Spanned<String>>,
    min_units: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    class: Option<Spanned<String>>,
    percent: Option<Spanned<Value>>,
    min_time: Option<Spanned<String>>,
    min_units: Option<Spanned<u64>>,
}

/// Reads a plan, or says all that is wrong with it.
pub(super) fn read(text: &str, commands: &[&str]) -> Result<Plan, Vec<String>> {
    let mut reader = Reader { text, commands, problems: Vec::new() };
    let written: Text = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        vec![format!("line {}: {}", reader.line(start), error.message().replace('\n', "; "))]
    })?;
    let plan = reader.plan(written);
    if reader.problems.is_empty() { Ok(plan) } else { Err(reader.problems) }
}

struct Reader<'a> {
    text: &'a str,
    commands: &'a [&'a str],
    problems: Vec<String>,
}

impl Reader<'_> {
    fn plan(&mut self, written: Text) -> Plan {
        let bounds = self.guards(written.guards);
        let mismatches = bounds.contains_key(&Metric::Mismatches);
        let (crash_loop, within) = match &written.crash_loop {
            Some(CrashLoopText { deaths, within }) => {
                (self.at_least_one("deaths", deaths), self.time("within", Some(within), ""))
            }
            None => (5, 60_000),
        };
        let in_a_row = written.in_a_row.map_or(10, |rows| self.at_least_one("in_a_row", &rows));
        let guards = Settings {
            alpha: self.within("alpha", written.alpha, 0.001, (0.0, 0.05)),
            beta: self.within("beta", written.beta, 0.05, (0.0, 0.5)),
            floor: written.floor.map_or(0.0005, |floor| match *floor.as_ref() {
                0.0 => 0.0,
                _ => self.within("floor", Some(floor), 0.0005, (0.0, 1.0)),
            }),
            bounds,
            in_a_row,
            crash_loop,
            crash_loop_within_ms: within,
        };
        let age = written.max_drill_age;
        let age = age.map_or(7 * 86_400_000, |age| self.time("max_drill_age", Some(&age), ""));
        let drill = written.max_drill_time;
        let drill = drill.map_or(1000, |time| self.time("max_drill_time", Some(&time), ""));
        Plan {
            guards,
            max_v2_load: self.within("max_v2_load", written.max_v2_load, 0.8, (0.0, 1.0)),
            max_drill_age_ms: age,
            max_drill_time_ms: drill,
            on_verdict: self.hook(written.on_verdict, written.on_verdict_timeout),
            shadow: self.shadow(written.shadow, mismatches),
            gauntlet: self.gauntlet(written.gauntlet),
            steps: self.steps(written.steps),
        }
    }

    fn guards(&mut self, guards: BTreeMap<Spanned<String>, GuardText>) -> BTreeMap<Metric, Bounds> {
        if guards.is_empty() {
            self.problems.push("no [guards]: a ramp without a guard has no evidence".to_owned());
        }
        let mut bounds = BTreeMap::new();
        for (name, guard) in guards {
            let place = self.place(&name.span());
            let Some(metric) = Metric::named(name.as_ref()) else {
                let known = Metric::ALL.map(Metric::as_str).join(", ");
                self.problems
                    .push(format!("{place}: no metric {}; known are {known}", name.as_ref()));
                continue;
            };
            let tolerated = guard.tolerated.as_ref().map_or(1.25, |ratio| *ratio.as_ref());
            let above = guard.tolerated.map(|ratio| ratio.span()).unwrap_or(name.span());
            if !(1.0..=10.0).contains(&tolerated) {
                let place = self.place(&above);
                self.problems.push(format!("{place}: tolerated = {tolerated} is not 1 to 10"));
            }
            let unacceptable = guard.unacceptable.as_ref().map_or(2.0, |ratio| *ratio.as_ref());
            let span = guard.unacceptable.map(|ratio| ratio.span()).unwrap_or(name.span());
            if !(unacceptable > tolerated.max(1.0) && unacceptable <= 20.0) {
                let place = self.place(&span);
                self.problems.push(format!(
                    "{place}: unacceptable = {unacceptable} is not above tolerated = {tolerated} \
                     and at most 20"
                ));
            }
            let limit = match guard.limit {
                None => {
                    let name = name.as_ref();
                    self.problems.push(format!("{place}: {name} has no limit; write limit = 0.05"));
                    0.5
                }
                limit => self.within("limit", limit, 0.5, (0.0, 1.0)),
            };
            let ignore = guard.ignore.iter().map(|command| self.command(command)).collect();
            bounds.insert(metric, Bounds { tolerated, unacceptable, limit, ignore });
        }
        bounds
    }

    fn hook(
        &mut self,
        command: Option<Spanned<Vec<String>>>,
        timeout: Option<Spanned<String>>,
    ) -> Option<Hook> {
        let timeout_ms =
            timeout.map_or(10_000, |time| self.time("on_verdict_timeout", Some(&time), ""));
        let command = command?;
        if command.as_ref().first().is_none_or(String::is_empty) {
            let place = self.place(&command.span());
            self.problems.push(format!("{place}: on_verdict names no program"));
        }
        Some(Hook { command: command.into_inner(), timeout_ms })
    }

    fn command(&mut self, command: &Spanned<String>) -> String {
        let name = command.as_ref().clone();
        if !self.commands.contains(&name.as_str()) {
            let place = self.place(&command.span());
            self.problems.push(format!("{place}: no command {name} in the config"));
        }
        name
    }

    fn shadow(&mut self, shadow: Option<Spanned<ProofText>>, wanted: bool) -> Option<Proof> {
        match (&shadow, wanted) {
            (None, true) => self.problems.push(
                "[guards.mismatches] but no [shadow]: say how long to compare before the first \
                 step, and how much"
                    .to_owned(),
            ),
            (Some(shadow), false) => {
                let place = self.place(&shadow.span());
                self.problems.push(format!("{place}: [shadow] without [guards.mismatches]"));
            }
            _ => {}
        }
        let shadow = shadow?;
        let place = self.place(&shadow.span());
        let ProofText { min_time, min_units } = shadow.into_inner();
        Some(self.proof(&place, min_time.as_ref(), min_units.as_ref()))
    }

    fn gauntlet(
        &mut self,
        written: BTreeMap<Spanned<String>, Spanned<u64>>,
    ) -> BTreeMap<String, u64> {
        let mut gauntlet = BTreeMap::new();
        for (command, matches) in written {
            let name = self.command(&command);
            if *matches.as_ref() == 0 {
                let place = self.place(&matches.span());
                self.problems.push(format!("{place}: {name} = 0 is no gauntlet; leave it out"));
            }
            gauntlet.insert(name, matches.into_inner());
        }
        gauntlet
    }

    fn steps(&mut self, written: Vec<Spanned<StepText>>) -> Vec<Step> {
        if written.is_empty() {
            self.problems.push("no [[steps]]".to_owned());
        }
        if written.len() > MAX_STEPS {
            let steps = written.len();
            self.problems.push(format!("{steps} steps are more than {MAX_STEPS}"));
        }
        let mut shares = [Percent::ZERO; 3];
        let mut steps = Vec::new();
        for step in written {
            let place = self.place(&step.span());
            if let Some(step) = self.step(&place, step.into_inner(), &mut shares) {
                steps.push(step);
            }
        }
        steps
    }

    /// `shares` are those before, and then those of this step.
    fn step(&mut self, place: &str, step: StepText, shares: &mut [Percent; 3]) -> Option<Step> {
        let proof = self.proof(place, step.min_time.as_ref(), step.min_units.as_ref());
        let classes = self.classes(step.class.as_ref());
        let percent = self.percent(place, step.percent.as_ref());
        let (classes, percent) = (classes?, percent?);
        for class in &classes {
            let share = &mut shares[*class as usize];
            if percent <= *share {
                self.problems.push(format!(
                    "{place}: {} goes from {share} to {percent} %; steps only go up",
                    class.as_str()
                ));
            }
            *share = percent;
        }
        match Percents::new(shares[0], shares[1], shares[2]) {
            Ok(percents) => Some(Step { classes, percent, percents, proof }),
            Err(error) => {
                self.problems.push(format!("{place}: {error}"));
                None
            }
        }
    }

    fn classes(&mut self, class: Option<&Spanned<String>>) -> Option<Vec<Class>> {
        let Some(written) = class else { return Some(Class::ALL.to_vec()) };
        let class = Class::ALL.into_iter().find(|class| class.as_str() == written.as_ref());
        if class.is_none() {
            let place = self.place(&written.span());
            self.problems.push(format!(
                "{place}: no class {}; known are read, write, critical",
                written.as_ref()
            ));
        }
        class.map(|class| vec![class])
    }

    /// From the number's own text, so that no float comes between (R12).
    fn percent(&mut self, place: &str, percent: Option<&Spanned<Value>>) -> Option<Percent> {
        let Some(written) = percent else {
            self.problems.push(format!("{place}: the step has no percent"));
            return None;
        };
        let text = self.text[written.span()].trim_matches('"');
        match text.parse() {
            Ok(Percent::ZERO) => {
                let place = self.place(&written.span());
                self.problems.push(format!("{place}: a step to 0 %; `rollback` does that"));
                None
            }
            Ok(percent) => Some(percent),
            Err(error) => {
                let place = self.place(&written.span());
                self.problems.push(format!("{place}: {error}"));
                None
            }
        }
    }

    fn proof(
        &mut self,
        place: &str,
        min_time: Option<&Spanned<String>>,
        min_units: Option<&Spanned<u64>>,
    ) -> Proof {
        let min_time_ms = self.time("min_time", min_time, place);
        let min_units = match min_units {
            Some(units) if *units.as_ref() > 0 => *units.as_ref(),
            Some(units) => {
                let place = self.place(&units.span());
                self.problems.push(format!("{place}: min_units = 0 is no evidence"));
                0
            }
            None => {
                self.problems.push(format!(
                    "{place}: no min_units; say how many sessions and calls are evidence enough"
                ));
                0
            }
        };
        Proof { min_time_ms, min_units }
    }

    fn time(&mut self, key: &str, written: Option<&Spanned<String>>, place: &str) -> u64 {
        let Some(written) = written else {
            self.problems.push(format!("{place}: no {key}; write {key} = \"10m\""));
            return 0;
        };
        let time = humantime::parse_duration(written.as_ref());
        match time.ok().filter(|time| *time >= Duration::from_millis(1)) {
            Some(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            None => {
                let place = self.place(&written.span());
                let text = written.as_ref();
                self.problems.push(format!("{place}: {key} = {text:?} is no time such as \"10m\""));
                0
            }
        }
    }

    fn at_least_one(&mut self, key: &str, written: &Spanned<u32>) -> u32 {
        if *written.as_ref() == 0 {
            let place = self.place(&written.span());
            self.problems.push(format!("{place}: {key} = 0 would burn at once; write 1 or more"));
        }
        *written.as_ref()
    }

    /// Above the first bound and at most the second, which 1 itself is not.
    fn within(
        &mut self,
        key: &str,
        written: Option<Spanned<f64>>,
        default: f64,
        (low, high): (f64, f64),
    ) -> f64 {
        let Some(written) = written else { return default };
        let value = *written.as_ref();
        if !(value > low && value <= high && value < 1.0) {
            let place = self.place(&written.span());
            let high = if high < 1.0 { format!("at most {high}") } else { "below 1".to_owned() };
            self.problems.push(format!("{place}: {key} = {value} is not above {low} and {high}"));
        }
        value
    }

    fn place(&self, span: &Range<usize>) -> String {
        format!("line {}", self.line(span.start))
    }

    fn line(&self, offset: usize) -> usize {
        self.text[..offset.min(self.text.len())].matches('\n').count() + 1
    }
}
