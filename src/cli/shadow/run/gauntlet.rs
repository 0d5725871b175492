//! What a run of recorded calls counts for, before a ramp may begin.

use std::path::PathBuf;

use poolshift::clock::Clock;
use poolshift::config::Config;
use poolshift::router::audit::hash;
use poolshift::router::paths::RolloutPaths;
use poolshift::router::shelf::{CorpusRun, keep_corpus};
use poolshift::shadow::tally::Tally;

use crate::cli::failure::Failure;

/// Keeps how often V3 answered as V2 did, under the hash of the calls.
pub(super) fn keep(
    config: &Config,
    build: &str,
    files: &[PathBuf],
    tally: &Tally,
) -> Result<(), Failure> {
    let mut hashes = String::new();
    for file in files {
        let text = std::fs::read(file)
            .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", file.display())))?;
        hashes.push_str(&hash(&text));
    }
    let matches = tally.commands.iter();
    let run = CorpusRun {
        files: files.iter().map(|file| file.display().to_string()).collect(),
        at: Clock::wall(),
        matches: matches.map(|(name, tally)| (name.clone(), tally.lanes.matched)).collect(),
    };
    let paths = RolloutPaths::of(&config.rollout.file);
    keep_corpus(&paths, build, &hash(hashes.as_bytes())[..16], &run).map_err(|error| {
        let folder = paths.corpora(build);
        Failure::Failed(format!("cannot keep the gauntlet in {}: {error}", folder.display()))
    })
}
