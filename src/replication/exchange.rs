//! One side takes the facts that it lacks from the other, page by page, each page in one
//! transaction; what is interrupted goes on with the next page.

use std::sync::Arc;

use super::link::{Link, LinkError};
use super::page;
use super::partner::{Held, list_held};
use crate::commands::Site;
use crate::commands::authorize::CLOCK_LAG_MAX_SECONDS;
use crate::commands::import_license::ImportLicense;
use crate::store::catalog::Catalog;
use crate::store::facts::{self, Fact};
use crate::store::{Command, Error, Ledger, Reader, Store};

/// Takes a page, up to the first fact of a time that has not come yet: this server would have to take
/// it for its own, and would serve nobody until it has come.
struct TakePage(Vec<Fact>);

impl Command for TakePage {
    /// How many seconds that fact is ahead.
    type Answer = Option<i64>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Option<i64>, Error> {
        let now = ledger.clock_seconds();
        for fact in &self.0 {
            let ahead = fact.stamp.div_euclid(1_000_000) - now;
            if ahead > CLOCK_LAG_MAX_SECONDS {
                return Ok(Some(ahead));
            }
            ledger.replay(fact)?;
        }
        Ok(None)
    }
}

/// Why an exchange ended early.
#[derive(Debug, Clone)]
pub enum ExchangeError {
    /// The partner gave no answer.
    Link(LinkError),
    /// What came could not be taken, or what is here could not be read.
    Store(Error),
    /// What came is so many seconds ahead of this server's clock.
    Ahead(i64),
}

impl std::fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Ahead(seconds) => {
                write!(f, "they are {seconds} s ahead of this server's clock: set the clocks of both servers right; they are taken when their time has come")
            }
        }
    }
}

impl From<Error> for ExchangeError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Takes everything that the partner holds and this server lacks. Returns how many facts came.
pub fn pull(store: &Arc<Store>, site: &Arc<Site>, link: &Link) -> Result<u64, ExchangeError> {
    let mut count = 0;
    loop {
        let held = list_held(&*store.reader()?)?;
        let facts = link.facts_after(&held).map_err(ExchangeError::Link)?;
        if facts.is_empty() {
            return Ok(count);
        }
        count += facts.len() as u64;
        let is_news = facts.iter().any(|fact| matches!(fact.kind.as_str(), "license_imported" | "license_revoked"));
        let ahead = store.writer().submit_blocking(TakePage(facts))?;
        if is_news {
            ImportLicense::refresh(site, &Catalog::load(&*store.reader()?)?);
        }
        if let Some(seconds) = ahead {
            return Err(ExchangeError::Ahead(seconds));
        }
    }
}

/// The next page of facts for somebody who holds so much.
pub fn page_for(reader: &Reader, theirs: &[Held]) -> Result<Vec<Fact>, Error> {
    let mut page = Vec::new();
    let mut bytes = 0;
    for ours in list_held(reader)? {
        let known = theirs.iter().find(|other| other.origin == ours.origin && other.from == ours.from).map(|other| other.last);
        // Above a gap that the other side has not heard of, the first fact is the one that tells of it.
        let begin = ours.from.saturating_sub(1);
        let mut after = known.unwrap_or(begin).max(begin);
        while after < ours.last {
            let facts = facts::list_after(reader, ours.origin, after, 500)?;
            let Some(last) = facts.last() else { break };
            after = last.sequence;
            for fact in facts.into_iter().take_while(|fact| fact.sequence <= ours.last) {
                bytes += fact.json.len() + 100;
                page.push(fact);
                if page.len() >= page::FACTS_MAX || bytes >= page::BYTES_FULL {
                    return Ok(page);
                }
            }
        }
    }
    Ok(page)
}
