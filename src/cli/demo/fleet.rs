//! Fifty devices that use their licenses honestly: each gets an authorization, and reports
//! the slots in which it was at work. They begin eight hours back, as devices do that were
//! offline, so that there is something to see at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::transport::Transport;
use crate::clock::{Clock, SystemClock, rfc3339};
use crate::documents::random_uuid;
use crate::licensing::Slot;
use crate::licensing::slot::SLOT_SECONDS;
use crate::protocol::authorize::AuthorizeAnswer;

/// How far back the devices' first reports lie.
const BACKLOG_SECONDS: i64 = 8 * 3_600;
/// Slots in one request, at most.
const SLOTS_A_REQUEST: usize = 20;
/// Pause between two requests of the fleet.
const PAUSE: Duration = Duration::from_millis(150);

/// What a device runs.
struct Trade {
    product: &'static str,
    deployment_type: &'static str,
    unit: &'static str,
    types: &'static [&'static str],
}

const TRADES: &[Trade] = &[
    Trade { product: "dbr", deployment_type: "mobile", unit: "scan", types: &["QR Code", "Code 128", "EAN-13", "Data Matrix"] },
    Trade { product: "dwt", deployment_type: "desktop", unit: "page", types: &["scanned", "imported", "captured"] },
    Trade { product: "ocr", deployment_type: "desktop", unit: "page", types: &["scanned"] },
];

struct Device {
    client: Uuid,
    trade: &'static Trade,
    authorization: Option<String>,
    refresh_at: i64,
    next_slot: Slot,
}

/// All devices, with what happened to them.
pub struct Fleet {
    transport: Transport,
    code: String,
    devices: Vec<Device>,
    summary: Summary,
}

/// What the devices did.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    /// Authorizations granted.
    pub granted: u64,
    /// Authorizations refused.
    pub refused: u64,
    /// Units in accepted reports.
    pub units: u64,
}

/// A request that anybody may try with curl.
pub fn sample_request(code: &str) -> Value {
    request(random_uuid(), code, &TRADES[0])
}

fn request(client: Uuid, code: &str, trade: &Trade) -> Value {
    let nonce = URL_SAFE_NO_PAD.encode(random_uuid().as_bytes());
    json!({"client_uuid": client, "handshake_code": code, "product": trade.product, "deployment_type": trade.deployment_type, "nonce": nonce})
}

impl Fleet {
    /// Devices that are not authorized yet.
    pub fn new(count: usize, code: &str, transport: Transport) -> Self {
        let now = SystemClock.now_seconds();
        let devices = (0..count)
            .map(|n| Device {
                client: random_uuid(),
                trade: &TRADES[n % TRADES.len()],
                authorization: None,
                refresh_at: 0,
                next_slot: Slot::containing(now - BACKLOG_SECONDS + i64::from(random(3_600))),
            })
            .collect();
        Self { transport, code: code.to_owned(), devices, summary: Summary::default() }
    }

    /// Works until the flag falls.
    pub fn work(mut self, working: &AtomicBool) -> Summary {
        for turn in 0.. {
            let index = turn % self.devices.len();
            if !working.load(Ordering::SeqCst) {
                break;
            }
            let now = SystemClock.now_seconds();
            if now >= self.devices[index].refresh_at {
                self.authorize(index, now);
            }
            self.report(index, now);
            std::thread::sleep(PAUSE);
        }
        self.summary
    }

    fn authorize(&mut self, index: usize, now: i64) {
        let device = &mut self.devices[index];
        let body = request(device.client, &self.code, device.trade);
        match self.transport.post_json("/api/v1/authorize", &body, &[]) {
            Ok(reply) if reply.is_success() => {
                self.summary.granted += 1;
                device.authorization = reply.json::<AuthorizeAnswer>().ok().map(|answer| answer.authorization);
                device.refresh_at = now + 3_600;
            }
            Ok(_) => {
                self.summary.refused += 1;
                device.refresh_at = now + 60;
            }
            Err(error) => {
                tracing::warn!(%error, "a simulated device did not reach the server");
                device.refresh_at = now + 5;
            }
        }
    }

    fn report(&mut self, index: usize, now: i64) {
        let device = &mut self.devices[index];
        let Some(authorization) = &device.authorization else { return };
        let mut reports = Vec::new();
        let mut units = 0;
        let mut slot = device.next_slot;
        while slot.end() <= now && reports.len() < SLOTS_A_REQUEST {
            // A device is at work in two slots of three.
            if random(3) > 0 {
                let kind = device.trade.types[random(device.trade.types.len() as u32) as usize];
                let count = u64::from(random(12)) + 1;
                units += count;
                reports.push(json!({
                    "report_id": random_uuid(), "slot": rfc3339(slot.start()), "handshake_code": self.code,
                    "product": device.trade.product, "unit": device.trade.unit, "counts": {kind: count}
                }));
            }
            slot = Slot::containing(slot.start() + SLOT_SECONDS);
        }
        if reports.is_empty() {
            device.next_slot = slot;
            return;
        }
        let body = json!({"client_uuid": device.client, "authorization": authorization, "reports": reports});
        match self.transport.post_json("/api/v1/reports", &body, &[]) {
            Ok(reply) if reply.is_success() => {
                device.next_slot = slot;
                self.summary.units += units;
            }
            Ok(reply) => tracing::warn!(status = reply.status, "a simulated device's reports were not taken"),
            Err(error) => tracing::warn!(%error, "a simulated device did not reach the server"),
        }
    }
}

/// A random number below `limit`, which is at least 1. Good enough for a demo.
fn random(limit: u32) -> u32 {
    let bytes = random_uuid().into_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % limit
}
