//! `vendor renew`: a new license that goes on where an old one ends, or adds to its quota.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{end_of, free_id, next_import, pick, read_license, read_request, time_of, told, write_license};
use crate::cli::Failure;
use crate::clock::rfc3339;
use crate::documents::license_file::TEXT_VERSION;
use crate::documents::{License, LicenseStatus, RequestServer, ServerCertificate, SigningKey};
use crate::licensing::{ChargeWay, ItemId, LicenseId, LicenseItem};

/// Flags of `vendor renew`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("term").required(true).args(["until", "add_quota"])))]
pub struct RenewArgs {
    /// The vendor's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The license to renew
    #[arg(long, value_name = "FILE")]
    license: PathBuf,
    /// The license file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Renew: last day of the new term
    #[arg(long, value_name = "DATE")]
    until: Option<NaiveDate>,
    /// Add so much quota to the term that runs
    #[arg(long, value_name = "N")]
    add_quota: Option<u64>,
    /// Quota of the new term [default: as before]
    #[arg(long, value_name = "N", requires = "until", conflicts_with = "add_quota")]
    quota: Option<u64>,
    /// Only this item; may be repeated [default: all]
    #[arg(long = "item", value_name = "ID")]
    items: Vec<ItemId>,
    /// Number of the new license [default: nine random digits]
    #[arg(long, value_name = "N")]
    license_id: Option<LicenseId>,
    /// Name of the new license [default: as before]
    #[arg(long, value_name = "TEXT")]
    alias: Option<String>,
    /// Bind it to the servers of this activation request instead of the old ones
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
}

/// What is bought.
#[derive(Debug, Clone, Copy)]
enum Term {
    /// A further term, until the end of this day.
    Until(NaiveDate, Option<u64>),
    /// More of the term that runs.
    AddQuota(u64),
}

/// Writes the new license; returns what to tell.
pub(super) fn renew(args: RenewArgs, now: i64) -> Result<Vec<String>, Failure> {
    let vendor = SigningKey::load(&args.key).map_err(told)?;
    if args.out == args.license {
        return Err(Failure(format!("{} is the old license, which is still needed: write to another file", args.out.display())));
    }
    let old = read_license(&args.license, &args.key, &vendor)?;
    let term = match (args.until, args.add_quota) {
        (Some(day), _) => Term::Until(day, args.quota),
        (None, Some(quota)) => Term::AddQuota(quota),
        (None, None) => return Err(Failure("nothing to do: give --until or --add-quota".into())),
    };
    let servers = match &args.request {
        Some(request) => read_request(request)?,
        None => servers_of(&old, &vendor)?,
    };
    let mut taken: BTreeSet<u64> = old.items.iter().map(|item| item.item_id.0).chain([old.license_id.0]).collect();
    let license_id = args.license_id.map_or_else(|| free_id(&mut taken).map(LicenseId), Ok)?;
    if license_id == old.license_id {
        return Err(Failure(format!("{license_id} is the number of the old license: give the new one its own")));
    }
    let default_alias = format!("DM_{}_Date", old.license_id);
    let mut license = License {
        license_text_version: TEXT_VERSION.into(),
        license_id,
        alias: args.alias.unwrap_or_else(|| if old.alias.starts_with(&default_alias) { String::new() } else { old.alias.clone() }),
        organization_id: old.organization_id.clone(),
        license_status: LicenseStatus::New,
        issued_at: time_of(now)?,
        servers: vec![],
        items: renewed(&pick(&old, &args.items)?, term, &mut taken, time_of(now)?)?,
    };
    license.validate().map_err(told)?;
    if !servers.is_empty() {
        license = license.activate(&vendor, &servers, now).map_err(told)?;
    }
    write_license(&license, &vendor, &args.out, &[&args.key, &args.license])?;
    let named = if license.alias.is_empty() { String::new() } else { format!(" ({})", license.alias) };
    let mut lines = vec![format!(
        "Wrote {}: license {}{named}, {:?} for organization {}, renews license {}",
        args.out.display(),
        license.license_id,
        license.license_status,
        license.organization_id,
        old.license_id
    )];
    lines.extend(license.items.iter().map(told_item));
    lines.push(match license.license_status {
        LicenseStatus::Activated => next_import(&args.out),
        LicenseStatus::New => {
            format!("Next: tollkeeper vendor activate --key {} --license {} --request FILE --out FILE.lic", args.key.display(), args.out.display())
        }
    });
    Ok(lines)
}

