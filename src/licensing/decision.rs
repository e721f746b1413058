//! May this device work, with which items, and until when? (domain §3, §9.)
//!
//! In two steps, so that state is loaded only for items that could serve:
//! [`shortlist`] asks what the license says, [`decide`] what is left of it. When several
//! items fail for different reasons, the answer is that of the item that got furthest.

use super::charge_way::{ChargeWay, DeploymentType};
use super::grace;
use super::id::ItemId;
use super::item::{LicenseItem, SeatStarts, same_word};
use super::seat;
use super::span::Span;

/// What a device asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The product it runs.
    pub product: &'a str,
    /// Its version.
    pub version: Option<&'a str>,
    /// Its edition.
    pub edition: Option<&'a str>,
    /// The kind of machine.
    pub deployment_type: Option<DeploymentType>,
    /// Modules it needs; all of them, or nothing is granted.
    pub modules: &'a [String],
    /// The charge way it insists on.
    pub charge_way: Option<ChargeWay>,
    /// The longest it wants to work offline.
    pub at_most: Option<Span>,
}

/// Why nothing was granted. The order of the variants is the order of the checks: a later
/// one got further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No item of this code fits, because it has none (104).
    NoItem,
    /// Product does not match (106).
    Product,
    /// Version not covered (107).
    Version,
    /// Deployment type not covered (108).
    DeploymentType,
    /// Edition not covered (109).
    Edition,
    /// Module not covered (204).
    Module,
    /// Charge way asked for is not the item's (115).
    ChargeWay,
    /// Item invalid or revoked (113).
    Revoked,
    /// Item not yet effective (112).
    NotYetEffective,
    /// Item expired, grace over (111).
    Expired,
    /// A needed item is missing from the code (124).
    Dependency,
    /// Usage limit reached, grace included (120).
    LimitReached,
}

/// A refusal: the reason of the item that got furthest, and what stood against what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The item, if the code has any.
    pub item_id: Option<ItemId>,
    /// What the item permits, in words.
    pub expected: String,
    /// What the request said, in words.
    pub given: String,
}

/// One item of a code with what the license file cannot say.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The item.
    pub item: &'a LicenseItem,
    /// Whether the vendor revoked it.
    pub revoked: bool,
}

/// How much of an item is taken, for this device and in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ItemState {
    /// Units charged so far (scan, page).
    pub used: u64,
    /// Seats held now, by any device.
    pub seats: u64,
    /// Whether this device holds one of them.
    pub holds_seat: bool,
}

/// What a device gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant<'a> {
    /// The items that serve it, in order of use.
    pub items: Vec<GrantedItem<'a>>,
    /// When the authorization ends, in seconds since 1970.
    pub expires_at: i64,
}

/// One item of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedItem<'a> {
    /// The item.
    pub item: &'a LicenseItem,
    /// Until when the device now holds a seat of it; `None` for items without seats and
    /// for those whose seat starts with first use.
    pub seat_until: Option<i64>,
}

