//! Durations as license files and settings write them: `3m`, `24h`, `7d`, `365d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A length of time in whole seconds; at most 100 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(i64);

const LIMIT_SECONDS: i64 = 36_500 * 86_400;

impl Span {
    /// So many minutes.
    pub const fn minutes(minutes: i64) -> Self {
        Self(minutes * 60)
    }

    /// So many days of 24 hours.
    pub const fn days(days: i64) -> Self {
        Self(days * 86_400)
    }

    /// Its length in seconds.
    pub const fn seconds(self) -> i64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{}' is not a duration: write a whole number and s, m, h or d, such as 3m, 24h or 7d", super::id::shorten(text));
        let unit = text.chars().last().ok_or_else(bad)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(bad()),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let number: i64 = digits.parse().map_err(|_| bad())?;
        match number.checked_mul(seconds) {
            Some(total) if total <= LIMIT_SECONDS => Ok(Self(total)),
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s % 3_600 == 0 => write!(f, "{}h", s / 3_600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_in_their_largest_unit() {
        for (text, seconds, written) in [("3m", 180, "3m"), ("24h", 86_400, "1d"), ("7d", 604_800, "7d"), ("90s", 90, "90s")] {
            let span: Span = text.parse().expect(text);
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, written));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "d", "7", "-1d", "7 d", "7days", "1.5h", "99999999999d", "40000d", "7é"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
