//! May this device work, with which items, and until when? (domain §3, §9.)
//!
//! In two steps, so that state is loaded only for items that could serve:
//! [`shortlist`] asks what the license says, [`decide`] what is left of it. When several
//! items fail for different reasons, the answer is that of the item that got furthest, and
//! every one that was tried is told beside it.

use super::charge_way::{ChargeWay, DeploymentType};
use super::id::ItemId;
use super::item::{LicenseItem, SeatStarts, same_word};
use super::span::Span;
use super::{domain, grace, seat};

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
    /// How many instances it wants to run.
    pub instances: u32,
    /// The host that its page came from, as the browser says it.
    pub host: Option<&'a str>,
    /// Whether it asks for the public trial. Trial items serve nothing else.
    pub trial: bool,
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
    /// The page is of another domain than the item (103).
    Domain,
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

/// How far one item got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The item.
    pub item_id: ItemId,
    /// Where it stopped.
    pub reason: Reason,
    /// What the item permits, in words.
    pub expected: String,
    /// What the request said or what was found, in words.
    pub given: String,
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
    /// Every item that was tried, in order of use.
    pub tried: Vec<Attempt>,
}

impl Refusal {
    /// The reason of the attempt that got furthest, the first one where several got as far.
    pub fn of(tried: Vec<Attempt>) -> Self {
        let best = tried.iter().rev().max_by_key(|attempt| attempt.reason).cloned();
        match best {
            Some(Attempt { item_id, reason, expected, given }) => Self { reason, item_id: Some(item_id), expected, given, tried },
            None => Self { reason: Reason::NoItem, item_id: None, expected: "at least one license item".into(), given: "none".into(), tried },
        }
    }
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
    /// Seats held now by all devices; for `concurrent_*` items the instances granted to them.
    pub seats: u64,
    /// How many of them are this device's.
    pub held: u64,
    /// Excess slot-uses so far (`concurrent_*`).
    pub excess: u64,
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
    /// Until when the device now holds a seat of it, or its instances; `None` for items
    /// without seats and for those whose seat starts with first use.
    pub seat_until: Option<i64>,
    /// Instances that this authorization allows.
    pub instances: u32,
    /// Instances that the machine holds now: its applications share the largest number that
    /// one of them asked for.
    pub machine_instances: u32,
}

/// The items that could serve a request, and how far the others got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortlist<'a> {
    /// Items that fit, in order of use.
    pub items: Vec<&'a LicenseItem>,
    /// Those that do not.
    pub tried: Vec<Attempt>,
}

