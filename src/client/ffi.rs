//! The C interface (feature `capi`), from which `tollkeeper.h` is generated. The only place
//! with `unsafe`: pointers of the caller are looked at here and nowhere else.
//!
//! What holds for all of it: nothing global; every handle belongs to the caller and has one
//! function that frees it; `NULL` is never followed; a panic stops here and becomes an error; texts are
//! UTF-8 ending in zero. A function returns 0, or the negative number that SDKs show,
//! −(20000 + code), and then `*error`, unless that is `NULL`, holds an error to be freed.

#![expect(unsafe_code, reason = "a C interface follows the caller's pointers")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::time::Duration;

use serde::Serialize;

use super::core::outbox::Submitted;
use super::deduplicator::{Deduplicator, PAUSE};
use super::error::{Code, LicenseError, ServerFailure};
use super::license::License;
use super::settings::Settings;
use super::status::{Listeners, Origin, Status};
use super::vectors;
use crate::licensing::{ClientUuid, Unit};

/// Settings of an application: made by tk_settings_new, freed by tk_settings_free.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tk_settings(Settings);

/// A license: made by tk_initialize or tk_start, ended by tk_close or tk_release. Any thread
/// may use it at any time. After fork the child must not use it, not even to end it: the threads
/// of the library are not in the child.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tk_license(License);

/// An error: made by a function that failed, freed by tk_error_free.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tk_error {
    code: Code,
    message: CString,
    user_message: CString,
}

/// Which barcodes of a video stream count: made by tk_deduplicator_new, freed by
/// tk_deduplicator_free. One thread at a time.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tk_deduplicator(Deduplicator);

/// What the application wants to hear of; any function may be NULL. They are called on a thread
/// of the license's own, one at a time, the first ones soon after tk_initialize returned or even
/// before; the last ones before tk_close or tk_release returns, which therefore must not be called while a
/// lock is held that a listener takes. A listener may call every function: tk_renew and tk_release return
/// at once there, and are carried out afterwards. The texts are valid during the call.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tk_listeners {
    /// Given to each of them.
    pub context: *mut c_void,
    /// The license is another than before: sdk_code is 0 when there is one, and why not otherwise;
    /// expires_at is in seconds since 1970, 0 when there is none.
    pub license_changed: Option<extern "C" fn(context: *mut c_void, sdk_code: i32, message: *const c_char, expires_at: i64)>,
    /// A server answered to usage reports: how many it took, had before, and will never take.
    pub report_sent: Option<extern "C" fn(context: *mut c_void, accepted: u64, duplicate: u64, rejected: u64)>,
    /// Something is wrong that does not stop the application.
    pub warning: Option<extern "C" fn(context: *mut c_void, sdk_code: i32, message: *const c_char)>,
}

/// The caller's word that its context may be used on another thread.
struct Context(tk_listeners);

// SAFETY: tk_listeners is documented to be called on another thread; what the context points to is
// the caller's affair.
unsafe impl Send for Context {}
// SAFETY: as above; it is never written.
unsafe impl Sync for Context {}

impl Context {
    fn license_changed(&self, status: &Status) {
        if let Some(call) = self.0.license_changed {
            let (code, message) = status.error.as_ref().map_or((0, String::new()), |error| (error.sdk_code(), error.message.clone()));
            call(self.0.context, code, text_of(&message).as_ptr(), status.expires_at.unwrap_or(0));
        }
    }

    fn report_sent(&self, submitted: &Submitted) {
        if let Some(call) = self.0.report_sent {
            call(self.0.context, submitted.accepted, submitted.duplicate, submitted.rejected.len() as u64);
        }
    }

    fn warning(&self, error: &LicenseError) {
        if let Some(call) = self.0.warning {
            call(self.0.context, error.sdk_code(), text_of(&error.message).as_ptr());
        }
    }
}

/// Zeros inside a text would end it early; ours have none, but server's words might.
fn text_of(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// SAFETY: `text` is NULL or ends in zero.
unsafe fn optional<'a>(what: &str, text: *const c_char) -> Result<Option<&'a str>, LicenseError> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_str().map(Some).map_err(|_| LicenseError::new(Code::Settings, format!("{what} is not text in UTF-8")))
}

