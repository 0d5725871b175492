//! A folder of counts and samples: written by one process, read by anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::config::ShadowConfig;
use crate::router::compare::{Difference, Kind, Verdict};
use crate::shadow::Trial;
use crate::shadow::error::StoreError;
use crate::shadow::journal::{Contents, Journal, line_of};
use crate::shadow::quota::{Quota, Slot};
use crate::shadow::redactor::Redactor;
use crate::shadow::sample::{Redacted, Sample};
use crate::shadow::tally::Tally;

const TALLY: &str = "tally.json";
const LOCK: &str = "lock";
const FORMAT: &str = "poolshift shadow tally 1";

/// Of one pair, samples are kept of so many paths, one each.
const MAX_SAMPLES: usize = 50;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of samples on disk, drafts included. Half as many are held in memory.
    pub max_bytes: usize,
    /// Samples of one command, path and kind.
    pub quota: Quota,
}

/// The store while it is written. Blocks on the disk: it belongs on a thread of its own.
///
/// Counts reach the disk by [`Store::flush`] and when the store is dropped; samples at once.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    redactor: Redactor,
    quota: Quota,
    draws: StdRng,
    tally: Tally,
    is_dirty: bool,
    journal: Journal,
    shelves: BTreeMap<ShelfKey, Shelf>,
    /// Bytes of the lines on all shelves, at most this many.
    shelved: usize,
    max_shelved: usize,
    refused: u64,
    /// Held as long as the store is open; the kernel lets go of it when the process ends.
    lock: File,
}

type ShelfKey = (String, String, Kind);

/// The samples of one command, path and kind.
#[derive(Debug, Default)]
struct Shelf {
    seen: u64,
    bytes: usize,
    kept: BTreeMap<Slot, Sample>,
}

/// What a store holds, for reports.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// All counts.
    pub tally: Tally,
    /// All samples, by command, path and kind, oldest first.
    pub samples: Vec<Sample>,
    /// Lines that were cut short or changed, and so are left out.
    pub damaged: u64,
}

#[derive(Serialize, Deserialize)]
struct TallyFile {
    format: String,
    #[serde(flatten)]
    tally: Tally,
}

impl Store {
    /// Opens or begins the store that the config names; see [`Store::open`].
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn of(config: &ShadowConfig, seed: u64) -> Result<Self, StoreError> {
        let redactor = Redactor::new(&config.redact).expect("the config admits good globs only");
        let limits = Limits { max_bytes: config.store_max_bytes, quota: Quota::default() };
        Self::open(&config.store, limits, redactor, seed)
    }

    /// Opens or begins a store, and goes on with what it holds. `seed` draws samples.
    ///
    /// # Errors
    /// If another process holds it, if it is of another format, or if the disk refuses.
    pub fn open(
        folder: &Path,
        limits: Limits,
        redactor: Redactor,
        seed: u64,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        let path = folder.join(LOCK);
        let lock = File::create(&path).map_err(StoreError::io(&path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StoreError::Held { folder: folder.to_owned() })?;
        // The journal and the draft of its rewrite stand beside each other: two to one.
        let third = limits.max_bytes / 3;
        let (journal, Contents { samples, .. }) = Journal::open(folder, 2 * third as u64)?;
        let mut store = Self {
            folder: folder.to_owned(),
            redactor,
            quota: limits.quota,
            draws: StdRng::seed_from_u64(seed),
            tally: read_tally(folder)?.unwrap_or_default(),
            is_dirty: false,
            journal,
            shelves: BTreeMap::new(),
            shelved: 0,
            max_shelved: third,
            refused: 0,
            lock,
        };
        for sample in samples {
            store.shelve(sample);
        }
        Ok(store)
    }

    /// Counts a pair, and keeps samples of what differs.
    ///
    /// # Errors
    /// If a sample could not be written; the pair is counted all the same.
    pub fn record(&mut self, trial: &Trial, verdict: &Verdict) -> Result<(), StoreError> {
        self.is_dirty = true;
        let Verdict::Differs(found) = verdict else {
            self.tally.command(&trial.command).count(trial, verdict, None);
            return Ok(());
        };
        // Redaction first: nothing below has seen the answers as they were. Its own copy, since
        // the store is changed while the redacted pair lives.
        let redactor = self.redactor.clone();
        let redacted = Redacted::of(&redactor, trial);
        self.tally.command(&trial.command).count(trial, verdict, Some(&redacted));
        if trial.is_noise() {
            return Ok(());
        }
        let command = self.tally.under(&trial.command).0.to_owned();
        let mut paths = BTreeSet::new();
        let firsts = found.listed.iter().filter(|of| paths.insert((&of.shape, of.kind)));
        firsts.take(MAX_SAMPLES).try_for_each(|of| self.keep(&redacted, &command, of))
    }

    /// Counts a call that was to be compared and was not, by reason.
    pub fn skip(&mut self, command: &str, reason: &str) {
        self.is_dirty = true;
        self.tally.command(command).lanes.skip(reason);
    }

    /// What was counted so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Samples that found no room, since the store was opened.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn keep(
        &mut self,
        redacted: &Redacted<'_>,
        command: &str,
        difference: &Difference,
    ) -> Result<(), StoreError> {
        let (shape, kind) = (redacted.path(&difference.shape), difference.kind);
        // What has no name has no place in a report; and names are bounded, so shelves are.
        if !self.tally.commands.get(command).is_some_and(|tally| tally.names(&shape, kind)) {
            return Ok(());
        }
        let key = (command.to_owned(), shape, kind);
        let n = self.shelves.get(&key).map_or(0, |shelf| shelf.seen);
        let placed = self.quota.place(n, self.draws.random());
        let pushed = self.shelves.get(&key).and_then(|shelf| shelf.kept.get(&placed.to)).cloned();
        let moved = placed.pushed.zip(pushed).map(|(slot, pushed)| Sample { slot, ..pushed });
        let sample = redacted.sample(command, difference, n, placed.to);
        // The one that moves first: a crash between the two then leaves it twice, not nowhere.
        let wanted: Vec<Sample> = moved.into_iter().chain([sample]).collect();
        let lines: String = wanted.iter().map(line_of).collect();
        wanted.into_iter().for_each(|sample| self.shelve(sample));
        if self.journal.is_full(lines.len()) {
            let kept = self.shelves.values().flat_map(|shelf| shelf.kept.values());
            let lines: Vec<String> = kept.map(line_of).collect();
            return self.journal.rewrite(lines.iter().map(String::as_str));
        }
        self.journal.append(&lines)
    }

