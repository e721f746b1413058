//! A device wants to work (domain §3). The checks come in the order of domain §9:
//! service, names, password, validation, clone, items.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::Site;
use super::handshake::open_password;
use super::site::Certified;
use crate::documents::{AuthorizedItem, Claims, random_uuid};
use crate::licensing::decision::{self, ItemState, Offer, Refusal as ItemRefusal};
use crate::licensing::id::shorten;
use crate::licensing::validation::{Characteristics, origin_host};
use crate::licensing::{ChargeWay, DeploymentType, HandshakeCode, ItemId, Span};
use crate::protocol::ErrorCode;
use crate::protocol::authorize::AuthorizeRequest;
use crate::store::catalog::Catalog;
use crate::store::devices;
use crate::store::facts::{AuthorizationGranted, AuthorizationRefused, Body, ItemSeat};
use crate::store::handshakes::Handshake;
use crate::store::{Command, Error, Ledger, seats, usage};

/// How far the clock may stand behind the latest fact before nobody is authorized.
const CLOCK_LAG_MAX_SECONDS: i64 = 300;

/// See the module.
pub struct Authorize {
    /// The site.
    pub site: Arc<Site>,
    /// The request, validated.
    pub request: AuthorizeRequest,
    /// The `Origin` header, which browsers set and scripts cannot.
    pub origin_header: Option<String>,
}

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

