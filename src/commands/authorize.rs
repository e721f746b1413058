//! A device wants to work (domain §3). The checks come in the order of domain §9:
//! service, names, password, validation, clone, items.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use uuid::Uuid;

use super::Site;
use super::handshake::open_password;
use super::restore::notice_loss;
use super::site::Certified;
use super::trial::{self, TrialTerm};
use crate::documents::{AuthorizedItem, Claims, random_uuids};
use crate::licensing::decision::{self, Attempt, Grant, GrantedItem, ItemState, Offer, Refusal as ItemRefusal};
use crate::licensing::id::shorten;
use crate::licensing::validation::{Characteristics, origin_host, without_port};
use crate::licensing::{DeploymentType, HandshakeCode, ItemId, LicenseItem, Span};
use crate::protocol::ErrorCode;
use crate::protocol::authorize::AuthorizeRequest;
use crate::store::catalog::Catalog;
use crate::store::devices;
use crate::store::facts::{AuthorizationGranted, AuthorizationRefused, Body, ItemSeat, SeatReleased, TriedItem};
use crate::store::handshakes::Handshake;
use crate::store::{Command, Error, Ledger, seats, slots, usage};

/// How far the clock may stand behind the latest fact before nobody is authorized.
pub const CLOCK_LAG_MAX_SECONDS: i64 = 300;

/// See the module.
pub struct Authorize {
    /// The site.
    pub site: Arc<Site>,
    /// The request, validated.
    pub request: AuthorizeRequest,
    /// The `Origin` header, which browsers set and scripts cannot.
    pub origin_header: Option<String>,
    /// The network address that it came from: a public trial begins once for each. Only a
    /// request that names nothing needs one.
    pub address: String,
    fresh: Fresh,
}

/// What a grant needs that nobody can guess. Drawn before the writer's turn: randomness is slow.
struct Fresh {
    ticket: String,
    jti: Uuid,
}

/// Most items whose attempts are kept with a refusal.
const TRIED_MAX: usize = 20;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub code: ErrorCode,
    /// In words, naming the item that got furthest.
    pub detail: String,
}

/// A grant that is on disk and still has to be signed, off the writer thread.
pub struct Granted {
    claims: Claims,
    certified: Arc<Certified>,
    /// The ticket for next time.
    pub ticket: String,
    /// When the authorization ends, seconds since 1970.
    pub expires_at: i64,
    /// The server's time, seconds since 1970.
    pub now: i64,
    /// The last fact of this server.
    pub sequence: u64,
}

impl Granted {
    /// Signs the authorization.
    pub fn sign(&self) -> String {
        self.certified.header.sign(&self.claims)
    }

    /// From when on the device should renew: a quarter of the time, at most a day, so that
    /// most of the offline time is still there when the network goes.
    pub fn refresh_after(&self) -> i64 {
        self.now + ((self.expires_at - self.now) / 4).clamp(0, 86_400)
    }
}

impl Authorize {
    /// A device's request, validated; see the fields.
    pub fn new(site: Arc<Site>, request: AuthorizeRequest, origin_header: Option<String>, address: String) -> Self {
        let [ticket, jti] = random_uuids();
        let ticket = site.mark_ticket(request.client_uuid, ticket);
        Self { site, request, origin_header, address, fresh: Fresh { ticket, jti } }
    }
}

impl Command for Authorize {
    /// What the device may do, or why not; [`Granted::sign`] makes the authorization.
    type Answer = Result<Box<Granted>, Refused>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let catalog = ledger.catalog()?;
        if let Err(refused) = self.check_service(ledger, &catalog) {
            return Ok(Err(refused));
        }
        notice_loss(ledger, self.request.client_uuid, &self.request.seen)?;
        let (code, outcome) = match self.find_code(ledger, &catalog)? {
            Err(counted) => (None, Err(counted)),
            Ok((code, Err(counted))) => (Some(code), Err(counted)),
            Ok((code, Ok(term))) => (Some(code), self.decide(ledger, &catalog, code, term)?),
        };
        match outcome {
            Ok(granted) => Ok(Ok(Box::new(granted))),
            Err(refusal) => {
                let refused = Refused { code: refusal.code, detail: refusal.detail() };
                // Anybody can name codes that do not exist; a flood of them must not fill the disk.
                if code.is_some() || ledger.may_keep_stranger() {
                    ledger.record(&Body::AuthorizationRefused(self.refusal_fact(code, refusal)))?;
                }
                Ok(Err(refused))
            }
        }
    }
}

