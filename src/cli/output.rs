//! Lines, tables and JSON on standard output. A reader that goes away (`| head`) is no
//! error.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use super::Failure;
pub use crate::http::admin::chrome::{count, number};

/// Writes bytes as they are.
pub fn raw(bytes: &[u8]) {
    // Nobody is left to be told when standard output is gone.
    let _ = std::io::stdout().lock().write_all(bytes);
}

/// Writes a line.
pub fn line(text: impl AsRef<str>) {
    raw(format!("{}\n", text.as_ref()).as_bytes());
}

/// Writes a value as JSON: indented on a terminal, in one line otherwise.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = if std::io::stdout().is_terminal() { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    line(text.map_err(|error| Failure(error.to_string()))?);
    Ok(())
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Text, to the left.
    Text(&'static str),
    /// Numbers, to the right.
    Number(&'static str),
}

/// Writes a table with aligned columns, or `empty` when it has no rows.
pub fn table(columns: &[Column], rows: &[Vec<String>], empty: &str) {
    if rows.is_empty() {
        line(empty);
        return;
    }
    let title = |column: &Column| match column {
        Column::Text(title) | Column::Number(title) => (*title).to_owned(),
    };
    let head: Vec<String> = columns.iter().map(title).collect();
    let width = |n: usize| std::iter::once(&head).chain(rows).filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(columns)
            .zip(&widths)
            .map(|((cell, column), width)| match column {
                Column::Text(_) => format!("{cell:<width$}"),
                Column::Number(_) => format!("{cell:>width$}"),
            })
            .collect();
        line(cells.join("  ").trim_end());
    }
}
