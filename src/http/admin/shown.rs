//! Ready-made values for templates: times with the site's own on hover, tabs, fields of forms with
//! what is wrong with them.

use super::chrome::{Chrome, distance, utc_time};

/// A time as pages show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// For programs that read the page.
    pub iso: String,
    /// In UTC.
    pub utc: String,
    /// On the site's own clock, shown on hover.
    pub local: String,
    /// How long ago, or how far ahead.
    pub distance: String,
}

impl When {
    /// A time, seconds since 1970, seen from `now`.
    pub fn of(page: &Chrome, seconds: i64, now: i64) -> Self {
        Self { iso: crate::clock::rfc3339(seconds), utc: utc_time(seconds), local: page.local_time(seconds), distance: distance(seconds - now) }
    }

    /// The element: nothing in it comes from elsewhere.
    pub fn html(&self) -> String {
        format!("<time datetime=\"{}\" title=\"{}\">{}</time>", self.iso, self.local, self.utc)
    }
}

/// A part of a page with an address of its own.
pub struct Tab {
    /// Where to.
    pub href: &'static str,
    /// Its text.
    pub text: &'static str,
    /// Whether it is where we are.
    pub is_here: bool,
}

/// Tabs, of which one is where we are.
pub fn tabs(list: &[(&'static str, &'static str)], here: &str) -> Vec<Tab> {
    list.iter().map(|(href, text)| Tab { href, text, is_here: *href == here }).collect()
}

/// What is wrong with the fields of a form, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors(Vec<(String, String)>);

impl Errors {
    /// One field that is wrong.
    pub fn one(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self(vec![(field.into(), text.into())])
    }

    /// Several.
    pub fn all(list: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(list.into_iter().map(|(field, text)| (field.to_owned(), text)).collect())
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one, unless this field has one already.
    pub fn add(&mut self, field: &str, text: impl Into<String>) {
        if self.at(field).is_empty() {
            self.0.push((field.to_owned(), text.into()));
        }
    }

    /// What is wrong with a field; empty: nothing.
    pub fn at(&self, field: &str) -> &str {
        self.0.iter().find(|(of, _)| of == field).map_or("", |(_, text)| text.as_str())
    }

    /// Whether something is wrong with a field.
    pub fn has(&self, field: &str) -> bool {
        !self.at(field).is_empty()
    }

    /// What a field's input says of itself: that it is wrong, and where that stands. Only for names
    /// from templates.
    pub fn aria(&self, field: &str) -> String {
        if self.has(field) { format!(" aria-invalid=\"true\" aria-describedby=\"{field}-error\"") } else { String::new() }
    }
}

/// `license_imported` as people read it: `License imported`.
pub fn words(name: &str) -> String {
    let text = name.replace('_', " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A size in bytes, such as `1.5 MB`.
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "bytes");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1_000.0 {
            break;
        }
        (value, unit) = (value / 1_000.0, larger);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_are_for_people() {
        assert_eq!([words("license_imported"), words("")], ["License imported".to_owned(), String::new()]);
        assert_eq!([size(999), size(1_500), size(2_000_000_000)], ["999 bytes", "1.5 kB", "2.0 GB"].map(str::to_owned));
    }

    #[test]
    fn a_field_has_the_first_thing_that_is_wrong_with_it() {
        let mut errors = Errors::one("name", "is taken");
        errors.add("name", "is short");
        assert_eq!((errors.at("name"), errors.at("role")), ("is taken", ""));
        assert_eq!(errors.aria("name"), " aria-invalid=\"true\" aria-describedby=\"name-error\"");
    }
}
