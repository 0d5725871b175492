//! Watching the sources of the rollout, and putting into force what they say.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinHandle;

use crate::router::file::RolloutFile;
use crate::router::source::{FlagSource, SourceStatus};

/// Network mounts and strangers' sources tell no changes; they are looked at this often.
const POLL: Duration = Duration::from_secs(2);

/// Keeps sources and policy together. Dropping it ends the watch.
#[derive(Debug)]
pub struct RolloutWatch {
    task: JoinHandle<()>,
    sources: Receiver<Vec<SourceStatus>>,
    _watchers: Vec<Box<dyn Any + Send + Sync>>,
}

impl RolloutWatch {
    /// How each source stands, first the one that comes first.
    #[must_use]
    pub fn sources(&self) -> Receiver<Vec<SourceStatus>> {
        self.sources.clone()
    }
}

impl Drop for RolloutWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks the sources, and puts into force what the first of them says that says anything, with the
/// kill switch if any of them turns it on; then does so again whenever one changes. A source that
/// is bad, refused or gone still counts by what it said last: a process that starts then takes
/// that from where it was kept. While none has ever said anything, nothing is put into force.
///
/// `apply` puts a file into force and says what is in force then, or why it was refused.
pub fn watch(
    sources: Vec<Box<dyn FlagSource>>,
    apply: impl Fn(&RolloutFile) -> Result<String, String> + Send + 'static,
) -> RolloutWatch {
    let changed = Arc::new(Notify::new());
    // Before the first look: what changes after it is then heard.
    let watchers = sources.iter().filter_map(|source| source.watch(&changed)).collect();
    let followed: Vec<Followed> = sources.into_iter().map(Followed::new).collect();
    let (told, sources) = tokio::sync::watch::channel(Vec::new());
    let mut follower = Follower { followed, told, killed: false, apply };
    follower.begin();
    let task = tokio::spawn(async move {
        loop {
            // Dropped here, with the watch: what is in force stays.
            let _ = tokio::time::timeout(POLL, changed.notified()).await;
            follower.look();
        }
    });
    RolloutWatch { task, sources, _watchers: watchers }
}

/// One source, and what is known of it.
#[derive(Debug)]
struct Followed {
    source: Box<dyn FlagSource>,
    name: String,
    /// What was read last, good or bad; `None` if there was nothing.
    seen: Option<Vec<u8>>,
    /// Why it could not be read when it was looked at last, if it could not.
    missed: Option<String>,
    /// The last good text, which counts.
    says: Option<RolloutFile>,
    /// Whether it turns the kill switch on, be it in a text that is refused.
    killed: bool,
    refused: Option<String>,
}

impl Followed {
    fn new(source: Box<dyn FlagSource>) -> Self {
        let name = source.name();
        let (seen, missed, says, refused) = (None, None, None, None);
        Self { source, name, seen, missed, says, killed: false, refused }
    }

    /// The text that came into force last, kept by this process or another.
    fn remember(&mut self) {
        let Some(path) = self.source.last_good() else { return };
        let Ok(bytes) = fs::read(&path) else { return };
        let source = &self.name;
        match RolloutFile::read(&bytes) {
            Ok(file) => {
                tracing::warn!(%source, kept = %path.display(), "going by what it said last");
                (self.killed, self.says) = (self.killed || file.killed, Some(file));
            }
            Err(error) => {
                tracing::error!(%source, kept = %path.display(), %error, "cannot be understood");
            }
        }
    }

    /// Keeps what came into force, if it is not kept already.
    fn keep(&self) {
        let (Some(path), Some(bytes)) = (self.source.last_good(), &self.seen) else { return };
        if fs::read(&path).is_ok_and(|kept| kept == *bytes) {
            return;
        }
        if let Err(error) = replace(&path, bytes) {
            let (source, kept) = (&self.name, path.display());
            tracing::warn!(%source, %kept, %error, "cannot keep it for processes that start later");
        }
    }

