//! What holds a ramp back or rolls it back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::call::Class;
use crate::router::guard::comparison::Comparison;
use crate::router::guard::limit::ln_e_above;
use crate::router::guard::sample_ratio::SampleRatio;
use crate::router::guard::strata::Strata;
use crate::router::guard::{Evidence, Metric};
use crate::router::ramp::assessment::Situation;
use crate::router::ramp::machine::Ramp;
use crate::router::ramp::verdict::{Check, Finding, Says};

/// Evidence of a wrong share from which on it counts as one.
const WRONG_SHARE: f64 = 1000.0;

/// A finding in the making.
pub(super) struct Note(Finding);

impl Note {
    pub(super) fn new(check: Check, formula: &str) -> Self {
        Self(Finding {
            check,
            about: None,
            says: Says::Hold,
            formula: formula.to_owned(),
            inputs: BTreeMap::new(),
            value: 0.0,
            bound: 0.0,
            reason: String::new(),
        })
    }

    pub(super) fn about(mut self, about: &str) -> Self {
        self.0.about = Some(about.to_owned());
        self
    }

    pub(super) fn input(mut self, name: &str, value: f64) -> Self {
        self.0.inputs.insert(name.to_owned(), value);
        self
    }

    pub(super) const fn value(mut self, value: f64, bound: f64) -> Self {
        (self.0.value, self.0.bound) = (value, bound);
        self
    }

    pub(super) fn says(mut self, says: Says, reason: String) -> Finding {
        (self.0.says, self.0.reason) = (says, reason);
        self.0
    }
}

/// What the guards say against V3, or against the router.
pub(super) fn safety(ramp: &Ramp, evidence: &Evidence, strata: &Strata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (metric, comparison) in evidence.comparisons() {
        findings.push(harm(ramp, evidence, metric, comparison, strata));
        findings.extend(limit(ramp, evidence, metric, comparison));
    }
    let (longest, most) = (evidence.in_a_row.load(), evidence.crash_loop.load());
    findings.push(fuse(Check::InARow, longest, "failures of V3 one after the other"));
    findings.push(fuse(Check::CrashLoop, most, "deaths of V3's workers close together"));
    findings.extend(sample_ratios(evidence));
    findings
}

fn harm(
    ramp: &Ramp,
    evidence: &Evidence,
    metric: Metric,
    comparison: &Comparison,
    strata: &Strata,
) -> Finding {
    let settings = &ramp.plan().guards;
    let (value, bound) = (comparison.ln_e(), settings.ln_rollback());
    let weight = evidence.tally(metric).weight;
    let difference = comparison.difference(weight);
    let (worst, worst_ln_e) = comparison.worst();
    let bad = comparison.bad_units();
    let mut note = Note::new(
        Check::Harm,
        "value = ln((exp(pooled_ln_e) + exp(strata_ln_e)) / 2), pooled_ln_e = \
         ln(mean(exp(sum_i))); bound = ln(tests / alpha); rollback if value >= bound and \
         difference >= floor",
    )
    .about(metric.as_str())
    .input("pooled_ln_e", comparison.pooled().ln_e())
    .input("strata_ln_e", comparison.mean_ln_e())
    .input("worst_stratum_ln_e", worst_ln_e)
    .input("tests", settings.tests() as f64)
    .input("alpha", settings.alpha)
    .input("floor", settings.floor)
    .input("difference", difference.unwrap_or(0.0))
    .input("weight", weight)
    .input("bad_v2", bad.control as f64)
    .input("bad_v3", bad.candidate as f64);
    for (index, sum) in comparison.pooled().sums().iter().enumerate() {
        note = note.input(&format!("sum_{index}"), *sum);
    }
    let note = note.value(value, bound);
    let name = metric.as_str();
    if value < bound {
        let reason = format!("no proof of more {name} in V3: ln E = {value:.2} of {bound:.2}");
        return note.says(Says::Advance, reason);
    }
    let percent = difference.unwrap_or(0.0) * 100.0;
    let reason = format!(
        "V3 has more {name} than V2: ln E = {value:.2} of {bound:.2}, {percent:.3} percentage \
         points more, most evidence in {}",
        strata.name(worst)
    );
    match difference.is_some_and(|difference| difference >= settings.floor) {
        true => note.says(Says::Rollback, reason),
        false => note.says(Says::Hold, format!("{reason}; too few to roll back")),
    }
}