/// SAFETY: `text` is NULL or ends in zero.
unsafe fn needed<'a>(what: &str, text: *const c_char) -> Result<&'a str, LicenseError> {
    // SAFETY: as the caller promises.
    unsafe { optional(what, text) }?.ok_or_else(|| null(what))
}

/// SAFETY: `pointer` is NULL or one of ours that is not freed.
unsafe fn handle<'a, T>(what: &str, pointer: *const T) -> Result<&'a T, LicenseError> {
    // SAFETY: as the caller promises.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(what))
}

fn null(what: &str) -> LicenseError {
    LicenseError::new(Code::Settings, format!("{what} is NULL"))
}

/// Does the work; a failure, or a panic, becomes a number and an error.
///
/// SAFETY: `error` is NULL or may be written.
unsafe fn attempt(error: *mut *mut tk_error, work: impl FnOnce() -> Result<(), LicenseError>) -> i32 {
    let failed = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => None,
        Ok(Err(failed)) => Some(failed),
        Err(_) => Some(LicenseError::new(Code::Internal, "the license library failed: please report this with what was called")),
    };
    let number = failed.as_ref().map_or(0, LicenseError::sdk_code);
    if !error.is_null() {
        let made = failed.map_or(ptr::null_mut(), |failed| {
            let user_message = text_of(failed.user_message());
            Box::into_raw(Box::new(tk_error { code: failed.code, message: text_of(&failed.message), user_message }))
        });
        // SAFETY: as the caller promises.
        unsafe { *error = made };
    }
    number
}

/// Frees what Box made; NULL is nothing.
///
/// SAFETY: `pointer` is NULL or one of ours that is not freed.
unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: as the caller promises.
        let owned = unsafe { Box::from_raw(pointer) };
        // A panic while something ends must not cross either.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(owned)));
    }
}

/// Writes a result for the caller.
///
/// SAFETY: `out` may be written.
unsafe fn give<T>(out: *mut *mut T, value: T) -> Result<(), LicenseError> {
    if out.is_null() {
        return Err(null("the place for the result"));
    }
    // SAFETY: as the caller promises.
    unsafe { *out = Box::into_raw(Box::new(value)) };
    Ok(())
}

/// SAFETY: `out` may be written.
unsafe fn give_text(out: *mut *mut c_char, text: &str) -> Result<(), LicenseError> {
    if out.is_null() {
        return Err(null("the place for the text"));
    }
    // SAFETY: as the caller promises.
    unsafe { *out = text_of(text).into_raw() };
    Ok(())
}

/// The version of this library, such as "1.2.0". Not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn tk_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// New settings: set at least vendorPublicKey, product, and licenseKey.
#[unsafe(no_mangle)]
pub extern "C" fn tk_settings_new() -> *mut tk_settings {
    Box::into_raw(Box::new(tk_settings(Settings::default())))
}

/// Frees settings; a license that was made with them goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_settings_free(settings: *mut tk_settings) {
    // SAFETY: as the caller promises.
    unsafe { free(settings) }
}

/// Sets one setting by its name: licenseKey, vendorPublicKey, product, mainServerURL,
/// standbyServerURL, organizationId, handshakeCode, sessionPassword, certificateAuthority, productKey,
/// productVersion, edition, deploymentType, limitedModules (separated by commas), chargeWay, instances,
/// maxBufferDays, uuidMethod (random, hardware), dataFolder, applicationId, processName, sealed (true,
/// false), flushSeconds, releaseOnClose (instances, seat, nothing: see tk_close). An empty value takes the
/// setting back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_settings_set(settings: *mut tk_settings, name: *const c_char, value: *const c_char, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        attempt(error, || {
            let settings = settings.as_mut().ok_or_else(|| null("settings"))?;
            settings.0.set(needed("the setting's name", name)?, optional("the setting's value", value)?.unwrap_or_default())
        })
    }
}

/// Gets the license: asks the servers, else takes the authorization of before, or product keys. Waits for
/// the servers, at most 20 seconds each. listeners may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_initialize(
    settings: *const tk_settings,
    listeners: *const tk_listeners,
    license: *mut *mut tk_license,
    error: *mut *mut tk_error,
) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { begin(settings, listeners, license, error, License::initialize_with) }
}

