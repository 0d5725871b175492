//! What a ramp needs and leaves beside the rollout file: its plan, the last drill, and what
//! recorded calls came to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::router::audit::hash;
use crate::router::paths::RolloutPaths;
use crate::router::ramp::{Drill, Plan, RampMark};

/// More corpora than anybody runs with one build; what is beyond counts for nothing.
const MAX_CORPORA: usize = 1000;

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

/// Forgets what was known of other builds and plans than those that a ramp begins with.
///
/// # Errors
/// If something cannot be removed.
pub fn forget_others(paths: &RolloutPaths, mark: &RampMark) -> io::Result<()> {
    keep_only(&paths.evidence(&mark.plan, &mark.build))?;
    keep_only(&paths.corpora(&mark.build))
}

/// Removes everything that lies beside a folder.
fn keep_only(kept: &Path) -> io::Result<()> {
    let folder = kept.parent().expect("it has a folder of its own");
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

/// What one corpus of recorded calls came to in both lanes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusRun {
    /// The names of its files, for people.
    pub files: Vec<String>,
    /// When it was run.
    pub at: Wall,
    /// By command, how often V3 answered as V2 did.
    pub matches: BTreeMap<String, u64>,
}

/// Keeps what a corpus came to with a build of V3, in place of what the same corpus came to
/// before: to run it again proves nothing more. `content` names it.
///
/// # Errors
/// If it cannot be written.
pub fn keep_corpus(
    paths: &RolloutPaths,
    build: &str,
    content: &str,
    run: &CorpusRun,
) -> io::Result<()> {
    let folder = paths.corpora(build);
    fs::create_dir_all(&folder)?;
    write_json(&folder.join(format!("{content}.json")), run)
}

/// How often V3 answered each command as V2 did, in all corpora that were run with this build.
///
/// # Errors
/// If what was kept cannot be read.
pub fn corpora(paths: &RolloutPaths, build: &str) -> io::Result<BTreeMap<String, u64>> {
    let mut matches = BTreeMap::new();
    let entries = match fs::read_dir(paths.corpora(build)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(matches),
        entries => entries?,
    };
    for entry in entries.take(MAX_CORPORA) {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let run: CorpusRun = serde_json::from_slice(&fs::read(&path)?)?;
        for (command, more) in run.matches {
            *matches.entry(command).or_default() += more;
        }
    }
    Ok(matches)
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
