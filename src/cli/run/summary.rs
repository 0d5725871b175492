//! The books of a run: what was submitted, what came of it, and whether the ledgers agree.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poolshift::clock::{Clock, Moment};
use poolshift::report::latency::{LaneLatency, table, write_hlog};
use poolshift::report::ledger::{Audit, CallerLedger};
use poolshift::session::commands::Commands;
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
}

impl Books {
    /// Opens the ledgers' folder: the given one, or a temporary one.
    pub(super) fn open(folder: Option<PathBuf>) -> Result<Self, Failure> {
        Ok(Self {
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

    /// All calls are over: compares the ledgers, and writes the histograms if asked to.
    pub(super) fn close(
        &self,
        shim: &Shim,
        commands: &Commands,
        hlog: Option<&Path>,
    ) -> Result<Summary, Failure> {
        let now = shim.clock().now();
        let (began, began_unix) = self.began.unwrap_or((now, Clock::unix_now()));
        let wall = now.since(began);
        let (v2, v3) = (shim.router().legacy().meter(), shim.router().next().meter());
        let lanes = [(Lane::V2, &v2), (Lane::V3, &v3)];
        if let Some(path) = hlog {
            let written = fs::File::create(path).and_then(|file| {
                write_hlog(&mut io::BufWriter::new(file), began_unix, wall, &lanes)
            });
            written.map_err(|error| {
                Failure::Failed(format!("cannot write {}: {error}", path.display()))
            })?;
        }
        let workers = self.folder.read()?;
        let audit = Audit::of(&self.callers, &workers, |name| commands.get(name).idempotent);
        let figures = Figures {
            submitted: self.submitted,
            outcomes: self.outcomes.clone(),
            lanes: lanes.map(|(lane, books)| (lane, LaneLatency::of(books))).into(),
            wall_s: wall.as_secs_f64(),
            calls_per_s: self.submitted as f64 / wall.as_secs_f64().max(1e-9),
            lost: audit.lost,
            duplicated: audit.duplicated,
        };
        Ok(Summary { summary: figures, table: table(&lanes) })
    }
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
}

impl Summary {
    /// For a person: on stderr, since stdout holds the results.
    pub(super) fn tell(&self) -> Result<(), Failure> {
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
        stdout::aside(&text)
    }
}
