//! A rollout file's TOML, read key by key; whatever is wrong is noted, and reading goes on.

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// Reads the tables of one text.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// What was wrong so far, each with its line.
    pub(super) problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, problems: Vec::new() }
    }

    /// The value of a key, if the table has it and `read` understands it.
    pub(super) fn take<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        expected: &str,
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = table.get(key)?;
        let taken = read(value.get_ref());
        if taken.is_none() {
            let found = &self.text[value.span()];
            self.problem(value.span().start, &format!("{key} = {found} is not {expected}"));
        }
        taken
    }

    /// What only the tool writes. Read from the section's own text, since what `toml` has parsed
    /// cannot be read as something else.
    pub(super) fn section<T: DeserializeOwned>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
    ) -> Option<T> {
        let value = table.get(key)?;
        let whole = toml::from_str::<toml::Table>(self.text);
        let read = whole.and_then(|mut whole| {
            whole.remove(key).expect("it was found in the same text above").try_into()
        });
        let at = value.span().start;
        let told = |error: toml::de::Error| format!("{key}: {}", error.message());
        read.map_err(|error| self.problem(at, &told(error))).ok()
    }

    /// Every key of the table must be one of these.
    pub(super) fn only(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let known = known.join(", ");
            self.problem(key.span().start, &format!("no key {}; known are {known}", key.get_ref()));
        }
    }

    /// Notes what is wrong at a place in the text.
    pub(super) fn problem(&mut self, offset: usize, what: &str) {
        let line = self.text[..offset.min(self.text.len())].matches('\n').count() + 1;
        self.problems.push(format!("line {line}: {what}"));
    }
}
