//! What is wrong with this server right now: told at once in the log, and on the pages for as long
//! as it lasts (domain §7). Kept in memory, because whoever finds it finds it again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// No backup can be made.
    Backup,
    /// The disk is nearly full, or cannot be written.
    Disk,
    /// The journal does not follow from itself.
    Journal,
    /// The partner is not heard of.
    Partner,
    /// Facts cannot be exchanged with the partner.
    Sync,
    /// The clocks of the two servers differ.
    Clock,
    /// Facts of this server were lost.
    FactsLost,
    /// The HTTPS certificate ends soon.
    Certificate,
    /// The HTTPS certificate could not be renewed, or its new file cannot be used.
    CertificateNotRenewed,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Backup, Self::Disk, Self::Journal, Self::Partner, Self::Sync, Self::Clock, Self::FactsLost, Self::Certificate, Self::CertificateNotRenewed];

    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup_failing",
            Self::Disk => "disk_filling",
            Self::Journal => "journal_broken",
            Self::Partner => "partner_silent",
            Self::Sync => "sync_failing",
            Self::Clock => "clocks_apart",
            Self::FactsLost => "facts_lost",
            Self::Certificate => "certificate_ending",
            Self::CertificateNotRenewed => "certificate_not_renewed",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// What.
    pub trouble: Trouble,
    /// Since when, seconds since 1970.
    pub since: i64,
    /// What happened, and what to do.
    pub detail: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Exceptions(Mutex<BTreeMap<Trouble, Exception>>);

impl Exceptions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Trouble, Exception>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is so at `now`, seconds since 1970.
    pub fn raise(&self, trouble: Trouble, now: i64, detail: impl Into<String>) {
        let detail = detail.into();
        let mut all = self.lock();
        let is_news = all.get(&trouble).is_none_or(|known| known.detail != detail);
        if is_news {
            tracing::error!(exception = trouble.name(), "{detail}");
        }
        let since = all.get(&trouble).map_or(now, |known| known.since);
        all.insert(trouble, Exception { trouble, since, detail });
    }

    /// It is so no longer.
    pub fn clear(&self, trouble: Trouble) {
        if self.lock().remove(&trouble).is_some() {
            tracing::info!(exception = trouble.name(), "is over");
        }
    }

    /// What is wrong now.
    pub fn list(&self) -> Vec<Exception> {
        self.lock().values().cloned().collect()
    }
}