/// The same, but there is a license handle also when there is no license yet: it is asked for again and
/// again, and license_changed tells. See tk_check.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_start(
    settings: *const tk_settings,
    listeners: *const tk_listeners,
    license: *mut *mut tk_license,
    error: *mut *mut tk_error,
) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { begin(settings, listeners, license, error, License::start) }
}

/// SAFETY: all are NULL or as documented.
unsafe fn begin(
    settings: *const tk_settings,
    listeners: *const tk_listeners,
    license: *mut *mut tk_license,
    error: *mut *mut tk_error,
    how: fn(&Settings, Listeners) -> Result<License, LicenseError>,
) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        attempt(error, || {
            if license.is_null() {
                return Err(null("the place for the license"));
            }
            *license = ptr::null_mut();
            let settings = handle("settings", settings)?;
            let listeners = listeners.as_ref().map_or_else(Listeners::default, |listeners| {
                let context = std::sync::Arc::new(Context(*listeners));
                let (changed, sent) = (context.clone(), context.clone());
                Listeners {
                    license_changed: Some(Box::new(move |status| changed.license_changed(status))),
                    reported: Some(Box::new(move |submitted| sent.report_sent(submitted))),
                    warning: Some(Box::new(move |warning| context.warning(warning))),
                }
            });
            give(license, tk_license(how(&settings.0, listeners)?))
        })
    }
}

/// Ends the handle: what was counted is on disk when it returns. When no other process of the machine uses the license, it
/// is given back as releaseOnClose says: with "instances", or when it is not set, the instances of a license of
/// concurrent_instance, so that another machine may have them at once; with "seat" whatever the license is charged by;
/// with "nothing" nothing. Then what was done is reported first. Named seats are kept unless "seat" is set, because they
/// last for their period, and because the device must be able to start again with no network. It waits for servers about 3
/// seconds in all, and never fails: if none can be reached, everything stays as it was; if only the answer does not come,
/// the server may have taken the license back while this device keeps its authorization until that ends. All applications
/// of a machine that share a license set the same: the one that ends last decides. When it returns, no listener
/// is called any more; within a listener it returns at once, that listener is the last one, and what is to be given back is
/// given back afterwards. A thread of the library that waits for a silent server may go on until it answers: do not unload
/// the library. User interfaces call tk_close on another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_close(license: *mut tk_license) {
    // SAFETY: as the caller promises.
    unsafe { free(license) }
}

/// Gives the license back: reports what was done, then frees the seat or the instances for another device.
/// Ends the handle, whatever it returns; if it fails, the seat is held as before and what was counted is kept:
/// initialize again, and release when a server can be reached. Within a listener it returns 0 at once, and that listener is
/// the last one that is called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_release(license: *mut tk_license, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        attempt(error, || {
            if license.is_null() {
                return Err(null("license"));
            }
            let owned = Box::from_raw(license);
            owned.0.release()
        })
    }
}

/// Whether this module is licensed now, or with NULL the product at all. Asks nobody: call it at every use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_check(license: *const tk_license, module: *const c_char, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || handle("license", license)?.0.check(optional("module", module)?)) }
}

/// Counts use that was done just now: kind is the barcode's format, or scanned, captured, imported of pages; count
/// is at least 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_record(license: *const tk_license, kind: *const c_char, count: u64, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || handle("license", license)?.0.record(needed("kind", kind)?, count)) }
}

/// Counts use: unit is scan or page, NULL for what the license is about; module processed the pages, may be
/// NULL; at is when it was done, seconds since 1970, 0 for now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_record_at(
    license: *const tk_license,
    kind: *const c_char,
    count: u64,
    unit: *const c_char,
    module: *const c_char,
    at: i64,
    error: *mut *mut tk_error,
) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        attempt(error, || {
            let unit = match optional("unit", unit)? {
                None => None,
                Some("scan") => Some(Unit::Scan),
                Some("page") => Some(Unit::Page),
                Some(other) => return Err(LicenseError::new(Code::Settings, format!("unit: '{other}' is neither scan nor page"))),
            };
            handle("license", license)?.0.record_at(needed("kind", kind)?, count, unit, optional("module", module)?, (at != 0).then_some(at))
        })
    }
}

