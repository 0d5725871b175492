//! The command that a plan has run: it is told, it may hang, and nothing waits for it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::ramp_live::{PLAN, Service};
use crate::tool::until;

fn with_hook(script: &str, timeout: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!("on_verdict = [\"sh\", \"-c\", {script}]\non_verdict_timeout = \"{timeout}\"\n{PLAN}")
}

fn runs(pid: &Path) -> bool {
    let pid = fs::read_to_string(pid).unwrap();
    Path::new(&format!("/proc/{}", pid.trim())).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_does_not_wait_for_a_hook_that_hangs() {
    let service = Service::new();
    let pid = service.path("pid");
    // The first one hangs; those after it say what they were told.
    let (hung, told) = (pid.display(), service.path("told"));
    let script = format!(
        "if [ -e {hung} ]; then cat > {told}.$$ && mv {told}.$$ {told}; else echo $$ > {hung}; \
         exec sleep 1000; fi",
        told = told.display()
    );
    let _shim = service.at_step_one(&with_hook(&script, "1h")).await;
    until("the hook hangs", || fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    service.plant_harm();
    service.until("the rollback", |shown| shown["stage"] == "rolled_back").await;
    assert!(runs(&pid), "it still hangs");
    let said = || -> Option<Value> { serde_json::from_slice(&fs::read(&told).ok()?).ok() };
    until("the next hook is told", || said().is_some_and(|told| told["verdict"] == "rollback"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_killed_with_its_children_at_its_deadline() {
    let service = Service::new();
    let pid = service.path("pid");
    let script = format!("sh -c 'echo $$ > {}; sleep 1000'; true", pid.display());
    let _shim = service.at_step_one(&with_hook(&script, "300ms")).await;
    until("the hook runs", || fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    until("its child is gone", || !runs(&pid));
}
