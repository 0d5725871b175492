//! The command-line tool as its users run it: a real binary in a folder of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A folder in which the tool is run. Its workers' runtime is shared with other tests: hosts
/// that start at once are a case of their own.
pub(crate) struct Tool {
    folder: TempDir,
    env: Vec<(String, String)>,
}

/// What one run of the tool came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Tool {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolshift"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PATH", path());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The exit code for one who has closed the pipe, and looks at nothing else.
    pub(crate) fn code_unread(&self, args: &[&str]) -> Option<i32> {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.command(args);
        command.stdout(writer).stderr(Stdio::null()).status().unwrap().code()
    }
}

impl Tool {
    /// Runs a shell script in the tool's folder and in a mount namespace of its own; `POOLSHIFT`
    /// stands for the tool. None if this machine does not let tests mount, which the script
    /// tells by exit status 99.
    pub(crate) fn in_own_mounts(&self, script: &str) -> Option<Ran> {
        let script = script.replace("POOLSHIFT ", concat!(env!("CARGO_BIN_EXE_poolshift"), " "));
        let mut command = Command::new("unshare");
        let command = command.args(["-m", "sh", "-c", &script]).current_dir(self.folder.path());
        let output = command.output().ok();
        let refused = |output: &Output| {
            output.status.code() == Some(99) || output.stderr.starts_with(b"unshare:")
        };
        let Some(Output { status, stdout, stderr }) = output.filter(|output| !refused(output))
        else {
            skip("this machine does not let tests mount");
            return None;
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Some(Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) })
    }
}

/// Python's program itself; `python3` on the path may be a script that looks for it at each start,
/// which takes longer than the start.
pub(crate) fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let mut ask = Command::new("python3");
        let told = ask.args(["-c", "import sys; print(sys.executable)"]).output().unwrap().stdout;
        String::from_utf8(told).unwrap().trim().to_owned()
    })
}

/// The path, on which `python3` is the program itself.
fn path() -> OsString {
    let folder = Path::new(python()).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap()
}

/// Says that a test is passed over, and why.
#[expect(clippy::print_stderr, reason = "what is skipped is said")]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

impl Ran {
    /// Asserts that the run was good, and gives each line of stdout as JSON.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn json(&self) -> Value {
        let mut lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{}", self.stdout);
        lines.remove(0)
    }
}

/// The lines of all ledger files in a folder, with the file's name.
pub(crate) fn ledgers(folder: &Path) -> Vec<(String, Vec<String>)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(path).unwrap();
            (name, text.lines().map(str::to_owned).collect())
        })
        .collect()
}

/// Returns as soon as the condition holds; fails after a minute.
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    within(std::time::Duration::from_secs(60), what, condition);
}

/// Returns as soon as the condition holds; fails after `limit`.
#[expect(clippy::disallowed_methods, reason = "a test outside every clock of the product")]
pub(crate) fn within(limit: std::time::Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "still waiting until {what}");
        std::thread::sleep(std::time::Duration::from_millis(5)); // polls a condition
    }
}