/// Takes instances, as many as are granted to this machine and not held by another of its processes. They are
/// reported in each slot of three minutes in which this machine reports use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_take_instances(license: *const tk_license, number: u32, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || handle("license", license)?.0.take_instances(number)) }
}

/// Gives instances back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_give_back_instances(license: *const tk_license, number: u32, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || handle("license", license).map(|license| license.0.give_back_instances(number))) }
}

/// Instances that are granted to this machine and that nobody holds; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_idle_instances(license: *const tk_license) -> u32 {
    // SAFETY: as the caller promises.
    unsafe { license.as_ref() }.map_or(0, |license| license.0.idle_instances())
}

/// Puts what was counted on disk now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_flush(license: *const tk_license, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || handle("license", license).map(|license| license.0.flush())) }
}

/// Asks the servers now, as at the start, and sends what was not sent. Waits for them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_renew(license: *const tk_license, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || handle("license", license)?.0.renew()) }
}

/// What the application may do now, as JSON: licensed, origin (server, kept, carried, product_key), server,
/// expires_at, handshake_code, client_uuid, instances, code, sdk_code, message, failures. Free the text with
/// tk_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_status(license: *const tk_license, json: *mut *mut c_char, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || give_text(json, &json_of(&handle("license", license)?.0.status()))) }
}

/// As tk_status tells it.
#[derive(Serialize)]
struct Told<'a> {
    licensed: bool,
    origin: Option<&'static str>,
    server: Option<&'a str>,
    expires_at: Option<String>,
    handshake_code: Option<&'a str>,
    client_uuid: Option<ClientUuid>,
    instances: u32,
    code: u16,
    sdk_code: i32,
    message: Option<&'a str>,
    user_message: Option<&'static str>,
    failures: Vec<ToldFailure<'a>>,
}

#[derive(Serialize)]
struct ToldFailure<'a> {
    server: &'a str,
    code: u16,
    sdk_code: i32,
    message: &'a str,
}

impl<'a> From<&'a ServerFailure> for ToldFailure<'a> {
    fn from(ServerFailure { server, code, message }: &'a ServerFailure) -> Self {
        Self { server, code: code.number(), sdk_code: code.sdk_code(), message }
    }
}

fn json_of(status: &Status) -> String {
    let (origin, server) = match &status.origin {
        Some(Origin::Server(url)) => (Some("server"), Some(url.as_str())),
        Some(Origin::Kept) => (Some("kept"), None),
        Some(Origin::Carried) => (Some("carried"), None),
        Some(Origin::ProductKey) => (Some("product_key"), None),
        None => (None, None),
    };
    let error = status.error.as_ref();
    let told = Told {
        licensed: status.is_licensed(),
        origin,
        server,
        expires_at: status.expires_at.map(crate::clock::rfc3339),
        handshake_code: status.handshake_code.as_deref(),
        client_uuid: status.client_uuid,
        instances: status.instances,
        code: error.map_or(0, |error| error.code.number()),
        sdk_code: error.map_or(0, LicenseError::sdk_code),
        message: error.map(|error| error.message.as_str()),
        user_message: error.map(LicenseError::user_message),
        failures: status.failures.iter().map(ToldFailure::from).collect(),
    };
    serde_json::to_string(&told).unwrap_or_default()
}

/// The request of a device without network, to be carried to the server; with as_line not 0 as one line for a
/// QR code. Free the text with tk_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_request_file(settings: *const tk_settings, as_line: i32, text: *mut *mut c_char, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        attempt(error, || {
            let settings = &handle("settings", settings)?.0;
            give_text(text, &if as_line == 0 { License::request_file(settings) } else { License::request_line(settings) }?)
        })
    }
}

/// Takes the authorization that was carried here; tk_initialize with the same settings then finds it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_import_authorization(settings: *const tk_settings, text: *const c_char, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || License::import_authorization(&handle("settings", settings)?.0, needed("the authorization", text)?)) }
}

