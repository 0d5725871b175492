//! `--record`: calls as they are made, for a shadow run.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use poolshift::Call;
use poolshift::config::ShadowConfig;
use poolshift::router::bucket::draw;
use poolshift::router::percent::Percent;
use poolshift::shadow::redactor::{Redactor, Secrets};
use serde_json::{Map, Value, json};

use crate::cli::failure::Failure;

/// Salts the draw of the sessions that are recorded.
const SALT: &str = "run/record";

/// A file of redacted calls, those of one session in the order in which they were made.
pub(super) struct Record {
    path: PathBuf,
    file: BufWriter<File>,
    redactor: Redactor,
    share: Percent,
    /// Why nothing more is written.
    failed: Option<io::Error>,
    unreadable: u64,
}

impl Record {
    /// Opens the file before anything is started; what was in it stays until [`Self::begin`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn create(
        path: &Path,
        share: Percent,
        config: &ShadowConfig,
    ) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| unwritable(path, &error))?;
        let redactor = Redactor::new(&config.redact).map_err(Failure::failed)?;
        let (path, file) = (path.to_owned(), BufWriter::new(file));
        Ok(Self { path, file, redactor, share, failed: None, unreadable: 0 })
    }

    /// The calls are about to begin: the record takes the place of an older one.
    ///
    /// # Errors
    /// If it cannot.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        let file = self.file.get_ref();
        // A device or a FIFO holds nothing.
        let emptied = file.metadata().and_then(|now| match now.is_file() {
            true => file.set_len(0),
            false => Ok(()),
        });
        emptied.map_err(|error| unwritable(&self.path, &error))
    }

    /// A call is about to be made. Sessions are recorded whole.
    pub(super) fn note(&mut self, call: &Call) {
        let key = call.session.as_ref().map_or_else(|| call.id.to_string(), ToString::to_string);
        if draw(SALT, &key).bucket >= self.share.buckets() || self.failed.is_some() {
            return;
        }
        // What cannot be read cannot be redacted: a number larger than any that a program holds.
        let Ok(args) = serde_json::from_str(call.args.as_json()) else {
            self.unreadable += 1;
            return;
        };
        let line = self.line(call, args);
        if let Err(error) = writeln!(self.file, "{line}") {
            self.failed = Some(error);
        }
    }

    fn line(&self, call: &Call, mut args: Value) -> Value {
        let attrs = call.attrs.iter().map(|(name, text)| (name.clone(), json!(text)));
        let mut attrs = Value::Object(attrs.collect());
        let mut secrets = Secrets::default();
        self.redactor.hide(&mut args, &mut secrets);
        self.redactor.hide(&mut attrs, &mut secrets);
        let mut line = Map::new();
        let session = call.session.as_ref().map(|session| secrets.scrub(session.as_str()));
        line.extend(session.map(|session| ("session".to_owned(), json!(session))));
        line.insert("id".to_owned(), json!(secrets.scrub(&call.id.to_string())));
        line.insert("command".to_owned(), json!(&*call.command));
        line.insert("args".to_owned(), secrets.scrub_value(&args));
        if !call.attrs.is_empty() {
            line.insert("attrs".to_owned(), secrets.scrub_value(&attrs));
        }
        Value::Object(line)
    }

    /// Brings everything to the file.
    ///
    /// # Errors
    /// If it could not be written, or a call could not be redacted.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        if let Some(error) = self.failed {
            return Err(unwritable(&self.path, &error));
        }
        self.file.flush().map_err(|error| unwritable(&self.path, &error))?;
        match self.unreadable {
            0 => Ok(()),
            calls => Err(Failure::Failed(format!(
                "{calls} calls are not in {}: their args hold numbers that cannot be read, and so \
                 not redacted",
                self.path.display()
            ))),
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot write {}: {error}", path.display()))
}
