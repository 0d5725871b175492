//! Plans and options that cannot be used are refused with the place and with what to do, and
//! nothing panics; failing runs leave a plan behind.

use std::path::Path;
use std::process::{Command, Output};

use poolshift_sim::bounds::{Impossible, check};
use poolshift_sim::fault::Fault;
use poolshift_sim::options::{Arrivals, Options};
use poolshift_sim::plan::{BadPlan, Plan};
use poolshift_sim::rng::Law;
use poolshift_sim::scenario::Scenario;
use poolshift_sim::world::Product;
use serde_json::Value;

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poolshift-sim")).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn text() -> String {
    Plan::record(&Product, 5, &Scenario::Full.options(5, 40)).0.to_text()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

/// The plan with the first line that begins so and the next one swapped.
fn swapped(text: &str, begin: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.starts_with(begin)).unwrap();
    lines.swap(first, first + 1);
    lines.join("\n")
}

/// The plan with a line more at the head of a list.
fn with(text: &str, list: &str, line: &str) -> String {
    let head = format!("\"{list}\": [");
    let rest = &text[text.find(&head).unwrap() + head.len()..];
    let comma = if rest.starts_with(']') { "" } else { "," };
    replaced(text, &head, &format!("{head}{line}{comma}"))
}

#[test]
fn bad_plans_are_refused_by_place_and_with_what_to_do() {
    let good = text();
    assert!(Plan::parse(&good).is_ok());
    let set = |from: &str, to: &str| replaced(&good, from, to);
    let kill = |at: u64| format!(r#"{{"at_ns":{at},"act":{{"kill":true}}}}"#);
    let request = |fault: &str| {
        let line = format!(r#"{{"request":{{"call":1,"attempt":1,"fault":"{fault}"}}}}"#);
        with(&good, "strikes", &line)
    };
    let drain = r#"{"before_call":99,"milestone":{"drain":"v2"}}"#;
    let raises = "\"raises_per_million\": 10000";
    for (text, says) in [
        (set("\"format\": 1", "\"format\": 2"), "it has format 2, and this build reads"),
        (good[..good.len() / 2].to_owned(), "it was cut off; copy it again"),
        (String::new(), "it was cut off"),
        (set("{\"call\":39,", "{\"call\":8388608,"), "calls after the first: at most 4194304"),
        (set("\"seed\": 5", "\"sede\": 5"), "unknown field `sede`"),
        (set("\"class\":\"", "\"class\":\"un"), "unknown variant"),
        (set("\"percent\": 50.0", "\"percent\": 50.12345"), "is not a percentage"),
        (set("\"percent\": 50.0", "\"percent\": 101.0"), "is not a percentage"),
        (set("\"size\": 8", "\"size\": 0"), "its setting: v2.size is 0: 1 to 65536"),
        (set(raises, &raises.replace("10000", "1000001")), "raises is 1000001 in a million"),
        (set("\"call\":3,", "\"call\":2,"), "calls[3] has number 2, and the call above it 2"),
        (swapped(&good, "{\"call\":7,"), "calls[8] has number 7, and the call above it 8"),
        (set("\"call\":3,\"at_ns\":", "\"call\":3,\"at_ns\":9"), "calls[4] (call 4) is before"),
        (with(&good, "acts", &kill(u64::MAX)), "acts[0] has at_ns 18446744073709551615: at most"),
        (with(&with(&good, "acts", &kill(1)), "acts", &kill(2)), "acts[1] is before the act"),
        (
            with(&good, "acts", r#"{"at_ns":1,"act":{"resize":0}}"#),
            "acts[0] resizes to 0 workers: 1 to",
        ),
        (with(&good, "milestones", drain), "milestones[1] is before the milestone above it"),
        (request("all_die"), "strikes[0] has all_die, which does not strike there"),
        (request("boom"), "no fault is called \"boom\": use crash_before_read"),
    ] {
        let told = Plan::parse(&text).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains(says), "{says}: {told}");
    }
}

#[test]
fn a_plan_that_is_cut_anywhere_is_an_error() {
    let good = text();
    for end in (0..good.trim_end().len()).step_by(7) {
        let cut = Plan::parse(&good[..end]).unwrap_err();
        assert!(matches!(cut, BadPlan::Truncated { .. }), "at {end}: {cut}");
    }
}

#[test]
fn impossible_options_are_refused_by_name() {
    type Change = fn(&mut Options);
    let cases: [(Change, &str); 16] = [
        (|it| it.calls = 0, "calls is 0: 1 to"),
        (|it| it.calls = u64::MAX, "calls is 18446744073709551615"),
        (|it| it.lanes[0].terms.size = 0, "v2.size is 0"),
        (|it| it.lanes[1].terms.size = 65_537, "v3.size is 65537"),
        (|it| it.lanes[1].max_waiting = usize::MAX, "v3.max_waiting is"),
        (|it| it.lanes[1].terms.max_starting = 0, "v3.max_starting is 0"),
        (|it| it.mix.cancels.0 = 1_000_001, "cancels is 1000001 in a million"),
        (|it| it.mix.writes = 950_000, "writes and criticals together is 1050000"),
        (|it| it.mix.sessions = 0, "sessions is 0"),
        (|it| it.faults.set(Fault::Hang, 1_000_001), "strike at one Request together is 1000001"),
        (|it| it.faults.set(Fault::AllDie, 4_000_000), "all_die an hour is 4000000"),
        (|it| it.operators.sizes = (5, 4), "sizes from 5 to 4: swap them"),
        (|it| it.operators.sizes = (0, 4), "the smallest size is 0"),
        (|it| it.operators.drain_before = [0, 200_000], "drain_before is 200000"),
        (|it| it.service = Law::Pareto { alpha: f64::NAN }, "a Pareto law an alpha above 1"),
        (|it| it.arrivals = Arrivals::Bursts(0), "a burst is 0"),
    ];
    assert_eq!(check(&Options::default()), Ok(()));
    for (change, says) in cases {
        let mut options = Options::default();
        change(&mut options);
        let told = check(&options).unwrap_err().to_string();
        assert!(told.contains(says), "{says}: {told}");
    }
    let percent: Result<_, Impossible> =
        "12,5".parse::<poolshift::router::percent::Percent>().map_err(Into::into);
    assert!(percent.unwrap_err().to_string().contains("\"12,5\" is not a percentage"));
    for seed in 0..500 {
        assert_eq!(check(&Scenario::Swarm.options(seed, 1)), Ok(()), "seed {seed}");
    }
}

#[test]
fn impossible_options_are_usage_errors_and_bad_plans_are_bad_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let file = path.to_str().unwrap();
    let run = ["run", "--seed", "1", "--calls", "100"];
    for (more, says) in [
        (["--workers", "0"], "v2.size is 0"),
        (["--percent", "12,5"], "is not a percentage"),
        (["--planted", "no_such"], "no bug \"no_such\" is planted"),
    ] {
        let output = sim(&[&run[..], &more].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{more:?}: {}", stderr(&output));
    }
    let missing = sim(&["replay", file]);
    assert_eq!(missing.status.code(), Some(4), "{}", stderr(&missing));
    std::fs::write(&path, replaced(&text(), "\"format\": 1", "\"format\": 9")).unwrap();
    let other = sim(&["replay", file]);
    assert_eq!(other.status.code(), Some(4), "{}", stderr(&other));
    assert!(stderr(&other).contains("plan.json: it has format 9"), "{}", stderr(&other));
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(sim(&["replay", file]).status.code(), Some(4));
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_failing_run_leaves_a_plan_that_fails_again() {
    let folder = tempfile::tempdir().unwrap();
    let plans = folder.path().join("new/plans");
    let place = ["--plan-dir", plans.to_str().unwrap(), "--planted", "cancelled_idle"];
    let args = ["run", "--seed", "1", "--calls", "3000", "--scenario", "full"];
    let output = sim(&[&args[..], &place, &["--json"]].concat());
    let told = json(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let (law, plan) = (&told["violations"][0]["law"], told["plan"].as_str().unwrap());
    let replay = sim(&["replay", plan, "--planted", "cancelled_idle", "--json"]);
    let again = json(&replay);
    assert_eq!(replay.status.code(), Some(1), "{again}");
    assert_eq!((&again["violations"][0]["law"], &again["recorded_law"]), (law, law));
    // A tangle of a loaded queue: 94 calls were left of 3000, none of which can go by itself.
    assert!(again["calls"].as_u64() < Some(200), "{again}");
    let product = sim(&["replay", plan]);
    let text = String::from_utf8(product.stdout).unwrap();
    assert_eq!(product.status.code(), Some(0), "{text}");
    assert!(text.contains("no law broken: seed 1") && text.contains("v3:"), "{text}");

    let swarm = ["swarm", "--runs", "3", "--calls", "2000", "--json"];
    let output = sim(&[&swarm[..], &place].concat());
    let told = json(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let failure = &told["failures"][0];
    assert!(failure["seed"].is_u64() && failure["law"].is_string(), "{told}");
    assert!(Path::new(failure["plan"].as_str().unwrap()).exists(), "{told}");
    let again: Vec<&str> = failure["again"].as_str().unwrap().split(' ').skip(1).collect();
    let repeated = sim(&[&again[..], &place[..2], &["--json"]].concat());
    assert_eq!(json(&repeated)["violations"][0]["law"], failure["law"]);
}