impl Command for Authorize {
    /// What the device may do, or why not; [`Granted::sign`] makes the authorization.
    type Answer = Result<Box<Granted>, Refused>;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error> {
        let catalog = ledger.catalog()?;
        if let Err(refused) = self.check_service(ledger, &catalog) {
            return Ok(Err(refused));
        }
        let code = match self.find_code(&catalog) {
            Ok(code) => code,
            Err(refused) => return Ok(Err(refused)),
        };
        match self.decide(ledger, &catalog, code)? {
            Ok(granted) => Ok(Ok(Box::new(granted))),
            Err(refusal) => {
                let detail = refusal.detail();
                ledger.record(&Body::AuthorizationRefused(AuthorizationRefused {
                    client: self.request.client_uuid,
                    code: code.code_id,
                    reason: refusal.code.number(),
                    item: refusal.item_id,
                    detail: if refusal.inside.is_empty() { detail.clone() } else { format!("{detail}; {}", refusal.inside) },
                }))?;
                Ok(Err(Refused { code: refusal.code, detail }))
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

/// A refusal under a known code: it is counted there.
struct Counted {
    code: ErrorCode,
    item_id: Option<ItemId>,
    what: String,
    /// For the journal only: what the caller should not be told.
    inside: String,
}

impl Counted {
    fn new(code: ErrorCode, what: impl Into<String>) -> Self {
        Self { code, item_id: None, what: what.into(), inside: String::new() }
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
        Self { code, item_id: refusal.item_id, what, inside: String::new() }
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

    /// The four cases of domain §3.
    fn find_code<'c>(&self, catalog: &'c Catalog) -> Result<&'c Handshake, Refused> {
        let refuse = |code, detail: String| Err(Refused { code, detail });
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
                Some(code) => Ok(code),
            },
            (Some(organization), None) => match catalog.find_default_code(organization) {
                Some(code) => Ok(code),
                None => refuse(ErrorCode::UnknownOrganization, format!("organization '{organization}' is unknown here, or has no handshake code")),
            },
            (None, None) => refuse(ErrorCode::NothingNamed, "give a handshake code or an organization ID; this server has no trial for this device".into()),
        }
    }

    fn decide(&self, ledger: &mut Ledger<'_>, catalog: &Catalog, code: &Handshake) -> Result<Result<Granted, Counted>, Error> {
        if let Some(password) = open_password(&self.site, code)? {
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
        let request = decision::Request {
            product: &self.request.product,
            version: self.request.product_version.as_deref(),
            edition: self.request.edition.as_deref(),
            deployment_type: self.request.deployment_type,
            modules,
            charge_way: self.request.charge_way,
            at_most: self.request.max_buffer_days.map(|days| Span::days(i64::from(days))),
        };
        let offers: Vec<Offer<'_>> = catalog.items_in_order(code).into_iter().map(|item| Offer { item, revoked: false }).collect();
        let fitting = match decision::shortlist(&request, &offers, now) {
            Ok(fitting) => fitting,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let mut candidates = Vec::with_capacity(fitting.len());
        for item in fitting {
            let takes_seats = item.charge_way.takes_seats();
            let state = ItemState {
                used: if item.charge_way.quota_unit().is_some() { usage::used(ledger, item.item_id)? } else { 0 },
                seats: if takes_seats { seats::count_active(ledger, item.item_id, now)? } else { 0 },
                holds_seat: takes_seats && seats::holds(ledger, self.request.client_uuid, item.item_id, now)?,
            };
            candidates.push((item, state));
        }
        let grant = match decision::decide(&request, &candidates, now) {
            Ok(grant) => grant,
            Err(refusal) => return Ok(Err(refusal.into())),
        };

        let vendor = grant.items.first().and_then(|granted| catalog.find_item(granted.item.item_id)).and_then(|entry| catalog.find_license(entry.license_id));
        let certified = vendor.and_then(|license| self.site.find_certificate(&code.organization_id, &license.vendor_kid));
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

        // A repeat is decided and recorded like any request: it may ask for something else.
        let ticket = tickets.unwrap_or_else(|| random_uuid().simple().to_string());
        ledger.record(&Body::AuthorizationGranted(AuthorizationGranted {
            client: self.request.client_uuid,
            code: code.code_id,
            items: grant.items.iter().map(|granted| ItemSeat { id: granted.item.item_id, until: granted.seat_until }).collect(),
            ticket: ticket.clone(),
            nonce: self.request.nonce.clone(),
            exp: grant.expires_at,
        }))?;
        let claims = Claims {
            iss: ledger.origin(),
            sub: self.request.client_uuid,
            iat: now,
            nbf: now,
            exp: grant.expires_at,
            jti: random_uuid(),
            nonce: self.request.nonce.clone(),
            org: code.organization_id.clone(),
            hs: self.name_of(code)?,
            hid: code.code_id,
            items: grant.items.iter().map(|granted| self.claim(granted.item)).collect(),
        };
        Ok(Ok(Granted { claims, certified, ticket, expires_at: grant.expires_at, now, sequence: ledger.sequence() }))
    }

    /// The code as the device knows it.
    fn name_of(&self, code: &Handshake) -> Result<HandshakeCode, Error> {
        let name = self.request.handshake_code.clone().unwrap_or_else(|| code.name());
        name.parse().map_err(|error| Error::Corrupt(format!("a handshake code's name: {error}")))
    }

    fn claim(&self, item: &crate::licensing::LicenseItem) -> AuthorizedItem {
        let counts_instances = item.charge_way == ChargeWay::ConcurrentInstance;
        AuthorizedItem {
            item_id: item.item_id,
            product: item.product.clone(),
            editions: item.editions.clone(),
            modules: item.modules.clone(),
            charge_way: item.charge_way,
            instances: if counts_instances { self.request.instances.unwrap_or(1) } else { 1 },
            valid_to: item.valid_to,
        }
    }

    /// Codes 103 and 114. For browsers the `Origin` header decides; a domain that only the
    /// body names could be anybody's.
    fn check_application(&self, code: &Handshake) -> Result<(), Counted> {
        let is_browser = self.request.deployment_type == Some(DeploymentType::Browser) || self.origin_header.is_some();
        let host = self.origin_header.as_deref().and_then(origin_host);
        let validation = self.request.validation.as_ref();
        let domain = if is_browser { host.as_deref() } else { validation.and_then(|given| given.domain.as_deref()) };
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
                "the request matches none of the code's validation fields: domain {}, application id {}, process name {}",
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
    fn check_tickets(&self, ledger: &Ledger<'_>, code: &Handshake) -> Result<Result<Option<String>, Counted>, Error> {
        let Some(shown) = self.request.ticket.as_deref() else { return Ok(Ok(None)) };
        Ok(match devices::find_tickets(ledger, self.request.client_uuid, code.code_id)? {
            None => Ok(None),
            Some(known) if known.reset || known.current == shown => Ok(None),
            Some(known) if known.previous == shown && known.nonce == self.request.nonce => Ok(Some(known.current)),
            Some(_) => Err(Counted::new(
                ErrorCode::Clone,
                "the ticket is not the one given to this device last, so another machine uses the same client UUID: give every device its own, or reset this one if it was restored from a backup",
            )),
        })
    }
}
