//! `--rate`.

/// Calls per second. The lower bound keeps plans within what a clock can say.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("must be 0.001 to 1000000 calls a second".to_owned()),
    }
}
