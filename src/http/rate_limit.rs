//! Too many requests (130). Counted per device, and per network address where the admin
//! sets that: a whole factory may come from one address, so by default only one device
//! that runs wild is stopped.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::problem::Failure;
use crate::clock::Clock;
use crate::commands::preferences::RateLimits;
use crate::licensing::ClientUuid;
use crate::protocol::ErrorCode;
use crate::settings::Limits;

/// After so many keys, those that are at rest are forgotten.
const SHRINK_AFTER: usize = 100_000;

#[derive(Clone)]
struct Adapter(Arc<dyn Clock>);

impl GovernorClock for Adapter {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(u64::try_from(self.0.now_micros()).unwrap_or(0).saturating_mul(1_000))
    }
}

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, Adapter, NoOpMiddleware<Nanos>>;

/// The limits of the settings, which hold while the admin sets none in the pages.
pub fn of_settings(limits: &Limits) -> RateLimits {
    RateLimits { device_requests_per_minute: limits.device_requests_per_minute, address_requests_per_minute: limits.address_requests_per_minute }
}

/// Counts requests against their limits.
pub struct RateLimit {
    clock: Adapter,
    counters: RwLock<Counters>,
}

/// What is counted under the limits that hold now.
struct Counters {
    devices: Option<Keyed<ClientUuid>>,
    addresses: Option<Keyed<IpAddr>>,
}

impl Counters {
    fn new(limits: RateLimits, clock: &Adapter) -> Self {
        Self { devices: limiter(limits.device_requests_per_minute, clock), addresses: limiter(limits.address_requests_per_minute, clock) }
    }
}

impl RateLimit {
    /// With these limits; 0 switches one off.
    pub fn new(limits: RateLimits, clock: Arc<dyn Clock>) -> Self {
        let clock = Adapter(clock);
        Self { counters: RwLock::new(Counters::new(limits, &clock)), clock }
    }

    /// From now on these limits hold; what was counted so far is forgotten.
    pub fn set(&self, limits: RateLimits) {
        *self.counters.write().unwrap_or_else(PoisonError::into_inner) = Counters::new(limits, &self.clock);
    }

    /// Counts a request of a device.
    pub fn check_device(&self, client: ClientUuid) -> Result<(), Failure> {
        let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
        self.check(counters.devices.as_ref(), &client, || format!("device {client}"))
    }

    /// Counts a request from an address.
    pub fn check_address(&self, address: Option<IpAddr>) -> Result<(), Failure> {
        match address {
            Some(address) => {
                let counters = self.counters.read().unwrap_or_else(PoisonError::into_inner);
                self.check(counters.addresses.as_ref(), &address, || format!("address {address}"))
            }
            None => Ok(()),
        }
    }

    fn check<K: std::hash::Hash + Eq + Clone>(&self, limiter: Option<&Keyed<K>>, key: &K, who: impl Fn() -> String) -> Result<(), Failure> {
        let Some(limiter) = limiter else { return Ok(()) };
        if limiter.len() > SHRINK_AFTER {
            limiter.retain_recent();
        }
        limiter.check_key(key).map_err(|until| {
            let wait = until.earliest_possible().duration_since(self.clock.now());
            let seconds = u64::from(wait).div_ceil(1_000_000_000).max(1);
            Failure::new(ErrorCode::TooManyRequests, format!("{} sends too many requests: wait {seconds} s", who())).retry_after(seconds)
        })
    }
}

fn limiter<K: std::hash::Hash + Eq + Clone>(per_minute: u32, clock: &Adapter) -> Option<Keyed<K>> {
    let quota = Quota::per_minute(NonZeroU32::new(per_minute)?);
    Some(RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_device_that_runs_wild_is_stopped_and_let_in_again_later() {
        let clock = ManualClock::at_seconds(1_000_000);
        let limits = RateLimits { device_requests_per_minute: 3, address_requests_per_minute: 0 };
        let rate = RateLimit::new(limits, Arc::new(clock.clone()));
        let (one, other) = (ClientUuid::from_bytes([1; 16]), ClientUuid::from_bytes([2; 16]));
        for _ in 0..3 {
            assert!(rate.check_device(one).is_ok());
        }
        let stopped = rate.check_device(one).expect_err("a fourth at once");
        assert_eq!((stopped.problem().code, stopped.problem().status), (130, 429));
        assert!(rate.check_device(other).is_ok(), "others are not stopped");
        clock.advance_seconds(20);
        assert!(rate.check_device(one).is_ok());
        rate.set(RateLimits { device_requests_per_minute: 0, address_requests_per_minute: 0 });
        assert!((0..100).all(|_| rate.check_device(one).is_ok()), "without a limit nobody is stopped");
    }
}
