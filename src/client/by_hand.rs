//! The files that carry a device without network through: its request, the authorization, its
//! reports and the receipt (domain §3).

use super::core::outbox::Submitted;
use super::error::{Code, LicenseError};
use super::license::License;
use super::settings::Settings;
use super::status::Listeners;
use super::worker::{Kind, Served, lock, moment};
use crate::documents::carried;
use crate::protocol::authorize::{AuthorizeAnswer, AuthorizeRequest};
use crate::protocol::reports::ReportsAnswer;

impl License {
    /// Everything that was done and not acknowledged, as a file to be carried to the server
    /// (`device import-reports`). `None` when there is nothing.
    ///
    /// # Errors
    /// 306.
    pub fn report_file(&self) -> Result<Option<String>, LicenseError> {
        self.flush();
        let Kind::Served(served) = &self.shared.kind else { return Ok(None) };
        let Served { core, folder } = &mut *lock(served);
        let Some(request) = folder.with(|state| core.carried_reports(state, moment()))? else { return Ok(None) };
        let number = request.reports.len() + request.further.iter().map(|group| group.reports.len()).sum::<usize>();
        let summary = format!(
            "Tollkeeper usage reports of device {}: {}\nOn the server: tollkeeper device import-reports FILE\n",
            request.client_uuid,
            carried::counted_reports(number)
        );
        Ok(Some(carried::file(carried::Kind::Reports, &request, &summary)))
    }

    /// Takes the receipt for carried reports: what the server has need not be kept here.
    ///
    /// # Errors
    /// 304: it is none; 306.
    pub fn import_receipt(&self, text: &str) -> Result<Submitted, LicenseError> {
        let answer: ReportsAnswer = read_carried(carried::Kind::Receipt, text)?;
        let Kind::Served(served) = &self.shared.kind else { return Ok(Submitted::default()) };
        let Served { core, folder } = &mut *lock(served);
        folder.with(|state| core.take_receipt(&answer, state))
    }

    /// The request of a device without network, to be carried to the server
    /// (`device authorize-file`).
    ///
    /// # Errors
    /// 301 and 306.
    pub fn request_file(settings: &Settings) -> Result<String, LicenseError> {
        let request = Self::carried_request(settings)?;
        let summary = format!(
            "Tollkeeper authorization request of device {} for '{}'\nOn the server: tollkeeper device authorize-file FILE --out ANSWER\n",
            request.client_uuid, request.product
        );
        Ok(carried::file(carried::Kind::Request, &request, &summary))
    }

    /// The same on one line, for a QR code.
    ///
    /// # Errors
    /// As [`License::request_file`].
    pub fn request_line(settings: &Settings) -> Result<String, LicenseError> {
        Ok(carried::line(carried::Kind::Request, &Self::carried_request(settings)?))
    }

    fn carried_request(settings: &Settings) -> Result<AuthorizeRequest, LicenseError> {
        let license = Self::open(settings, Listeners::default())?;
        let Kind::Served(served) = &license.shared.kind else {
            return Err(LicenseError::new(Code::Settings, "productKey is set: product keys need no request"));
        };
        let Served { core, folder } = &mut *lock(served);
        folder.with(|state| core.request("", state))
    }

    /// Takes the authorization that was carried here. [`License::initialize`] with the same
    /// settings then finds it.
    ///
    /// # Errors
    /// 304: it is not genuine, or the answer to another request; 301 and 306.
    pub fn import_authorization(settings: &Settings, text: &str) -> Result<(), LicenseError> {
        let answer: AuthorizeAnswer = read_carried(carried::Kind::Authorization, text)?;
        let license = Self::open(settings, Listeners::default())?;
        let Kind::Served(served) = &license.shared.kind else {
            return Err(LicenseError::new(Code::Settings, "productKey is set: product keys need no authorization"));
        };
        let Served { core, folder } = &mut *lock(served);
        folder.with(|state| core.take_carried(&answer, state, moment()))?.map(drop)
    }
}

fn read_carried<T: serde::de::DeserializeOwned>(kind: carried::Kind, text: &str) -> Result<T, LicenseError> {
    carried::read(kind, text).map_err(|error| LicenseError::new(Code::NotGenuine, error.to_string()))
}
