//! What the admin sets for each way by which alerts leave. Secrets are taken and never given.

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::settings::FieldError;
use crate::alerts::ways::{self, Kept, MailSettings, SyslogSettings, WaySettings, WebhookSettings};
use crate::alerts::webhook;
use crate::commands::alerts::Way;
use crate::commands::preferences::SetPreference;
use crate::documents::secret::SecretKey;
use crate::http::Context;
use crate::http::body::read_json;
use crate::http::caller::Caller;
use crate::http::problem::Failure;
use crate::protocol::Problem;
use crate::store::{Error, Reader};

/// Longest secret, in bytes.
const SECRET_MAX: usize = 256;

/// What is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaysAnswer {
    /// Mail.
    pub mail: MailSettings,
    /// Whether there is a password for the mail server.
    pub has_mail_password: bool,
    /// The webhook.
    pub webhook: WebhookSettings,
    /// Whether messages to the webhook are signed.
    pub has_webhook_secret: bool,
    /// The site's log.
    pub syslog: SyslogSettings,
}

/// What changes; absent fields stay as they are, and so do secrets that are not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct WaysChanges {
    /// Mail, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailSettings>,
    /// The password for the mail server; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_password: Option<String>,
    /// The webhook, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookSettings>,
    /// The secret under which messages to the webhook are signed; empty: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<String>,
    /// The site's log, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog: Option<SyslogSettings>,
}

impl WaysChanges {
    /// Brings values into their usual form and names every field that is wrong, with its way before it.
    pub fn check(&mut self) -> Vec<(String, String)> {
        fn of(way: Way, errors: Vec<FieldError>) -> impl Iterator<Item = (String, String)> {
            errors.into_iter().map(move |(field, text)| (format!("{}_{field}", way.name()), text))
        }
        let mut errors = Vec::new();
        errors.extend(self.mail.as_mut().into_iter().flat_map(|settings| of(Way::Mail, settings.check())));
        errors.extend(self.webhook.as_mut().into_iter().flat_map(|settings| of(Way::Webhook, settings.check())));
        errors.extend(self.syslog.as_mut().into_iter().flat_map(|settings| of(Way::Syslog, settings.check())));
        for (field, secret) in [("mail_password", &self.mail_password), ("webhook_secret", &self.webhook_secret)] {
            if secret.as_ref().is_some_and(|secret| secret.len() > SECRET_MAX || secret.chars().any(char::is_control)) {
                errors.push((field.to_owned(), format!("must be at most {SECRET_MAX} bytes without control characters")));
            }
        }
        errors
    }
}

/// Whether alerts go a way, and where to.
///
/// # Errors
/// The database cannot be read.
pub fn target(reader: &Reader, way: Way) -> Result<(bool, String), Error> {
    Ok(match way {
        Way::Mail => {
            let settings = ways::read::<MailSettings>(reader)?.settings;
            let all = [settings.to, settings.cc, settings.bcc].into_iter().filter(|list| !list.is_empty()).collect::<Vec<_>>();
            (settings.on, all.join("; "))
        }
        Way::Webhook => {
            let settings = ways::read::<WebhookSettings>(reader)?.settings;
            (settings.on, webhook::split(&settings.url).map_or_else(String::new, |(base, _)| base.to_owned()))
        }
        Way::Syslog => {
            let settings = ways::read::<SyslogSettings>(reader)?.settings;
            let is_set = !settings.host.is_empty();
            (settings.on, if is_set { format!("{}:{}", settings.host, settings.port) } else { String::new() })
        }
    })
}

/// What is set.
///
/// # Errors
/// The database cannot be read.
pub async fn read(context: &Context) -> Result<WaysAnswer, Failure> {
    context
        .read(|reader| {
            let (mail, webhook) = (ways::read::<MailSettings>(reader)?, ways::read::<WebhookSettings>(reader)?);
            Ok(WaysAnswer {
                has_mail_password: mail.sealed.is_some(),
                mail: mail.settings,
                has_webhook_secret: webhook.sealed.is_some(),
                webhook: webhook.settings,
                syslog: ways::read::<SyslogSettings>(reader)?.settings,
            })
        })
        .await
}

/// Sets what changes, once [`WaysChanges::check`] found nothing wrong.
///
/// # Errors
/// It cannot be written.
pub async fn write(context: &Context, caller: &Caller, changes: WaysChanges) -> Result<(), Failure> {
    let site = Arc::clone(&context.site);
    let read = move |reader: &Reader| {
        let key = site.secret();
        let mail = change_of(ways::read(reader)?, changes.mail, changes.mail_password.as_deref(), key)?;
        let webhook = change_of(ways::read(reader)?, changes.webhook, changes.webhook_secret.as_deref(), key)?;
        let syslog = change_of(ways::read(reader)?, changes.syslog, None, key)?;
        Ok([mail, webhook, syslog])
    };
    for (name, value, told) in context.read(read).await?.into_iter().flatten() {
        context.writer().submit(SetPreference { name, value: Some(value), told, by: caller.name.clone() }).await??;
    }
    Ok(())
}

/// The preference that changes, its value, and what to tell of it.
type Change = (&'static str, String, String);

fn change_of<T: WaySettings + PartialEq>(before: Kept<T>, settings: Option<T>, secret: Option<&str>, key: &SecretKey) -> Result<Option<Change>, Error> {
    let is_same = settings.as_ref().is_none_or(|settings| *settings == before.settings) && (secret.is_none() || secret == Some("") && before.sealed.is_none());
    if is_same {
        return Ok(None);
    }
    let sealed = secret.map_or(before.sealed, |secret| ways::seal::<T>(key, secret));
    let after = Kept { settings: settings.unwrap_or(before.settings), sealed };
    let secret = match secret {
        None => "",
        Some("") => "; the secret was taken away",
        Some(_) => "; with a new secret",
    };
    let value = serde_json::to_string(&after).map_err(|error| Error::Other(error.to_string()))?;
    Ok(Some((T::NAME, value, format!("{}{secret}", after.settings.told()))))
}

/// `GET /alerts/ways`
#[utoipa::path(get, path = "/api/v1/admin/alerts/ways", tag = "alerts", security(("bearer" = [])), responses(
    (status = 200, description = "What is set for each way, without secrets", body = WaysAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn show(context: Data<Context>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(read(&context).await?))
}

/// `PATCH /alerts/ways`
#[utoipa::path(patch, path = "/api/v1/admin/alerts/ways", tag = "alerts", security(("bearer" = [])), request_body = WaysChanges, responses(
    (status = 200, description = "What is set now, without secrets", body = WaysAnswer),
    (status = "4XX", description = "Refused; `detail` says what to do", body = Problem, content_type = "application/problem+json"),
))]
pub async fn change(caller: Caller, context: Data<Context>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let mut changes: WaysChanges = read_json(&context, &request, payload).await?;
    if let Some((field, text)) = changes.check().into_iter().next() {
        return Err(Failure::malformed(field, text));
    }
    write(&context, &caller, changes).await?;
    show(context).await
}