/// A clock behind the latest fact would judge by a wrong time: slots of today would look
/// a year old, and a license would last longer.
pub(super) fn check_clock(ledger: &Ledger<'_>) -> Result<(), Refused> {
    let lag = ledger.clock_lag_seconds();
    if lag <= CLOCK_LAG_MAX_SECONDS {
        return Ok(());
    }
    let detail = format!(
        "the server's clock stands {lag} s behind the latest fact that it recorded: its administrator must set the clock right; keep what was not taken and send it again then"
    );
    Err(Refused { code: ErrorCode::ServerNotValid, detail })
}

/// What a device gets, and from whom.
struct Chosen<'c> {
    grant: Grant<'c>,
    /// The vendor's key.
    vendor: &'c str,
    /// Items that could serve the request too, of which the device holds seats.
    held: Vec<ItemId>,
}

/// A refusal that is kept, and counted under its code where there is one.
pub(super) struct Counted {
    code: ErrorCode,
    item_id: Option<ItemId>,
    what: String,
    /// For the journal only: what the caller should not be told.
    inside: String,
    tried: Vec<Attempt>,
}

impl Counted {
    pub(super) fn new(code: ErrorCode, what: impl Into<String>) -> Self {
        Self { code, item_id: None, what: what.into(), inside: String::new(), tried: Vec::new() }
    }

    fn detail(&self) -> String {
        match self.item_id {
            Some(id) => format!("item {id}: {}", self.what),
            None => self.what.clone(),
        }
    }
}

impl From<ItemRefusal> for Counted {
    fn from(refusal: ItemRefusal) -> Self {
        let code = ErrorCode::from(refusal.reason);
        let what = format!("{}: permitted is {}, asked for or found was {}", code.title(), shorten(&refusal.expected), shorten(&refusal.given));
        Self { code, item_id: refusal.item_id, what, inside: String::new(), tried: refusal.tried }
    }
}

impl Authorize {
    fn check_service(&self, ledger: &Ledger<'_>, catalog: &Catalog) -> Result<(), Refused> {
        check_clock(ledger)?;
        if let Some(detail) = self.site.find_hardware_problem(ledger.now()) {
            return Err(Refused { code: ErrorCode::ServerNotValid, detail });
        }
        if catalog.licenses().next().is_none() {
            return Err(Refused {
                code: ErrorCode::NotServing,
                detail: "no license is installed on this server yet: its administrator must import one".into(),
            });
        }
        Ok(())
    }

