//! The command table: what each command may change, and what it saves and loads.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::call::Class;
use crate::machine::retry::Share;

/// One command's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// How much it may change.
    pub class: Class,
    /// Whether it may run twice. Implied by [`Class::Read`] unless set otherwise.
    pub idempotent: bool,
    /// Whether a good answer ends the call's session (R14).
    pub ends_session: bool,
    /// How many of its calls are shadowed, if not as many as of others. Of reads only (R16).
    pub shadow: Option<Sampling>,
    /// What a good answer leaves in the session store.
    pub saves: Option<SaveRule>,
    /// What the session store adds to the args before they are written.
    pub loads: Option<LoadRule>,
}

/// Which calls of a command are shadowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Those of this share of sessions, and of calls without one.
    Share(Share),
    /// Every one, and before others where not all can be: for commands that come rarely.
    Always,
}

/// What a good answer leaves in the session store.
#[derive(Clone, Debug, PartialEq)]
pub struct SaveRule {
    /// The table of the session, such as `programs`.
    pub table: String,
    /// Where the row's key is found.
    pub key: Source,
    /// The row's new content; `None` removes the row.
    pub row: Option<BTreeMap<String, Source>>,
}

/// What the session store adds to the args.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadRule {
    /// The table of the session.
    pub table: String,
    /// Where the row's key is found; in the args, since there is no result yet.
    pub key: Source,
    /// The member of the args that receives the row; left out if there is no such row.
    pub into: String,
}

/// Where a key or a column comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// `args.NAME`: a member of the call's args.
    Args(String),
    /// `result.NAME`: a member of the worker's result.
    Result(String),
    /// `now`: whole seconds since the Unix epoch.
    Now,
    /// Any other value in the config is meant literally.
    Literal(Value),
}

/// All known commands; an unknown one is critical and has no rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Commands {
    /// Looked up some times for each call, and by names of the config: nobody can make them clash.
    known: FxHashMap<String, Command>,
    unknown: Command,
}

impl Command {
    /// A command of this class without rules; a read may run twice.
    #[must_use]
    pub fn of(class: Class) -> Self {
        let idempotent = class == Class::Read;
        let (ends_session, shadow) = (false, None);
        Self { class, idempotent, ends_session, shadow, saves: None, loads: None }
    }
}

impl Commands {
    /// The row of a command.
    #[must_use]
    pub fn get(&self, name: &str) -> &Command {
        self.known.get(name).unwrap_or(&self.unknown)
    }

    /// Whether the command has a row of its own.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// All known commands, by name.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<&str, &Command> {
        self.known.iter().map(|(name, command)| (name.as_str(), command)).collect()
    }

    /// Sets a command's row.
    pub fn set(&mut self, name: &str, command: Command) {
        self.known.insert(name.to_owned(), command);
    }
}

/// The command set of the legacy worker, and of the demo app.
impl Default for Commands {
    fn default() -> Self {
        let mut commands =
            Self { known: FxHashMap::default(), unknown: Command::of(Class::Critical) };
        let by_class = [
            (
                Class::Read,
                "ping echo calculate sleep fail list_programs get_program_info get_stats \
                 get_session_data",
            ),
            (
                Class::Write,
                "create_program create_gemini_program execute_program execute_gemini_program \
                 delete_program cleanup_session update_session_data crash spin",
            ),
            (Class::Critical, "configure_lm reset_state cleanup shutdown"),
        ];
        for (class, names) in by_class {
            for name in names.split_whitespace() {
                commands.set(name, Command::of(class));
            }
        }
        commands.change("cleanup_session", |command| command.ends_session = true);
        commands.add_program_rules();
        commands
    }
}

impl Commands {
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Command)) {
        change(self.known.get_mut(name).expect("only listed commands are changed"));
    }

    /// R11: programs are kept by the host, because the next call may meet another worker.
    fn add_program_rules(&mut self) {
        for name in ["execute_program", "execute_gemini_program", "get_program_info"] {
            self.change(name, |command| {
                let key = Source::Args("program_id".to_owned());
                let (table, into) = ("programs".to_owned(), "program_data".to_owned());
                command.loads = Some(LoadRule { table, key, into });
            });
        }
        for name in ["create_program", "create_gemini_program"] {
            self.change(name, |command| {
                let key = Source::Args("id".to_owned());
                let row = Some(program_row());
                command.saves = Some(SaveRule { table: "programs".to_owned(), key, row });
            });
        }
        self.change("delete_program", |command| {
            let key = Source::Args("program_id".to_owned());
            command.saves = Some(SaveRule { table: "programs".to_owned(), key, row: None });
        });
    }
}

/// The record that the legacy host keeps; a Gemini program adds its model.
fn program_row() -> BTreeMap<String, Source> {
    let from_result = [
        "program_id",
        "signature_def",
        "signature_class",
        "field_mapping",
        "fallback_used",
        "program_type",
        "signature",
        "type",
        "model_name",
    ];
    let mut row: BTreeMap<String, Source> = from_result
        .into_iter()
        .map(|name| (name.to_owned(), Source::Result(name.to_owned())))
        .collect();
    row.insert("created_at".to_owned(), Source::Now);
    row.insert("execution_count".to_owned(), Source::Literal(Value::from(0)));
    row.insert("last_executed".to_owned(), Source::Literal(Value::Null));
    row
}
