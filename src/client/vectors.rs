//! The vectors that the client libraries of all languages share (`tests/vectors/*.json`): what this library says
//! about one case of them, by the code that applications run through. For the tests of a port or of a build; nothing of
//! it has a state, or touches a license.

use serde_json::{Map, Value};

use super::core::trust::{self, Expected};
use super::error::{Code, LicenseError};
use super::settings::{vendor_keys, word};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::documents::carried::{self, Kind};
use crate::documents::{KeyRequest, ProductKeys, SealingKey, jws};
use crate::licensing::{ClientUuid, Slot};
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
    let case: Value = serde_json::from_str(case).map_err(|error| LicenseError::new(Code::Settings, format!("the case is not JSON: {error}")))?;
    let told = match kind {
        "carried" => carried_by_hand(&case),
        "chains" => chain(&case),
        "errors" => error(&case),
        "license_keys" => license_key(&case),
        "product_keys" => product_keys(&case),
        "sealed" => sealed(&case),
        "slots" => slot(&case),
        _ => Err(Misfit("its kind")),
    };
    told.map_err(|Misfit(what)| LicenseError::new(Code::Settings, format!("'{kind}' is none of {}, or {what} is not as in a case of it", KINDS.join(", "))))
}

/// What is not as it is in a case.
struct Misfit(&'static str);

type Told = Result<Value, Misfit>;

/// What is said, with what the case has under the same names.
fn told(result: impl Into<Value>, more: Vec<(&str, Value)>) -> Told {
    let mut said = Map::new();
    said.insert("result".into(), result.into());
    said.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(Value::Object(said))
}

fn optional<'a>(case: &'a Value, name: &str) -> Option<&'a str> {
    case.get(name)?.as_str()
}

fn text<'a>(case: &'a Value, name: &'static str) -> Result<&'a str, Misfit> {
    optional(case, name).ok_or(Misfit(name))
}

fn time(case: &Value, name: &'static str) -> Result<i64, Misfit> {
    parse_rfc3339(text(case, name)?).ok_or(Misfit(name))
}

fn bytes(case: &Value, name: &'static str) -> Result<Vec<u8>, Misfit> {
    jws::decode(text(case, name)?).ok_or(Misfit(name))
}

fn uuid(case: &Value, name: &'static str) -> Result<Option<ClientUuid>, Misfit> {
    optional(case, name).map(str::parse).transpose().map_err(|_| Misfit(name))
}

fn number(case: &Value, name: &'static str) -> Result<u16, Misfit> {
    case.get(name).and_then(Value::as_u64).and_then(|number| number.try_into().ok()).ok_or(Misfit(name))
}

fn slot(case: &Value) -> Told {
    told("ok", vec![("slot", rfc3339(Slot::containing(time(case, "at")?).start()).into())])
}

fn error(case: &Value) -> Told {
    let code = Code::from_number(number(case, "code")?);
    let numbers = [("code", code.number().into()), ("sdk_code", code.sdk_code().into())];
    told("ok", numbers.into_iter().chain([("title", code.title().into()), ("user_message", code.user_message().into())]).collect())
}

fn license_key(case: &Value) -> Told {
    let Ok(key) = text(case, "text")?.parse::<LicenseKey>() else { return told(Code::Settings.number(), vec![]) };
    let names = vec![("organization_id", key.organization_id.into()), ("handshake_code", key.handshake_code.into()), ("servers", key.servers.into())];
    told("ok", names.into_iter().chain([("session_password", key.session_password.into()), ("ca", key.ca.into())]).collect())
}

fn chain(case: &Value) -> Told {
    let vendors = vendor_keys(text(case, "vendor_public_key")?).map_err(|_| Misfit("vendor_public_key"))?;
    let asked = &case["expected"];
    let given = |name: &str| optional(asked, name).map(str::to_owned);
    let expected = Expected {
        client_uuid: uuid(asked, "client_uuid")?.ok_or(Misfit("client_uuid"))?,
        nonce: given("nonce"),
        organization_id: given("organization_id"),
        handshake_code: given("handshake_code"),
    };
    let now = time(case, "now")?;
    let checked = trust::check(text(case, "authorization")?, &vendors, &expected).and_then(|claims| trust::check_time(&claims, now).map(|()| claims));
    match checked {
        Ok(claims) => told("ok", vec![("expires_at", rfc3339(claims.exp).into())]),
        Err(distrust) => told(distrust.name(), vec![]),
    }
}

