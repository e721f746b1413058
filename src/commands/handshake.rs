//! Handshake codes: made, edited, ordered, starred, deleted (domain §1, §2.4). A code
//! keeps its identity through every change; running applications notice none of them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Refusal, Site};
use crate::documents::random_uuid;
use crate::licensing::validation::{self, ValidationFields};
use crate::licensing::{CodeId, HandshakeCode, ItemId};
use crate::store::catalog::Catalog;
use crate::store::facts::{Body, DefaultChosen, HandshakeChanged};
use crate::store::handshakes::{self, Handshake, State};
use crate::store::{Command, Error, Ledger};

/// Most items, and most values of one validation field, that a code may have.
const LIST_MAX: usize = 100;
/// Longest session password, in bytes.
const PASSWORD_MAX: usize = 128;

/// What happened to a code.
pub type Outcome = Result<Handshake, Refusal>;

/// A new code.
pub struct AddHandshake {
    /// The site.
    pub site: Arc<Site>,
    /// Its name.
    pub name: HandshakeCode,
    /// What it has; absent fields are empty.
    pub changes: Changes,
    /// Who asks.
    pub by: String,
}

/// Changes of a code.
pub struct EditHandshake {
    /// The site.
    pub site: Arc<Site>,
    /// Its name or alias.
    pub name: String,
    /// What changes; absent fields stay.
    pub changes: Changes,
    /// Who asks.
    pub by: String,
}

/// Values for a code. `None`: as it is.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// A new name; the old one goes on as an alias.
    pub rename: Option<HandshakeCode>,
    /// Its items.
    pub items: Option<Vec<ItemId>>,
    /// Its domains.
    pub domains: Option<Vec<String>>,
    /// Its application ids.
    pub application_ids: Option<Vec<String>>,
    /// Its process names.
    pub process_names: Option<Vec<String>>,
    /// Its session password; the inner `None` takes it away.
    pub session_password: Option<Option<String>>,
    /// Aliases that no longer lead here.
    pub remove_aliases: Vec<String>,
}

/// The order in which the items of a code are used; `None` goes back to the default order.
pub struct OrderItems {
    /// Name or alias of the code.
    pub name: String,
    /// The order.
    pub order: Option<Vec<ItemId>>,
    /// Who asks.
    pub by: String,
}

/// Stars a code as its organization's default.
pub struct ChooseDefault {
    /// Name or alias of the code.
    pub name: String,
    /// Who asks.
    pub by: String,
}

/// Deletes a code; its history stays.
pub struct DeleteHandshake {
    /// Name or alias of the code.
    pub name: String,
    /// Who asks.
    pub by: String,
}

impl Command for AddHandshake {
    type Answer = Outcome;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Outcome, Error> {
        let catalog = ledger.catalog()?;
        if let Some(taken) = catalog.find_code_by_name(self.name.as_str()) {
            return Ok(Err(Refusal::Conflict(format!("{} exists already{}: edit it, or choose another name", self.name, alias_note(taken, &self.name)))));
        }
        let organization = self.name.organization();
        if !catalog.licenses().any(|license| license.organization_id == organization) {
            return Ok(Err(Refusal::Invalid(
                "handshake_code",
                format!("no license of organization {organization} is installed: a code begins with the organization ID of its items"),
            )));
        }
        let mut code = new_code(&self.name, ledger, false);
        match self.changes.apply(&mut code, &catalog, &self.site) {
            Err(refusal) => Ok(Err(refusal)),
            Ok(()) => save(ledger, code, &self.by).map(Ok),
        }
    }
}

impl Command for EditHandshake {
    type Answer = Outcome;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Outcome, Error> {
        change(ledger, &self.name, &self.by, |code, catalog| self.changes.apply(code, catalog, &self.site))
    }
}

impl Command for OrderItems {
    type Answer = Outcome;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Outcome, Error> {
        change(ledger, &self.name, &self.by, |code, _| {
            if let Some(order) = &self.order {
                check_unique(order)?;
                if let Some(foreign) = order.iter().find(|id| !code.state.items.contains(id)) {
                    return Err(Refusal::Invalid("items", format!("item {foreign} is not in {}: add it first", code.name())));
                }
            }
            code.state.custom_order.clone_from(&self.order);
            Ok(())
        })
    }
}

