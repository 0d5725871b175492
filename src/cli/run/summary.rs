//! The books of a run: what was submitted, what came of it, and whether the ledgers agree.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::config::{Config, WorkerProgram};
use poolshift::report::latency::{LaneLatency, table, write_hlog};
use poolshift::report::ledger::{Audit, CallerLedger};
use poolshift::{CallId, Lane, Outcome, Shim};
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::ledgers::LedgerFolder;
use crate::cli::run::Played;
use crate::cli::stdout;

/// What the run's caller knows.
pub(super) struct Books {
    folder: LedgerFolder,
    callers: CallerLedger,
    /// Where each id was used.
    places: HashMap<CallId, String>,
    submitted: u64,
    outcomes: BTreeMap<Outcome, u64>,
    /// When the first call was made, on the shim's clock and on the wall's.
    began: Option<(Moment, Duration)>,
    /// Where the histograms go, opened before the first call.
    hlog: Option<(PathBuf, fs::File)>,
}

impl Books {
    /// Opens the ledgers' folder: the given one, or a temporary one.
    pub(super) fn open(folder: Option<PathBuf>, hlog: Option<&Path>) -> Result<Self, Failure> {
        let create = |path: &Path| match fs::File::create(path) {
            Ok(file) => Ok((path.to_owned(), file)),
            Err(error) => Err(unwritable(path, &error)),
        };
        Ok(Self {
            hlog: hlog.map(create).transpose()?,
            folder: LedgerFolder::open(folder)?,
            callers: CallerLedger::default(),
            places: HashMap::new(),
            submitted: 0,
            outcomes: BTreeMap::new(),
            began: None,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A call is about to be made.
    ///
    /// # Errors
    /// If an earlier one has its id: no ledger could tell them apart.
    pub(super) fn submit(&mut self, id: &CallId, place: &str) -> Result<(), String> {
        if let Some(earlier) = self.places.get(id) {
            return Err(format!(
                "the id \"{id}\" was used at {earlier}; change it or leave it out"
            ));
        }
        self.places.insert(id.clone(), place.to_owned());
        self.callers.submit(&id.to_string());
        Ok(())
    }

    /// A file begins at `now`; when the first one did is returned.
    pub(super) fn begin(&mut self, now: Moment) -> Moment {
        self.began.get_or_insert_with(|| (now, Clock::unix_now())).0
    }

    pub(super) fn note(&mut self, played: &Played) {
        self.submitted += 1;
        *self.outcomes.entry(played.outcome).or_default() += 1;
        if let Some(id) = &played.id {
            self.callers.finish(id, played.outcome);
        }
    }

    /// All calls are over: compares the ledgers.
    pub(super) fn close(&self, shim: &Shim, config: &Config) -> Result<Summary, Failure> {
        let (wall, _) = self.span(shim);
        let (v2, v3) = (shim.router().legacy().meter(), shim.router().next().meter());
        let lanes = [(Lane::V2, &v2), (Lane::V3, &v3)];
        let workers = self.folder.read()?;
        let audit = Audit::of(&self.callers, &workers, |name| config.commands.get(name).idempotent);
        let figures = Figures {
            submitted: self.submitted,
            outcomes: self.outcomes.clone(),
            lanes: lanes.map(|(lane, books)| (lane, LaneLatency::of(books))).into(),
            wall_s: wall.as_secs_f64(),
            calls_per_s: self.submitted as f64 / wall.as_secs_f64().max(1e-9),
            lost: audit.lost,
            duplicated: audit.duplicated,
            // A script of the legacy kind keeps no ledger.
            unexecuted: match config.worker.program {
                WorkerProgram::App(_) => audit.unexecuted,
                WorkerProgram::Script(..) => 0,
            },
        };
        Ok(Summary { summary: figures, table: table(&lanes) })
    }

    /// Writes the histograms, if that was asked for.
    pub(super) fn write_hlog(self, shim: &Shim) -> Result<(), Failure> {
        let (wall, began_unix) = self.span(shim);
        let Some((path, file)) = self.hlog else { return Ok(()) };
        let (v2, v3) = (shim.router().legacy().meter(), shim.router().next().meter());
        let lanes = [(Lane::V2, &v2), (Lane::V3, &v3)];
        let mut out = io::BufWriter::new(file);
        write_hlog(&mut out, began_unix, wall, &lanes)
            .and_then(|()| out.flush())
            .map_err(|error| unwritable(&path, &error))
    }

    /// How long the run has taken, and when it began on the wall's clock.
    fn span(&self, shim: &Shim) -> (Duration, Duration) {
        let now = shim.clock().now();
        let (began, began_unix) = self.began.unwrap_or((now, Clock::unix_now()));
        (now.since(began), began_unix)
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot write {}: {error}", path.display()))
}

/// The last line of a run.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    summary: Figures,
    #[serde(skip)]
    table: String,
}

#[derive(Debug, Serialize)]
struct Figures {
    submitted: u64,
    outcomes: BTreeMap<Outcome, u64>,
    lanes: BTreeMap<Lane, LaneLatency>,
    wall_s: f64,
    calls_per_s: f64,
    lost: u64,
    duplicated: u64,
    /// Answered well, though no worker noted that it ran: a disk that is full, for one.
    unexecuted: u64,
}

impl Summary {
    /// Fails if a call was lost or run twice.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let Figures { lost, duplicated, unexecuted, .. } = self.summary;
        if lost == 0 && duplicated == 0 {
            if unexecuted > 0 {
                return Err(Failure::Failed(format!(
                    "{unexecuted} calls were answered well and are in no worker's ledger, so what \
                     ran twice cannot be told: look at the workers' stderr with -v"
                )));
            }
            return Ok(());
        }
        Err(Failure::Failed(format!("{lost} calls were lost, {duplicated} were run twice")))
    }

    /// For a person: on stderr, since stdout holds the results.
    pub(super) fn tell(&self) {
        let Figures { submitted, outcomes, wall_s, calls_per_s, lost, duplicated, .. } =
            &self.summary;
        let outcomes: Vec<String> =
            outcomes.iter().map(|(outcome, n)| format!("{n} {}", outcome.as_str())).collect();
        let outcomes = outcomes.join(", ");
        let text = format!(
            "{submitted} calls in {wall_s:.2} s ({calls_per_s:.0} a second): {outcomes}; \
             lost {lost}, duplicated {duplicated}\n{}",
            self.table
        );
        stdout::aside(&text);
    }
}
