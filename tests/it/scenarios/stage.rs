//! A sandbox, and the devices that play a scenario in it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use tempfile::TempDir;
use tollkeeper::client::transport::{Method, Transport};
use tollkeeper::clock::rfc3339;
use tollkeeper::documents::SigningKey;
use tollkeeper::licensing::LicenseItem;
use uuid::Uuid;

use super::language::{Asked, Asking, Does, Report, Step, Taken, Wrong};
use crate::support::{Device, Process, Vendor, wire};

/// See the module.
pub struct Stage {
    server: Process,
    transport: Transport,
    admin: Transport,
    vendor: Vendor,
    devices: BTreeMap<String, Actor>,
    now: i64,
    // After the server, which writes into it.
    _dir: TempDir,
}

#[derive(Clone)]
struct Actor {
    device: Device,
    product: String,
    has_code: bool,
    works_until: Option<i64>,
}

impl Stage {
    /// Starts a sandbox.
    pub fn open() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let server = Process::sandbox(&dir.path().join("data"), &[]);
        let transport = server.transport();
        let state: Value = transport.get("/sandbox").expect("the sandbox answers").json().expect("JSON");
        let key = state["vendor_key_file"].as_str().expect("a path");
        let vendor = Vendor { key: SigningKey::load(key.as_ref()).expect("the vendor's key") };
        let admin = Transport::unix(state["admin_socket"].as_str().expect("a path"));
        Self { now: seconds(&state["time"]), server, transport, admin, vendor, devices: BTreeMap::new(), _dir: dir }
    }

    /// Plays the steps until one goes otherwise.
    pub fn play(&mut self, steps: &[Step]) -> Result<(), Wrong> {
        for (line, does) in steps {
            match does {
                Does::Repeat { times, steps } => {
                    for time in 1..=*times {
                        self.play(steps).map_err(|(line, what)| (line, format!("{what} (time {time} of {times})")))?;
                    }
                }
                does => self.step(does).map_err(|what| (*line, what))?,
            }
        }
        Ok(())
    }

    fn step(&mut self, does: &Does) -> Result<(), String> {
        match does {
            Does::SetTime(time) => self.move_clock(&json!({"set": rfc3339(*time)}))?,
            Does::Wait(seconds) => self.move_clock(&json!({"advance": format!("{seconds}s")}))?,
            Does::Import { license, organization, into, items } => self.import(*license, organization, into.as_deref(), items)?,
            Does::AddCode { code, items } => {
                self.administrate(Method::Post, "handshakes", Some(json!({"handshake_code": code, "items": items})))?;
            }
            Does::HasItems { code, items } => {
                let found = self.administrate(Method::Get, &format!("handshakes/{code}"), None)?["items"].clone();
                same(&json!(items), &found, "items in their order of use")?;
            }
            Does::Install { devices, product, code } => {
                for name in devices {
                    let device = Device::new(self.transport.clone(), code.as_deref().unwrap_or_default());
                    self.devices.insert(name.clone(), Actor { device, product: product.clone(), has_code: code.is_some(), works_until: None });
                }
            }
            Does::Ask { who, how, expected } => {
                for name in who {
                    self.ask(name, how, expected).map_err(|what| format!("{name}: {what}"))?;
                }
            }
            Does::Report { who, report, expected } => {
                for name in who {
                    self.report(name, report, expected).map_err(|what| format!("{name}: {what}"))?;
                }
            }
            Does::Release { who } => {
                for name in who {
                    let device = &self.actor(name)?.device;
                    let body = json!({"client_uuid": device.client, "authorization": device.authorization});
                    let reply = self.transport.post_json("/api/v1/release", &body, &[]).map_err(|error| error.to_string())?;
                    same(&json!(204), &json!(reply.status), "status of the release")?;
                }
            }
            Does::MayWork { who, expected } => {
                for name in who {
                    let works = self.actor(name)?.works_until.is_some_and(|until| self.now < until);
                    if works != *expected {
                        return Err(format!("{name} {} work at {}", if works { "may still" } else { "may no longer" }, rfc3339(self.now)));
                    }
                }
            }
            Does::Copy { new, old } => {
                let copy = self.actor(old)?.clone();
                self.devices.insert(new.clone(), copy);
            }
            Does::Forget { device } => self.forget(device)?,
            Does::Reinstall { device } => {
                self.forget(device)?;
                self.actor(device)?.device.client = Uuid::new_v4();
            }
            Does::Reset { device } => {
                let client = self.actor(device)?.device.client;
                self.administrate(Method::Post, &format!("devices/{client}/reset"), None)?;
            }
            Does::Shows { item, columns } => {
                let listing = self.administrate(Method::Get, "licenses", None)?;
                let mut items = listing.as_array().into_iter().flatten().flat_map(|license| license["items"].as_array().into_iter().flatten());
                let row = items.find(|row| row["item_id"] == *item).ok_or_else(|| format!("item {item} is not listed"))?;
                for (name, value) in columns {
                    same(value, &row[name], name)?;
                }
            }
            Does::Repeat { .. } => {}
        }
        Ok(())
    }

    fn actor(&mut self, name: &str) -> Result<&mut Actor, String> {
        self.devices.get_mut(name).ok_or_else(|| format!("nobody is called {name}"))
    }

    fn move_clock(&mut self, change: &Value) -> Result<(), String> {
        let reply = self.transport.post_json("/sandbox/clock", change, &[]).map_err(|error| error.to_string())?;
        let answer: Value = reply.json().map_err(|error| error.to_string())?;
        if let Some(detail) = answer["detail"].as_str() {
            return Err(detail.to_owned());
        }
        self.now = seconds(&answer["time"]);
        Ok(())
    }

    fn administrate(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let reply = self.admin.request(method, &format!("/api/v1/admin/{path}"), body.as_ref()).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&reply.body);
        if !reply.is_success() {
            return Err(format!("the administrator is refused: {text}"));
        }
        if text.is_empty() { Ok(Value::Null) } else { reply.json().map_err(|error| error.to_string()) }
    }

    fn import(&self, license: u64, organization: &str, into: Option<&str>, items: &[LicenseItem]) -> Result<(), String> {
        let request = self.admin.get("/api/v1/admin/request").map_err(|error| error.to_string())?;
        let request = String::from_utf8(request.body).map_err(|error| error.to_string())?;
        let file = self.vendor.activate(self.vendor.new_license(license, organization, items.to_vec(), self.now), &request, self.now);
        self.administrate(Method::Post, "licenses", Some(json!({"file": file, "into": into}))).map(drop)
    }

    fn ask(&mut self, name: &str, how: &Asking, expected: &Asked) -> Result<(), String> {
        let now = self.now;
        let actor = self.actor(name)?.clone();
        let mut fields = json!({"product": actor.product, "deployment_type": "desktop", "edition": null, "instances": how.instances});
        if !actor.has_code || how.without_code {
            fields["handshake_code"] = Value::Null;
        }
        let answer = self.post("/api/v1/authorize", &actor.device.request_with(fields), how.from)?;
        let told = match answer["code"].as_u64() {
            Some(code) => format!("the server refused with {code}: {}", answer["detail"].as_str().unwrap_or_default()),
            None => format!("the server granted until {}", answer["expires_at"].as_str().unwrap_or_default()),
        };
        let until = answer.get("expires_at").map(seconds);
        if let Some(until) = until {
            let actor = self.actor(name)?;
            actor.works_until = Some(until);
            actor.device.authorization = answer["authorization"].as_str().map(str::to_owned);
            actor.device.ticket = answer["ticket"].as_str().map(str::to_owned);
        }
        let (is_so, wanted) = match expected {
            Asked::Granted => (until.is_some(), "granted".to_owned()),
            Asked::GrantedUntil(time) => (until == Some(*time), format!("granted until {}", rfc3339(*time))),
            Asked::GrantedFor(length) => (until == Some(now + length), format!("granted until {}", rfc3339(now + length))),
            Asked::Refused(code) => (answer["code"] == *code, format!("refused {code}")),
        };
        is_so.then_some(()).ok_or_else(|| format!("expected {wanted}, {told}"))
    }

    fn report(&mut self, name: &str, report: &Report, expected: &Taken) -> Result<(), String> {
        let at = self.now - report.ago;
        let actor = self.actor(name)?.clone();
        let mut sent = actor.device.scans(at, json!({report.kind.clone(): report.count}));
        sent["product"] = json!(actor.product);
        sent["unit"] = json!(report.unit);
        sent["instances"] = json!(report.instances);
        let authorization = actor.device.authorization.as_deref().unwrap_or("none");
        let body = json!({"client_uuid": actor.device.client, "authorization": authorization, "reports": [sent]});
        let answer = self.post("/api/v1/reports", &body, None)?;
        let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
        let became = match (number(&answer["code"]), number(&answer["rejected"][0]["code"])) {
            (Some(code), _) => Taken::Refused(code),
            (None, Some(code)) => Taken::Rejected(code),
            (None, None) => Taken::Accepted,
        };
        (became == *expected).then_some(()).ok_or_else(|| format!("expected {expected:?}, the server answered {answer}"))
    }

    fn forget(&mut self, name: &str) -> Result<(), String> {
        let actor = self.actor(name)?;
        actor.works_until = None;
        (actor.device.authorization, actor.device.ticket) = (None, None);
        Ok(())
    }

    fn post(&self, path: &str, body: &Value, from: Option<IpAddr>) -> Result<Value, String> {
        match from {
            Some(from) => {
                let ca = self.transport.ca_pem().ok_or("the authority is not known")?;
                Ok(wire::post_from(from, self.server.address, ca, path, body).json())
            }
            None => self.transport.post_json(path, body, &[]).and_then(|reply| reply.json()).map_err(|error| error.to_string()),
        }
    }
}

fn seconds(time: &Value) -> i64 {
    time.as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok()).expect("a time").timestamp()
}

fn same(expected: &Value, found: &Value, what: &str) -> Result<(), String> {
    (expected == found).then_some(()).ok_or_else(|| format!("expected {expected} as {what}, found {found}"))
}
