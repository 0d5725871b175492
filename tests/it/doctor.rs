//! `poolshift doctor`: each thing that can be missing gives its own finding, and says what to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::tool::{Ran, Tool, skip};

/// Runs the doctor and gives its checks; it exits with 1 if one of them failed.
fn checks(ran: &Ran) -> Value {
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let failed = told["checks"].as_array().unwrap().iter().any(|check| check["ok"] == false);
    assert_eq!((ran.code, told["ok"].as_bool()), (Some(i32::from(failed)), Some(!failed)));
    told["checks"].clone()
}

fn check<'a>(checks: &'a Value, name: &str) -> &'a Value {
    let found = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {checks}"))
}

/// Asserts that exactly these checks failed, and gives the first one's detail and fix.
fn only(checks: &Value, failed: &[&str]) -> (String, String) {
    let all = checks.as_array().unwrap().iter().filter(|check| check["ok"] == false);
    let names: Vec<&str> = all.map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, failed, "{checks}");
    let first = check(checks, failed[0]);
    let text = |field: &str| first[field].as_str().unwrap().to_owned();
    (text("detail"), text("fix"))
}

#[test]
fn a_machine_that_can_run_it_is_told_so() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__PYTHON_PATH", &interpreter());
    let ran = tool.run(&["doctor", "--json"]);
    let checks = checks(&ran);
    assert_eq!(ran.code, Some(0), "{checks}");
    let names: Vec<&Value> =
        checks.as_array().unwrap().iter().map(|check| &check["name"]).collect();
    for name in [
        "config",
        "python",
        "runtime",
        "app",
        "frame",
        "descriptors",
        "processes",
        "cgroup",
        "pidfd",
        "flock",
        "inotify",
        "memory",
        "rollout",
    ] {
        assert!(names.contains(&&json!(name)), "{name} in {checks}");
    }
    let detail = |name| check(&checks, name)["detail"].as_str().unwrap();
    assert!(detail("app").contains("ms of it its import"), "{checks}");
    assert!(detail("frame").starts_with("echo of 1048576 bytes came back"), "{checks}");
    let text = tool.run(&["doctor"]);
    assert_eq!(text.stdout.lines().filter(|line| line.starts_with("ok ")).count(), names.len());
}

/// Python itself, where `python3` may be a launcher of it.
fn interpreter() -> String {
    let said = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(said.unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn a_launcher_in_pythons_place_is_told_with_what_it_launches() {
    let tool = Tool::new();
    let python = interpreter();
    let launcher = tool.write("python", &format!("#!/bin/sh\nexec {python} \"$@\"\n"));
    fs::set_permissions(&launcher, Permissions::from_mode(0o755)).unwrap();
    let launcher = launcher.to_str().unwrap();
    let tool = tool.with_env("POOLSHIFT__WORKER__PYTHON_PATH", launcher);
    let checks = checks(&tool.run(&["doctor", "--json"]));
    let python_check = check(&checks, "python");
    assert_eq!(python_check["ok"], true);
    let text = |field: &str| python_check[field].as_str().unwrap().to_owned();
    assert!(text("detail").contains(&format!("{launcher} is a script")), "{checks}");
    assert!(text("fix").contains(&format!("python_path = \"{python}\"")), "{checks}");
}

#[test]
fn without_python() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__PYTHON_PATH", "no-such-python");
    let checks = checks(&tool.run(&["doctor", "--json"]));
    let (detail, fix) = only(&checks, &["python", "app", "memory"]);
    assert!(detail.contains("no-such-python") && fix.contains("install Python 3.9"), "{checks}");
    assert!(check(&checks, "app")["detail"].as_str().unwrap().contains("since python failed"));
}

#[test]
fn something_else_in_pythons_place() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__PYTHON_PATH", "false");
    let (detail, _) = only(&checks(&tool.run(&["doctor", "--json"])), &["python", "app", "memory"]);
    assert!(detail.contains("false is no Python (exit status 1)"), "{detail}");
}

