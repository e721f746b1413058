//! The writer's desk: the one connection that writes, and what it remembers between
//! commands so that an authorization does not count a million seats.
//!
//! Everything remembered here can be read again from the tables. It is dropped whenever a
//! transaction is rolled back.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::catalog::Catalog;
use super::facts::{self, Body, Head};
use super::usage::Deltas;
use super::{Error, clients, gaps, seats, slots, usage};
use crate::clock::{Clock, Micros};
use crate::licensing::{ItemId, ServerUuid};

/// What the writer remembers.
pub(super) struct Memory {
    head: Head,
    latest_stamp: Micros,
    epoch: u64,
    is_unsure: bool,
    catalog: Option<Arc<Catalog>>,
    /// Whether what the readers were given last is out of date.
    pub(super) is_catalog_new: bool,
    /// The minute, and how many refusals without a code were kept in it.
    strangers: (i64, u32),
    pub(super) used: HashMap<ItemId, u64>,
    pub(super) clients: clients::Numbers,
    pub(super) seats: HashMap<ItemId, seats::Count>,
    pub(super) last_seat: Cell<Option<seats::Found>>,
    pub(super) excess: HashMap<ItemId, slots::Excess>,
    pub(super) deltas: Deltas,
}

impl Memory {
    /// Reads what must be known from the start.
    pub(super) fn load(connection: &Connection, origin: ServerUuid) -> Result<Self, Error> {
        Ok(Self {
            head: facts::head(connection, origin)?,
            latest_stamp: facts::latest_stamp(connection)?,
            epoch: super::local::read_epoch(connection)?,
            is_unsure: super::local::is_unsure(connection)?,
            catalog: None,
            is_catalog_new: false,
            strangers: (0, 0),
            used: HashMap::new(),
            clients: clients::Numbers::default(),
            seats: HashMap::new(),
            last_seat: Cell::default(),
            excess: HashMap::new(),
            deltas: Deltas::default(),
        })
    }
}

/// One transaction, as a command sees it.
pub struct Ledger<'t> {
    connection: &'t Connection,
    memory: &'t mut Memory,
    origin: ServerUuid,
    clock: &'t dyn Clock,
}

impl<'t> Ledger<'t> {
    pub(super) fn new(connection: &'t Connection, memory: &'t mut Memory, origin: ServerUuid, clock: &'t dyn Clock) -> Self {
        Self { connection, memory, origin, clock }
    }

    /// The time that decisions are made at, in seconds: the clock's, but never before the
    /// latest fact, so that setting the clock back does not lengthen anything.
    pub fn now(&self) -> i64 {
        self.clock.now_micros().max(self.memory.latest_stamp).div_euclid(1_000_000)
    }

    /// What the clock shows, in seconds.
    pub fn clock_seconds(&self) -> i64 {
        self.clock.now_micros().div_euclid(1_000_000)
    }

    /// How many seconds the clock stands behind the latest fact.
    pub fn clock_lag_seconds(&self) -> i64 {
        (self.memory.latest_stamp - self.clock.now_micros()).max(0).div_euclid(1_000_000)
    }

    /// Licenses, items and handshake codes as they stand.
    pub fn catalog(&mut self) -> Result<Arc<Catalog>, Error> {
        if let Some(catalog) = &self.memory.catalog {
            return Ok(Arc::clone(catalog));
        }
        let catalog = Arc::new(Catalog::load(self.connection)?);
        self.memory.catalog = Some(Arc::clone(&catalog));
        Ok(catalog)
    }

    /// Records a fact and applies it. Returns its sequence.
    pub fn record(&mut self, body: &Body) -> Result<u64, Error> {
        if self.memory.is_unsure {
            self.raise_sequence(gaps::UNHEARD, 0)?;
        }
        facts::record(self, body)
    }

