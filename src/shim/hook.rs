//! The command that a plan has run when the verdict has changed.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::router::ramp::{Hook, Verdict};

/// Hooks that run at once; one that hangs until its deadline must not keep the next one waiting,
/// and a hundred of them must not pile up.
const AT_ONCE: usize = 4;

/// Runs hooks beside everything else.
#[derive(Clone, Debug)]
pub(super) struct Hooks {
    free: Arc<Semaphore>,
}

impl Hooks {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Starts a hook and returns; what becomes of it is logged.
    pub(super) fn start(&self, hook: &Hook, verdict: &Verdict) {
        let program = hook.command.join(" ");
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            tracing::warn!(%program, "on_verdict is left out: {AT_ONCE} are running already");
            return;
        };
        let json = serde_json::to_vec(verdict).expect("a verdict is plain data");
        let hook = hook.clone();
        tokio::spawn(async move {
            let limit = Duration::from_millis(hook.timeout_ms);
            match run(&hook.command, &json, limit).await {
                Ok(()) => tracing::info!(%program, "on_verdict was told"),
                Err(error) => tracing::warn!(%program, %error, "on_verdict failed"),
            }
            drop(place);
        });
    }
}

/// In a group of its own, so that at the deadline its children go too.
async fn run(command: &[String], stdin: &[u8], limit: Duration) -> Result<(), String> {
    let (program, args) = command.split_first().ok_or("it names no program")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start: {error}"))?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut pipe = child.stdin.take().expect("its stdin is piped");
    let told = async {
        // One that does not read it has its reasons.
        let _ = pipe.write_all(stdin).await;
        drop(pipe);
        child.wait().await
    };
    // Dropped here, with the runtime: the program is killed.
    match tokio::time::timeout(limit, told).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("it ended with {status}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            // It was not reaped yet, so the group is still its own.
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            Err(format!("it was killed after {limit:?}"))
        }
    }
}