#[test]
fn python_without_the_app() {
    let tool = Tool::new().with_env("POOLSHIFT__WORKER__APP", "no_such_app");
    let checks = checks(&tool.run(&["doctor", "--json"]));
    let (detail, fix) = only(&checks, &["app", "memory"]);
    assert!(detail.contains("it ended (exit status 1)"), "{detail}");
    assert!(detail.contains("No module named 'no_such_app'"), "{detail}");
    assert!(fix.contains("import no_such_app") && fix.contains("PYTHONPATH"), "{fix}");
}

#[test]
fn an_app_that_cannot_be_forked() {
    let tool = Tool::new();
    let app = "import threading\nfrom poolshift_worker import command\n\
               command(\"nothing\")(lambda args, context: None)\n\
               threading.Thread(target=threading.Event().wait, name=\"pinger\").start()\n";
    tool.write("threaded.py", app);
    let env = "env = { PYTHONPATH = \".\" }";
    let config = format!("[worker]\napp = \"threaded\"\nstart_method = \"fork\"\n{env}\n");
    tool.write("poolshift.toml", &config);
    let (detail, fix) = only(&checks(&tool.run(&["doctor", "--json"])), &["app", "memory"]);
    assert!(detail.contains("it has started threads (pinger)"), "{detail}");
    assert!(fix.contains("start_method = \"spawn\"") && !fix.contains("python_path"), "{fix}");
}

#[test]
fn a_script_that_is_no_worker() {
    let tool = Tool::new();
    tool.write("bridge.py", "print('Warning: noise on stdout', flush=True)\ninput()\n");
    tool.write("poolshift.toml", "[worker]\nscript = \"bridge.py\"\n");
    let (detail, fix) = only(&checks(&tool.run(&["doctor", "--json"])), &["app", "memory"]);
    assert!(detail.contains("Warn") && fix.contains("print nothing else there"), "{detail}: {fix}");
}

#[test]
fn sixty_four_descriptors() {
    let tool = Tool::new();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64", env!("CARGO_BIN_EXE_poolshift"), "doctor", "--json"]);
    let Ok(output) = command.current_dir(tool.path("")).output() else {
        return skip("prlimit is not on this machine");
    };
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::new());
    let checks = checks(&Ran { code: output.status.code(), stdout, stderr });
    let (detail, fix) = only(&checks, &["descriptors"]);
    assert!(detail.starts_with("limit 64, needed ") && fix.contains("ulimit -n"), "{checks}");
}

#[test]
fn a_read_only_cache() {
    let tool = Tool::new();
    fs::create_dir(tool.path("cache")).unwrap();
    let script = "mount -t tmpfs -o ro none cache || exit 99; export XDG_CACHE_HOME=$PWD/cache \
                  HOME=$PWD/cache TMPDIR=$PWD/cache; POOLSHIFT doctor --json";
    let Some(ran) = tool.in_own_mounts(script) else { return };
    let checks = checks(&ran);
    let (detail, fix) = only(&checks, &["runtime", "app", "memory"]);
    assert!(detail.contains("Read-only file system"), "{detail}");
    assert!(fix.contains("XDG_CACHE_HOME"), "{fix}");
}

#[test]
fn a_broken_config_and_a_broken_rollout_file() {
    let tool = Tool::new();
    tool.write("poolshift.toml", "[v3]\nsize = 0\nsise = 3\n");
    let told = checks(&tool.run(&["doctor", "--json"]));
    let (detail, _) = only(&told, &["config", "the rest"]);
    assert!(detail.contains("poolshift.toml:2") && detail.contains("poolshift.toml:3"), "{detail}");
    tool.write("poolshift.toml", "");
    tool.write("rollout.toml", "percent = 1O\n");
    let (detail, _) = only(&checks(&tool.run(&["doctor", "--json"])), &["rollout"]);
    assert!(detail.contains("rollout.toml"), "{detail}");
}
