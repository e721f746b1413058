//! The one thread that writes, and group commit (architecture §3).
//!
//! It takes what is queued, without a timer: batches form while the previous commit is on
//! its way to the disk. Every waiter gets its answer only after the commit. When anything
//! in a batch fails, the whole batch is undone and each command is tried again alone, so
//! that one command never takes its neighbours with it. How it goes is measured: see [`Pace`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use prometheus::{Histogram, HistogramOpts, IntGauge};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Error;
use super::catalog::Catalog;
use super::ledger::{Ledger, Memory};
use crate::clock::Clock;
use crate::licensing::ServerUuid;

/// Most commands in one transaction.
const BATCH_MAX: usize = 1_024;

/// One intention that may write. It runs on the writer thread inside a transaction; it
/// may run twice, so it must not change anything but the ledger.
pub trait Command: Send + 'static {
    /// What the caller learns once it is on disk.
    type Answer: Send + 'static;

    /// Loads, decides, records. A refusal is an answer; an error undoes the command.
    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<Self::Answer, Error>;
}

trait Job: Send {
    fn run(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Error>;
    fn finish(self: Box<Self>, committed: Result<(), Error>);
}

struct Waiting<C: Command> {
    command: C,
    answer: Option<C::Answer>,
    reply: oneshot::Sender<Result<C::Answer, Error>>,
}

impl<C: Command> Job for Waiting<C> {
    fn run(&mut self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        let executed = catch_unwind(AssertUnwindSafe(|| self.command.execute(ledger)));
        match executed {
            Ok(answer) => {
                self.answer = Some(answer?);
                Ok(())
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Err(Error::Panic(text.unwrap_or_else(|| "panic".to_owned())))
            }
        }
    }

    fn finish(self: Box<Self>, committed: Result<(), Error>) {
        let Self { answer, reply, .. } = *self;
        // The caller may have gone away; what it asked for is done all the same.
        let _ = reply.send(committed.and_then(|()| answer.ok_or(Error::Stopped)));
    }
}

/// How the writer keeps up.
#[derive(Clone)]
pub struct Pace {
    /// Commands that wait for the writer.
    pub waiting: IntGauge,
    /// Commands that were put on disk together.
    pub batches: Histogram,
    /// From the begin of a transaction until it is on disk, seconds.
    pub commits: Histogram,
}

impl Pace {
    fn new() -> Result<Self, prometheus::Error> {
        let batches = HistogramOpts::new("tollkeeper_commit_batch_commands", "Commands that were put on disk together.");
        let commits = HistogramOpts::new("tollkeeper_commit_duration_seconds", "From the begin of a transaction until it is on disk.");
        Ok(Self {
            waiting: IntGauge::new("tollkeeper_writer_queue_commands", "Commands that wait for the writer.")?,
            batches: Histogram::with_opts(batches.buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0]))?,
            commits: Histogram::with_opts(commits.buckets(vec![0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0]))?,
        })
    }
}

/// What travels through the queue; `None` ends the thread after what came before it.
type Queued = Option<Box<dyn Job>>;

/// The way to the writer thread. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    queue: SyncSender<Queued>,
    catalog: Arc<RwLock<Arc<Catalog>>>,
    pace: Pace,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection, origin: ServerUuid, clock: Arc<dyn Clock>, queue: usize) -> Result<(Self, JoinHandle<()>), Error> {
        let memory = Memory::load(&connection, origin)?;
        let catalog = Arc::new(RwLock::new(Arc::new(Catalog::load(&connection)?)));
        let published = Arc::clone(&catalog);
        let pace = Pace::new().map_err(|error| Error::Io(error.to_string()))?;
        let measured = pace.clone();
        let (sender, receiver) = sync_channel(queue);
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || Desk { connection, memory: Some(memory), origin, clock, published, pace: measured }.work(&receiver))
            .map_err(|error| Error::Io(error.to_string()))?;
        Ok((Self { queue: sender, catalog, pace }, thread))
    }

    /// Licenses, items and handshake codes as last committed, without a look at the disk.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the writer keeps up.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Queues a command; resolves when it is on disk, or has failed and left no trace.
    pub fn submit<C: Command>(&self, command: C) -> impl Future<Output = Result<C::Answer, Error>> + use<C> {
        let (reply, answer) = oneshot::channel();
        let queued = self.queue.try_send(Some(Box::new(Waiting { command, answer: None, reply }))).map_err(|error| match error {
            TrySendError::Full(_) => Error::QueueFull,
            TrySendError::Disconnected(_) => Error::Stopped,
        });
        if queued.is_ok() {
            self.pace.waiting.inc();
        }
        async move {
            queued?;
            answer.await.map_err(|_| Error::Stopped)?
        }
    }

    /// The same for callers outside of an asynchronous runtime.
    pub fn submit_blocking<C: Command>(&self, command: C) -> Result<C::Answer, Error> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Some(Box::new(Waiting { command, answer: None, reply }))).map_err(|_| Error::Stopped)?;
        self.pace.waiting.inc();
        answer.blocking_recv().map_err(|_| Error::Stopped)?
    }
}

