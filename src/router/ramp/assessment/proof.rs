//! What a ramp needs to go on: time, units and proof, of this step alone; before the first one,
//! the gauntlet.

use crate::router::guard::comparison::Comparison;
use crate::router::guard::evidence::Tally;
use crate::router::guard::limit::{ln_e_below, zero_failures};
use crate::router::guard::mixture::ln_mean_exp;
use crate::router::guard::{Evidence, Metric};
use crate::router::percent::Percent;
use crate::router::ramp::assessment::findings::Note;
use crate::router::ramp::assessment::{Situation, is_to_prove};
use crate::router::ramp::machine::{Position, Ramp};
use crate::router::ramp::plan::Proof;
use crate::router::ramp::verdict::{Check, Finding, Says};

/// The weight of V3's keeping below the floor in a proof beside V2; little, so that the other way
/// to the same end is hardly longer.
const BELOW_FLOOR: f64 = 0.1;

/// No proof is asked for by a plan without a shadow, while it is before its first step.
pub(super) fn findings(ramp: &Ramp, situation: &Situation<'_>) -> Vec<Finding> {
    let mut findings = gauntlet(ramp, situation);
    let Some(proof) = ramp.proof() else { return findings };
    findings.push(time(ramp, situation, proof));
    let Some(evidence) = situation.evidence else { return findings };
    findings.extend(other_step(ramp, evidence));
    findings.push(units(ramp, evidence, proof));
    let to_prove = evidence.comparisons().filter(|(m, _)| is_to_prove(ramp.position(), *m));
    findings.extend(to_prove.map(|(metric, comparison)| {
        let tally = evidence.tally(metric);
        proven(ramp, metric, comparison, tally)
    }));
    findings
}

/// Whether each command of the gauntlet was answered alike often enough, live or from records.
fn gauntlet(ramp: &Ramp, situation: &Situation<'_>) -> Vec<Finding> {
    if ramp.position() != Position::Shadow {
        return Vec::new();
    }
    let of = |(command, wanted): (&String, &u64)| {
        let live = situation.evidence.map_or(0, |evidence| evidence.matches(command));
        let recorded = situation.corpora.and_then(|corpora| corpora.get(command)).copied();
        let recorded = recorded.unwrap_or(0);
        let (value, bound) = ((live + recorded) as f64, *wanted as f64);
        let note = Note::new(Check::Gauntlet, "value = live + recorded; hold if value < bound")
            .about(command)
            .input("live", live as f64)
            .input("recorded", recorded as f64)
            .value(value, bound);
        let says = if value >= bound { Says::Advance } else { Says::Hold };
        note.says(
            says,
            format!(
                "V3 answered {command} as V2 did {value} times ({live} live, {recorded} in \
                 `shadow run`), of at least {bound}"
            ),
        )
    };
    ramp.plan().gauntlet.iter().map(of).collect()
}

fn time(ramp: &Ramp, situation: &Situation<'_>, proof: Proof) -> Finding {
    let (now, since) = (situation.now, ramp.since());
    let (value, bound) = (now.since(since).as_millis() as f64, proof.min_time_ms as f64);
    let note = Note::new(Check::Time, "value = now_ms - since_ms; hold if value < bound")
        .input("now_ms", now.as_millis() as f64)
        .input("since_ms", since.as_millis() as f64)
        .value(value, bound);
    let says = if value >= bound { Says::Advance } else { Says::Hold };
    let reason = format!("in force for {:.1} s, of at least {:.1} s", value / 1e3, bound / 1e3);
    note.says(says, reason)
}

/// Processes hear of a step one after the other; until all have, what they tell is of the last.
fn other_step(ramp: &Ramp, evidence: &Evidence) -> Option<Finding> {
    let (value, bound) = (evidence.step() as f64, ramp.number() as f64);
    let note = Note::new(Check::Step, "hold if value != bound").value(value, bound);
    let reason = format!("the guards are at step number {value}, the ramp at {bound}");
    (evidence.step() != ramp.number()).then(|| note.says(Says::Hold, reason))
}

fn units(ramp: &Ramp, evidence: &Evidence, proof: Proof) -> Finding {
    let units = match ramp.position() {
        Position::Shadow => evidence.compared.step,
        _ => evidence.routed.step,
    };
    let (value, bound) = (units.candidate as f64, proof.min_units as f64);
    let note = Note::new(Check::Units, "hold if value < bound")
        .input("units_v2", units.control as f64)
        .input("units_v3", units.candidate as f64)
        .value(value, bound);
    let says = if value >= bound { Says::Advance } else { Says::Hold };
    note.says(says, format!("{value} units of this step in V3, of at least {bound}"))
}