    /// A text that was not seen yet, or why there is none, told once.
    fn read(&mut self) -> Option<Vec<u8>> {
        let why = match self.source.read() {
            Ok(Some(bytes)) => {
                self.missed = None;
                return Some(bytes).filter(|bytes| self.seen.as_ref() != Some(bytes));
            }
            Ok(None) => "is gone".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        if self.missed.as_ref() == Some(&why) {
            return None;
        }
        let was_there = self.seen.take().is_some() || self.missed.is_some() || self.says.is_some();
        let source = &self.name;
        if why == "is gone" && !was_there {
            tracing::info!(%source, "no rollout file yet");
        } else {
            tracing::error!(%source, "{why}; what is in force stays");
            self.refused = Some(format!("it {why}"));
        }
        self.missed = Some(why);
        None
    }
}

struct Follower<A> {
    followed: Vec<Followed>,
    told: Sender<Vec<SourceStatus>>,
    /// Whether what was put into force last turned the kill switch on.
    killed: bool,
    apply: A,
}

impl<A: Fn(&RolloutFile) -> Result<String, String>> Follower<A> {
    /// The first look. What a source says now counts; if that is no good, what it said last.
    fn begin(&mut self) {
        self.look();
        let mut remembered = false;
        for followed in &mut self.followed {
            if followed.says.is_none() {
                followed.remember();
                remembered |= followed.says.is_some();
                let gone = followed.refused.is_none() && followed.says.is_some();
                followed.refused =
                    followed.refused.take().or(gone.then(|| "it is gone".to_owned()));
            }
        }
        if remembered {
            // A text of an earlier process; if it is refused by now, V2 has everything.
            let _ = self.enforce(None);
            self.tell();
        }
    }

    fn look(&mut self) {
        let mut changed = false;
        for index in 0..self.followed.len() {
            let missed = self.followed[index].missed.clone();
            match self.followed[index].read() {
                Some(bytes) => self.take(index, bytes),
                None if self.followed[index].missed == missed => continue,
                None => {}
            }
            changed = true;
        }
        if changed {
            self.tell();
        }
    }

    /// A source says something new.
    fn take(&mut self, index: usize, bytes: Vec<u8>) {
        let parsed = RolloutFile::read(&bytes);
        let followed = &mut self.followed[index];
        followed.seen = Some(bytes);
        let applied = match parsed {
            Ok(file) => {
                followed.killed = file.killed;
                self.enforce(Some((index, file)))
            }
            Err(error) if error.killed => {
                followed.killed = true;
                let killed = self.enforce(None);
                killed.and_then(|_| Err(format!("{error}; but its kill switch is in force")))
            }
            Err(error) => Err(error.to_string()),
        };
        let source = &self.followed[index].name;
        match &applied {
            Ok(in_force) => tracing::info!(%source, %in_force, "rollout file is in force"),
            Err(error) => {
                tracing::error!(%source, %error, "rollout file is refused; what is in force stays");
            }
        }
        self.followed[index].refused = applied.err();
    }

    /// Puts into force what counts now, if anything does. What `new` says is good from then on,
    /// unless it is refused.
    fn enforce(&mut self, new: Option<(usize, RolloutFile)>) -> Result<String, String> {
        let before = new.map(|(index, file)| (index, self.followed[index].says.replace(file)));
        let killed = self.followed.iter().any(|followed| followed.killed);
        let first = self.in_force();
        let file = match first.and_then(|first| self.followed[first].says.clone()) {
            Some(file) => RolloutFile { killed, ..file },
            None if killed => RolloutFile::kill_switch(),
            None => return Ok("nothing".to_owned()),
        };
        let later = before.as_ref().is_some_and(|(index, _)| first != Some(*index));
        if later && killed == self.killed {
            return Ok("an earlier source".to_owned());
        }
        self.killed = killed;
        let applied = (self.apply)(&file);
        match (before, &applied) {
            (Some((index, before)), Err(_)) => self.followed[index].says = before,
            (Some((index, _)), Ok(_)) if first == Some(index) => self.followed[index].keep(),
            _ => {}
        }
        applied
    }

    /// The first source that has said something.
    fn in_force(&self) -> Option<usize> {
        self.followed.iter().position(|followed| followed.says.is_some())
    }

    fn tell(&self) {
        let first = self.in_force();
        let status = self.followed.iter().enumerate().map(|(index, followed)| SourceStatus {
            name: followed.name.clone(),
            in_force: first == Some(index),
            killed: followed.killed,
            refused: followed.refused.clone(),
        });
        self.told.send_replace(status.collect());
    }
}

/// Whole or not at all: another process may do the same, or read it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        fs::create_dir(folder)?;
    }
    let mut draft: PathBuf = path.to_owned();
    draft.set_extension(format!("{}.draft", std::process::id()));
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}