fn product_keys(case: &Value) -> Told {
    let vendors = vendor_keys(text(case, "vendor_public_key")?).map_err(|_| Misfit("vendor_public_key"))?;
    let asked = &case["request"];
    let modules = asked["modules"].as_array().ok_or(Misfit("modules"))?;
    let modules: Vec<String> = modules.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let request = KeyRequest {
        product: text(asked, "product")?,
        version: optional(asked, "version"),
        edition: optional(asked, "edition"),
        deployment_type: word(optional(asked, "deployment_type").unwrap_or_default()).map_err(|_| Misfit("deployment_type"))?,
        modules: &modules,
        machine: uuid(asked, "machine")?,
        host: optional(asked, "host"),
    };
    let now = time(case, "now")?;
    let Ok(keys) = ProductKeys::parse(text(case, "text")?).and_then(|keys| keys.verify(&vendors)) else {
        return told(Code::ProductKey.number(), vec![]);
    };
    match keys.check(&request, now) {
        Ok(covering) => told("ok", vec![("keys", covering.iter().map(|key| key.product_key_id).collect())]),
        Err(refusal) => told(refusal.reason.code().number(), vec![]),
    }
}

/// Both forms say the same, are written as they are read, and pass for nothing else.
fn carried_by_hand(case: &Value) -> Told {
    let kinds = [("request", Kind::Request), ("authorization", Kind::Authorization), ("reports", Kind::Reports), ("receipt", Kind::Receipt)];
    let name = text(case, "kind")?;
    let (_, kind) = kinds.into_iter().find(|(known, _)| *known == name).ok_or(Misfit("kind"))?;
    let (line, file) = (text(case, "line")?, text(case, "file")?);
    let read = |kind, text: &str| carried::read::<Value>(kind, text).ok();
    let Some(content) = read(kind, line) else { return told(Code::NotGenuine.number(), vec![]) };
    let forms = [file, &carried::line(kind, &content), &carried::file(kind, &content, "A summary")];
    let is_same = forms.iter().all(|text| read(kind, text).as_ref() == Some(&content));
    let is_clear = kinds.iter().all(|(_, other)| *other == kind || (read(*other, line).is_none() && read(*other, file).is_none()));
    if is_same && is_clear { told("ok", vec![("json", content)]) } else { told(Code::NotGenuine.number(), vec![]) }
}

/// A device seals requests and opens answers; with the private key the case is looked at from both sides.
fn sealed(case: &Value) -> Told {
    let key = SealingKey::from_bytes(&bytes(case, "private_key")?).ok_or(Misfit("private_key"))?;
    let (path, body) = (text(case, "path")?, bytes(case, "body")?);
    let Some((plain, _)) = key.open(path, &body).filter(|(plain, _)| passes_both_ways(&key, path, plain)) else { return told("refused", vec![]) };
    let mut more = vec![("plaintext", String::from_utf8(plain).map_err(|_| Misfit("body"))?.into())];
    if let Some(answers) = case["answers"].as_array() {
        let mut heard = answers.clone();
        for answer in &mut heard {
            let (status, sealed) = (number(answer, "status")?, bytes(answer, "body")?);
            let opened = key.open(path, &body).and_then(|(_, sealer)| sealer.into_opener().open(status, &sealed));
            answer["plaintext"] = opened.and_then(|bytes| String::from_utf8(bytes).ok()).into();
        }
        more.push(("answers", heard.into()));
    }
    told("ok", more)
}

/// Whether what this library seals is opened with the private key, and whether it opens the answer, with its own status only.
fn passes_both_ways(key: &SealingKey, path: &str, plain: &[u8]) -> bool {
    const ANSWER: &[u8] = b"{\"code\":120}";
    let answered = |heard: u16| {
        let (body, opener) = key.public().seal(path, plain).ok()?;
        let (opened, sealer) = key.open(path, &body)?;
        let answer = opener.open(heard, &sealer.seal(403, ANSWER))?;
        Some(opened == plain && answer == ANSWER)
    };
    answered(403) == Some(true) && answered(200).is_none()
}
