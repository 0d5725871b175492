//! A call as the other lane is to be asked it (R16).

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::value::RawValue;

use crate::call::Call;

/// What a call was given beside its args, for a shadow of it.
#[derive(Clone, Debug, Default)]
pub struct Tape(Arc<Mutex<Taped>>);

/// A row of the session store, and how often the call's session had been saved before.
#[derive(Clone, Debug, Default)]
pub struct Taped {
    /// The member of the args that received the row.
    pub loaded: Option<(String, Box<RawValue>)>,
    /// [`Sessions::saves`](crate::session::Sessions::saves) before the row was read.
    pub saves: u64,
}

impl Tape {
    /// Keeps what a call was given; the last try counts.
    pub fn keep(&self, taped: Taped) {
        *self.lock() = taped;
    }

    /// How large what was kept is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().loaded.as_ref().map_or(0, |(into, row)| into.len() + row.get().len())
    }

    /// What was kept; it is taken out.
    #[must_use]
    pub fn take(&self) -> Taped {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Taped> {
        self.0.lock().expect("nothing panics while it moves a row")
    }
}

/// A copy of a call that another lane has answered: what it changes is not kept, and it runs on a
/// worker that nobody needs, or not at all.
#[derive(Debug)]
pub struct ShadowCall {
    /// The call as its caller made it, with a budget of its own.
    pub call: Call,
    /// What the session store added to its args in the other lane: member and row.
    pub loaded: Option<(String, Box<RawValue>)>,
    /// As many spare workers must be left idle.
    pub reserve: usize,
}