/// Beside V2, if it has bad units to compare with. Where it has none there is no ratio, and at
/// 100 % nobody is drawn to it: then V3 must be proven to keep below its limit. Each way has the
/// error `beta`.
fn proven(ramp: &Ramp, metric: Metric, comparison: &Comparison, tally: Tally) -> Finding {
    let bad = comparison.step_bad();
    let units = tally.step.candidate;
    let note = |formula: &str| {
        Note::new(Check::Proof, formula)
            .about(metric.as_str())
            .input("beta", ramp.plan().guards.beta)
            .input("bad_v2", bad.control as f64)
            .input("bad_v3", bad.candidate as f64)
            .input("units", units as f64)
    };
    let share = ramp.step().map(|step| step.percent);
    let (note, value, bound, what) = match bad.control > 0 && share != Some(Percent::HUNDRED) {
        true => beside_v2(ramp, comparison, units, note),
        false => below_limit(ramp, metric, comparison, units, note),
    };
    let what = format!("{} {what}", metric.as_str());
    let note = note.value(value, bound);
    match value >= bound {
        true => note.says(Says::Advance, format!("V3's {what} of {bound:.2}")),
        false => note.says(Says::Hold, format!("not proven yet that V3's {what} of {bound:.2}")),
    }
}

/// A note, its value, what that is held against, and what it would prove.
type Proven = (Note, f64, f64, String);

/// What is to be ruled out is a V3 that is unacceptably worse than V2 and bad in more units than
/// the floor, below which harm is no reason to go back. Against both there is an e-value, so their
/// mean with fixed weights is one. Without the second, one bad unit of a V2 that has none after
/// it would hold a V3 that has none at all for ever.
fn beside_v2(
    ramp: &Ramp,
    comparison: &Comparison,
    units: u64,
    note: impl Fn(&str) -> Note,
) -> Proven {
    let settings = &ramp.plan().guards;
    let mut note = note(
        "value = ln(0.9 mean(exp(sum_i)) + 0.1 exp(below_floor)); o = floor / (1 - floor); \
         below_floor = ln(mean over k in 0.5 0.25 0.125 of exp(units ln((1 + o) / (1 + k o)) + \
         bad_v3 ln k)), none if floor = 0; bound = ln(1 / beta); hold if value < bound",
    );
    for (index, sum) in comparison.proof().sums().iter().enumerate() {
        note = note.input(&format!("sum_{index}"), *sum);
    }
    let below_floor = match settings.floor > 0.0 {
        true => ln_e_below(settings.floor, units, comparison.step_bad().candidate),
        false => f64::NEG_INFINITY,
    };
    if settings.floor > 0.0 {
        note = note.input("floor", settings.floor).input("below_floor", below_floor);
    }
    // The mean of two, each with twice its weight.
    let weighted = |weight: f64, ln_e: f64| libm::log(2.0 * weight) + ln_e;
    let value = ln_mean_exp(&[
        weighted(1.0 - BELOW_FLOOR, comparison.proof().ln_e()),
        weighted(BELOW_FLOOR, below_floor),
    ]);
    let bound = settings.ln_proof();
    (note, value, bound, format!("are no worse than V2's: ln E = {value:.2}"))
}

/// By units without a bad one, or, with some, by the likelihood ratio of its counts.
fn below_limit(
    ramp: &Ramp,
    metric: Metric,
    comparison: &Comparison,
    units: u64,
    note: impl Fn(&str) -> Note,
) -> Proven {
    let settings = &ramp.plan().guards;
    let limit = settings.bounds.get(&metric).map_or(0.5, |bounds| bounds.limit);
    let bad = comparison.step_bad().candidate;
    if bad == 0 {
        let note = note(
            "value = units; bound = least n with (1 - limit)^n <= beta; hold if value < bound",
        );
        let bound = zero_failures(limit, settings.beta) as f64;
        let what = format!("keep below their limit: {units} units without any");
        return (note.input("limit", limit), units as f64, bound, what);
    }
    let note = note(
        "o = limit / (1 - limit); value = ln(mean over k in 0.5 0.25 0.125 of exp(units \
         ln((1 + o) / (1 + k o)) + bad_v3 ln k)); bound = ln(1 / beta); hold if value < bound",
    );
    let value = ln_e_below(limit, units, bad);
    let what = format!("keep below their limit: ln E = {value:.2}");
    (note.input("limit", limit), value, settings.ln_proof(), what)
}
