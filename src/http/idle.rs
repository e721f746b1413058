//! Closes connections on which no request was completed for too long.
//!
//! The library times the first head of a connection and every body (see [`super::server`],
//! [`super::body`]); a later head that is sent half, or byte by byte, it would wait for
//! without end. So each connection remembers when it last answered, and a sweep shuts the
//! sockets of those that have been idle longer than the limit.

use std::any::Any;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::ServiceRequest;
use actix_web::rt::net::TcpStream;
use socket2::{SockRef, Socket};

/// All open connections from the network.
pub struct Watch {
    began: Instant,
    limit: Duration,
    open: Mutex<Vec<Weak<Connection>>>,
}

/// One of them. It is dropped, and its second handle on the socket with it, when the
/// connection ends.
pub struct Connection {
    watch: Arc<Watch>,
    socket: Socket,
    answering: AtomicU32,
    last_millis: AtomicU64,
}

/// Lives while a request of the connection is being answered.
pub struct Answering(Arc<Connection>);

impl Watch {
    /// Watches from `now` on; a connection may be idle for `limit`.
    pub fn new(now: Instant, limit: Duration) -> Arc<Self> {
        Arc::new(Self { began: now, limit, open: Mutex::default() })
    }

    /// A new connection, if it came over the network.
    pub fn enter(self: &Arc<Self>, connection: &dyn Any) -> Option<Arc<Connection>> {
        let stream = connection.downcast_ref::<TcpStream>().or_else(|| connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0))?;
        let socket = SockRef::from(stream).try_clone().ok()?;
        let entered = Connection { watch: Arc::clone(self), socket, answering: AtomicU32::new(0), last_millis: AtomicU64::new(self.millis()) };
        let entered = Arc::new(entered);
        self.lock().push(Arc::downgrade(&entered));
        Some(entered)
    }

    /// Shuts what has been idle too long, and forgets what has ended.
    pub fn sweep(&self) {
        let now = self.millis();
        let limit = self.limit.as_millis() as u64;
        self.lock().retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            let idle = connection.answering.load(Ordering::SeqCst) == 0 && now.saturating_sub(connection.last_millis.load(Ordering::SeqCst)) > limit;
            if idle {
                connection.shut();
            }
            !idle
        });
    }

    /// How long to wait between two sweeps.
    pub fn pause(&self) -> Duration {
        (self.limit / 4).clamp(Duration::from_millis(100), Duration::from_secs(5))
    }

    fn millis(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Closes it at once, whatever is being answered on it.
    pub fn shut(&self) {
        // Fails when the other side has hung up already.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

impl Answering {
    /// The connection of this request is not idle while the result lives.
    pub fn enter(request: &ServiceRequest) -> Option<Self> {
        let connection = request.conn_data::<Arc<Connection>>()?;
        connection.answering.fetch_add(1, Ordering::SeqCst);
        Some(Self(Arc::clone(connection)))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.last_millis.store(self.0.watch.millis(), Ordering::SeqCst);
        self.0.answering.fetch_sub(1, Ordering::SeqCst);
    }
}
