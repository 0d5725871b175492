//! Before the first step: comparisons of real workers, as the gauntlet and as evidence of harm.

use std::fs;
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::router::stage::Stage;
use poolshift::shim::testimony::Testimonies;
use poolshift::{Args, Call, SessionId, Shim};
use serde_json::{Value, json};

use crate::ramp_live::{PLAN, Service};

/// Half of all shadows are of V2 with itself.
const SETTINGS: &str = r#"
[v2]
size = 2
[v3]
size = 2
[commands.look]
class = "read"
[shadow]
sample = 1
noise = 0.5
reserve = 0
max_per_s = 100000
"#;

const MISMATCHES: &str = r#"
[guards.mismatches]
limit = 0.999
[shadow]
min_time = "1ms"
min_units = 10
"#;

/// Its workers answer with what the expression says; `in_v3` tells them apart.
fn service(answer: &str) -> Service {
    let app = format!(
        "import random\nfrom poolshift_worker import command\n\n\n@command(\"look\")\n\
         def look(args, context):\n    in_v3 = context.worker_id.startswith(\"v3-\")\n    \
         return {{\"answer\": {answer}}}\n"
    );
    let mut service = Service::of(SETTINGS, &app);
    service.config.shadow.store = service.path("kept");
    service
}

/// A process that has begun the plan, and waits before its first step.
async fn begun(service: &Service, plan: &str) -> Shim {
    let shim = service.start().await;
    shim.router().legacy().ready(2).await.unwrap();
    service.good(&["ramp", "drill"]);
    service.begin(plan);
    service.until("it is judged", |shown| !shown["verdict"].is_null()).await;
    shim
}

/// Whether sessions stay. V2 is compared with itself only on workers that serve no session.
#[derive(Clone, Copy, PartialEq)]
enum Sessions {
    Stay,
    End,
}

/// One call of a session of its own, and the end of its shadow.
async fn call(shim: &Shim, n: u64, sessions: Sessions) {
    let args = Args::parse(&format!("{{\"n\": {n}}}")).unwrap();
    let session = SessionId::new(&format!("s{n}")).unwrap();
    let call = Call::new("look", args).with_session(session.as_str()).unwrap();
    let routed = shim.call(call).await;
    assert!(routed.answer.result.is_ok(), "{:?}", routed.answer);
    let is_over = || {
        let status = shim.router().shadow().unwrap();
        let commands = status.compared.commands.values();
        let compared: u64 = commands.map(|it| it.compared + it.noise_compared).sum();
        let ended = status.paired + status.dropped.values().sum::<u64>();
        // The store knows those of an earlier process, too.
        status.sampled == ended && compared >= status.paired
    };
    while !is_over() {
        tokio::time::sleep(Duration::from_millis(1)).await; // polls a condition
    }
    if sessions == Sessions::End {
        shim.end_session(&session).await;
    }
}

/// One call each of sessions from here on, until enough is known of them; the next session.
async fn calls_until(
    shim: &Shim,
    first: u64,
    sessions: Sessions,
    enough: impl Fn() -> bool,
) -> u64 {
    let clock = Clock::start();
    for n in first.. {
        call(shim, n, sessions).await;
        if enough() {
            return n + 1;
        }
        assert!(clock.now().since(Moment::ZERO) < Duration::from_secs(60), "still not enough");
    }
    unreachable!("it is asked without end")
}

fn compared(service: &Service) -> u64 {
    let mark = service.mark();
    let heard = Testimonies::of(&service.paths(), &mark).hear(mark.number);
    heard.evidence.map_or(0, |evidence| evidence.compared.units.candidate)
}

fn matches(shown: &Value) -> u64 {
    shown["gauntlet"]["look"]["matches"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_step_waits_until_recorded_and_live_calls_were_answered_alike() {
    let service = service("args[\"n\"]");
    let plan = format!("{PLAN}[gauntlet]\nlook = 60\n");
    let shim = begun(&service, &plan).await;
    let shown = service.next_verdict().await;
    assert_eq!((&shown["step"], &shown["gauntlet"]["look"]["wanted"]), (&json!(0), &json!(60)));
    assert!(shown["reasons"].to_string().contains("V3 answered look as V2 did 0 times"), "{shown}");

    let line = |n: u64| format!("{}\n", json!({"command": "look", "args": {"n": n}}));
    fs::write(service.path("calls.jsonl"), (0..20).map(line).collect::<String>()).unwrap();
    // The same calls again prove nothing more, and another build nothing about this one.
    for build in ["b", "b", "c"] {
        let mut command = service.command();
        command.args(["shadow", "run", "calls.jsonl", "--noise", "0", "--build", build]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let shown = service.until("the corpus counts", |shown| matches(shown) > 0).await;
    assert_eq!(matches(&shown), 20, "{shown}");

    // Fewer than are wanted, whoever of them is drawn to be compared with what.
    let next = 39;
    for n in 0..next {
        call(&shim, n, Sessions::Stay).await;
    }
    let before = matches(&service.until("live ones count", |shown| matches(shown) > 25).await);
    assert!((26..60).contains(&before), "{before}");
    // A restart forgets none of them.
    shim.drain().await;
    drop(shim);
    let shim = service.start().await;
    shim.router().legacy().ready(2).await.unwrap();
    assert!(matches(&service.next_verdict().await) >= before);
    calls_until(&shim, next, Sessions::Stay, || service.mark().number > 1).await;
    let history = service.good(&["history"]);
    let lines = history["lines"].as_array().unwrap();
    let step = lines.iter().find(|line| line["action"] == "ramp to step 1 of 2").unwrap();
    let findings = step["verdict"]["findings"].as_array().unwrap();
    let gauntlet = findings.iter().find(|finding| finding["check"] == "gauntlet").unwrap();
    assert!(gauntlet["value"].as_f64().unwrap() >= 60.0, "{gauntlet}");
    assert_eq!(gauntlet["inputs"]["recorded"], 20.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_v3_that_answers_otherwise_is_rolled_back_before_it_has_a_caller() {
    let service = service("args[\"n\"] + in_v3");
    let shim = begun(&service, &format!("{PLAN}{MISMATCHES}")).await;
    let is_back = || shim.router().policy().stages.overall() == Stage::RolledBack;
    calls_until(&shim, 0, Sessions::End, is_back).await;
    assert_eq!(shim.router().draws().v3, 0);
    let history = service.good(&["history", "--verify"]);
    let last = history["lines"].as_array().unwrap().last().unwrap();
    assert_eq!(last["action"], "ramp rollback");
    let reason = last["reason"].as_str().unwrap();
    assert!(reason.contains("V3 has more mismatches than V2: ln E = "), "{reason}");
    assert!(reason.contains("most evidence in look"), "{reason}");
    let guards = shim.router().guards(Clock::wall()).unwrap();
    assert_eq!(guards.evidence().matches("look"), 0);
}

/// Also where V2 is hardly ever compared with itself, since its sessions stay.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_differ_by_themselves_are_no_harm() {
    let service = service("random.random()");
    let shim = begun(&service, &format!("{PLAN}{MISMATCHES}")).await;
    calls_until(&shim, 0, Sessions::Stay, || compared(&service) >= 40).await;
    let shown = service.next_verdict().await;
    let stands = (&shown["verdict"], &shown["stage"], &shown["step"]);
    assert_eq!(stands, (&json!("hold"), &json!("shadow"), &json!(0)), "{shown}");
}
