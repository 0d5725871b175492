//! What every report of ours has in common: a page's style, and text that stays text,
//! here and wherever else a stranger's words are shown.

use std::time::{Duration, UNIX_EPOCH};

/// Colours and the looks of plain elements, light and dark. A page adds its own.
pub(super) const STYLE: &str = include_str!("page.css");

/// Text as it may stand in HTML and SVG, also between quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // What XML allows nowhere.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// One line without anything that a terminal would take for a command.
#[must_use]
pub fn printable(text: &str) -> String {
    let escaped = text.chars().flat_map(|char| match char.is_control() {
        true => char.escape_default().collect::<Vec<char>>(),
        false => vec![char],
    });
    escaped.collect()
}

/// Seconds since the Unix epoch as UTC, to the second.
pub(super) fn utc(seconds: f64) -> String {
    // The last second of the year 9999: later ones cannot be written.
    let at = UNIX_EPOCH + Duration::from_secs_f64(seconds.clamp(0.0, 253_402_300_799.0).floor());
    humantime::format_rfc3339_seconds(at).to_string().replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_end_the_element_that_it_is_in() {
        assert_eq!(escaped("<b a=\"&\" c='\u{1}'>"), "&lt;b a=&quot;&amp;&quot; c=&#39; &#39;&gt;");
    }
}