fn limit(
    ramp: &Ramp,
    evidence: &Evidence,
    metric: Metric,
    comparison: &Comparison,
) -> Option<Finding> {
    let settings = &ramp.plan().guards;
    let limit = settings.bounds.get(&metric)?.limit;
    let (units, bad) = (evidence.tally(metric).units.candidate, comparison.bad_units().candidate);
    let (value, bound) = (ln_e_above(limit, units, bad), settings.ln_rollback());
    let note = Note::new(
        Check::Limit,
        "o = limit / (1 - limit); value = ln(mean over k in 1.5 2 3 5 10 20 of exp(units \
         ln((1 + o) / (1 + k o)) + bad ln k)); bound = ln(tests / alpha); rollback if value >= \
         bound",
    )
    .about(metric.as_str())
    .input("limit", limit)
    .input("units", units as f64)
    .input("bad", bad as f64)
    .input("tests", settings.tests() as f64)
    .input("alpha", settings.alpha)
    .value(value, bound);
    let (name, percent) = (metric.as_str(), limit * 100.0);
    let finding = if value >= bound {
        let reason = format!("{bad} {name} in {units} of V3 are beyond the limit of {percent} %");
        note.says(Says::Rollback, reason)
    } else {
        note.says(Says::Advance, format!("{name} of V3 are not proven beyond {percent} %"))
    };
    Some(finding)
}

fn fuse(check: Check, (load, limit): (u32, u32), what: &str) -> Finding {
    let note =
        Note::new(check, "rollback if value >= bound").value(f64::from(load), f64::from(limit));
    let says = if load >= limit { Says::Rollback } else { Says::Advance };
    note.says(says, format!("{load} {what}, of {limit} that roll back"))
}

fn sample_ratios(evidence: &Evidence) -> Vec<Finding> {
    let of = |(class, ratio): (Class, &SampleRatio)| {
        let (value, bound) = (ratio.ln_e(), libm::log(WRONG_SHARE));
        let (drawn, intended) = (ratio.drawn(), ratio.intended());
        let note = Note::new(
            Check::SampleRatio,
            "value = ln B(100 p + v3, 100 (1 - p) + v2) - ln B(100 p, 100 (1 - p)) - v3 ln p - \
             v2 ln(1 - p), added up over percentages; hold if value >= bound or strays > 0",
        )
        .about(class.as_str())
        .input("p", intended.share())
        .input("v2", drawn.control as f64)
        .input("v3", drawn.candidate as f64)
        .input("strays", ratio.strays() as f64)
        .value(value, bound);
        let served = format!(
            "{} draws of {} in V3 at {intended} %, {} against 0 or 100 %",
            drawn.candidate,
            drawn.total(),
            ratio.strays()
        );
        match value >= bound || ratio.strays() > 0 {
            true => note.says(Says::Hold, format!("the router serves another share: {served}")),
            false => note.says(Says::Advance, served),
        }
    };
    evidence.ratios().map(of).collect()
}

/// What must hold beside the evidence.
pub(super) fn conditions(ramp: &Ramp, situation: &Situation<'_>) -> Vec<Finding> {
    vec![capacity(ramp, situation), drill(ramp, situation)]
}

fn capacity(ramp: &Ramp, situation: &Situation<'_>) -> Finding {
    let bound = ramp.plan().max_v2_load;
    let note =
        Note::new(Check::Capacity, "value = busy_workers / v2_workers; hold if value > bound");
    let Some(capacity) = situation.capacity else {
        let reason = "nobody knows whether V2 could take everything back".to_owned();
        return note.value(0.0, bound).says(Says::Hold, reason);
    };
    let value = capacity.v2_load();
    let reason = format!(
        "V2 has {} workers, and {:.1} are busy in both lanes, of {bound} each",
        capacity.v2_workers, capacity.busy_workers
    );
    let note = note
        .input("v2_workers", capacity.v2_workers as f64)
        .input("busy_workers", capacity.busy_workers)
        .value(value, bound);
    match value <= bound {
        true => note.says(Says::Advance, reason),
        false => note.says(Says::Hold, format!("V2 could not take everything back: {reason}")),
    }
}

fn drill(ramp: &Ramp, situation: &Situation<'_>) -> Finding {
    let (max_age, max_time) = (ramp.plan().max_drill_age(), ramp.plan().max_drill_time_ms);
    let note = Note::new(
        Check::Drill,
        "value = now_ms - drill_ms; hold if value > bound or took_ms > max_took_ms",
    )
    .input("max_took_ms", max_time as f64);
    let bound = max_age.as_millis() as f64;
    let Some(drill) = situation.drill else {
        let reason = "the kill switch was never tried; `poolshift rollout ramp drill`".to_owned();
        return note.value(0.0, bound).says(Says::Hold, reason);
    };
    let age = situation.now.since(drill.at);
    let note = note
        .input("now_ms", situation.now.as_millis() as f64)
        .input("drill_ms", drill.at.as_millis() as f64)
        .input("took_ms", drill.took_ms as f64)
        .value(age.as_millis() as f64, bound);
    let reason = format!(
        "the kill switch was tried {} ago and took {} ms",
        humantime::format_duration(Duration::from_secs(age.as_secs())),
        drill.took_ms
    );
    match age <= max_age && drill.took_ms <= max_time {
        true => note.says(Says::Advance, reason),
        false => note.says(Says::Hold, format!("{reason}; drill again, or find out why")),
    }
}
