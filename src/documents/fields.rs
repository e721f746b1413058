//! Limits that several documents share, and the text of their summaries.

use chrono::{DateTime, Utc};

use super::Error;
use crate::licensing::id::MAX_ID;

/// The last second that RFC 3339 can write.
pub(super) const TIME_MAX: i64 = 253_402_300_799;

/// An id must be from 1 to [`MAX_ID`].
pub(super) fn check_id(field: &str, id: u64) -> Result<(), Error> {
    if id == 0 || id > MAX_ID {
        return Err(Error::field(field, format!("must be from 1 to {MAX_ID}")));
    }
    Ok(())
}

/// A time must be one that RFC 3339 can write.
pub(super) fn check_time(field: &str, time: DateTime<Utc>) -> Result<(), Error> {
    if !(0..=TIME_MAX).contains(&time.timestamp()) {
        return Err(Error::field(field, "must lie between 1970 and 9999"));
    }
    Ok(())
}

/// A text for people must have at most `max` characters, all printable.
pub(super) fn check_text(field: &str, text: &str, max: usize) -> Result<(), Error> {
    if text.chars().count() > max || text.chars().any(char::is_control) {
        return Err(Error::field(field, format!("must be at most {max} printable characters")));
    }
    Ok(())
}

/// The lines of a summary as one text. Control characters are left out, so that even an
/// unverified document may be printed.
pub(super) fn printable(lines: &[String]) -> String {
    let mut text: String = lines.join("\n").chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    text.push('\n');
    text
}

/// Rows of equally many cells as lines with aligned columns.
pub(super) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}
