//! Listeners, limits, and the orderly stop: no new connections, what is in flight is
//! finished, then the sockets close.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::dev::{ServerHandle, Service as _};
use actix_web::http::ConnectionType;
use actix_web::middleware::{Condition, from_fn};
use actix_web::web::Data;
use actix_web::{App, HttpServer};

use super::idle::{Answering, Watch};
use super::request_id::{self, RequestId};
use super::{Context, routes, sandbox};

/// Open sockets that the server answers on.
#[derive(Default)]
pub struct Listeners {
    /// HTTPS.
    pub https: Vec<TcpListener>,
    /// Plain HTTP.
    pub http: Vec<TcpListener>,
    /// Plain HTTP for Prometheus alone.
    pub metrics: Vec<TcpListener>,
    /// The admin socket.
    pub admin: Option<UnixListener>,
}

/// A running HTTP server, on a thread of its own.
pub struct Running {
    handle: ServerHandle,
    scraped: Option<ServerHandle>,
    thread: JoinHandle<io::Result<()>>,
    in_flight: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

/// Counts a request while it is being answered, however that ends.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Starts answering.
pub fn start(context: Data<Context>, listeners: Listeners, tls: Option<rustls::ServerConfig>) -> io::Result<Running> {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let limits = context.limits.clone();
    let counter = Arc::clone(&in_flight);
    let stopping = Arc::new(AtomicBool::new(false));
    let last_answers = Arc::clone(&stopping);
    let watch = Watch::new(Instant::now(), Duration::from_secs(limits.idle_seconds));
    let start = fastrand::u32(..);
    let watched_by = context.clone();
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let sweeper = Arc::clone(&watch);
            actix_web::rt::spawn(async move {
                loop {
                    tokio::time::sleep(sweeper.pause()).await;
                    sweeper.sweep();
                }
            });
            let mut server = HttpServer::new(move || {
                let (counter, last_answers) = (Arc::clone(&counter), Arc::clone(&last_answers));
                let watched = context.clone();
                App::new()
                    .app_data(context.clone())
                    .wrap(Condition::new(context.sandbox.is_some(), from_fn(sandbox::misbehave)))
                    .wrap_fn(move |request, service| {
                        let entered = (InFlight::enter(&counter), Answering::enter(&request));
                        let (last_answers, context) = (Arc::clone(&last_answers), watched.clone());
                        let (id, began) = (RequestId::next(start), Instant::now());
                        let answer = service.call(request);
                        async move {
                            let mut answer = request_id::finish(id, began, &context.metrics, id.scope(answer).await);
                            // Devices that go on asking over kept connections would keep the server from stopping.
                            if let (Ok(answer), true) = (&mut answer, last_answers.load(Ordering::SeqCst)) {
                                answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
                            }
                            drop(entered);
                            answer
                        }
                    })
                    .configure(routes::configure)
            })
            .workers(limits.workers)
            .max_connections(limits.connections.div_ceil(limits.workers))
            .max_connection_rate(1_024)
            .backlog(4_096)
            .client_request_timeout(Duration::from_secs(limits.head_seconds))
            .tls_handshake_timeout(Duration::from_secs(limits.head_seconds))
            .client_disconnect_timeout(Duration::from_secs(2))
            .keep_alive(Duration::from_secs(limits.idle_seconds))
            .on_connect(move |connection, data| {
                routes::on_connect(connection, data);
                if let Some(connection) = watch.enter(connection) {
                    data.insert(connection);
                }
            })
            .shutdown_timeout(1)
            .disable_signals();
            for listener in listeners.https {
                let Some(tls) = tls.clone() else { return Err(io::Error::other("HTTPS without a certificate")) };
                server = server.listen_rustls_0_23(listener, tls)?;
            }
            for listener in listeners.http {
                server = server.listen(listener)?;
            }
            if let Some(listener) = listeners.admin {
                server = server.listen_uds(listener)?;
            }
            let scraped = answer_prometheus(watched_by, listeners.metrics)?;
            let server = server.run();
            // The receiver waits for exactly this.
            let _ = ready.send((server.handle(), scraped));
            server.await
        })
    })?;
    match started.recv() {
        Ok((handle, scraped)) => Ok(Running { handle, scraped, thread, in_flight, stopping }),
        Err(_) => Err(match thread.join() {
            Ok(Err(error)) => error,
            _ => io::Error::other("the HTTP server did not start"),
        }),
    }
}

fn answer_prometheus(context: Data<Context>, listeners: Vec<TcpListener>) -> io::Result<Option<ServerHandle>> {
    if listeners.is_empty() {
        return Ok(None);
    }
    let mut server = HttpServer::new(move || App::new().app_data(context.clone()).configure(routes::configure_metrics));
    for listener in listeners {
        server = server.listen(listener)?;
    }
    let server = server.workers(1).disable_signals().shutdown_timeout(1).run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok(Some(handle))
}

impl Running {
    /// Takes no new connections, waits at most `patience` until what is in flight is
    /// answered, then closes.
    pub fn stop(self, patience: Duration) {
        self.end(Some(patience));
    }

    /// Closes without waiting for anybody.
    pub fn stop_at_once(self) {
        self.end(None);
    }

    fn end(self, patience: Option<Duration>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let Ok(runtime) = runtime else {
            drop(self.handle.stop(false));
            return;
        };
        runtime.block_on(async {
            if let Some(scraped) = &self.scraped {
                scraped.stop(false).await;
            }
            let Some(patience) = patience else { return self.handle.stop(false).await };
            self.handle.pause().await;
            self.stopping.store(true, Ordering::SeqCst);
            let began = Instant::now();
            while self.in_flight.load(Ordering::SeqCst) > 0 && began.elapsed() < patience {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.handle.stop(true).await;
        });
        match self.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the HTTP server ended badly"),
            Err(_) => tracing::error!("the HTTP server's thread had panicked"),
        }
    }
}

/// Binds HTTPS and HTTP addresses. Says which address could not be taken.
pub fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let name = |address: &SocketAddr, error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::AddrInUse { ": another program listens there; choose another address with --listen" } else { "" };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{hint}"))
    };
    addresses.iter().map(|address| TcpListener::bind(address).map_err(|error| name(address, error))).collect()
}

/// Binds the admin socket so that at no moment anybody but its owner can open it: it is
/// made in a folder of mode 0700 and moved into place.
pub fn bind_admin_socket(data: &Path, path: &Path) -> io::Result<UnixListener> {
    let nursery = data.join(".admin-socket");
    let _ = std::fs::remove_dir_all(&nursery);
    std::fs::create_dir(&nursery)?;
    std::fs::set_permissions(&nursery, std::fs::Permissions::from_mode(0o700))?;
    let young = nursery.join("s");
    let listener = UnixListener::bind(&young).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot make the admin socket in {}: {error} (a path to a socket may have about 100 characters)", data.display()))
    })?;
    std::fs::set_permissions(&young, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&young, path)?;
    std::fs::remove_dir(&nursery)?;
    Ok(listener)
}

/// Where the admin socket of a server is.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Where a command that works without a server has its socket. Not at [`socket_path`]:
/// another command would take it for a server, and lose it in the middle of its work.
pub fn command_socket_path(data: &Path) -> PathBuf {
    data.join(".command.sock")
}
