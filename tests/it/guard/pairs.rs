//! Comparisons of answers: V3 with V2, beside V2 with itself.

use poolshift::Outcome;
use poolshift::router::guard::{Arm, Arms, Metric, Unit};

use crate::guard::books::{call, guards};

#[test]
fn mismatches_are_compared_with_noise_and_not_with_calls() {
    let mut guards = guards();
    for (arm, differs) in [(Arm::Control, true), (Arm::Candidate, true), (Arm::Candidate, false)] {
        guards.compared(&mut Unit::Anonymous, "a", arm, differs);
    }
    call(&mut guards, &mut Unit::Anonymous, "a", Arm::Control, Outcome::Ok);
    let evidence = guards.evidence();
    let (metric, comparison) = evidence.comparisons().last().unwrap();
    assert_eq!(metric, Metric::Mismatches);
    assert_eq!(comparison.bad_units(), Arms { control: 1, candidate: 1 });
    assert_eq!(evidence.tally(metric).units, Arms { control: 1, candidate: 2 });
    assert_eq!(evidence.routed.units, Arms { control: 1, candidate: 0 });
}

/// A lane without spare workers is compared less often than it was drawn, and where every answer
/// differs by itself nobody is left at risk: by either share it would look like harm.
#[test]
fn pairs_that_came_in_another_share_than_they_were_drawn_are_no_harm() {
    let mut guards = guards();
    for n in 0..1000 {
        let mut marks = guards.mark().unwrap();
        let arm = if n % 20 == 0 { Arm::Control } else { Arm::Candidate };
        guards.compared(&mut Unit::Session(&mut marks), "a", arm, true);
    }
    let evidence = guards.evidence();
    let (_, comparison) = evidence.comparisons().last().unwrap();
    assert_eq!(comparison.bad_units(), Arms { control: 50, candidate: 950 });
    assert!(comparison.ln_e() < 1.0, "{}", comparison.ln_e());
    // Harm is still seen beside them: half of V2's pairs are alike from here on.
    for n in 0..2000 {
        let mut marks = guards.mark().unwrap();
        let arm = if n % 4 == 0 { Arm::Control } else { Arm::Candidate };
        let differs = arm == Arm::Candidate || n % 40 == 0;
        guards.compared(&mut Unit::Session(&mut marks), "a", arm, differs);
    }
    let evidence = guards.evidence();
    let (_, comparison) = evidence.comparisons().last().unwrap();
    assert!(comparison.ln_e() > 20.0, "{}", comparison.ln_e());
}