/// The items that could serve the request at `now` (seconds). They come in the order given,
/// which is the order of use, but those past their end, on their days of grace, come last:
/// what is left of them does not roll over.
pub fn shortlist<'a>(request: &Request<'_>, offers: &[Offer<'a>], now: i64) -> Result<Shortlist<'a>, Refusal> {
    let mut fitting = Vec::new();
    let mut tried = Vec::new();
    for offer in offers.iter().filter(|offer| offer.item.trial == request.trial) {
        match fit(request, offer, offers, now) {
            Ok(()) => fitting.push(offer.item),
            Err(attempt) => tried.push(attempt),
        }
    }
    if fitting.is_empty() {
        return Err(Refusal::of(tried));
    }
    let uncovered = |module: &&String| !fitting.iter().any(|item| item.permits_module(module));
    if let Some(module) = request.modules.iter().find(uncovered) {
        let mut covered: Vec<&str> = fitting.iter().flat_map(|item| item.modules.iter().map(String::as_str)).collect();
        covered.dedup();
        // An item that is for this module and failed further on tells more than 204 does.
        let hindered: Vec<Attempt> = offers
            .iter()
            .filter(|offer| !offer.item.modules.is_empty() && offer.item.permits_module(module))
            .filter_map(|offer| tried.iter().find(|attempt| attempt.item_id == offer.item.item_id && attempt.reason > Reason::Module).cloned())
            .collect();
        if !hindered.is_empty() {
            return Err(Refusal { tried, ..Refusal::of(hindered) });
        }
        let (expected, given) = (covered.join(", "), module.clone());
        tried.extend(fitting.iter().map(|item| Attempt {
            item_id: item.item_id,
            reason: Reason::Module,
            expected: item.modules.join(", "),
            given: module.clone(),
        }));
        return Err(Refusal { reason: Reason::Module, item_id: fitting.first().map(|item| item.item_id), expected, given, tried });
    }
    fitting.sort_by_key(|item| now > item.valid_to.timestamp());
    Ok(Shortlist { items: fitting, tried })
}

/// Chooses among short-listed items, each with its state: in order of use the first that
/// has something left, and further ones until every module asked for is covered.
pub fn decide<'a>(request: &Request<'_>, candidates: &[(&'a LicenseItem, ItemState)], now: i64) -> Result<Grant<'a>, Refusal> {
    let mut missing: Vec<&String> = request.modules.iter().collect();
    let mut chosen = Vec::new();
    let mut tried = Vec::new();
    for (item, state) in candidates {
        let helps = missing.iter().any(|module| item.permits_module(module));
        if !(chosen.is_empty() && missing.is_empty() || helps) {
            continue;
        }
        if let Err(attempt) = room(item, *state, request.instances, now) {
            tried.push(attempt);
            continue;
        }
        missing.retain(|module| !item.permits_module(module));
        chosen.push((*item, *state));
        if missing.is_empty() {
            break;
        }
    }
    if chosen.is_empty() || !missing.is_empty() {
        return Err(Refusal::of(tried));
    }
    let expires_at = chosen
        .iter()
        .map(|(item, _)| {
            let ends = (now + item.local_license_validity.seconds()).min(grace::end_at(item));
            request.at_most.map_or(ends, |span| ends.min(now + span.seconds()))
        })
        .min()
        .unwrap_or(now);
    let items = chosen.into_iter().map(|(item, state)| granted(item, state, request, now, expires_at)).collect();
    Ok(Grant { items, expires_at })
}

fn granted<'a>(item: &'a LicenseItem, state: ItemState, request: &Request<'_>, now: i64, expires_at: i64) -> GrantedItem<'a> {
    let instances = wanted_instances(item, request.instances);
    let takes_now = item.seat_starts == SeatStarts::Authorization || state.held > 0;
    let seat_until = if item.charge_way.is_concurrent() { Some(expires_at) } else { seat::active_until(item, now).filter(|_| takes_now) };
    let machine_instances = instances.max(u32::try_from(state.held).unwrap_or(u32::MAX));
    GrantedItem { item, seat_until, instances, machine_instances: if item.charge_way.is_concurrent() { machine_instances } else { 1 } }
}

/// Only `concurrent_instance` items count instances.
fn wanted_instances(item: &LicenseItem, asked: u32) -> u32 {
    if item.charge_way == ChargeWay::ConcurrentInstance { asked.max(1) } else { 1 }
}

/// Whether anything is left for this device.
fn room(item: &LicenseItem, state: ItemState, instances: u32, now: i64) -> Result<(), Attempt> {
    let full = |expected: String, given: String| Err(Attempt { item_id: item.item_id, reason: Reason::LimitReached, expected, given });
    let limit = grace::limit(item);
    let of_grace = |what: &str| format!("at most {limit} {what} ({} and {} of grace)", item.quota, grace::units(item));
    match item.charge_way {
        ChargeWay::Domain => Ok(()),
        ChargeWay::Scan | ChargeWay::Page if state.used < limit => Ok(()),
        ChargeWay::Scan | ChargeWay::Page => full(of_grace("units"), format!("{} units taken", state.used)),
        ChargeWay::Device | ChargeWay::Server if state.held > 0 || state.seats < limit => Ok(()),
        ChargeWay::Device | ChargeWay::Server => full(of_grace("seats"), format!("{} seats taken", state.seats)),
        ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance => {
            let what = if item.charge_way == ChargeWay::ConcurrentDevice { "devices" } else { "instances" };
            let wanted = u64::from(wanted_instances(item, instances));
            if wanted > item.quota {
                return full(format!("at most {} {what} at once", item.quota), format!("{wanted} asked for"));
            }
            let tolerance = grace::tolerance(item, now);
            let others = state.seats.saturating_sub(state.held);
            if state.excess < tolerance || others + wanted.max(state.held) <= item.quota {
                return Ok(());
            }
            full(
                format!("at most {} {what} at once, because the tolerance of {tolerance} excess uses is spent", item.quota),
                format!("{others} granted to other devices and {} for this one", wanted.max(state.held)),
            )
        }
    }
}

fn fit(request: &Request<'_>, offer: &Offer<'_>, offers: &[Offer<'_>], now: i64) -> Result<(), Attempt> {
    let item = offer.item;
    let fail = |reason, expected: String, given: String| Err(Attempt { item_id: item.item_id, reason, expected, given });
    let text = |given: Option<&str>| given.unwrap_or("none given").to_owned();
    if !same_word(&item.product, request.product) {
        return fail(Reason::Product, item.product.clone(), request.product.to_owned());
    }
    if !item.versions.cover(request.version) {
        return fail(Reason::Version, item.versions.to_string(), text(request.version));
    }
    if !item.permits_deployment(request.deployment_type) {
        let permitted: Vec<_> = item.deployment_types.iter().map(|way| way.as_str()).collect();
        let permitted = if item.charge_way == ChargeWay::Server { "server".to_owned() } else { permitted.join(", ") };
        return fail(Reason::DeploymentType, permitted, text(request.deployment_type.map(DeploymentType::as_str)));
    }
    if !item.permits_edition(request.edition) {
        return fail(Reason::Edition, item.editions.join(", "), text(request.edition));
    }
    if !request.modules.is_empty() && !request.modules.iter().any(|module| item.permits_module(module)) {
        return fail(Reason::Module, item.modules.join(", "), request.modules.join(", "));
    }
    if let Some(licensed) = &item.domain
        && !request.host.is_some_and(|host| domain::covers(licensed, host))
    {
        return fail(Reason::Domain, format!("a page of {licensed}"), request.host.map_or("a request without the browser's Origin".to_owned(), str::to_owned));
    }
    if request.charge_way.is_some_and(|way| way != item.charge_way) {
        return fail(Reason::ChargeWay, item.charge_way.to_string(), text(request.charge_way.map(ChargeWay::as_str)));
    }
    if offer.revoked {
        return fail(Reason::Revoked, "an item in force".into(), "revoked by the vendor".into());
    }
    if now < item.starts_at() {
        return fail(Reason::NotYetEffective, format!("from {}", crate::clock::rfc3339(item.starts_at())), crate::clock::rfc3339(now));
    }
    if now > grace::end_at(item) {
        return fail(Reason::Expired, format!("until {}, grace included", crate::clock::rfc3339(grace::end_at(item))), crate::clock::rfc3339(now));
    }
    if let Some(needed) = item.depends_on {
        let core: Vec<&Offer<'_>> = offers.iter().filter(|other| stands_for(other.item, needed, offers)).collect();
        let is_in_force = |core: &&&Offer<'_>| !core.revoked && (core.item.starts_at()..=grace::end_at(core.item)).contains(&now);
        if !core.iter().any(|core| is_in_force(&core)) {
            let found = if core.is_empty() { "not there" } else { "revoked, ended or not begun" };
            return fail(Reason::Dependency, format!("item {needed} in force in the same handshake code"), found.into());
        }
        // An add-on does not stand in for the product that it adds to.
        if !item.modules.is_empty() && request.modules.is_empty() {
            return fail(Reason::Module, item.modules.join(", "), "none of these modules".into());
        }
    }
    Ok(())
}

/// Whether an item of the code is the needed one, or renews it, or renews one that does.
fn stands_for(item: &LicenseItem, needed: ItemId, offers: &[Offer<'_>]) -> bool {
    let mut current = item;
    for _ in 0..=offers.len() {
        match current.renews {
            _ if current.item_id == needed => return true,
            Some(renewed) if renewed == needed => return true,
            Some(renewed) => match offers.iter().find(|offer| offer.item.item_id == renewed) {
                Some(offer) => current = offer.item,
                None => return false,
            },
            None => return false,
        }
    }
    false
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
            instances: 1,
            host: None,
            trial: false,
            at_most: None,
        }
    }

    fn reason(request: &Request<'_>, items: &[&LicenseItem]) -> Result<Vec<u64>, (Reason, Option<u64>)> {
        let offers: Vec<_> = items.iter().map(|item| Offer { item, revoked: false }).collect();
        match shortlist(request, &offers, NOW) {
            Ok(list) => Ok(list.items.iter().map(|item| item.item_id.0).collect()),
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
            (Reason::DeploymentType, |i| i.charge_way = ChargeWay::Server),
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
            decide(&ask(), &[(&device, ItemState { seats, held: u64::from(holds_seat), ..Default::default() })], NOW)
                .map_err(|r| r.reason)
                .map(|grant| grant.items[0].seat_until)
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
