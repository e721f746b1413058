//! The way to a server's state: through its admin socket when it runs. When none runs,
//! the command starts the same application without its network listeners for as long as
//! it takes, so that there is one way of doing things, and never two writers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DataArg, Failure};
use crate::app::{App, Extent, StartError};
use crate::client::transport::{Method, Reply, Transport};
use crate::clock::SystemClock;
use crate::http::server::socket_path;
use crate::protocol::Problem;
use crate::settings::Settings;

/// How long to wait for a process that has the data directory but does not answer yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the admin API.
pub struct Admin {
    transport: Option<Transport>,
    own: Option<App>,
}

/// Whether a command may make a new installation where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// It may.
    Allowed,
    /// A missing installation is a mistake in `--data`.
    Refused,
}

impl Admin {
    /// Connects to the server of this data directory, or opens the directory.
    pub fn open(data: &DataArg, create: Create) -> Result<Self, Failure> {
        let settings = data.settings()?;
        if create == Create::Refused && !settings.data.join("tollkeeper.db").exists() {
            return Err(Failure(format!(
                "no installation in {}: start one with `tollkeeper serve --data {0}`, or name another directory with --data",
                settings.data.display()
            )));
        }
        Self::of(&settings)
    }

    /// The same, with settings.
    pub fn of(settings: &Settings) -> Result<Self, Failure> {
        let began = Instant::now();
        loop {
            if let Some(transport) = find_running(&settings.data) {
                return Ok(Self { transport: Some(transport), own: None });
            }
            match App::start(settings, Arc::new(SystemClock), Extent::AdminOnly) {
                Ok(app) => return Ok(Self { transport: Some(Transport::unix(app.admin_socket())), own: Some(app) }),
                // Another command may be at work there for a moment, or a server may be starting.
                Err(StartError::InUse(_)) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => return Err(Failure(error.to_string())),
            }
        }
    }

    /// Asks for something.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(&self.send(Method::Get, path, None::<&()>)?)
    }

    /// Asks for a text.
    pub fn get_text(&self, path: &str) -> Result<String, Failure> {
        let reply = self.send(Method::Get, path, None::<&()>)?;
        String::from_utf8(reply.body).map_err(|_| Failure("the server's answer is not text".to_owned()))
    }

    /// Has something done, and takes the answer.
    pub fn change<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<T, Failure> {
        read(&self.send(method, path, body)?)
    }

    /// Has something done that has no answer.
    pub fn tell(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<(), Failure> {
        self.send(method, path, body).map(drop)
    }

    fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Reply, Failure> {
        let transport = self.transport.as_ref().ok_or_else(|| Failure("the connection is closed".to_owned()))?;
        let body = body.map(serde_json::to_value).transpose().map_err(|error| Failure(error.to_string()))?;
        let reply = transport.request(method, &format!("/api/v1/admin/{path}"), body.as_ref()).map_err(|error| Failure(error.to_string()))?;
        if reply.is_success() {
            return Ok(reply);
        }
        let detail = reply.json::<Problem>().map_or_else(|_| format!("the server answered with status {}", reply.status), |problem| problem.detail);
        Err(Failure(detail))
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.transport = None;
        if let Some(app) = self.own.take() {
            app.stop_at_once();
        }
    }
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, Failure> {
    reply.json().map_err(|error| Failure(error.to_string()))
}

/// The admin socket of the server that runs on this data directory, if one does.
pub fn find_running(data: &Path) -> Option<Transport> {
    let path = socket_path(data);
    if !path.exists() {
        return None;
    }
    let transport = Transport::unix(path);
    transport.get("/api/v1/health").is_ok().then_some(transport)
}

/// Percent-encodes a name for use in a path.
pub fn segment(name: &str) -> String {
    name.bytes().map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