fn told_item(item: &LicenseItem) -> String {
    let renews = item.renews.map_or_else(String::new, |old| format!(" renews item {old}"));
    let (from, to) = (rfc3339(item.valid_from.timestamp()), rfc3339(item.valid_to.timestamp()));
    format!("Item {}{renews}: {}, quota {}, {from} to {to}", item.item_id, item.product, item.quota)
}

/// The servers that a license is bound to, as their certificates know them.
fn servers_of(license: &License, vendor: &SigningKey) -> Result<Vec<RequestServer>, Failure> {
    let known = license.servers.iter().map(|server| {
        let certificate = ServerCertificate::verify(&server.certificate, std::slice::from_ref(vendor.verifying_key())).map_err(told)?;
        Ok(RequestServer { uuid: server.uuid, jwk: certificate.jwk, sealing_jwk: certificate.sealing_jwk, hardware: String::new(), name: String::new() })
    });
    known.collect()
}

/// Copies of these items for the new term, each naming the one it renews. An item that
/// one of them needs is that one's copy, if it is among them.
fn renewed(old: &[&LicenseItem], term: Term, taken: &mut BTreeSet<u64>, now: DateTime<Utc>) -> Result<Vec<LicenseItem>, Failure> {
    let ids = old.iter().map(|item| Ok((item.item_id, ItemId(free_id(taken)?)))).collect::<Result<BTreeMap<_, _>, Failure>>()?;
    let copy = |item: &LicenseItem| -> Result<LicenseItem, Failure> {
        let (valid_from, valid_to, quota) = on_term(item, term, now)?;
        Ok(LicenseItem {
            item_id: ids.get(&item.item_id).copied().unwrap_or(item.item_id),
            renews: Some(item.item_id),
            depends_on: item.depends_on.map(|needed| ids.get(&needed).copied().unwrap_or(needed)),
            valid_from,
            valid_to,
            quota,
            ..item.clone()
        })
    };
    old.iter().map(|item| copy(item)).collect()
}

