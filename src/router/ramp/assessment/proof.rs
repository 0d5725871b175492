//! What a ramp needs to go on: time, units and proof, of this step alone.

use crate::router::guard::comparison::Comparison;
use crate::router::guard::evidence::Tally;
use crate::router::guard::limit::{ln_e_below, zero_failures};
use crate::router::guard::{Evidence, Metric};
use crate::router::ramp::assessment::findings::Note;
use crate::router::ramp::assessment::{Situation, is_to_prove};
use crate::router::ramp::machine::{Position, Ramp};
use crate::router::ramp::plan::Proof;
use crate::router::ramp::verdict::{Check, Finding, Says};

/// None for a plan that asks for no shadow, while it is before its first step.
pub(super) fn findings(ramp: &Ramp, situation: &Situation<'_>) -> Vec<Finding> {
    let Some(proof) = ramp.proof() else { return Vec::new() };
    let mut findings = vec![time(ramp, situation, proof)];
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

/// Beside V2, if it has bad units to compare with. Where it has none there is no ratio: then V3
/// must be proven to keep below its limit, by units without a bad one, or, with some, by the
/// likelihood ratio of its counts. Each way has the error `beta`.
fn proven(ramp: &Ramp, metric: Metric, comparison: &Comparison, tally: Tally) -> Finding {
    let settings = &ramp.plan().guards;
    let (bad, units) = (comparison.step_bad(), tally.step.candidate);
    let limit = settings.bounds.get(&metric).map_or(0.5, |bounds| bounds.limit);
    let with_inputs = |note: Note| {
        note.about(metric.as_str())
            .input("beta", settings.beta)
            .input("bad_v2", bad.control as f64)
            .input("bad_v3", bad.candidate as f64)
            .input("units", units as f64)
    };
    let name = metric.as_str();
    let (note, value, bound, what) = if bad.control > 0 {
        let mut note = with_inputs(Note::new(
            Check::Proof,
            "value = ln(mean(exp(sum_i))); bound = ln(1 / beta); hold if value < bound",
        ));
        for (index, sum) in comparison.proof().sums().iter().enumerate() {
            note = note.input(&format!("sum_{index}"), *sum);
        }
        let (value, bound) = (comparison.proof().ln_e(), settings.ln_proof());
        (note, value, bound, format!("{name} are no worse than V2's: ln E = {value:.2}"))
    } else if bad.candidate == 0 {
        let note = with_inputs(Note::new(
            Check::Proof,
            "value = units; bound = least n with (1 - limit)^n <= beta; hold if value < bound",
        ));
        let bound = zero_failures(limit, settings.beta) as f64;
        let what = format!("{name} keep below their limit: {units} units without any");
        (note.input("limit", limit), units as f64, bound, what)
    } else {
        let note = with_inputs(Note::new(
            Check::Proof,
            "o = limit / (1 - limit); value = ln(mean over k in 0.5 0.25 0.125 of exp(units \
             ln((1 + o) / (1 + k o)) + bad_v3 ln k)); bound = ln(1 / beta); hold if value < bound",
        ));
        let value = ln_e_below(limit, units, bad.candidate);
        let what = format!("{name} keep below their limit: ln E = {value:.2}");
        (note.input("limit", limit), value, settings.ln_proof(), what)
    };
    let note = note.value(value, bound);
    match value >= bound {
        true => note.says(Says::Advance, format!("V3's {what} of {bound:.2}")),
        false => note.says(Says::Hold, format!("not proven yet that V3's {what} of {bound:.2}")),
    }
}
