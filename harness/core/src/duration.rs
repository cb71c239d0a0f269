//! Times with their unit, as scenario files write them: `500ms`, `3s`, `2m`, `1h`.

use std::time::Duration;

/// Longest time a scenario may name: a day.
const MAX: Duration = Duration::from_secs(24 * 3600);

/// A text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time: expected a whole number and one of ms, s, m, h, for example 500ms or 3s")]
pub struct BadDuration {
    /// The text.
    pub text: String,
}

/// Reads a time.
///
/// # Errors
/// Text that is not a whole number with a unit, or more than a day.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration { text: crate::scenario::tree::shorten(text) };
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let number: u64 = text[..digits].parse().map_err(|_| bad())?;
    let unit_ms: u64 = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    let duration = Duration::from_millis(number.checked_mul(unit_ms).ok_or_else(bad)?);
    if duration > MAX { Err(bad()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn times_have_a_whole_number_and_a_unit() {
        for (text, ms) in [("500ms", 500), ("3s", 3_000), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in ["", "3", "s", "1.5s", "-3s", "3 s", "3S", "99999999999999999999s", "25h", "3sec", "ms3", "\u{661}s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
