use poolshift::Class;
use poolshift::router::guard::Metric;
use poolshift::router::ramp::{BadPlan, Plan};

use crate::ramp::PLAN;

fn problems(text: &str) -> Vec<String> {
    let BadPlan { problems } = Plan::parse(text, &["known"]).unwrap_err();
    problems
}

/// The plan with a piece replaced has exactly this problem.
fn spoilt(piece: &str, by: &str, expected: &str) {
    assert!(PLAN.contains(piece), "{piece}");
    let problems = problems(&PLAN.replacen(piece, by, 1));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains(expected), "{problems:?}");
}

#[test]
fn the_standard_plan_moves_reads_then_writes_then_critical_ones() {
    let plan = Plan::standard();
    let steps = plan.steps.iter().map(|step| (step.classes[0], step.percent.to_string()));
    let steps: Vec<String> =
        steps.map(|(class, percent)| format!("{} {percent}", class.as_str())).collect();
    assert_eq!(steps.first().unwrap(), "read 1");
    assert_eq!(steps.last().unwrap(), "critical 100");
    let classes: Vec<Class> = plan.steps.iter().map(|step| step.classes[0]).collect();
    assert!(classes.is_sorted(), "{steps:?}");
    assert_eq!(plan.guards.tests(), 6);
    assert_eq!(plan.guards.bounds.keys().next(), Some(&Metric::Errors));
}

#[test]
fn a_plan_is_read_with_its_defaults() {
    let plan = Plan::parse(PLAN, &[]).unwrap();
    let guards = &plan.guards;
    assert_eq!((guards.alpha, guards.beta, guards.floor), (0.001, 0.05, 0.0005));
    assert_eq!((guards.in_a_row, guards.crash_loop, guards.crash_loop_within_ms), (10, 5, 60_000));
    let errors = &guards.bounds[&Metric::Errors];
    assert_eq!((errors.tolerated, errors.unacceptable, errors.limit), (1.25, 2.0, 0.2));
    assert_eq!((plan.max_v2_load, plan.max_drill_time_ms), (0.8, 1000));
    let last = &plan.steps[2];
    assert_eq!(last.classes, Class::ALL);
    assert_eq!((last.proof.min_time_ms, last.proof.min_units), (10_000, 50));
    assert_eq!(plan.steps[1].percents.of(Class::Write).buckets(), 0);
    // Thousandths come from the text, whatever a float would make of them.
    let fine = PLAN.replace("percent = 5\n", "percent = 0.009\n");
    assert_eq!(Plan::parse(&fine, &[]).unwrap().steps[0].percent.buckets(), 9);
}

#[test]
fn steps_that_go_down_too_far_or_nowhere_are_refused_with_their_place() {
    spoilt("percent = 50", "percent = 4", "line 11: read goes from 5 to 4 %; steps only go up");
    spoilt("percent = 50", "percent = 5", "line 11: read goes from 5 to 5 %");
    spoilt("percent = 50", "percent = 101", "line 13: \"101\" is not a percentage");
    spoilt("percent = 50", "percent = 50.0001", "line 13: \"50.0001\" is not a percentage");
    spoilt("percent = 5\n", "percent = 0\n", "line 7: a step to 0 %");
    spoilt("percent = 50\n", "", "line 11: the step has no percent");
    spoilt(
        "class = \"read\"\npercent = 50",
        "class = \"write\"\npercent = 50",
        "line 11: read 5 %",
    );
    let many = format!("{PLAN}{}", "[[steps]]\npercent = 1\n".repeat(40));
    assert!(problems(&many).iter().any(|problem| problem.contains("43 steps are more than 32")));
}

#[test]
fn a_step_without_evidence_is_refused() {
    spoilt("min_units = 50\n", "", "line 11: no min_units");
    spoilt("min_units = 50\n", "min_units = 0\n", "line 15: min_units = 0 is no evidence");
    spoilt("min_time = \"10s\"\n", "", "line 5: no min_time");
    spoilt("min_time = \"10s\"", "min_time = \"soon\"", "line 8: min_time = \"soon\" is no time");
    spoilt("min_time = \"10s\"", "min_time = \"0s\"", "line 8: min_time = \"0s\" is no time");
    spoilt("limit = 0.2\n", "", "line 2: errors has no limit");
    let unguarded = PLAN.replace("[guards.errors]\nlimit = 0.2\n", "");
    assert!(problems(&unguarded)[0].contains("no [guards]"));
    assert!(problems("[guards.errors]\nlimit = 0.2\n")[0].contains("no [[steps]]"));
}

