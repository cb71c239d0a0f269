//! Versions and ranges of them, as far as releases of Cilium and the Gateway API need it: `1.17.1`, `v1.2.0`, `>=1.18, <1.20`.

use std::fmt;

/// A release: major, minor, patch. Missing parts are 0; what follows a hyphen is left out of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32, pub u32, pub u32);

/// A text is no version or no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}, expected for example {example}")]
pub struct BadVersion {
    text: String,
    what: &'static str,
    example: &'static str,
}

impl Version {
    /// Reads `1.17.1`, `v1.17`, `1.20.0-dev`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Version, BadVersion> {
        let bad = || BadVersion { text: crate::scenario::tree::shorten(text), what: "version", example: "1.17.1" };
        let plain = text.trim();
        let plain = plain.strip_prefix('v').unwrap_or(plain);
        let plain = plain.split(['-', '+']).next().unwrap_or_default();
        let mut parts = [0u32; 3];
        for (count, piece) in plain.split('.').enumerate() {
            let slot = parts.get_mut(count).ok_or_else(bad)?;
            if piece.is_empty() || !piece.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            *slot = piece.parse().map_err(|_| bad())?;
        }
        Ok(Version(parts[0], parts[1], parts[2]))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Bounds that all must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range(Vec<(Bound, Version)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtLeast,
    Above,
    Below,
    AtMost,
    Exactly,
}

impl Range {
    /// Reads bounds separated by commas; a bare version means exactly it.
    ///
    /// # Errors
    /// An empty text or a bound that is none.
    pub fn parse(text: &str) -> Result<Range, BadVersion> {
        let bad = || BadVersion { text: crate::scenario::tree::shorten(text), what: "range of versions", example: ">=1.18, <1.20" };
        let bound = |piece: &str| {
            let piece = piece.trim();
            let table = [(">=", Bound::AtLeast), ("<=", Bound::AtMost), (">", Bound::Above), ("<", Bound::Below), ("=", Bound::Exactly)];
            let (bound, rest) = table
                .iter()
                .find_map(|(sign, bound)| piece.strip_prefix(sign).map(|rest| (*bound, rest)))
                .unwrap_or((Bound::Exactly, piece));
            Version::parse(rest).map(|version| (bound, version)).map_err(|_| bad())
        };
        text.split(',').map(bound).collect::<Result<Vec<_>, _>>().map(Range)
    }

    /// Whether every bound holds.
    pub fn holds(&self, version: Version) -> bool {
        self.0.iter().all(|(bound, limit)| match bound {
            Bound::AtLeast => version >= *limit,
            Bound::Above => version > *limit,
            Bound::Below => version < *limit,
            Bound::AtMost => version <= *limit,
            Bound::Exactly => version == *limit,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_range_holds_when_every_bound_does() {
        for (range, version, holds) in [
            (">=1.18, <1.20", "1.19.6", true),
            (">=1.18, <1.20", "1.20.0", false),
            (">=1.18", "1.17.1", false),
            ("1.17.1", "v1.17.1", true),
            ("<=1.17", "1.17.1", false),
            (">1.17", "1.17.1", true),
        ] {
            assert_eq!(Range::parse(range).unwrap().holds(Version::parse(version).unwrap()), holds, "{range} {version}");
        }
        for bad in ["", ">=", "1.2.3.4", "x", ">=1.18,", "1..2", "=>1"] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
    }
}