    /// Puts a sample into its place, and makes room where most is kept.
    fn shelve(&mut self, sample: Sample) {
        let key = (sample.command.clone(), sample.shape.clone(), sample.kind);
        let shelf = self.shelves.entry(key).or_default();
        shelf.seen = shelf.seen.max(sample.n + 1);
        let before = shelf.bytes;
        shelf.put(sample);
        self.shelved = self.shelved + shelf.bytes - before;
        while self.shelved > self.max_shelved {
            let fattest = self.shelves.values_mut().max_by_key(|shelf| shelf.bytes);
            let fattest = fattest.expect("what is shelved is on a shelf");
            self.shelved -= fattest.give_up();
            self.refused += 1;
        }
    }

    /// Brings the counts to the disk, all or nothing.
    ///
    /// # Errors
    /// If the disk refuses; the counts of before are still there then.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if !self.is_dirty {
            return Ok(());
        }
        let path = self.folder.join(TALLY);
        let draft = path.with_extension("draft");
        let file = TallyFile { format: FORMAT.to_owned(), tally: std::mem::take(&mut self.tally) };
        let json = serde_json::to_vec(&file).expect("counts are plain data");
        self.tally = file.tally;
        let written = fs::write(&draft, json).and_then(|()| File::open(&draft)?.sync_all());
        written.and_then(|()| fs::rename(&draft, &path)).map_err(StoreError::io(&path))?;
        self.is_dirty = false;
        Ok(())
    }
}

impl Drop for Store {
    /// Whoever wants to know of a failure flushes before.
    fn drop(&mut self) {
        let _ = self.flush();
        // Said aloud: a child that is just being started has the lock's descriptor until its exec.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Shelf {
    fn put(&mut self, sample: Sample) {
        self.bytes += size(&sample);
        if let Some(old) = self.kept.insert(sample.slot, sample) {
            self.bytes -= size(&old);
        }
    }

    /// Gives up one sample, the first ones last; how many bytes that were.
    fn give_up(&mut self) -> usize {
        let bytes = self.kept.pop_last().map_or(0, |(_, sample)| size(&sample));
        self.bytes -= bytes;
        bytes
    }
}

/// The length of its line.
fn size(sample: &Sample) -> usize {
    line_of(sample).len()
}

impl Evidence {
    /// Reads a store, also while a process writes it.
    ///
    /// # Errors
    /// If there is none, if it is of another format, or if it cannot be read.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        let tally = read_tally(folder)?;
        let Contents { samples, damaged } = Journal::read(folder)?;
        if tally.is_none() && samples.is_empty() {
            return Err(StoreError::Empty { folder: folder.to_owned() });
        }
        // The last line about a place is the one that counts.
        let mut places = BTreeMap::new();
        for sample in samples {
            let Sample { command, shape, kind, slot, .. } = &sample;
            places.insert((command.clone(), shape.clone(), *kind, *slot), sample);
        }
        let mut samples: Vec<Sample> = places.into_values().collect();
        samples.sort_by(|a, b| {
            (&a.command, &a.shape, a.kind, a.n).cmp(&(&b.command, &b.shape, b.kind, b.n))
        });
        samples.dedup_by(|b, a| {
            (&a.command, &a.shape, a.kind, a.n) == (&b.command, &b.shape, b.kind, b.n)
        });
        Ok(Self { tally: tally.unwrap_or_default(), samples, damaged })
    }

    /// Adds what another store holds.
    pub fn merge(&mut self, other: Self) {
        self.tally.merge(&other.tally);
        self.samples.extend(other.samples);
        self.damaged += other.damaged;
    }
}

fn read_tally(folder: &Path) -> Result<Option<Tally>, StoreError> {
    let path = folder.join(TALLY);
    let json = match fs::read(&path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(&path)(error)),
    };
    let format = |found: String| StoreError::Format { path: path.clone(), expected: FORMAT, found };
    #[derive(Deserialize)]
    struct Head {
        format: String,
    }
    match serde_json::from_slice::<Head>(&json) {
        Ok(head) if head.format == FORMAT => {}
        Ok(head) => return Err(format(head.format)),
        Err(error) => return Err(format(error.to_string())),
    }
    let file: TallyFile =
        serde_json::from_slice(&json).map_err(|error| format(error.to_string()))?;
    Ok(Some(file.tally))
}
