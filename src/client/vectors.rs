//! The vectors that the client libraries of all languages share (`tests/vectors/*.json`): what this library says
//! about one case of them, by the code that applications run through. For the tests of a port or of a build; nothing of
//! it has a state, or touches a license.

use serde::Deserialize;
use serde_json::{Value, json};

use super::core::trust::{self, Expected};
use super::error::{Code, LicenseError};
use super::settings::vendor_keys;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::documents::carried::{self, Kind};
use crate::documents::{KeyRequest, ProductKeys, SealingKey, jws};
use crate::licensing::{ClientUuid, DeploymentType, Slot};
use crate::protocol::license_key::LicenseKey;

/// What there are cases of: the names of the files.
pub const KINDS: &[&str] = &["carried", "chains", "errors", "license_keys", "product_keys", "sealed", "slots"];

/// What this library says about a case, which comes with what its file says beside the cases (`vendor_public_key`, or
/// `private_key` and `jwk`). `result` is `ok`, the code or the name of the failure; whatever else the answer holds is
/// what the case has under the same name.
///
/// # Errors
/// 301: there is no such kind, or it is no case of this kind.
pub fn check_case(kind: &str, case: &str) -> Result<Value, LicenseError> {
    let told = match kind {
        "carried" => read(case).and_then(carried_by_hand),
        "chains" => read(case).and_then(chain),
        "errors" => read(case).and_then(error),
        "license_keys" => read(case).map(license_key),
        "product_keys" => read(case).and_then(product_keys),
        "sealed" => read(case).and_then(sealed),
        "slots" => read(case).and_then(slot),
        _ => Err(format!("there are vectors of {}", KINDS.join(", "))),
    };
    told.map_err(|what| LicenseError::new(Code::Settings, format!("'{kind}' with this case: {what}")))
}

