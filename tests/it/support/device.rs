//! A device: what an application with the client library would send.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tollkeeper::client::transport::{Reply, Transport};
use tollkeeper::clock::rfc3339;
use tollkeeper::licensing::Slot;
use uuid::Uuid;

/// One device with what it keeps between requests.
#[derive(Clone)]
pub struct Device {
    pub client: Uuid,
    pub code: String,
    pub transport: Transport,
    /// The last authorization.
    pub authorization: Option<String>,
    /// The last ticket.
    pub ticket: Option<String>,
}

impl Device {
    pub fn new(transport: Transport, code: &str) -> Self {
        Self { client: Uuid::new_v4(), code: code.to_owned(), transport, authorization: None, ticket: None }
    }

    /// What it would ask for; tests change fields of it.
    pub fn request(&self) -> Value {
        let mut request = json!({
            "client_uuid": self.client, "handshake_code": self.code, "product": "dbr", "product_version": "9.6.30",
            "edition": "mobile", "deployment_type": "mobile", "modules": [], "nonce": nonce()
        });
        if let Some(ticket) = &self.ticket {
            request["ticket"] = json!(ticket);
        }
        request
    }

    /// The request with these fields instead; `null` takes a field away.
    pub fn request_with(&self, fields: Value) -> Value {
        let mut request = self.request();
        for (name, value) in fields.as_object().expect("fields") {
            match value {
                Value::Null => request.as_object_mut().expect("object").remove(name),
                value => request.as_object_mut().expect("object").insert(name.clone(), value.clone()),
            };
        }
        request
    }

    /// Asks, and keeps what it gets. `Ok` is the answer, `Err` the problem.
    pub fn authorize(&mut self) -> Result<Value, Value> {
        self.send(&self.request())
    }

    pub fn authorize_with(&mut self, fields: Value) -> Result<Value, Value> {
        self.send(&self.request_with(fields))
    }

    fn send(&mut self, request: &Value) -> Result<Value, Value> {
        let answer = outcome(&self.transport.post_json("/api/v1/authorize", request, &[]).expect("the server answers"))?;
        self.authorization = answer["authorization"].as_str().map(str::to_owned);
        self.ticket = answer["ticket"].as_str().map(str::to_owned);
        Ok(answer)
    }

    /// A report of scans in the slot that holds `at` (seconds).
    pub fn scans(&self, at: i64, counts: Value) -> Value {
        json!({"report_id": Uuid::new_v4(), "slot": rfc3339(Slot::containing(at).start()), "handshake_code": self.code, "product": "dbr", "unit": "scan", "counts": counts})
    }

    /// Sends reports under its authorization.
    pub fn report(&self, reports: &[Value]) -> Result<Value, Value> {
        outcome(&self.transport.post_json("/api/v1/reports", &self.report_body(reports), &[]).expect("the server answers"))
    }

    pub fn report_body(&self, reports: &[Value]) -> Value {
        json!({"client_uuid": self.client, "authorization": self.authorization.as_deref().expect("authorized"), "reports": reports})
    }
}

/// 16 random bytes in base64url.
pub fn nonce() -> String {
    URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())
}

fn outcome(reply: &Reply) -> Result<Value, Value> {
    let body: Value = if reply.body.is_empty() { Value::Null } else { reply.json().expect("JSON") };
    if reply.is_success() { Ok(body) } else { Err(body) }
}
