//! Files of calls: one JSON object a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use poolshift::{Call, SessionId};
use tokio::sync::oneshot;

use crate::cli::failure::Failure;

/// A file's lines, with their numbers.
pub(crate) struct Corpus {
    pub(crate) name: String,
    lines: Vec<(usize, Result<String, String>)>,
}

impl Corpus {
    /// Reads a file; blank lines are left out.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text = std::fs::read(path)
            .map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
        let decode = |line| std::str::from_utf8(line).map(str::to_owned);
        let text = |line| decode(line).map_err(|error| format!("not UTF-8: {error}"));
        let lines = lines.map(|(index, line)| (index + 1, text(line))).collect();
        Ok(Self { name, lines })
    }

    /// Reads files on a thread of its own: a FIFO may keep its reader for ever, which is no reason
    /// not to hear that the command is to stop. Dropped, the thread ends with the process.
    ///
    /// # Errors
    /// At the first that cannot be read.
    pub(crate) async fn read_all(paths: Vec<PathBuf>) -> Result<Vec<Self>, Failure> {
        let (sender, receiver) = oneshot::channel();
        let read = move || drop(sender.send(paths.iter().map(|path| Self::read(path)).collect()));
        let thread = std::thread::Builder::new().name("poolshift-files".to_owned());
        thread.spawn(read).map_err(Failure::failed)?;
        receiver.await.expect("the thread sends what it has read before it ends")
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Each line's place, and its call or why it holds none.
    pub(crate) fn into_calls(self) -> impl Iterator<Item = (String, Result<Call, String>)> {
        let Self { name, lines } = self;
        lines.into_iter().map(move |(number, text)| {
            let call =
                text.and_then(|text| Call::from_json(&text).map_err(|error| error.to_string()));
            (format!("{name}:{number}"), call)
        })
    }
}

/// A call and its place in the order of the input.
pub(crate) struct Step {
    pub(crate) index: usize,
    pub(crate) call: Call,
}

/// The calls of one session belong together, in order; a call without a session stands alone.
/// Who comes first in the input comes first.
pub(crate) fn by_session(steps: impl IntoIterator<Item = Step>) -> Vec<Vec<Step>> {
    let mut sessions: BTreeMap<SessionId, Vec<Step>> = BTreeMap::new();
    let mut order: Vec<Vec<Step>> = Vec::new();
    for step in steps {
        match step.call.session.clone() {
            Some(session) => sessions.entry(session).or_default().push(step),
            None => order.push(vec![step]),
        }
    }
    order.extend(sessions.into_values());
    order.sort_by_key(|steps| steps[0].index);
    order
}