fn read<'a, T: Deserialize<'a>>(case: &'a str) -> Result<T, String> {
    serde_json::from_str(case).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<i64, String> {
    parse_rfc3339(text).ok_or_else(|| format!("'{text}' is no time"))
}

#[derive(Deserialize)]
struct SlotCase {
    at: String,
}

fn slot(case: SlotCase) -> Result<Value, String> {
    Ok(json!({"result": "ok", "slot": rfc3339(Slot::containing(time(&case.at)?).start())}))
}

#[derive(Deserialize)]
struct ErrorCase {
    code: u16,
}

fn error(case: ErrorCase) -> Result<Value, String> {
    let code = Code::from_number(case.code);
    Ok(json!({"result": "ok", "code": code.number(), "sdk_code": code.sdk_code(), "title": code.title(), "user_message": code.user_message()}))
}

#[derive(Deserialize)]
struct LicenseKeyCase {
    text: String,
}

fn license_key(case: LicenseKeyCase) -> Value {
    match case.text.parse::<LicenseKey>() {
        Err(_) => json!({"result": Code::Settings.number()}),
        Ok(key) => json!({"result": "ok", "servers": key.servers, "organization_id": key.organization_id, "handshake_code": key.handshake_code,
            "session_password": key.session_password, "ca": key.ca}),
    }
}

#[derive(Deserialize)]
struct ChainCase {
    vendor_public_key: String,
    authorization: String,
    expected: ExpectedCase,
    now: String,
}

#[derive(Deserialize)]
struct ExpectedCase {
    client_uuid: ClientUuid,
    nonce: Option<String>,
    organization_id: Option<String>,
    handshake_code: Option<String>,
}

fn chain(case: ChainCase) -> Result<Value, String> {
    let vendors = vendor_keys(&case.vendor_public_key).map_err(|error| error.message)?;
    let ExpectedCase { client_uuid, nonce, organization_id, handshake_code } = case.expected;
    let expected = Expected { client_uuid, nonce, organization_id, handshake_code };
    let now = time(&case.now)?;
    let checked = trust::check(&case.authorization, &vendors, &expected).and_then(|claims| trust::check_time(&claims, now).map(|()| claims));
    Ok(match checked {
        Ok(claims) => json!({"result": "ok", "expires_at": rfc3339(claims.exp)}),
        Err(distrust) => json!({"result": distrust.name()}),
    })
}

#[derive(Deserialize)]
struct ProductKeyCase {
    vendor_public_key: String,
    text: String,
    request: RequestCase,
    now: String,
}

#[derive(Deserialize)]
struct RequestCase {
    product: String,
    version: Option<String>,
    edition: Option<String>,
    deployment_type: Option<DeploymentType>,
    modules: Vec<String>,
    machine: Option<ClientUuid>,
    host: Option<String>,
}

fn product_keys(case: ProductKeyCase) -> Result<Value, String> {
    let vendors = vendor_keys(&case.vendor_public_key).map_err(|error| error.message)?;
    let asked = &case.request;
    let request = KeyRequest {
        product: &asked.product,
        version: asked.version.as_deref(),
        edition: asked.edition.as_deref(),
        deployment_type: asked.deployment_type,
        modules: &asked.modules,
        machine: asked.machine,
        host: asked.host.as_deref(),
    };
    let now = time(&case.now)?;
    let Ok(keys) = ProductKeys::parse(&case.text).and_then(|keys| keys.verify(&vendors)) else {
        return Ok(json!({"result": Code::ProductKey.number()}));
    };
    Ok(match keys.check(&request, now) {
        Ok(covering) => json!({"result": "ok", "keys": covering.iter().map(|key| key.product_key_id).collect::<Vec<_>>()}),
        Err(refusal) => json!({"result": refusal.reason.code().number()}),
    })
}

#[derive(Deserialize)]
struct CarriedCase {
    kind: String,
    line: String,
    file: String,
}

/// Both forms say the same, are written as they are read, and pass for nothing else.
fn carried_by_hand(case: CarriedCase) -> Result<Value, String> {
    let kinds = [("request", Kind::Request), ("authorization", Kind::Authorization), ("reports", Kind::Reports), ("receipt", Kind::Receipt)];
    let (_, kind) = kinds.into_iter().find(|(name, _)| *name == case.kind).ok_or("its kind is none that is carried")?;
    let refused = json!({"result": Code::NotGenuine.number()});
    let (Ok(content), Ok(same)) = (carried::read::<Value>(kind, &case.line), carried::read::<Value>(kind, &case.file)) else { return Ok(refused) };
    let again = [carried::line(kind, &content), carried::file(kind, &content, "A summary")];
    let is_same = content == same && again.iter().all(|text| carried::read::<Value>(kind, text).as_ref() == Ok(&content));
    let passes = |other: Kind| [&case.line, &case.file].iter().any(|text| carried::read::<Value>(other, text).is_ok());
    let is_clear = kinds.into_iter().all(|(_, other)| other == kind || !passes(other));
    Ok(if is_same && is_clear { json!({"result": "ok", "json": content}) } else { refused })
}

#[derive(Deserialize)]
struct SealedCase {
    private_key: String,
    path: String,
    body: String,
    #[serde(default)]
    answers: Vec<AnswerCase>,
}

#[derive(Deserialize)]
struct AnswerCase {
    status: u16,
    body: String,
}

/// A device seals requests and opens answers; with the private key the case is looked at from both sides.
fn sealed(case: SealedCase) -> Result<Value, String> {
    let key = jws::decode(&case.private_key).and_then(|bytes| SealingKey::from_bytes(&bytes)).ok_or("private_key is no key")?;
    let body = jws::decode(&case.body).ok_or("its body is not base64url")?;
    let Some((plain, _)) = key.open(&case.path, &body) else { return Ok(json!({"result": "refused"})) };
    let mut answers = Vec::new();
    for answer in case.answers {
        let sealed = jws::decode(&answer.body).ok_or("the body of an answer is not base64url")?;
        let opened = key.open(&case.path, &body).and_then(|(_, sealer)| sealer.into_opener().open(answer.status, &sealed));
        let text = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        answers.push(json!({"status": answer.status, "body": answer.body, "plaintext": text}));
    }
    if !passes_both_ways(&key, &case.path, &plain) {
        return Ok(json!({"result": "refused"}));
    }
    let mut told = json!({"result": "ok", "plaintext": String::from_utf8(plain).map_err(|error| error.to_string())?, "jwk": key.public().jwk()});
    if !answers.is_empty() {
        told["answers"] = answers.into();
    }
    Ok(told)
}

/// Whether what this library seals is opened with the private key, and whether it opens the answer, with its own status only.
fn passes_both_ways(key: &SealingKey, path: &str, plain: &[u8]) -> bool {
    let answered = |said: u16, heard: u16| {
        let (body, opener) = key.public().seal(path, plain).ok()?;
        let (opened, sealer) = key.open(path, &body)?;
        let answer = opener.open(heard, &sealer.seal(said, b"{\"code\":120}"))?;
        Some(opened == plain && answer == b"{\"code\":120}")
    };
    answered(403, 403) == Some(true) && answered(403, 200).is_none()
}