    /// The partner was heard, and holds no fact of this server that is not here. A server that has a
    /// partner and was started anew is unsure until then: somebody may have put an older copy of the
    /// database in its place, so that it would give numbers twice. Until it is sure, it counts on from
    /// far above its last fact.
    pub fn be_sure(&mut self) -> Result<(), Error> {
        if self.memory.is_unsure {
            super::local::put_unsure(self.connection, false)?;
            self.memory.is_unsure = false;
        }
        Ok(())
    }

    /// Counts changes of who serves, and restores: what was set in a later epoch holds, whatever was
    /// set on the other server before it.
    pub fn epoch(&self) -> u64 {
        self.memory.epoch
    }

    /// Enters an epoch; an earlier one than the present one changes nothing.
    pub fn enter_epoch(&mut self, epoch: u64) -> Result<(), Error> {
        if epoch > self.memory.epoch {
            super::local::put_epoch(self.connection, epoch)?;
            self.memory.epoch = epoch;
        }
        Ok(())
    }

    /// Facts of this server were lost: counts on from far above them. Returns the sequence of the
    /// fact that says so, which lies above `above` in any case.
    pub fn raise_sequence(&mut self, reason: &str, above: u64) -> Result<u64, Error> {
        self.be_sure()?;
        // What is set from now on must win over what was set in the facts that were lost.
        self.enter_epoch(self.memory.epoch + 1)?;
        facts::raise(self, reason, above)
    }

    /// Takes a fact of another server, or one that this one lost.
    pub fn replay(&mut self, fact: &facts::Fact) -> Result<(), Error> {
        facts::replay(self, fact)?;
        self.memory.latest_stamp = self.memory.latest_stamp.max(fact.stamp);
        Ok(())
    }

    /// Writes the counters that were gathered since the last call. The writer calls it
    /// before every commit.
    pub fn flush(&mut self) -> Result<(), Error> {
        usage::write(self.connection, &mut self.memory.deltas)
    }

    /// Whether the refusal of a request that names no code of this server is kept: so many in
    /// a minute are.
    pub fn may_keep_stranger(&mut self) -> bool {
        const IN_A_MINUTE: u32 = 20;
        let minute = self.now().div_euclid(60);
        let strangers = &mut self.memory.strangers;
        *strangers = if strangers.0 == minute { (minute, strangers.1.saturating_add(1)) } else { (minute, 1) };
        strangers.1 <= IN_A_MINUTE
    }

    /// Sets a value that is this machine's alone.
    pub fn put_local(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        super::local::put(self.connection, name, value)
    }

    /// The number of this server's last fact.
    pub fn sequence(&self) -> u64 {
        self.memory.head.sequence
    }

    /// When this server's last fact was recorded, seconds since 1970. It may lie in a later
    /// second than [`now`](Self::now) did before it.
    pub fn recorded_at(&self) -> i64 {
        self.memory.head.stamp.div_euclid(1_000_000)
    }

    /// This server.
    pub fn origin(&self) -> ServerUuid {
        self.origin
    }

    /// The transaction as a reader sees it, what was [flushed](Self::flush) included.
    pub fn reading(&self) -> &'t Connection {
        self.connection
    }

    /// The connection, for this room.
    pub(super) fn connection(&self) -> &'t Connection {
        self.connection
    }

    pub(super) fn memory(&mut self) -> &mut Memory {
        self.memory
    }

    pub(super) fn remembered(&self) -> &Memory {
        self.memory
    }

    pub(super) fn head(&self) -> Head {
        self.memory.head
    }

    pub(super) fn set_head(&mut self, head: Head) {
        self.memory.head = head;
        self.memory.latest_stamp = self.memory.latest_stamp.max(head.stamp);
    }

    /// The time that the next fact will carry, in microseconds.
    pub fn next_stamp(&self) -> Micros {
        self.clock.now_micros().max(self.memory.latest_stamp + 1)
    }

    /// Licenses or codes changed: read them again when they are needed.
    pub(super) fn forget_catalog(&mut self) {
        self.memory.catalog = None;
        self.memory.is_catalog_new = true;
    }
}