    /// The four cases of domain §3. `Err`: there is no such code. The inner value is the
    /// term of a public trial, where nothing was named, or why there is none.
    #[expect(clippy::type_complexity, reason = "two refusals that differ in whether there is a code to count them under")]
    fn find_code<'c>(&self, ledger: &Ledger<'_>, catalog: &'c Catalog) -> Result<Result<(&'c Handshake, Result<Option<TrialTerm>, Counted>), Counted>, Error> {
        let refuse = |code, detail: String| Ok(Err(Counted::new(code, detail)));
        match (self.request.organization_id.as_deref(), self.request.handshake_code.as_deref()) {
            (organization, Some(name)) => match catalog.find_code_by_name(name) {
                None => refuse(
                    ErrorCode::UnknownHandshakeCode,
                    format!("handshake code '{name}' does not exist on this server: compare it with the list in the admin pages"),
                ),
                Some(code) if organization.is_some_and(|id| id != code.organization_id.as_str()) => refuse(
                    ErrorCode::ForeignHandshakeCode,
                    format!("handshake code '{name}' belongs to organization {}, not to '{}'", code.organization_id, organization.unwrap_or_default()),
                ),
                Some(code) => Ok(Ok((code, Ok(None)))),
            },
            (Some(organization), None) => match catalog.find_default_code(organization) {
                Some(code) => Ok(Ok((code, Ok(None)))),
                None => refuse(ErrorCode::UnknownOrganization, format!("organization '{organization}' is unknown here, or has no handshake code")),
            },
            (None, None) => match trial::find_code(catalog, &self.request.product, ledger.now()) {
                Some(code) => Ok(Ok((code, trial::find_term(ledger, self.request.client_uuid, &self.address)?.map(Some)))),
                None => refuse(ErrorCode::NothingNamed, "give a handshake code or an organization ID; no public trial is installed on this server".into()),
            },
        }
    }

    fn refusal_fact(&self, code: Option<&Handshake>, refusal: Counted) -> AuthorizationRefused {
        let detail = refusal.detail();
        let asked = self.request.handshake_code.as_deref().or(self.request.organization_id.as_deref()).unwrap_or_default();
        let tried = refusal.tried.into_iter().take(TRIED_MAX).map(|attempt| TriedItem {
            item: attempt.item_id,
            reason: ErrorCode::from(attempt.reason).number(),
            expected: shorten(&attempt.expected),
            given: shorten(&attempt.given),
        });
        AuthorizationRefused {
            client: self.request.client_uuid,
            code: code.map(|code| code.code_id),
            asked: shorten(asked),
            reason: refusal.code.number(),
            item: refusal.item_id,
            detail: if refusal.inside.is_empty() { detail } else { format!("{detail}; {}", refusal.inside) },
            tried: Some(tried.collect()),
        }
    }

    fn decide(&self, ledger: &mut Ledger<'_>, catalog: &Catalog, code: &Handshake, term: Option<TrialTerm>) -> Result<Result<Granted, Counted>, Error> {
        // A public trial is for whoever has nothing to name, a password included.
        if let (None, Some(password)) = (&term, open_password(&self.site, code)?) {
            let given = self.request.session_password.as_deref().unwrap_or_default();
            if verify_slices_are_equal(password.as_bytes(), given.as_bytes()).is_err() {
                let what = if given.is_empty() {
                    "this handshake code needs its session password, none was sent"
                } else {
                    "the session password is not the one set for this handshake code"
                };
                return Ok(Err(Counted::new(ErrorCode::WrongSessionPassword, what)));
            }
        }
        if let Err(counted) = self.check_application(code) {
            return Ok(Err(counted));
        }
        let tickets = match self.check_tickets(ledger, code)? {
            Ok(tickets) => tickets,
            Err(counted) => return Ok(Err(counted)),
        };

        let now = ledger.now();
        let modules = self.request.modules.as_deref().unwrap_or_default();
        let host = self.host();
        let request = decision::Request {
            product: &self.request.product,
            version: self.request.product_version.as_deref(),
            edition: self.request.edition.as_deref(),
            deployment_type: self.request.deployment_type,
            modules,
            charge_way: self.request.charge_way,
            instances: self.request.instances.unwrap_or(1),
            host: host.as_deref(),
            trial: term.is_some(),
            at_most: self.request.max_buffer_days.map(|days| Span::days(i64::from(days))),
        };
        let Chosen { mut grant, vendor, held } = match self.choose(ledger, catalog, code, &request, now)? {
            Ok(chosen) => chosen,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let begins = term.as_ref().and_then(|term| term.shorten(&mut grant, now));

        let certified = self.site.find_certificate(&code.organization_id, vendor);
        let certified = match certified {
            Some(certified) if certified.certificate.is_valid_at(now) => certified,
            Some(certified) => {
                return Ok(Err(Counted::new(
                    ErrorCode::ServerNotValid,
                    format!("the vendor's certificate of this server ended at {}: import a renewed license", certified.certificate.not_after),
                )));
            }
            None => return Ok(Err(Counted::new(ErrorCode::ServerNotValid, "no license of this organization is bound to this server"))),
        };

        // A device moves from one item to another with its seat: it does not keep two.
        let client = self.request.client_uuid;
        for item in held.into_iter().filter(|id| !grant.items.iter().any(|granted| granted.item.item_id == *id)) {
            ledger.record(&Body::SeatReleased(SeatReleased { client, item, by_admin: false, by: None }))?;
        }
        // A repeat is decided and recorded like any request: it may ask for something else.
        let ticket = tickets.unwrap_or_else(|| self.fresh.ticket.clone());
        ledger.record(&Body::AuthorizationGranted(AuthorizationGranted {
            client: self.request.client_uuid,
            code: code.code_id,
            items: grant.items.iter().map(seat_of).collect(),
            ticket: ticket.clone(),
            nonce: self.request.nonce.clone(),
            exp: grant.expires_at,
            trial: begins,
        }))?;
        // Of two authorizations the later one has the later fact (see `release_seat`).
        let given_at = ledger.recorded_at();
        let claims = Claims {
            iss: ledger.origin(),
            sub: self.request.client_uuid,
            iat: given_at,
            nbf: given_at,
            exp: grant.expires_at,
            jti: self.fresh.jti,
            nonce: self.request.nonce.clone(),
            org: code.organization_id.clone(),
            hs: self.name_of(code)?,
            hid: code.code_id,
            items: grant.items.iter().map(claim).collect(),
            deployment_type: self.request.deployment_type,
            edition: self.request.edition.clone(),
            product_version: self.request.product_version.clone(),
        };
        Ok(Ok(Granted { claims, certified, ticket, expires_at: grant.expires_at, now: given_at, sequence: ledger.sequence() }))
    }

    /// Which items serve the request. An authorization is signed under one vendor's
    /// certificate, so it holds items of one vendor: the first in the order of use who can.
    fn choose<'c>(
        &self,
        ledger: &mut Ledger<'_>,
        catalog: &'c Catalog,
        code: &Handshake,
        request: &decision::Request<'_>,
        now: i64,
    ) -> Result<Result<Chosen<'c>, ItemRefusal>, Error> {
        let items = catalog.items_in_order(code);
        let mut vendors: Vec<&'c str> = Vec::new();
        for vendor in items.iter().filter_map(|item| catalog.vendor_of(item.item_id)) {
            if !vendors.contains(&vendor) {
                vendors.push(vendor);
            }
        }
        let mut tried = Vec::new();
        let mut furthest: Option<ItemRefusal> = None;
        for vendor in vendors {
            let of_vendor = items.iter().filter(|item| catalog.vendor_of(item.item_id) == Some(vendor));
            let offers: Vec<Offer<'c>> = of_vendor.map(|item| Offer { item, revoked: catalog.is_revoked(item.item_id) }).collect();
            let refusal = match decision::shortlist(request, &offers, now) {
                Err(refusal) => refusal,
                Ok(fitting) => {
                    let mut candidates = Vec::with_capacity(fitting.items.len());
                    for item in fitting.items {
                        candidates.push((item, self.state_of(ledger, item, now)?));
                    }
                    match decision::decide(request, &candidates, now) {
                        Ok(grant) => {
                            let holds = |(item, state): &&(&LicenseItem, ItemState)| item.charge_way.takes_seats() && state.held > 0;
                            let held = candidates.iter().filter(holds).map(|(item, _)| item.item_id).collect();
                            return Ok(Ok(Chosen { grant, vendor, held }));
                        }
                        Err(mut refusal) => {
                            refusal.tried.extend(fitting.tried);
                            refusal
                        }
                    }
                }
            };
            tried.extend(refusal.tried.iter().cloned());
            if furthest.as_ref().is_none_or(|known| refusal.reason > known.reason) {
                furthest = Some(refusal);
            }
        }
        let refusal = furthest.unwrap_or_else(|| ItemRefusal::of(Vec::new()));
        Ok(Err(ItemRefusal { tried, ..refusal }))
    }

    /// How much of an item is taken; only what its charge way asks for is read.
    fn state_of(&self, ledger: &mut Ledger<'_>, item: &LicenseItem, now: i64) -> Result<ItemState, Error> {
        let (id, way) = (item.item_id, item.charge_way);
        let mut state = ItemState::default();
        if way.quota_unit().is_some() {
            state.used = usage::used(ledger, id)?;
        }
        if way.takes_seats() || way.is_concurrent() {
            state.seats = seats::count_active(ledger, id, now)?;
            state.held = seats::held(ledger, self.request.client_uuid, id, now)?;
        }
        if way.is_concurrent() {
            state.excess = slots::excess(ledger, id, item.quota)?;
        }
        Ok(state)
    }

    /// The code as the device knows it.
    fn name_of(&self, code: &Handshake) -> Result<HandshakeCode, Error> {
        let name = self.request.handshake_code.clone().unwrap_or_else(|| code.name());
        name.parse().map_err(|error| Error::Corrupt(format!("a handshake code's name: {error}")))
    }

    /// The host that a browser says its page came from.
    fn host(&self) -> Option<String> {
        self.origin_header.as_deref().and_then(origin_host)
    }

    /// Codes 103 and 114. For browsers the `Origin` header decides; a domain that only the
    /// body names could be anybody's.
    fn check_application(&self, code: &Handshake) -> Result<(), Counted> {
        let is_browser = self.request.deployment_type == Some(DeploymentType::Browser) || self.origin_header.is_some();
        let host = self.host();
        let validation = self.request.validation.as_ref();
        let domain = if is_browser { host.as_deref() } else { validation.and_then(|given| given.domain.as_deref()).map(without_port) };
        let given = Characteristics {
            domain,
            application_id: validation.and_then(|given| given.application_id.as_deref()),
            process_name: validation.and_then(|given| given.process_name.as_deref()),
            is_browser,
        };
        code.state.validation.check(given).map_err(|mismatch| {
            let fields = &code.state.validation;
            let shown = |text: Option<&str>| text.map_or("none".to_owned(), shorten);
            let what = format!(
                "this handshake code is for other applications; the request sent domain {}, application id {}, process name {}",
                shown(given.domain),
                shown(given.application_id),
                shown(given.process_name)
            );
            // The caller is not told what would be let in: it could send just that.
            let inside = format!("permitted are {}", [&fields.domains, &fields.application_ids, &fields.process_names].map(|list| list.join(", ")).join("; "));
            Counted { inside, ..Counted::new(mismatch.into(), what) }
        })
    }

    /// Code 151. `Ok(Some(ticket))`: the device repeats its last request because the answer
    /// was lost, and gets the same ticket again. A device without a ticket is let in; its
    /// new ticket then shows up any copy that still has the old one.
    /// Whether this server may not know what was given to a device that it last heard of at `given_at`.
    fn may_be_unknown(&self, ledger: &mut Ledger<'_>, given_at: i64) -> Result<bool, Error> {
        let is_doubted = given_at <= self.site.tickets_doubted_until();
        Ok(is_doubted || self.site.is_behind() || ledger.catalog()?.gaps().iter().any(|gap| given_at < gap.at))
    }

    fn check_tickets(&self, ledger: &mut Ledger<'_>, code: &Handshake) -> Result<Result<Option<String>, Counted>, Error> {
        let Some(shown) = self.request.ticket.as_deref() else { return Ok(Ok(None)) };
        Ok(match devices::find_tickets(ledger, self.request.client_uuid, code.code_id)? {
            None => Ok(None),
            Some(known) if known.reset || known.current == shown => Ok(None),
            Some(known) if known.previous == shown && known.nonce == self.request.nonce => Ok(Some(known.current)),
            // The other server gave it, or this one did in facts that it lost since.
            Some(known) if self.may_be_unknown(ledger, known.given_at)? && self.site.is_own_ticket(self.request.client_uuid, shown) => Ok(None),
            Some(_) => Err(Counted::new(
                ErrorCode::Clone,
                "the ticket is not the one given to this device last, so another machine uses the same client UUID: give every device its own, or reset this one if it was restored from a backup",
            )),
        })
    }
}

fn seat_of(granted: &GrantedItem<'_>) -> ItemSeat {
    ItemSeat { id: granted.item.item_id, until: granted.seat_until, instances: granted.machine_instances }
}

fn claim(granted: &GrantedItem<'_>) -> AuthorizedItem {
    let item = granted.item;
    AuthorizedItem {
        item_id: item.item_id,
        product: item.product.clone(),
        editions: item.editions.clone(),
        modules: item.modules.clone(),
        charge_way: item.charge_way,
        instances: granted.instances,
        domain: item.domain.clone(),
        valid_to: item.valid_to,
    }
}
