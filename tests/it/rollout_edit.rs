//! Changing the rollout file, when it goes well and when it does not: two writers, a full disk,
//! a folder that cannot be written, files of all kinds, and what the audit says afterwards.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use poolshift::router::draft::Action;
use poolshift::router::edit::{Change, EditError, edit};
use poolshift::router::paths::RolloutPaths;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::tool::{Ran, Tool};

fn set(tool: &Tool, percent: &str) -> Ran {
    tool.run(&["rollout", "set", percent])
}

fn verify(tool: &Tool) -> Ran {
    tool.run(&["rollout", "history", "--verify", "--json"])
}

fn text(tool: &Tool, name: &str) -> String {
    fs::read_to_string(tool.path(name)).unwrap()
}

/// Everything in the folder that is neither the rollout file nor beside it on purpose.
fn litter(tool: &Tool) -> Vec<String> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut all = names(tool.path("rollout.toml").parent().unwrap());
    all.extend(names(&tool.path("rollout.toml.d")));
    let known = ["rollout.toml", "rollout.toml.d", "audit.jsonl", "lock"];
    all.retain(|name| !known.contains(&name.as_str()));
    all
}

#[test]
fn writers_at_once_come_one_after_the_other() {
    let tool = Tool::new();
    let spawn = |n: usize| {
        let mut command = tool.command(&["rollout", "set", &n.to_string(), "--json"]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let writers: Vec<_> = (1..=8).map(spawn).collect();
    let mut versions: Vec<u64> = writers
        .into_iter()
        .map(|writer| {
            let output = writer.wait_with_output().unwrap();
            assert!(output.status.success());
            let changed: Value = serde_json::from_slice(&output.stdout).unwrap();
            changed["version"].as_u64().unwrap()
        })
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7, 8]);
    let history = verify(&tool).json();
    assert_eq!((history["lines"].as_array().unwrap().len(), &history["sound"]), (8, &json!(true)));
    assert_eq!(litter(&tool), Vec::<String>::new());
}