/// The items that could serve the request at `now` (seconds), in the order given, which
/// is the order of use.
pub fn shortlist<'a>(request: &Request<'_>, offers: &[Offer<'a>], now: i64) -> Result<Vec<&'a LicenseItem>, Refusal> {
    let mut fitting = Vec::new();
    let mut furthest: Option<Refusal> = None;
    for offer in offers {
        match fit(request, offer, offers, now) {
            Ok(()) => fitting.push(offer.item),
            Err(refusal) => keep_furthest(&mut furthest, refusal),
        }
    }
    let uncovered = |module: &&String| !fitting.iter().any(|item| item.permits_module(module));
    if let (false, Some(module)) = (fitting.is_empty(), request.modules.iter().find(uncovered)) {
        let mut covered: Vec<&str> = fitting.iter().flat_map(|item| item.modules.iter().map(String::as_str)).collect();
        covered.dedup();
        return Err(Refusal { reason: Reason::Module, item_id: fitting.first().map(|item| item.item_id), expected: covered.join(", "), given: module.clone() });
    }
    match furthest {
        _ if !fitting.is_empty() => Ok(fitting),
        Some(refusal) => Err(refusal),
        None => Err(Refusal { reason: Reason::NoItem, item_id: None, expected: "at least one license item".into(), given: "none".into() }),
    }
}

/// Chooses among short-listed items, each with its state: in order of use the first that
/// has something left, and further ones until every module asked for is covered.
pub fn decide<'a>(request: &Request<'_>, candidates: &[(&'a LicenseItem, ItemState)], now: i64) -> Result<Grant<'a>, Refusal> {
    let mut missing: Vec<&String> = request.modules.iter().collect();
    let mut items = Vec::new();
    let mut furthest: Option<Refusal> = None;
    for (item, state) in candidates {
        let helps = missing.iter().any(|module| item.permits_module(module));
        if !(items.is_empty() && missing.is_empty() || helps) {
            continue;
        }
        if let Err(refusal) = room(item, *state) {
            keep_furthest(&mut furthest, refusal);
            continue;
        }
        missing.retain(|module| !item.permits_module(module));
        let takes_now = item.seat_starts == SeatStarts::Authorization || state.holds_seat;
        items.push(GrantedItem { item, seat_until: seat::active_until(item, now).filter(|_| takes_now) });
        if missing.is_empty() {
            break;
        }
    }
    if items.is_empty() || !missing.is_empty() {
        return Err(furthest.unwrap_or_else(|| Refusal {
            reason: Reason::NoItem,
            item_id: None,
            expected: "an item with something left".into(),
            given: "none".into(),
        }));
    }
    let expires_at = items
        .iter()
        .map(|granted| {
            let ends = (now + granted.item.local_license_validity.seconds()).min(grace::end_at(granted.item));
            request.at_most.map_or(ends, |span| ends.min(now + span.seconds()))
        })
        .min()
        .unwrap_or(now);
    Ok(Grant { items, expires_at })
}

/// Whether anything is left for this device.
fn room(item: &LicenseItem, state: ItemState) -> Result<(), Refusal> {
    let limit = grace::limit(item);
    let taken = match item.charge_way {
        ChargeWay::Scan | ChargeWay::Page => state.used,
        ChargeWay::Device | ChargeWay::Server if state.holds_seat => return Ok(()),
        ChargeWay::Device | ChargeWay::Server => state.seats,
        ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance | ChargeWay::Domain => return Ok(()),
    };
    if taken < limit {
        return Ok(());
    }
    let what = if item.charge_way.takes_seats() { "seats" } else { "units" };
    Err(Refusal {
        reason: Reason::LimitReached,
        item_id: Some(item.item_id),
        expected: format!("at most {} {what} ({} and {} of grace)", limit, item.quota, grace::units(item)),
        given: format!("{taken} {what} taken"),
    })
}

fn fit(request: &Request<'_>, offer: &Offer<'_>, offers: &[Offer<'_>], now: i64) -> Result<(), Refusal> {
    let item = offer.item;
    let fail = |reason, expected: String, given: String| Err(Refusal { reason, item_id: Some(item.item_id), expected, given });
    let text = |given: Option<&str>| given.unwrap_or("none given").to_owned();
    if !same_word(&item.product, request.product) {
        return fail(Reason::Product, item.product.clone(), request.product.to_owned());
    }
    if !item.versions.cover(request.version) {
        return fail(Reason::Version, item.versions.to_string(), text(request.version));
    }
    if !item.permits_deployment(request.deployment_type) {
        let permitted: Vec<_> = item.deployment_types.iter().map(|way| way.as_str()).collect();
        return fail(Reason::DeploymentType, permitted.join(", "), text(request.deployment_type.map(DeploymentType::as_str)));
    }
    if !item.permits_edition(request.edition) {
        return fail(Reason::Edition, item.editions.join(", "), text(request.edition));
    }
    if !request.modules.is_empty() && !request.modules.iter().any(|module| item.permits_module(module)) {
        return fail(Reason::Module, item.modules.join(", "), request.modules.join(", "));
    }
    if request.charge_way.is_some_and(|way| way != item.charge_way) {
        return fail(Reason::ChargeWay, item.charge_way.to_string(), text(request.charge_way.map(ChargeWay::as_str)));
    }
    if offer.revoked {
        return fail(Reason::Revoked, "an item in force".into(), "revoked by the vendor".into());
    }
    if !item.charge_way.is_supported() {
        return fail(
            Reason::Revoked,
            "scan, page or device".into(),
            format!("charge way {}, which this version of the server does not serve yet", item.charge_way),
        );
    }
    if now < item.starts_at() {
        return fail(Reason::NotYetEffective, format!("from {}", crate::clock::rfc3339(item.starts_at())), crate::clock::rfc3339(now));
    }
    if now > grace::end_at(item) {
        return fail(Reason::Expired, format!("until {}, grace included", crate::clock::rfc3339(grace::end_at(item))), crate::clock::rfc3339(now));
    }
    match item.depends_on {
        Some(needed) if !offers.iter().any(|other| other.item.item_id == needed) => {
            fail(Reason::Dependency, format!("item {needed} in the same handshake code"), "not there".into())
        }
        _ => Ok(()),
    }
}

fn keep_furthest(furthest: &mut Option<Refusal>, refusal: Refusal) {
    if furthest.as_ref().is_none_or(|known| refusal.reason > known.reason) {
        *furthest = Some(refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::super::charge_way::Period;
    use super::super::item::VersionPatterns;
    use super::super::item::tests::scan_item;
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn ask() -> Request<'static> {
        Request {
            product: "dbr",
            version: Some("9.6.30"),
            edition: Some("mobile"),
            deployment_type: Some(DeploymentType::Mobile),
            modules: &[],
            charge_way: None,
            at_most: None,
        }
    }

    fn reason(request: &Request<'_>, items: &[&LicenseItem]) -> Result<Vec<u64>, (Reason, Option<u64>)> {
        let offers: Vec<_> = items.iter().map(|item| Offer { item, revoked: false }).collect();
        match shortlist(request, &offers, NOW) {
            Ok(list) => Ok(list.iter().map(|item| item.item_id.0).collect()),
            Err(refusal) => Err((refusal.reason, refusal.item_id.map(|id| id.0))),
        }
    }

    #[test]
    fn each_check_has_its_reason() {
        type Spoil = fn(&mut LicenseItem);
        let cases: [(Reason, Spoil); 9] = [
            (Reason::Product, |i| i.product = "ocr".into()),
            (Reason::Version, |i| i.versions = VersionPatterns::try_from("8.*".to_owned()).expect("pattern")),
            (Reason::DeploymentType, |i| i.deployment_types = vec![DeploymentType::Browser]),
            (Reason::Edition, |i| i.editions = vec!["javascript".into()]),
            (Reason::NotYetEffective, |i| i.valid_from = "2025-01-01T00:00:00Z".parse().expect("time")),
            (Reason::Expired, |i| i.valid_to = "2021-01-01T00:00:00Z".parse().expect("time")),
            (Reason::Dependency, |i| i.depends_on = Some(ItemId(77))),
            (Reason::Revoked, |i| i.charge_way = ChargeWay::Domain),
            (Reason::Product, |i| i.product = "DBR2".into()),
        ];
        for (expected, spoil) in cases {
            let mut item = scan_item(1);
            spoil(&mut item);
            assert_eq!(reason(&ask(), &[&item]), Err((expected, Some(1))));
        }
        let item = scan_item(1);
        assert_eq!(reason(&Request { charge_way: Some(ChargeWay::Page), ..ask() }, &[&item]), Err((Reason::ChargeWay, Some(1))));
        assert_eq!(reason(&ask(), &[]), Err((Reason::NoItem, None)));
    }

    #[test]
    fn the_answer_is_the_reason_of_the_item_that_got_furthest() {
        let mut far = scan_item(1);
        far.valid_to = "2021-01-01T00:00:00Z".parse().expect("time");
        let mut near = scan_item(2);
        near.product = "ocr".into();
        assert_eq!(reason(&ask(), &[&near, &far]), Err((Reason::Expired, Some(1))));
        assert_eq!(reason(&ask(), &[&near, &scan_item(3)]), Ok(vec![3]));
    }

    #[test]
    fn an_expired_item_within_grace_is_allowed() {
        let mut item = scan_item(1);
        item.valid_to = chrono::DateTime::from_timestamp(NOW - 7 * 86_400, 0).expect("time");
        assert_eq!(reason(&ask(), &[&item]), Ok(vec![1]));
        item.valid_to = chrono::DateTime::from_timestamp(NOW - 7 * 86_400 - 1, 0).expect("time");
        assert_eq!(reason(&ask(), &[&item]), Err((Reason::Expired, Some(1))));
    }

    #[test]
    fn modules_may_be_covered_by_several_items_together() {
        let (mut core, mut ocr) = (scan_item(1), scan_item(2));
        core.modules = vec!["core".into(), "webcam".into()];
        ocr.modules = vec!["ocr".into()];
        ocr.depends_on = Some(ItemId(1));
        let both = ["core".to_owned(), "OCR".to_owned()];
        let request = Request { modules: &both, ..ask() };
        assert_eq!(reason(&request, &[&core, &ocr]), Ok(vec![1, 2]));
        assert_eq!(reason(&request, &[&core]), Err((Reason::Module, Some(1))));
        let state = ItemState::default();
        let grant = decide(&request, &[(&core, state), (&ocr, state)], NOW).expect("granted");
        assert_eq!(grant.items.len(), 2);
    }

    #[test]
    fn an_authorization_ends_at_validity_item_end_or_the_clients_wish() {
        let item = scan_item(1);
        let expires = |request: &Request<'_>, now| decide(request, &[(&item, ItemState::default())], now).expect("granted").expires_at;
        assert_eq!(expires(&ask(), NOW), NOW + 7 * 86_400);
        assert_eq!(expires(&Request { at_most: Some(Span::days(2)), ..ask() }, NOW), NOW + 2 * 86_400);
        let last = grace::end_at(&item);
        assert_eq!(expires(&ask(), last - 60), last);
    }

    #[test]
    fn the_last_unit_and_the_last_seat_are_given_once() {
        let scan = scan_item(1);
        let used = |used| decide(&ask(), &[(&scan, ItemState { used, ..Default::default() })], NOW).map_err(|r| r.reason).map(|_| ());
        assert_eq!(used(104), Ok(()));
        assert_eq!(used(105), Err(Reason::LimitReached));
        let mut device = scan_item(2);
        device.charge_way = ChargeWay::Device;
        device.period = Some(Period::Quarter);
        device.quota = 10;
        let seats = |seats, holds_seat| {
            decide(&ask(), &[(&device, ItemState { seats, holds_seat, used: 0 })], NOW).map_err(|r| r.reason).map(|grant| grant.items[0].seat_until)
        };
        assert_eq!(seats(10, false), Ok(Some(NOW + 90 * 86_400)));
        assert_eq!(seats(11, false), Err(Reason::LimitReached));
        assert_eq!(seats(11, true), Ok(Some(NOW + 90 * 86_400)), "those with a seat go on");
    }

    #[test]
    fn what_is_used_up_gives_way_to_the_next_item() {
        let (first, second) = (scan_item(1), scan_item(2));
        let full = ItemState { used: 105, ..Default::default() };
        let grant = decide(&ask(), &[(&first, full), (&second, ItemState::default())], NOW).expect("granted");
        assert_eq!(grant.items[0].item.item_id, ItemId(2));
    }
}
