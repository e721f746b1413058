//! The public trial (domain §3): a device that names nothing gets it once in its life, and
//! an address once in 30 days.

use super::authorize::Counted;
use crate::clock::rfc3339;
use crate::licensing::decision::Grant;
use crate::licensing::item::same_word;
use crate::licensing::{ClientUuid, LicenseItem, grace};
use crate::protocol::ErrorCode;
use crate::store::catalog::Catalog;
use crate::store::facts::TrialStart;
use crate::store::handshakes::Handshake;
use crate::store::{Error, Ledger, devices, trials};

/// Days until another trial may begin at the same address.
const ADDRESS_DAYS: i64 = 30;

/// How long a device may try.
pub(super) enum TrialTerm {
    /// It begins now, at this address.
    Begins {
        /// The network address.
        address: String,
    },
    /// It began, and ends at this second.
    Runs {
        /// Seconds since 1970.
        ends_at: i64,
    },
}

impl TrialTerm {
    /// Ends a grant with the trial. A trial lasts the local license validity of its item; the
    /// record of one that begins comes back.
    pub(super) fn shorten(&self, grant: &mut Grant<'_>, now: i64) -> Option<TrialStart> {
        let item = grant.items.first()?.item;
        let (ends_at, begins) = match self {
            Self::Runs { ends_at } => (*ends_at, None),
            Self::Begins { address } => {
                let ends_at = now + item.local_license_validity.seconds();
                (ends_at, Some(TrialStart { item: item.item_id, ends_at, address: address.clone() }))
            }
        };
        grant.expires_at = grant.expires_at.min(ends_at);
        for granted in &mut grant.items {
            granted.seat_until = granted.seat_until.map(|until| until.min(ends_at));
        }
        begins
    }
}

/// The code whose trial item serves this product now; else one whose trial has ended or is for
/// another product, so that the device learns what it was for.
pub(super) fn find_code<'c>(catalog: &'c Catalog, product: &str, now: i64) -> Option<&'c Handshake> {
    let fitness = |item: &LicenseItem| {
        let of_product = same_word(&item.product, product);
        let in_force = (item.starts_at()..=grace::end_at(item)).contains(&now) && !catalog.is_revoked(item.item_id);
        (of_product, in_force)
    };
    let best_of = |code: &&Handshake| catalog.items_in_order(code).into_iter().filter(|item| item.trial).map(fitness).max();
    // Of several that are as good, the oldest code.
    catalog.codes().into_iter().rev().filter(|code| best_of(code).is_some()).max_by_key(best_of)
}

/// Whether a device may begin a trial, or goes on with the one it began.
pub(super) fn find_term(ledger: &Ledger<'_>, client: ClientUuid, address: &str) -> Result<Result<TrialTerm, Counted>, Error> {
    let now = ledger.now();
    let refuse = |code, what: String| Ok(Err(Counted::new(code, what)));
    if let Some(trial) = trials::find(ledger, client)? {
        if now < trial.ends_at {
            return Ok(Ok(TrialTerm::Runs { ends_at: trial.ends_at }));
        }
        let what = format!("the trial of this device ended at {}: it has one in its life; give a handshake code", rfc3339(trial.ends_at));
        return refuse(ErrorCode::Expired, what);
    }
    if devices::is_known(ledger, client)? {
        return refuse(
            ErrorCode::NothingNamed,
            "give a handshake code or an organization ID: the public trial is only for devices that were never authorized here".into(),
        );
    }
    if let Some(trial) = trials::find_from(ledger, address, now - ADDRESS_DAYS * 86_400)? {
        let again = rfc3339(trial.started_at + ADDRESS_DAYS * 86_400);
        let what = format!("a trial began at this network address at {}; another one may begin at {again}; give a handshake code", rfc3339(trial.started_at));
        return refuse(ErrorCode::Expired, what);
    }
    Ok(Ok(TrialTerm::Begins { address: address.to_owned() }))
}