#[test]
fn only_one_of_those_who_saw_a_version_may_change_it() {
    let tool = Tool::new();
    assert_eq!(set(&tool, "1").code, Some(0));
    let spawn = |n: usize| {
        let args = ["rollout", "set", &(n + 10).to_string(), "--if-version", "1"];
        tool.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let writers: Vec<_> = (1..=6).map(spawn).collect();
    let outputs = writers.into_iter().map(|writer| writer.wait_with_output().unwrap());
    let refused: Vec<_> = outputs.filter(|output| !output.status.success()).collect();
    assert_eq!(refused.len(), 5);
    for output in refused {
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(error.contains("is at version 2, not 1"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_hangs_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let paths = RolloutPaths::of(&folder.path().join("rollout.toml"));
    fs::create_dir(paths.folder()).unwrap();
    let held = fs::File::create(paths.lock()).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let (actor, reason, if_version) = ("ann".to_owned(), None, None);
    let (action, above, killed_anywhere, verdict) = (Action::Kill, 0, false, None);
    let change = Change { action, actor, reason, if_version, above, killed_anywhere, verdict };
    let error = edit(&paths, &change, false).await.unwrap_err();
    assert!(matches!(error, EditError::Locked { .. }), "{error}");
    assert!(!paths.file().exists());
    drop(held);
    assert_eq!(edit(&paths, &change, false).await.unwrap().after.version, Some(1));
    let long = Change { reason: Some("x".repeat(1001)), ..change };
    assert!(matches!(edit(&paths, &long, false).await, Err(EditError::TooLong { .. })));
}

/// Runs the tool in a folder of its own that `mount` mounts. None if this machine does not allow
/// that.
fn mounted(tool: &Tool, mount: &str, steps: &str) -> Option<Ran> {
    fs::create_dir_all(tool.path("service")).unwrap();
    tool.in_own_mounts(&format!("{mount} || exit 99\n cd service && {steps}"))
}

#[test]
fn a_full_disk_leaves_file_and_audit_as_they_were() {
    let tool = Tool::new();
    // Eight pages of 4 KiB: with the file and its draft, six are left for the audit, and the
    // line that needs a seventh is half written when the disk is full.
    let mount = "mount -t tmpfs -o size=32k none service";
    let reason = "x".repeat(900);
    let steps = format!(
        "n=0; while [ $n -lt 60 ] && POOLSHIFT rollout set 1.$((100 + n)) --reason {reason} \
         > ../out 2> ../errors; do n=$((n + 1)); done; cat ../errors >&2; ls -A; ls -A *.d; \
         POOLSHIFT rollout history --verify --last 1; POOLSHIFT rollout show; echo after $n"
    );
    let Some(ran) = mounted(&tool, mount, &steps) else { return };
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("after 60"), "the disk was never full");
    assert!(ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
    assert!(ran.stdout.contains("the audit holds"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("incomplete"), "half a line is left: {}", ran.stderr);
    assert!(ran.stderr.contains("audit.jsonl"), "the draft fitted: {}", ran.stderr);
    assert!(!ran.stdout.contains(".draft"), "{}", ran.stdout);
}

#[test]
fn a_read_only_folder_is_a_clear_error() {
    let tool = Tool::new();
    let mount = "mount -t tmpfs none service && (cd service && POOLSHIFT rollout set 5) \
                 && mount -o remount,ro service";
    let Some(ran) = mounted(&tool, mount, "POOLSHIFT rollout kill") else { return };
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
}

#[test]
fn a_file_of_a_newer_format_is_not_written_over() {
    let tool = Tool::new();
    let newer = "format = 2\npercent = 5\nstages = [\"a\"]\n";
    tool.write("rollout.toml", newer);
    for action in [&["rollout", "set", "10"][..], &["rollout", "kill"], &["rollout", "show"]] {
        let ran = tool.run(action);
        assert_eq!(ran.code, Some(1), "{action:?}");
        assert!(ran.stderr.contains("newer poolshift"), "{}", ran.stderr);
    }
    assert_eq!(text(&tool, "rollout.toml"), newer);
}

#[test]
fn a_broken_file_stops_all_but_the_kill_switch() {
    for broken in ["percent = 1O\n", "percent = 10\nclases = 3\n", "percent = 101\n"] {
        let tool = Tool::new();
        tool.write("rollout.toml", broken);
        let ran = set(&tool, "10");
        assert_eq!(ran.code, Some(1));
        assert!(ran.stderr.contains("`rollout kill` works all the same"), "{}", ran.stderr);
        assert_eq!(text(&tool, "rollout.toml"), broken);
        let ran = tool.run(&["rollout", "kill"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(text(&tool, "rollout.toml").contains("killed = true"));
        assert_eq!(text(&tool, "rollout.toml.d/refused-1.toml"), broken);
        assert_eq!(verify(&tool).code, Some(0));
    }
}

#[test]
fn a_changed_byte_and_a_cut_tail_are_found() {
    let tool = Tool::new();
    for percent in ["1", "2", "3"] {
        assert_eq!(set(&tool, percent).code, Some(0));
    }
    let good = text(&tool, "rollout.toml.d/audit.jsonl");
    let changed = good.replacen("set 2", "set 7", 1);
    let cut: String = good.split_inclusive('\n').take(2).collect();
    for (bad, fault) in [(changed, "line 3 does not carry"), (cut, "the tail was cut")] {
        tool.write("rollout.toml.d/audit.jsonl", &bad);
        let ran = verify(&tool);
        assert_eq!(ran.code, Some(3));
        assert!(ran.stderr.contains(fault), "{}", ran.stderr);
        assert!(ran.stdout.contains("\"sound\":false"), "{}", ran.stdout);
        assert_eq!(tool.code_unread(&["rollout", "history", "--verify"]), Some(3));
    }
    // The tool still works, says so, and the gap stays on record.
    let ran = set(&tool, "4");
    assert!(ran.code == Some(0) && ran.stderr.contains("the tail was cut"), "{}", ran.stderr);
    assert!(verify(&tool).stderr.contains("when line 3 was written"));
}

#[test]
fn what_was_changed_by_hand_goes_on_record_with_the_next_change() {
    let tool = Tool::new();
    tool.write("rollout.toml", "# ours\npercent = 5 # careful\n");
    assert_eq!(set(&tool, "10").code, Some(0));
    let by_hand = text(&tool, "rollout.toml").replace("percent = 10 # careful", "percent = 20");
    tool.write("rollout.toml", &by_hand);
    let ran = verify(&tool);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("changed by hand after line 1"), "{}", ran.stderr);
    assert_eq!(set(&tool, "30").code, Some(0));
    let history = verify(&tool).json();
    let actions: Vec<&Value> =
        history["lines"].as_array().unwrap().iter().map(|line| &line["action"]).collect();
    assert_eq!(actions, [&json!("set 10"), &json!("by hand"), &json!("set 30")]);
    assert!(text(&tool, "rollout.toml").starts_with("# ours\n"));
}

#[test]
fn a_file_that_was_removed_comes_back_as_it_was_and_a_wrong_folder_is_not_made() {
    let tool = Tool::new();
    assert_eq!(set(&tool, "25").code, Some(0));
    assert_eq!(tool.run(&["rollout", "kill"]).code, Some(0));
    fs::remove_file(tool.path("rollout.toml")).unwrap();
    // Running processes are still killed, and a new share must not change that by the way.
    let ran = set(&tool, "30");
    assert!(ran.code == Some(0) && ran.stderr.contains("the file was gone"), "{}", ran.stderr);
    let shown = tool.run(&["rollout", "show", "--json"]).json();
    assert_eq!((&shown["killed"], &shown["percent"]), (&json!(true), &json!(30.0)));
    let ran = tool.run(&["rollout", "--file", "no/such/rollout.toml", "kill"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("No such file"), "{}", ran.stderr);
    assert!(!tool.path("no").exists());
}

/// What is left when the writer dies after the audit line and before the rename.
#[test]
fn a_change_that_stopped_half_way_is_harmless() {
    let tool = Tool::new();
    assert_eq!(set(&tool, "1").code, Some(0));
    let before = text(&tool, "rollout.toml");
    assert_eq!(set(&tool, "2").code, Some(0));
    tool.write("rollout.toml", &before);
    let torn = text(&tool, "rollout.toml.d/audit.jsonl") + "{\"line\":3,";
    tool.write("rollout.toml.d/audit.jsonl", &torn);
    let ran = verify(&tool);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("line 2 was never put into force"), "{}", ran.stderr);
    assert_eq!(set(&tool, "3").code, Some(0));
    let history = verify(&tool).json();
    assert_eq!(history["lines"].as_array().unwrap().len(), 3, "no line by hand: {history}");
    assert_eq!(history["lines"][2]["after"]["version"], json!(3));
}

#[test]
fn a_link_stays_a_link_and_the_file_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let tool = Tool::new();
    let target = tool.write("shared.toml", "percent = 1\n");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("shared.toml", tool.path("rollout.toml")).unwrap();
    assert_eq!(set(&tool, "2").code, Some(0));
    assert!(fs::symlink_metadata(tool.path("rollout.toml")).unwrap().is_symlink());
    assert!(text(&tool, "shared.toml").contains("percent = 2"));
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_change_that_changes_nothing_writes_nothing_and_a_dry_run_neither() {
    let tool = Tool::new();
    assert_eq!(set(&tool, "2").code, Some(0));
    let before = text(&tool, "rollout.toml");
    let again = set(&tool, "2");
    assert!(again.code == Some(0) && again.stderr.contains("says so already"), "{}", again.stderr);
    let dry = tool.run(&["rollout", "rollback", "--dry-run", "--json"]).json();
    assert_eq!((&dry["version"], &dry["written"]), (&json!(2), &json!(false)));
    assert_eq!(text(&tool, "rollout.toml"), before);
    let ran = tool.run(&["rollout", "set", "50", "--class", "critical"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no class may be ahead of a safer one"), "{}", ran.stderr);
    assert_eq!(tool.run(&["rollout", "set", "1.2345"]).code, Some(2));
    assert_eq!(tool.run(&["rollout", "kill", "--wait", "soon"]).code, Some(2));
}

#[test]
fn bucket_and_explain_say_where_a_call_would_go() {
    let tool = Tool::new();
    let args = ["rollout", "bucket", "--flag", "v3-rollout", "--session", "session-1", "--json"];
    let drawn = tool.run(&args).json();
    assert_eq!((&drawn["hash"], &drawn["bucket"]), (&json!(659_333_176), &json!(15_351)));
    let explain = |more: &[&str]| {
        let args = ["rollout", "explain", "--session", "session-1", "--json"];
        let told = tool.run(&[&args, more].concat()).json();
        (told["lane"].clone(), told["reason"].clone(), told["class"].clone())
    };
    let of = |lane: &str, reason: &str, class: &str| (json!(lane), json!(reason), json!(class));
    assert_eq!(explain(&[]), of("v2", "percent", "critical"));
    assert_eq!(set(&tool, "15.352").code, Some(0));
    assert_eq!(explain(&["--command", "echo"]), of("v3", "percent", "read"));
    assert_eq!(set(&tool, "15.351").code, Some(0));
    assert_eq!(explain(&["--command", "echo"]), of("v2", "percent", "read"));
    assert_eq!(explain(&["--pool", "v3"]), of("v3", "forced", "critical"));
    assert_eq!(tool.run(&["rollout", "kill"]).code, Some(0));
    assert_eq!(explain(&["--pool", "v3"]), of("v2", "killed", "critical"));
    let ran = tool.run(&["rollout", "explain"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("--session"), "{}", ran.stderr);
}

#[test]
fn waiting_for_nobody_is_told_apart_from_waiting_in_vain() {
    let tool = Tool::new();
    let ran = tool.run(&["rollout", "kill", "--wait", "1s"]);
    assert_eq!(ran.code, Some(5));
    assert!(ran.stderr.contains("no running process follows it"), "{}", ran.stderr);
    assert_eq!(tool.run(&["status"]).code, Some(5));
}

#[test]
fn a_reason_forges_no_line_and_touches_no_terminal() {
    let tool = Tool::new();
    let reason = "x\n  99  2026  v99 set 100 by root\u{1b}[31mred";
    assert_eq!(tool.run(&["rollout", "set", "5", "--reason", reason]).code, Some(0));
    let shown = tool.run(&["rollout", "history"]).stdout;
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(!shown.contains('\u{1b}') && shown.contains("\\n  99"), "{shown}");
    assert_eq!(tool.run(&["rollout", "set", "6", "--actor", ""]).code, Some(2));
    assert_eq!(tool.run(&["rollout", "history", "--last", "0"]).code, Some(2));
}

/// A variable that is no text is somebody else's; the kill switch must not end over it.
#[test]
fn a_foreign_variable_that_is_no_text_stops_nothing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let tool = Tool::new();
    let latin = OsStr::from_bytes(b"caf\xe9");
    let run = |name: &str, args: &[&str]| {
        tool.command(args).env(name, latin).stderr(Stdio::piped()).output().unwrap()
    };
    assert!(run("NOTE", &["rollout", "kill"]).status.success());
    let ours = run("POOLSHIFT__WORKER__APP", &["config", "check"]);
    assert_eq!(ours.status.code(), Some(4), "{ours:?}");
}

/// As root, which is who changes a file that belongs to the service.
#[test]
fn what_root_changes_still_belongs_to_the_service() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    if !rustix::process::getuid().is_root() {
        return crate::tool::skip("only root can give files away");
    }
    let tool = Tool::new();
    let file = tool.write("rollout.toml", "percent = 1\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    for path in [&file, &tool.path("")] {
        chown(path, Some(65_534), Some(65_534)).unwrap();
    }
    assert_eq!(tool.run(&["rollout", "kill"]).code, Some(0));
    for name in
        ["rollout.toml", "rollout.toml.d", "rollout.toml.d/lock", "rollout.toml.d/audit.jsonl"]
    {
        assert_eq!(fs::metadata(tool.path(name)).unwrap().uid(), 65_534, "{name}");
    }
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
}