/// First and last moment and quota of the copy.
fn on_term(item: &LicenseItem, term: Term, now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>, u64), Failure> {
    let end = rfc3339(item.valid_to.timestamp());
    match term {
        Term::Until(day, quota) => {
            let from = item.valid_to.checked_add_signed(TimeDelta::seconds(1)).unwrap_or(item.valid_to).max(now);
            if end_of(day) <= from {
                let begins = rfc3339(from.timestamp());
                return Err(Failure(format!("item {} ends at {end}, so its new term begins at {begins}: give a later day than --until {day}", item.item_id)));
            }
            Ok((from, end_of(day), quota.unwrap_or(item.quota)))
        }
        Term::AddQuota(_) if item.charge_way == ChargeWay::Domain => {
            Err(Failure(format!("item {} is charged by domain and has no quota: name the others with --item, or renew it with --until", item.item_id)))
        }
        Term::AddQuota(_) if now >= item.valid_to => Err(Failure(format!("item {} ended at {end}: renew it with --until", item.item_id))),
        Term::AddQuota(quota) => Ok((item.valid_from.max(now), item.valid_to, quota)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{VendorCommand, run};
    use super::*;
    use crate::clock::ManualClock;
    use crate::documents::license_file::tests::new_license;
    use crate::documents::request::tests::identity;
    use crate::documents::{ActivationRequest, LicenseFile};
    use crate::licensing::item::tests::scan_item;

    const NOW: i64 = 1_795_305_600;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(NOW, 0).expect("time")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("day")
    }

    fn one(item: &LicenseItem, term: Term) -> Result<LicenseItem, String> {
        renewed(&[item], term, &mut BTreeSet::new(), now()).map(|mut items| items.remove(0)).map_err(|Failure(text)| text)
    }

    #[test]
    fn a_new_term_begins_when_the_old_one_ends_or_now() {
        let mut item = scan_item(7);
        let copy = one(&item, Term::Until(day("2031-12-31"), None)).expect("renewed");
        assert_eq!((copy.renews, copy.quota), (Some(ItemId(7)), 100));
        assert_eq!(rfc3339(copy.valid_from.timestamp()), "2030-01-01T00:00:01Z");
        assert_eq!(rfc3339(copy.valid_to.timestamp()), "2031-12-31T23:59:59Z");
        assert_eq!(
            LicenseItem { item_id: ItemId(7), renews: None, valid_from: item.valid_from, valid_to: item.valid_to, ..copy },
            item,
            "all else is as before"
        );
        item.valid_to = "2026-01-01T00:00:00Z".parse().expect("time");
        let copy = one(&item, Term::Until(day("2026-12-31"), Some(500))).expect("renewed");
        assert_eq!((copy.valid_from.timestamp(), copy.quota), (NOW, 500));
        let message = one(&scan_item(7), Term::Until(day("2029-12-31"), None)).expect_err("too early");
        assert!(message.contains("ends at 2030-01-01T00:00:00Z") && message.contains("later day"), "{message}");
    }

    #[test]
    fn added_quota_is_for_the_term_that_runs() {
        let mut item = scan_item(7);
        let copy = one(&item, Term::AddQuota(5)).expect("added");
        assert_eq!((copy.valid_from.timestamp(), copy.valid_to, copy.quota), (NOW, item.valid_to, 5));
        item.valid_from = "2028-01-01T00:00:00Z".parse().expect("time");
        assert_eq!(one(&item, Term::AddQuota(5)).expect("added").valid_from, item.valid_from);
        item.valid_to = now();
        assert!(one(&item, Term::AddQuota(5)).expect_err("over").contains("renew it with --until"));
        let domain = LicenseItem { charge_way: ChargeWay::Domain, domain: Some("example.com".into()), ..scan_item(7) };
        assert!(one(&domain, Term::AddQuota(5)).expect_err("no quota").contains("has no quota"));
    }

    #[test]
    fn a_needed_item_is_the_copy_when_there_is_one() {
        let (core, mut add_on) = (scan_item(1), scan_item(2));
        add_on.depends_on = Some(ItemId(1));
        let term = Term::Until(day("2031-12-31"), None);
        let both = renewed(&[&core, &add_on], term, &mut BTreeSet::new(), now()).map_err(|Failure(text)| text).expect("renewed");
        assert_eq!(both[1].depends_on, Some(both[0].item_id));
        assert!(both.iter().all(|item| (100_000_000..1_000_000_000).contains(&item.item_id.0)) && both[0].item_id != both[1].item_id);
        assert_eq!(one(&add_on, term).expect("renewed").depends_on, Some(ItemId(1)), "the old one is in the handshake code still");
    }

    struct Desk {
        dir: tempfile::TempDir,
        vendor: SigningKey,
    }

    impl Desk {
        /// A vendor with the license in `old.lic`.
        fn with(license: impl FnOnce(&SigningKey) -> License) -> Self {
            let (dir, vendor) = (tempfile::tempdir().expect("dir"), SigningKey::generate());
            vendor.save_new(&dir.path().join("vendor.key")).expect("key");
            std::fs::write(dir.path().join("old.lic"), license(&vendor).seal(&vendor)).expect("license");
            Self { dir, vendor }
        }

        fn renew(&self, change: impl FnOnce(&mut RenewArgs)) -> Result<License, String> {
            let at = |name: &str| self.dir.path().join(name);
            let mut args = RenewArgs {
                key: at("vendor.key"),
                license: at("old.lic"),
                out: at("new.lic"),
                until: Some(day("2031-12-31")),
                add_quota: None,
                quota: None,
                items: vec![],
                license_id: None,
                alias: None,
                request: None,
            };
            change(&mut args);
            run(VendorCommand::Renew(args), &ManualClock::at_seconds(NOW)).map_err(|Failure(text)| text)?;
            let text = std::fs::read_to_string(at("new.lic")).expect("written");
            Ok(LicenseFile::parse(&text).and_then(|file| file.verify(&[self.vendor.verifying_key().clone()])).expect("verifies"))
        }
    }

    #[test]
    fn an_activated_license_is_renewed_for_its_servers_without_a_new_request() {
        let (main, standby) = (identity(), identity());
        let servers = [RequestServer::of(&main, "main"), RequestServer::of(&standby, "")];
        let desk = Desk::with(|vendor| new_license().activate(vendor, &servers, NOW).expect("activated"));
        let license = desk.renew(|_| {}).expect("renewed");
        assert_eq!(license.servers.iter().map(|server| server.uuid).collect::<Vec<_>>(), [main.uuid, standby.uuid]);
        let trusted = [desk.vendor.verifying_key().clone()];
        let certificate = ServerCertificate::verify(license.certificate_for(main.uuid).expect("bound"), &trusted).expect("certificate");
        assert_eq!(certificate.jwk, main.key.verifying_key().jwk());
        assert_eq!(rfc3339(certificate.not_after.timestamp()), "2032-01-07T23:59:59Z", "grace included");
        assert_ne!(license.license_id.0, 100_028_117);
        assert_eq!(license.alias, format!("DM_{}_Date20261122", license.license_id), "the name that was made, not given, is made anew");
        assert_eq!(license.items.iter().map(|item| item.renews).collect::<Vec<_>>(), [Some(ItemId(1)), Some(ItemId(2))]);
        let other = identity();
        std::fs::write(desk.dir.path().join("other.req"), ActivationRequest::seal(&other, "", &[], NOW).expect("request")).expect("written");
        let moved = desk.renew(|args| args.request = Some(desk.dir.path().join("other.req"))).expect("renewed");
        assert_eq!(moved.servers.iter().map(|server| server.uuid).collect::<Vec<_>>(), [other.uuid]);
    }

    #[test]
    fn a_new_license_stays_new_and_flags_are_followed() {
        let desk = Desk::with(|_| License { alias: "Line 4".into(), ..new_license() });
        let license = desk.renew(|args| (args.items, args.license_id) = (vec![ItemId(2)], Some(LicenseId(9)))).expect("renewed");
        assert_eq!((license.license_status, license.license_id, license.alias.as_str()), (LicenseStatus::New, LicenseId(9), "Line 4"));
        assert_eq!(license.items.iter().map(|item| item.renews).collect::<Vec<_>>(), [Some(ItemId(2))]);
        let more = desk.renew(|args| (args.until, args.add_quota, args.alias) = (None, Some(5), Some("More".into()))).expect("added");
        assert_eq!((more.items[0].quota, more.alias.as_str()), (5, "More"));
        assert!(desk.renew(|args| args.items = vec![ItemId(3)]).expect_err("unknown").contains("has no item 3: it has 1, 2"));
        assert!(desk.renew(|args| args.license_id = Some(LicenseId(100_028_117))).expect_err("taken").contains("give the new one its own"));
        assert!(desk.renew(|args| args.out = args.license.clone()).expect_err("same file").contains("write to another file"));
        let other = SigningKey::generate();
        other.save_new(&desk.dir.path().join("other.key")).expect("key");
        assert!(desk.renew(|args| args.key = desk.dir.path().join("other.key")).expect_err("foreign").contains("signed by another key"));
    }
}
