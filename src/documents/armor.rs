//! The wrapping of documents that people carry as files or in mail: a summary to read,
//! then the document between BEGIN and END lines, 64 columns wide.

use super::Error;
use crate::licensing::id::shorten;

/// Width of the body, in characters.
pub const COLUMNS: usize = 64;

const DASHES: &str = "-----";

/// Wraps a document: `summary` first (for people, never read back), then the armor.
/// `label` is such as `TOLLKEEPER LICENSE`.
pub fn armor(label: &str, jws: &str, summary: &str) -> String {
    let mut text = String::with_capacity(jws.len() + jws.len() / COLUMNS + summary.len() + 128);
    let summary = summary.trim_end();
    if !summary.is_empty() {
        // An alias must not be able to open a block of its own.
        text.push_str(&summary.replace(DASHES, "- - -"));
        text.push_str("\n\n");
    }
    push_block(&mut text, label, jws);
    text
}

/// Appends `-----BEGIN label-----`, the ASCII body in lines of 64, and the END line.
pub(super) fn push_block(text: &mut String, label: &str, body: &str) {
    text.push_str(&format!("{DASHES}BEGIN {label}{DASHES}\n"));
    for (index, c) in body.chars().enumerate() {
        if index > 0 && index % COLUMNS == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str(&format!("\n{DASHES}END {label}{DASHES}\n"));
}

/// Finds the one armored document in `text` and gives its body without line breaks.
/// CRLF, indentation and text before and after are tolerated.
///
/// Errors: more than `max_bytes`, no armor, armor of another document, cut off, several.
pub fn dearmor(label: &str, text: &str, max_bytes: usize) -> Result<String, Error> {
    if text.len() > max_bytes {
        return Err(Error::TooLarge { what: "file", limit: max_bytes });
    }
    let mut found: Option<(String, String)> = None;
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(begun) = boundary(line, "BEGIN ") else { continue };
        let broken = |detail| Error::BrokenArmor { label: shorten(begun), detail };
        if found.is_some() {
            return Err(broken("the file holds several documents; give one file for each"));
        }
        let mut body = String::new();
        loop {
            let line = lines.next().ok_or_else(|| broken("the END line is missing; get the whole file"))?;
            match boundary(line, "END ") {
                Some(ended) if ended == begun => break,
                Some(_) => return Err(broken("its END line belongs to another document; get a fresh copy")),
                None if line.bytes().all(|b| b.is_ascii_graphic()) => body.push_str(line),
                None => return Err(broken("there is something else between the BEGIN and END lines; get a fresh copy")),
            }
        }
        found = Some((begun.to_owned(), body));
    }
    match found {
        None => Err(Error::NotArmored { expected: label.to_owned() }),
        Some((begun, body)) if begun == label => Ok(body),
        Some((begun, _)) => Err(Error::WrongArmor { expected: label.to_owned(), found: shorten(&begun) }),
    }
}

/// The label of the first armored document in `text`, unverified: what kind it says to be.
pub fn find_label(text: &str) -> Option<&str> {
    text.trim_start_matches('\u{feff}').lines().find_map(|line| boundary(line.trim(), "BEGIN "))
}

fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(DASHES)?.strip_prefix(word)?.strip_suffix(DASHES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: &str = "TOLLKEEPER LICENSE";
    const MAX: usize = 10_000;

    fn body() -> String {
        "abc-_.XYZ".repeat(20)
    }

    #[test]
    fn armored_text_has_a_summary_a_blank_line_and_64_columns() {
        let text = armor(LABEL, &body(), "License 7\nfor -----BEGIN X-----\n");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(&lines[..4], ["License 7", "for - - -BEGIN X- - -", "", "-----BEGIN TOLLKEEPER LICENSE-----"]);
        assert_eq!(lines[4].len(), 64);
        assert!(text.ends_with("-----END TOLLKEEPER LICENSE-----\n"));
        assert_eq!((find_label(&text), find_label("License 7")), (Some(LABEL), None));
        assert_eq!(dearmor(LABEL, &text, MAX), Ok(body()));
    }

    #[test]
    fn windows_line_ends_indentation_and_surrounding_mail_are_tolerated() {
        let text = armor(LABEL, &body(), "hello").replace('\n', "\r\n  ");
        assert_eq!(dearmor(LABEL, &format!("\u{feff}Dear admin,\r\n\r\n{text}\r\nYours"), MAX), Ok(body()));
    }

    #[test]
    fn another_document_is_named_and_a_broken_one_refused() {
        let text = armor("TOLLKEEPER REVOCATION", &body(), "");
        let message = dearmor(LABEL, &text, MAX).expect_err("wrong label").to_string();
        assert!(message.contains("this is a TOLLKEEPER REVOCATION, but a TOLLKEEPER LICENSE is needed"), "{message}");
        let good = armor(LABEL, &body(), "");
        assert!(matches!(dearmor(LABEL, &format!("{good}{good}"), MAX), Err(Error::BrokenArmor { .. })));
        assert!(matches!(dearmor(LABEL, &good[..good.len() - 10], MAX), Err(Error::BrokenArmor { .. })));
        assert!(matches!(dearmor(LABEL, &good.replacen("XYZ", "X Z", 1), MAX), Err(Error::BrokenArmor { .. })));
        assert!(matches!(dearmor(LABEL, "nothing", MAX), Err(Error::NotArmored { .. })));
        assert!(matches!(dearmor(LABEL, &good, 100), Err(Error::TooLarge { .. })));
    }
}