impl Writer {
    /// Ends the thread once everything queued so far is written. Later commands fail.
    pub(super) fn stop(&self) {
        // Fails only when the thread has ended already.
        let _ = self.queue.send(None);
    }
}

/// A transaction that was rolled back, and whether one of its commands was the cause.
struct Undone {
    error: Error,
    by_command: bool,
}

impl<E: Into<Error>> From<E> for Undone {
    fn from(error: E) -> Self {
        Self { error: error.into(), by_command: false }
    }
}

struct Desk {
    connection: Connection,
    /// `None` after a rollback: read again before the next transaction.
    memory: Option<Memory>,
    origin: ServerUuid,
    clock: Arc<dyn Clock>,
    published: Arc<RwLock<Arc<Catalog>>>,
    pace: Pace,
}

impl Desk {
    fn work(mut self, queue: &Receiver<Queued>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut stop = false;
        while !stop {
            let Ok(Some(first)) = queue.recv() else { break };
            let timer = self.pace.commits.start_timer();
            batch.push(first);
            let committed = self.transaction(&mut batch, || match queue.try_recv() {
                Ok(Some(job)) => Some(job),
                Ok(None) => {
                    stop = true;
                    None
                }
                Err(_) => None,
            });
            self.pace.waiting.sub(batch.len() as i64);
            self.pace.batches.observe(batch.len() as f64);
            timer.observe_duration();
            match committed {
                // Only a command can be the one rotten apple; a disk that is full is full for all.
                Err(Undone { by_command: true, .. }) if batch.len() > 1 => {
                    for job in batch.drain(..) {
                        let mut alone = vec![job];
                        let committed = self.transaction(&mut alone, || None).map_err(|undone| undone.error);
                        alone.into_iter().for_each(|job| job.finish(committed.clone()));
                    }
                }
                other => {
                    let committed = other.map_err(|undone| undone.error);
                    batch.drain(..).for_each(|job| job.finish(committed.clone()));
                }
            }
        }
        self.tidy_up();
    }

    /// Brings everything from the log into the database file, so that the file alone is the
    /// whole database, whoever copies it after the stop.
    fn tidy_up(&self) {
        let patience = std::time::Duration::from_millis(500);
        let checkpoint =
            self.connection.busy_timeout(patience).and_then(|()| self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)));
        // What stays in the log is read from there at the next start.
        if let Err(error) = checkpoint {
            tracing::warn!(%error, "the log could not be written into the database file");
        }
    }

    /// Runs the batch, and whatever arrives meanwhile, in one transaction.
    fn transaction(&mut self, batch: &mut Vec<Box<dyn Job>>, more: impl FnMut() -> Queued) -> Result<(), Undone> {
        let result = self.try_transaction(batch, more);
        if let Err(Undone { error, .. }) = &result {
            tracing::error!(%error, commands = batch.len(), "a transaction was undone");
            if !self.connection.is_autocommit() {
                // Fails only when SQLite has rolled back by itself.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            // What it remembers describes the transaction that never was.
            self.memory = None;
        }
        result
    }

    fn try_transaction(&mut self, batch: &mut Vec<Box<dyn Job>>, mut more: impl FnMut() -> Queued) -> Result<(), Undone> {
        let memory = match &mut self.memory {
            Some(memory) => memory,
            forgotten => forgotten.insert(Memory::load(&self.connection, self.origin)?),
        };
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut ledger = Ledger::new(&self.connection, memory, self.origin, &*self.clock);
        let mut next = 0;
        loop {
            while let Some(job) = batch.get_mut(next) {
                job.run(&mut ledger).map_err(|error| Undone { error, by_command: true })?;
                next += 1;
            }
            match if batch.len() < BATCH_MAX { more() } else { None } {
                Some(job) => batch.push(job),
                None => break,
            }
        }
        ledger.flush()?;
        let changed = if ledger.memory().is_catalog_new { Some(ledger.catalog()?) } else { None };
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        if let Some(catalog) = changed {
            memory.is_catalog_new = false;
            *self.published.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        }
        Ok(())
    }
}