impl Command for ChooseDefault {
    type Answer = Outcome;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Outcome, Error> {
        let catalog = ledger.catalog()?;
        let code = match find(&catalog, &self.name) {
            Ok(code) => code.clone(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !catalog.is_default(&code) {
            let version = handshakes::default_version(ledger, &code.organization_id)? + 1;
            let chosen =
                DefaultChosen { organization_id: code.organization_id.clone(), code_id: code.code_id, epoch: ledger.epoch(), version, by: self.by.clone() };
            ledger.record(&Body::DefaultChosen(chosen))?;
        }
        Ok(Ok(code))
    }
}

impl Command for DeleteHandshake {
    type Answer = Outcome;

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Outcome, Error> {
        change(ledger, &self.name, &self.by, |code, _| {
            code.deleted = true;
            Ok(())
        })
    }
}

/// Changes the code of this name and records it, unless the change was refused or changed
/// nothing.
fn change(ledger: &mut Ledger<'_>, name: &str, by: &str, mend: impl FnOnce(&mut Handshake, &Catalog) -> Result<(), Refusal>) -> Result<Outcome, Error> {
    let catalog = ledger.catalog()?;
    let before = match find(&catalog, name) {
        Ok(code) => code,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut code = before.clone();
    match mend(&mut code, &catalog) {
        Err(refusal) => Ok(Err(refusal)),
        Ok(()) if code == *before => Ok(Ok(code)),
        Ok(()) => save(ledger, code, by).map(Ok),
    }
}

impl Changes {
    fn apply(&self, code: &mut Handshake, catalog: &Catalog, site: &Site) -> Result<(), Refusal> {
        if let Some(name) = &self.rename {
            rename(code, name, catalog)?;
        }
        if let Some(items) = &self.items {
            check_items(items, code, catalog)?;
            code.state.items.clone_from(items);
            if let Some(order) = &mut code.state.custom_order {
                order.retain(|id| items.contains(id));
            }
        }
        let ValidationFields { domains, application_ids, process_names } = &mut code.state.validation;
        clean_list("domains", self.domains.as_deref(), domains, validation::clean_domain)?;
        clean_list("application_ids", self.application_ids.as_deref(), application_ids, validation::clean_name)?;
        clean_list("process_names", self.process_names.as_deref(), process_names, validation::clean_name)?;
        match &self.session_password {
            None => {}
            Some(None) => code.state.sealed_password = None,
            Some(Some(password)) if password.is_empty() || password.len() > PASSWORD_MAX || password.chars().any(char::is_control) => {
                return Err(Refusal::Invalid("session_password", format!("a session password has 1 to {PASSWORD_MAX} bytes and no control characters")));
            }
            Some(Some(password)) => code.state.sealed_password = Some(seal_password(site, code.code_id, password)),
        }
        for alias in &self.remove_aliases {
            let custom = alias.strip_prefix(&format!("{}-", code.organization_id)).unwrap_or(alias);
            let before = code.state.aliases.len();
            code.state.aliases.retain(|known| known != custom);
            if code.state.aliases.len() == before {
                return Err(Refusal::NotFound(format!("'{alias}' is not an alias of {}", code.name())));
            }
        }
        Ok(())
    }
}

fn rename(code: &mut Handshake, name: &HandshakeCode, catalog: &Catalog) -> Result<(), Refusal> {
    if name.organization() != code.organization_id {
        return Err(Refusal::Invalid("handshake_code", format!("a code stays in its organization: the new name must begin with {}-", code.organization_id)));
    }
    if name.custom() == code.custom {
        return Ok(());
    }
    if code.state.automatic {
        return Err(Refusal::Conflict(format!("{} was made with its license and keeps its name: add a code of your own instead", code.name())));
    }
    if let Some(taken) = catalog.find_code_by_name(name.as_str()).filter(|taken| taken.code_id != code.code_id) {
        return Err(Refusal::Conflict(format!("{name} exists already{}: choose another name", alias_note(taken, name))));
    }
    let old = std::mem::replace(&mut code.custom, name.custom().to_owned());
    code.state.aliases.retain(|alias| alias != name.custom());
    code.state.aliases.push(old);
    Ok(())
}

/// How a name that is taken belongs to its code.
pub(super) fn alias_note(taken: &Handshake, name: &HandshakeCode) -> String {
    if taken.name() == name.as_str() { String::new() } else { format!(" as an alias of {}", taken.name()) }
}

fn check_items(items: &[ItemId], code: &Handshake, catalog: &Catalog) -> Result<(), Refusal> {
    check_unique(items)?;
    for id in items {
        match catalog.find_item(*id) {
            None => return Err(Refusal::Invalid("items", format!("item {id} is not installed: `license list` shows the items"))),
            Some(entry) if entry.organization_id != code.organization_id => {
                return Err(Refusal::Invalid("items", format!("item {id} belongs to organization {}, not to {}", entry.organization_id, code.organization_id)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_unique(items: &[ItemId]) -> Result<(), Refusal> {
    if items.len() > LIST_MAX {
        return Err(Refusal::Invalid("items", format!("{} items are too many: at most {LIST_MAX}", items.len())));
    }
    match items.iter().enumerate().find(|(index, id)| items[..*index].contains(id)) {
        Some((_, twice)) => Err(Refusal::Invalid("items", format!("item {twice} is named twice"))),
        None => Ok(()),
    }
}

fn clean_list(field: &'static str, given: Option<&[String]>, target: &mut Vec<String>, clean: fn(&str) -> Result<String, String>) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    if given.len() > LIST_MAX {
        return Err(Refusal::Invalid(field, format!("{} values are too many: at most {LIST_MAX}", given.len())));
    }
    let mut cleaned: Vec<String> = given.iter().map(|text| clean(text)).collect::<Result<_, _>>().map_err(|detail| Refusal::Invalid(field, detail))?;
    cleaned.dedup();
    *target = cleaned;
    Ok(())
}

/// The code that an admin named.
pub fn find<'c>(catalog: &'c Catalog, name: &str) -> Result<&'c Handshake, Refusal> {
    catalog
        .find_code_by_name(name)
        .ok_or_else(|| Refusal::NotFound(format!("handshake code '{}' does not exist: `handshake list` shows the codes", crate::licensing::id::shorten(name))))
}

/// A code that exists nowhere yet.
pub(super) fn new_code(name: &HandshakeCode, ledger: &Ledger<'_>, automatic: bool) -> Handshake {
    Handshake {
        code_id: CodeId(random_uuid()),
        organization_id: name.organization(),
        custom: name.custom().to_owned(),
        deleted: false,
        created_stamp: ledger.next_stamp(),
        epoch: 0,
        version: 0,
        state: State { automatic, ..State::default() },
    }
}

/// Records the whole state of a code as its next version.
pub(super) fn save(ledger: &mut Ledger<'_>, mut code: Handshake, by: &str) -> Result<Handshake, Error> {
    code.version += 1;
    code.epoch = ledger.epoch();
    ledger.record(&Body::HandshakeChanged(HandshakeChanged {
        code_id: code.code_id,
        organization_id: code.organization_id.clone(),
        custom: code.custom.clone(),
        created_stamp: code.created_stamp,
        epoch: code.epoch,
        version: code.version,
        deleted: code.deleted,
        state: code.state.clone(),
        by: by.to_owned(),
    }))?;
    Ok(code)
}

fn seal_password(site: &Site, code: CodeId, password: &str) -> String {
    URL_SAFE_NO_PAD.encode(site.secret().seal(&password_context(code), password.as_bytes()))
}

/// The session password of a code in clear, `None` if it has none. A password that this
/// server's key cannot open is an error: it must never count as "no password".
pub fn open_password(site: &Site, code: &Handshake) -> Result<Option<String>, Error> {
    let Some(sealed) = &code.state.sealed_password else { return Ok(None) };
    URL_SAFE_NO_PAD
        .decode(sealed)
        .ok()
        .and_then(|sealed| site.secret().open(&password_context(code.code_id), &sealed))
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| Error::Corrupt(format!("the session password of {} cannot be opened with this server's secret.key", code.name())))
}

fn password_context(code: CodeId) -> String {
    format!("session password of {code}")
}
