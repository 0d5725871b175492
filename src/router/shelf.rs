//! What a ramp leaves beside the rollout file: its plan, and the last drill.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::router::audit::hash;
use crate::router::paths::RolloutPaths;
use crate::router::ramp::{Drill, Plan, RampMark};

/// Keeps a plan under the hash of its content.
///
/// # Errors
/// If it cannot be written.
pub fn keep_plan(paths: &RolloutPaths, plan: &Plan) -> io::Result<()> {
    if let Err(error) = fs::create_dir(paths.folder())
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    write_json(&paths.plan(&plan_name(plan)), plan)
}

/// Forgets what processes knew of other builds and plans than those that a ramp begins with.
///
/// # Errors
/// If something cannot be removed.
pub fn forget_others(paths: &RolloutPaths, mark: &RampMark) -> io::Result<()> {
    let kept = paths.evidence(&mark.plan, &mark.build);
    let folder = kept.parent().expect("evidence has a folder of its own");
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path != kept {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// The hash of a plan's content.
#[must_use]
pub fn plan_name(plan: &Plan) -> Arc<str> {
    let json = serde_json::to_vec(plan).expect("a plan is plain data");
    hash(&json).into()
}

/// Reads a plan that was kept.
///
/// # Errors
/// If it is not there, or is not what its name says.
pub fn plan(paths: &RolloutPaths, name: &str) -> Result<Plan, String> {
    let path = paths.plan(name);
    let shown = path.display();
    let json = fs::read(&path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if hash(&json) != name {
        return Err(format!("{shown} was changed since the ramp began; start it anew"));
    }
    serde_json::from_slice(&json).map_err(|error| format!("{shown}: {error}"))
}

/// Keeps what a drill found.
///
/// # Errors
/// If it cannot be written.
pub fn keep_drill(paths: &RolloutPaths, drill: Drill) -> io::Result<()> {
    write_json(&paths.drill(), &drill)
}

/// The last drill, if there was one that can be read.
#[must_use]
pub fn last_drill(paths: &RolloutPaths) -> Option<Drill> {
    read_json(&paths.drill())
}

/// Replaces a file by a text of this content, whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn write_json(path: &Path, content: &impl Serialize) -> io::Result<()> {
    replace(path, &serde_json::to_vec(content).map_err(io::Error::other)?)
}

/// A file's content; none if it is not there, or of another kind.
#[must_use]
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}
