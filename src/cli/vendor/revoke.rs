//! `vendor revoke`: the vendor takes items of a license back.

use std::path::PathBuf;

use super::{next_import, pick, read_license, time_of, told};
use crate::cli::Failure;
use crate::documents::{Revocation, SigningKey, files, revocation};
use crate::licensing::ItemId;

/// Flags of `vendor revoke`.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The vendor's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The license that the items are of
    #[arg(long, value_name = "FILE")]
    license: PathBuf,
    /// Only this item; may be repeated [default: all]
    #[arg(long = "item", value_name = "ID")]
    items: Vec<ItemId>,
    /// Why, for the customer's administrator; at most 200 characters
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// The revocation to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the revocation; returns what to tell.
pub(super) fn revoke(args: RevokeArgs, now: i64) -> Result<Vec<String>, Failure> {
    let vendor = SigningKey::load(&args.key).map_err(told)?;
    if args.out == args.license {
        return Err(Failure(format!("{} is the license: write the revocation to another file", args.out.display())));
    }
    let license = read_license(&args.license, &args.key, &vendor)?;
    let revoked = Revocation {
        revocation_version: revocation::VERSION.into(),
        license_id: license.license_id,
        organization_id: license.organization_id.clone(),
        item_ids: pick(&license, &args.items)?.iter().map(|item| item.item_id).collect(),
        reason: args.reason,
        issued_at: time_of(now)?,
    };
    revoked.validate().map_err(told)?;
    files::write_document(&args.out, revoked.seal(&vendor).as_bytes(), &[&args.key, &args.license]).map_err(told)?;
    let items: Vec<_> = revoked.item_ids.iter().map(ItemId::to_string).collect();
    Ok(vec![
        format!(
            "Wrote {}: revokes {} {} of license {} of organization {}",
            args.out.display(),
            if items.len() == 1 { "item" } else { "items" },
            items.join(", "),
            revoked.license_id,
            revoked.organization_id
        ),
        next_import(&args.out),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::RevocationFile;
    use crate::documents::license_file::tests::new_license;

    #[test]
    fn all_items_or_those_named_are_taken_back() {
        let (dir, vendor) = (tempfile::tempdir().expect("dir"), SigningKey::generate());
        let at = |name: &str| dir.path().join(name);
        vendor.save_new(&at("vendor.key")).expect("key");
        std::fs::write(at("a.lic"), new_license().seal(&vendor)).expect("written");
        let revoke_with = |items: &[u64], reason: &str, out: &str| {
            let items = items.iter().copied().map(ItemId).collect();
            revoke(RevokeArgs { key: at("vendor.key"), license: at("a.lic"), items, reason: reason.into(), out: at(out) }, 1_795_305_600)
                .map_err(|Failure(text)| text)
        };
        for (items, expected) in [(&[][..], vec![ItemId(1), ItemId(2)]), (&[2], vec![ItemId(2)])] {
            revoke_with(items, "Returned", "a.rev").expect("revoked");
            let text = std::fs::read_to_string(at("a.rev")).expect("written");
            let revoked = RevocationFile::parse(&text).and_then(|file| file.verify(&[vendor.verifying_key().clone()])).expect("verifies");
            assert_eq!((revoked.item_ids, revoked.license_id.0, revoked.reason.as_str()), (expected, 100_028_117, "Returned"));
        }
        assert!(revoke_with(&[3], "", "b.rev").expect_err("unknown").contains("has no item 3: it has 1, 2"));
        assert!(revoke_with(&[], "a\nb", "b.rev").expect_err("unprintable").starts_with("reason: "));
        assert!(revoke_with(&[], "", "a.lic").expect_err("same file").contains("another file"));
        assert!(!at("b.rev").exists());
    }
}
