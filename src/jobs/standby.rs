//! What two servers do for each other without being asked: roles every second, heartbeats every five,
//! facts every two minutes.

use std::sync::Arc;

use super::Job;
use crate::replication::keeper::Keeper;

/// Lets the roles see how the time goes.
pub struct RolesJob(pub Arc<Keeper>);

/// Tells the partner.
pub struct HeartbeatJob(pub Arc<Keeper>);

/// Takes facts from the partner.
pub struct SyncJob(pub Arc<Keeper>);

impl Job for RolesJob {
    fn name(&self) -> &'static str {
        "roles"
    }

    fn tick(&mut self, now: i64) -> i64 {
        self.0.tick();
        now + 1
    }
}

impl Job for HeartbeatJob {
    fn name(&self) -> &'static str {
        "heartbeat"
    }

    // At every look: the roles may want to be told at once.
    fn tick(&mut self, now: i64) -> i64 {
        self.0.tell_when_due();
        now
    }
}

impl Job for SyncJob {
    fn name(&self) -> &'static str {
        "sync"
    }

    fn tick(&mut self, now: i64) -> i64 {
        self.0.sync_when_due();
        now
    }
}
