//! What a run by itself cannot show, tried beside it: that it can be made again (S26), and what
//! the host makes of bytes (S18 and the onlooker's laws).

use std::collections::BTreeMap;

use crate::checkers::{Checkers, Law};
use crate::options::Options;
use crate::run::Run;
use crate::shell_rig::plan::RigOptions;
use crate::shell_rig::run as shell;
use crate::subject::Subject;
use crate::trace::Watcher;
use crate::verdict::{Broken, Verdict};

/// How many of the run's calls are made twice more: as many as have met each kind of event.
const AGAIN: u64 = 20_000;

/// How many runs of the shell there are at least, and at most. Some six of them meet a length
/// near the limit once; that none of so many does is not to be expected of any seed.
const SHELLS: (u64, u64) = (8, 64);

/// A run, with what is tried beside it. Its figures are of the run alone, on which `watcher` looks.
pub fn trial(subject: Subject, seed: u64, options: Options, watcher: &mut impl Watcher) -> Run {
    let shorter = Options { calls: options.calls.min(AGAIN), ..options.clone() };
    let mut run = subject.run_watched(seed, options, watcher);
    if run.verdict.broken.is_empty() {
        run.verdict.add(made_twice(subject, seed, &shorter));
    }
    for shell in 0..SHELLS.1 {
        let is_tested = run.verdict.laws[&Law::S18].sometimes > 0;
        if shell >= SHELLS.0 && (is_tested || !run.verdict.broken.is_empty()) {
            break;
        }
        run.verdict.add(shell_run(seed.wrapping_add(shell)));
    }
    run
}

fn made_twice(subject: Subject, seed: u64, options: &Options) -> Verdict {
    let [first, again] = [(); 2].map(|()| subject.run(seed, options.clone()));
    let mut checkers = Checkers::new();
    if let (Some(first), Some(again)) = (&first.ended, &again.ended) {
        checkers.made_again(first.hash, again.hash);
    }
    let mut verdict = Verdict::of(&checkers);
    // One that broke a law or panicked, in only one of two equal runs, too.
    let broken = [first.verdict.broken, again.verdict.broken].into_iter();
    verdict.broken.extend(broken.max_by_key(Vec::len).unwrap_or_default());
    verdict
}

fn shell_run(seed: u64) -> Verdict {
    let options = RigOptions { calls: 120, faults: 500_000, ..RigOptions::swarm(seed) };
    let mut report = shell::run(seed, &options, &mut ());
    for Broken { what, .. } in &mut report.violations {
        *what = format!("in the shell rig, seed {seed}: {what}");
    }
    Verdict { laws: BTreeMap::from([(Law::S18, report.bytes)]), broken: report.violations }
}