/// Everything that was done and not acknowledged, as a file to be carried to the server; NULL when there is
/// nothing. Free the text with tk_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_report_file(license: *const tk_license, text: *mut *mut c_char, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        attempt(error, || match handle("license", license)?.0.report_file()? {
            Some(file) => give_text(text, &file),
            None if text.is_null() => Err(null("the place for the text")),
            None => {
                *text = ptr::null_mut();
                Ok(())
            }
        })
    }
}

/// Takes the receipt for carried reports: what the server has is not kept any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_import_receipt(license: *const tk_license, text: *const c_char, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { attempt(error, || handle("license", license)?.0.import_receipt(needed("the receipt", text)?).map(drop)) }
}

/// The code of domain-specific failures, such as 120; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_error_code(error: *const tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { error.as_ref() }.map_or(0, |error| error.code.number().into())
}

/// The number to show, -(20000 + code); 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_error_sdk_code(error: *const tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe { error.as_ref() }.map_or(0, |error| error.code.sdk_code())
}

/// For the developer: what happened, which value, what to do. Valid until the error is freed; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_error_message(error: *const tk_error) -> *const c_char {
    // SAFETY: as the caller promises.
    unsafe { error.as_ref() }.map_or(ptr::null(), |error| error.message.as_ptr())
}

/// What to tell the end user. Valid until the error is freed; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_error_user_message(error: *const tk_error) -> *const c_char {
    // SAFETY: as the caller promises.
    unsafe { error.as_ref() }.map_or(ptr::null(), |error| error.user_message.as_ptr())
}

/// Frees an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_error_free(error: *mut tk_error) {
    // SAFETY: as the caller promises.
    unsafe { free(error) }
}

/// Frees a text that a function gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_string_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: as the caller promises.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// Runs one case of the test vectors that all client libraries share, for tests of a port or of a build: it needs no
/// license and no network, and changes nothing. kind is carried, chains, errors, license_keys, product_keys, sealed or slots;
/// the case is JSON with what its file says beside the cases in it. What this library says about it is JSON, to be compared
/// with the case: result, which is "ok" or the code or name of the failure, and what the case has under the same name. Free
/// the text with tk_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_check_vector(kind: *const c_char, case_json: *const c_char, result_json: *mut *mut c_char, error: *mut *mut tk_error) -> i32 {
    // SAFETY: as the caller promises.
    unsafe {
        attempt(error, || {
            if let Some(result) = result_json.as_mut() {
                *result = ptr::null_mut();
            }
            give_text(result_json, &vectors::check_case(needed("kind", kind)?, needed("the case", case_json)?)?.to_string())
        })
    }
}

/// A barcode counts again after so many milliseconds; with 0 after 3000.
#[unsafe(no_mangle)]
pub extern "C" fn tk_deduplicator_new(pause_milliseconds: u64) -> *mut tk_deduplicator {
    let pause = if pause_milliseconds == 0 { PAUSE } else { Duration::from_millis(pause_milliseconds) };
    Box::into_raw(Box::new(tk_deduplicator(Deduplicator::new(pause))))
}

/// 1 when a barcode seen at this time (milliseconds of any clock that goes forward, the same for all of one
/// frame) counts, 0 when it does not, negative when an argument is NULL or no text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_deduplicator_is_new(deduplicator: *mut tk_deduplicator, format: *const c_char, text: *const c_char, at_milliseconds: u64) -> i32 {
    let mut is_new = 0;
    // SAFETY: as the caller promises.
    let failed = unsafe {
        attempt(ptr::null_mut(), || {
            let deduplicator = deduplicator.as_mut().ok_or_else(|| null("deduplicator"))?;
            is_new = i32::from(deduplicator.0.is_new(needed("format", format)?, needed("text", text)?, Duration::from_millis(at_milliseconds)));
            Ok(())
        })
    };
    if failed == 0 { is_new } else { failed }
}

/// Frees a deduplicator.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tk_deduplicator_free(deduplicator: *mut tk_deduplicator) {
    // SAFETY: as the caller promises.
    unsafe { free(deduplicator) }
}
