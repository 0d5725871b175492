//! Patterns over JSON Pointers.

use std::fmt;

use thiserror::Error;

/// Some paths of a JSON value: a JSON Pointer (RFC 6901) in which `*` stands for any text within
/// a segment, and the segment `**` for any number of segments, also none. `~2` is a star that is
/// meant as one, beside the pointer's own `~0` (tilde) and `~1` (slash).
///
/// ```
/// use poolshift::router::compare::glob::Glob;
///
/// let glob: Glob = "/items/*/**/took_*".parse()?;
/// assert!(glob.matches(&["items", "3", "took_ms"]));
/// assert!(!glob.matches(&["took_ms"]));
/// # Ok::<(), poolshift::router::compare::glob::BadGlob>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    segments: Vec<Segment>,
}

/// One part between slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// `**`: any number of segments.
    Deep,
    /// `*`: any one segment.
    Any,
    /// The literal texts between stars: one text is itself, two or more stand apart.
    Like(Vec<String>),
}

/// Text that is not a pattern over pointers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadGlob {
    /// Pointers are absolute.
    #[error("{0:?} is no JSON Pointer: begin it with a slash, as in \"/items/*/score\"")]
    NoSlash(String),
    /// `~` escapes.
    #[error("{0:?} has a lone ~: write ~0 for a tilde, ~1 for a slash, ~2 for a star")]
    Escape(String),
    /// `**` beside other text.
    #[error("{0:?} has ** beside other text: write it between slashes, as in \"/**/score\"")]
    Deep(String),
    /// Deeper than any answer.
    #[error("a pointer of {0} segments is deeper than any answer: at most {MAX_SEGMENTS}")]
    Long(usize),
}

/// As deep as JSON is read.
pub const MAX_SEGMENTS: usize = 128;

impl Glob {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the path with these keys and indices is one of those that are meant.
    #[must_use]
    pub fn matches(&self, path: &[&str]) -> bool {
        fn rest(segments: &[Segment], path: &[&str]) -> bool {
            match (segments.split_first(), path.split_first()) {
                (None, None) => true,
                (Some((Segment::Deep, after)), first) => {
                    rest(after, path) || first.is_some_and(|(_, below)| rest(segments, below))
                }
                (Some((segment, after)), Some((token, below))) => {
                    segment.matches(token) && rest(after, below)
                }
                _ => false,
            }
        }
        rest(&self.segments, path)
    }
}

impl Segment {
    fn of(glob: &str, text: &str) -> Result<Self, BadGlob> {
        match text {
            "**" => return Ok(Self::Deep),
            "*" => return Ok(Self::Any),
            _ => {}
        }
        if text.contains("**") {
            return Err(BadGlob::Deep(glob.to_owned()));
        }
        let unescaped = |part| unescape(part).ok_or_else(|| BadGlob::Escape(glob.to_owned()));
        text.split('*').map(unescaped).collect::<Result<_, _>>().map(Self::Like)
    }

    /// Whether this one segment stands for a key or an index.
    pub(super) fn matches(&self, token: &str) -> bool {
        let Self::Like(texts) = self else { return true };
        let [first, between @ .., last] = texts.as_slice() else {
            return texts[0] == token;
        };
        let Some(rest) = token.strip_prefix(first.as_str()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
        for text in between {
            match rest.find(text.as_str()) {
                Some(at) => rest = &rest[at + text.len()..],
                None => return false,
            }
        }
        true
    }
}

impl std::str::FromStr for Glob {
    type Err = BadGlob;

    fn from_str(text: &str) -> Result<Self, BadGlob> {
        let mut parts = text.split('/');
        if parts.next() != Some("") {
            return Err(BadGlob::NoSlash(text.to_owned()));
        }
        let segments: Vec<Segment> =
            parts.map(|part| Segment::of(text, part)).collect::<Result<_, _>>()?;
        match segments.len() {
            0..=MAX_SEGMENTS => Ok(Self { text: text.to_owned(), segments }),
            long => Err(BadGlob::Long(long)),
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        plain.push(match char {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                '2' => '*',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

/// Adds a key to a pointer.
pub(super) fn push_key(pointer: &mut String, key: &str, star: &str) {
    pointer.push('/');
    for char in key.chars() {
        match char {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            '*' => pointer.push_str(star),
            other => pointer.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_means_the_paths_that_it_says() {
        for (glob, path, meant) in [
            ("", &[][..], true),
            ("", &["a"], false),
            ("/a", &["a"], true),
            ("/a", &["a", "b"], false),
            ("/", &[""], true),
            ("/*", &["a"], true),
            ("/a*z", &["az"], true),
            ("/a*z", &["a"], false),
            ("/aa*a", &["aa"], false),
            ("/*b*d*", &["abcde"], true),
            ("/*d*b*", &["abcde"], false),
            ("/a~1b/~0/~2", &["a/b", "~", "*"], true),
            ("/~2", &["x"], false),
            ("/**", &[], true),
            ("/**/a", &["a"], true),
            ("/**/a", &["x", "y", "a"], true),
            ("/**/a/**", &["x", "a", "y"], true),
            ("/**/a", &["a", "x"], false),
        ] {
            assert_eq!(glob.parse::<Glob>().unwrap().matches(path), meant, "{glob} {path:?}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for (glob, why) in [
            ("items", "begin it with a slash"),
            ("/a~3", "lone ~"),
            ("/a~", "lone ~"),
            ("/a**", "** beside other text"),
            (&"/a".repeat(129), "129 segments"),
        ] {
            let refused = glob.parse::<Glob>().unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
