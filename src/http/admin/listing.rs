//! What tables have in common: sorted, searched and paged on the server, each view with an
//! address of its own.

/// Rows of one page.
pub const PAGE_ROWS: usize = 50;

/// What a table is asked for.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct Wanted {
    /// Only rows with this text.
    #[serde(default)]
    pub q: String,
    /// Only rows with this status.
    #[serde(default)]
    pub status: String,
    /// The column to sort by, with `-` before it downwards.
    #[serde(default)]
    pub sort: String,
    /// Which page, from 1.
    #[serde(default)]
    pub page: String,
}

/// The head of a column.
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Sorts by it; a second time the other way round.
    pub href: String,
    /// `ascending`, `descending`, or empty.
    pub sorted: &'static str,
    /// Whether it has numbers.
    pub is_number: bool,
}

/// Where the pages of a table are.
#[derive(Default)]
pub struct Pager {
    /// The page before; empty on the first.
    pub before: String,
    /// The page after; empty on the last.
    pub after: String,
    /// Such as `51–100 of 230`.
    pub told: String,
}

impl Wanted {
    /// The column to sort by and whether downwards; `first` where nothing was chosen.
    pub fn order<'a>(&'a self, first: &'a str) -> (&'a str, bool) {
        let sort = if self.sort.is_empty() { first } else { &self.sort };
        sort.strip_prefix('-').map_or((sort, false), |name| (name, true))
    }

    /// Whether a row with these texts is wanted.
    pub fn takes(&self, texts: &[&str]) -> bool {
        let wanted = self.q.trim().to_lowercase();
        wanted.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    /// The address of another view of the same table.
    fn href(&self, path: &str, sort: &str, page: usize) -> String {
        let page = if page > 1 { page.to_string() } else { String::new() };
        let fields = [("q", self.q.trim()), ("status", &self.status), ("sort", sort), ("page", &page)];
        let query = serde_urlencoded::to_string(fields.iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>()).unwrap_or_default();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// The heads of columns: name, title, whether it has numbers.
    pub fn columns(&self, path: &str, first: &str, names: &[(&'static str, &'static str, bool)]) -> Vec<Column> {
        let (by, is_down) = self.order(first);
        let column = |(name, title, is_number): &(&'static str, &'static str, bool)| {
            let is_by = *name == by;
            let sort = if is_by && !is_down { format!("-{name}") } else { (*name).to_owned() };
            let sorted = if !is_by {
                ""
            } else if is_down {
                "descending"
            } else {
                "ascending"
            };
            Column { title, href: self.href(path, &sort, 1), sorted, is_number: *is_number }
        };
        names.iter().map(column).collect()
    }

    /// The rows of the page that is asked for, and where the others are.
    pub fn cut<T>(&self, path: &str, rows: Vec<T>) -> (Vec<T>, Pager) {
        let count = rows.len();
        if count <= PAGE_ROWS {
            return (rows, Pager::default());
        }
        let pages = count.div_ceil(PAGE_ROWS);
        let page = self.page.parse::<usize>().unwrap_or(1).clamp(1, pages);
        let begin = (page - 1) * PAGE_ROWS;
        let told = format!("{}–{} of {}", begin + 1, (begin + PAGE_ROWS).min(count), super::chrome::number(count as u64));
        let link = |to: usize| self.href(path, &self.sort, to);
        let before = if page > 1 { link(page - 1) } else { String::new() };
        let after = if page < pages { link(page + 1) } else { String::new() };
        (rows.into_iter().skip(begin).take(PAGE_ROWS).collect(), Pager { before, after, told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_of_a_table_has_an_address() {
        let wanted = Wanted { q: "line 4".into(), sort: "-ends".into(), page: "2".into(), ..Wanted::default() };
        let columns = wanted.columns("/x", "item", &[("item", "Item", true), ("ends", "Ends", false)]);
        assert_eq!(
            columns.iter().map(|column| (column.href.as_str(), column.sorted)).collect::<Vec<_>>(),
            [("/x?q=line+4&sort=item", ""), ("/x?q=line+4&sort=ends", "descending")]
        );
        let (rows, pager) = wanted.cut("/x", (0..120).collect());
        assert_eq!((rows[0], rows.len(), pager.told.as_str()), (50, 50, "51–100 of 120"));
        assert_eq!((pager.before.as_str(), pager.after.as_str()), ("/x?q=line+4&sort=-ends", "/x?q=line+4&sort=-ends&page=3"));
        assert!(wanted.takes(&["a", "Line 4"]) && !wanted.takes(&["line 5"]));
    }
}
