//! The names of the settings, and what to say when one is misspelt.

use std::path::Path;

use super::SettingsError;

/// What every environment variable of ours starts with.
pub(super) const ENV_PREFIX: &str = "TOLLKEEPER_";

/// Every key of the settings file, tables written with a dot. The environment variable of
/// `limits.queue` is `TOLLKEEPER_LIMITS_QUEUE`.
pub(super) const KEYS: [&str; 29] = [
    "data",
    "listen",
    "http",
    "trusted_vendors",
    "server_urls",
    "sdk_packages",
    "tls.names",
    "tls.certificate",
    "tls.key",
    "limits.workers",
    "limits.queue",
    "limits.body_bytes",
    "limits.body_seconds",
    "limits.head_seconds",
    "limits.idle_seconds",
    "limits.connections",
    "limits.device_requests_per_minute",
    "limits.address_requests_per_minute",
    "limits.shutdown_seconds",
    "log.level",
    "log.format",
    "metrics.listen",
    "backup.every_minutes",
    "backup.directory",
    "backup.keep_latest",
    "backup.keep_hours",
    "backup.keep_days",
    "backup.keep_others",
    "standby.sync_seconds",
];

/// The environment variable of `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// The key whose environment variable is `name`.
pub(super) fn find_by_variable(name: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|key| variable(key) == name)
}

/// Turns what the TOML parser says into file, line and key.
pub(super) fn explain(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
    let unknown = error.message().strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    match unknown {
        Some(key) => {
            SettingsError::UnknownKey { path: path.to_owned(), line, key: key.to_owned(), suggestion: nearest(key, KEYS.into_iter()).map(str::to_owned) }
        }
        None => {
            let written = text.lines().nth(line - 1).unwrap_or("").trim();
            SettingsError::Malformed { path: path.to_owned(), line, reason: format!("{} in `{written}`", error.message().trim().replace('\n', ", ")) }
        }
    }
}

/// The known name at an edit distance of at most 2; a key may leave out its table.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| {
            let last = name.rsplit('.').next().unwrap_or(name);
            (edit_distance(written, name).min(edit_distance(written, last)), name)
        })
        .filter(|(distance, _)| *distance <= 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_name_is_at_most_two_edits_away() {
        let known = || ["limits.queue", "limits.workers", "listen"].into_iter();
        assert_eq!(nearest("queu", known()), Some("limits.queue"));
        assert_eq!(nearest("lsten", known()), Some("listen"));
        assert_eq!(nearest("limits.worker", known()), Some("limits.workers"));
        assert_eq!(nearest("colour", known()), None);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