#[test]
fn unknown_names_are_refused_with_their_place() {
    spoilt("[guards.errors]", "[guards.erors]", "line 2: no metric erors; known are errors, ");
    spoilt("class = \"read\"", "class = \"reed\"", "line 6: no class reed");
    spoilt("limit = 0.2", "limit = 0.2\nignore = [\"known\", \"no\"]", "line 4: no command no");
    spoilt("limit = 0.2", "limit = 0.2\ntolerate = 2", "line 4: unknown field `tolerate`");
    spoilt("percent = 5\n", "percent = \n", "line 7:");
}

#[test]
fn numbers_out_of_range_are_refused_with_their_place_and_all_at_once() {
    spoilt("limit = 0.2", "limit = 1.0", "line 3: limit = 1 is not above 0 and below 1");
    spoilt("limit = 0.2", "limit = 0.2\ntolerated = 0.5", "line 4: tolerated = 0.5 is not 1 to 10");
    spoilt(
        "limit = 0.2",
        "limit = 0.2\nunacceptable = 1.25",
        "line 4: unacceptable = 1.25 is not above tolerated = 1.25",
    );
    let text = format!(
        "alpha = 0.5\nbeta = 0\nmax_v2_load = nan\nin_a_row = 0\nmax_drill_age = \"x\"\n\
         crash_loop = {{ deaths = 0, within = \"1m\" }}\n{PLAN}"
    );
    let problems = problems(&text);
    assert_eq!(problems.len(), 6, "{problems:?}");
    for (line, problem) in [(1, "alpha"), (2, "beta"), (3, "max_v2_load"), (4, "in_a_row")] {
        let found = problems
            .iter()
            .any(|found| found.starts_with(&format!("line {line}: ")) && found.contains(problem));
        assert!(found, "{problem}: {problems:?}");
    }
}

#[test]
fn mismatches_are_proven_in_the_shadow_stage() {
    let mismatches = "[guards.mismatches]\nlimit = 0.01\n";
    let shadow = "[shadow]\nmin_time = \"1h\"\nmin_units = 300\n";
    let plan = Plan::parse(&format!("{mismatches}{shadow}{PLAN}"), &[]).unwrap();
    assert_eq!(plan.shadow.unwrap().min_units, 300);
    assert!(problems(&format!("{mismatches}{PLAN}"))[0].contains("but no [shadow]"));
    assert!(problems(&format!("{shadow}{PLAN}"))[0].contains("line 1: [shadow] without"));
}

#[test]
fn a_gauntlet_names_commands_and_how_often_each_must_match() {
    let text = format!("[gauntlet]\nknown = 300\n{PLAN}");
    let plan = Plan::parse(&text, &["known"]).unwrap();
    assert_eq!(plan.gauntlet["known"], 300);
    assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    let spoilt = text.replace("known = 300", "known = 0\nno = 1");
    let problems = problems(&spoilt);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("line 2: known = 0 is no gauntlet"), "{problems:?}");
    assert!(problems[1].starts_with("line 3: no command no"), "{problems:?}");
}

/// Read at 5 and at 50 % leaves all sessions in V2 where the lowest share governs them.
#[test]
fn where_sessions_are_governed_as_a_whole_each_step_raises_all_classes() {
    let BadPlan { problems } = Plan::parse(PLAN, &[]).unwrap().for_whole_sessions().unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[1].starts_with("step 2 leaves critical at 0 %"), "{problems:?}");
    let together = Plan::parse(&PLAN.replace("class = \"read\"\n", ""), &[]).unwrap();
    assert_eq!(together.clone().for_whole_sessions().unwrap(), together);
}

#[test]
fn a_plan_survives_being_stored() {
    let plan = Plan::standard();
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
}
