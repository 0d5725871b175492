//! One finding.

use std::fmt;

use poolshift::config::{DEFAULT_FILE, Origin, Survey};
use serde::Serialize;

/// What was looked at, what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    /// Whether it stands in nobody's way; with a fix, it is close to it.
    pub(super) ok: bool,
    pub(super) detail: String,
    pub(super) fix: Option<String>,
}

impl Check {
    pub(super) fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, ok: true, detail: detail.into(), fix: None }
    }

    /// Good enough, but not by much.
    pub(super) fn tight(
        name: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { name, ok: true, detail: detail.into(), fix: Some(fix.into()) }
    }

    pub(super) fn bad(
        name: &'static str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { name, ok: false, detail: detail.into(), fix: Some(fix.into()) }
    }

    /// It needs what another check has found missing.
    pub(super) fn skipped(name: &'static str, because: &str) -> Self {
        Self::bad(name, format!("not checked, since {because} failed"), format!("mend {because}"))
    }

    /// Whether `have` is enough for `need` of something: tight if less than a fifth is left.
    pub(super) fn of_room(
        name: &'static str,
        have: u64,
        need: u64,
        detail: String,
        fix: String,
    ) -> Self {
        match have {
            _ if have < need => Self::bad(name, detail, fix),
            _ if have / 5 < need.div_ceil(4) => Self::tight(name, detail, fix),
            _ => Self::good(name, detail),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ok, detail, fix } = self;
        let mark = match (ok, fix) {
            (true, None) => "ok   ",
            (true, Some(_)) => "tight",
            (false, _) => "FAIL ",
        };
        write!(f, "{mark} {name:<12} {}", detail.replace('\n', "\n                   "))?;
        match fix {
            Some(fix) => write!(f, "\n      {:<12} -> {fix}", ""),
            None => Ok(()),
        }
    }
}

pub(super) fn config(survey: &Survey) -> Check {
    let set = survey.settings.iter().filter(|shown| shown.origin != Origin::Default).count();
    let from = survey.file.clone().unwrap_or_else(|| format!("no {DEFAULT_FILE}, so defaults"));
    match &survey.config {
        Ok(_) => Check::good("config", format!("{from}; {set} keys set")),
        Err(error) => Check::bad("config", error.to_string(), "mend what each line says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_enough_tight_or_too_little() {
        let verdict = |have, need| {
            let check = Check::of_room("x", have, need, String::new(), "more".to_owned());
            (check.ok, check.fix.is_some())
        };
        assert_eq!(verdict(99, 100), (false, true));
        assert_eq!(verdict(100, 100), (true, true));
        assert_eq!(verdict(120, 100), (true, true));
        assert_eq!(verdict(125, 100), (true, false));
        assert_eq!(verdict(u64::MAX, 100), (true, false));
        assert_eq!(verdict(0, 0), (true, false));
    }
}
