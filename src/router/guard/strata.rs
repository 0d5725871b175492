//! The commands that guards tell apart.

use serde::{Deserialize, Serialize};

use crate::call::Class;

/// The commands by which evidence is stratified, fixed before a ramp begins.
///
/// At most [`Strata::MAX`]; all others share the last stratum, which counts as critical.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strata {
    /// Sorted by name.
    known: Vec<Stratum>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stratum {
    /// Its name.
    pub command: String,
    /// Its class, which decides its share.
    pub class: Class,
}

impl Strata {
    /// As many as a session's marks have bits for.
    pub const MAX: usize = 64;

    /// The name under which commands beyond the known ones are reported.
    pub const OTHERS: &str = "(others)";

    /// These commands, each once; of more than fit, the last by name share a stratum.
    #[must_use]
    pub fn new(commands: impl IntoIterator<Item = (String, Class)>) -> Self {
        let known = commands.into_iter().map(|(command, class)| Stratum { command, class });
        let mut known: Vec<Stratum> = known.collect();
        known.sort();
        known.dedup_by(|a, b| a.command == b.command);
        known.truncate(Self::MAX - 1);
        Self { known }
    }

    /// The stratum of a command, below [`Strata::count`].
    #[must_use]
    pub fn of(&self, command: &str) -> usize {
        let found = self.known.binary_search_by(|known| known.command.as_str().cmp(command));
        found.unwrap_or(self.known.len())
    }

    /// A stratum's name.
    #[must_use]
    pub fn name(&self, stratum: usize) -> &str {
        self.known.get(stratum).map_or(Self::OTHERS, |known| &known.command)
    }

    /// A stratum's class.
    #[must_use]
    pub fn class(&self, stratum: usize) -> Class {
        self.known.get(stratum).map_or(Class::Critical, |known| known.class)
    }

    /// The strata of a class, as bits.
    #[must_use]
    pub fn of_class(&self, class: Class) -> u64 {
        let of = (0..self.count()).filter(|stratum| self.class(*stratum) == class);
        of.fold(0, |set, stratum| set | 1 << stratum)
    }

    /// How many there are, the one of all others included.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.known.len() + 1
    }
}
