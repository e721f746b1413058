//! What the server does by itself, again and again.
//!
//! | file | what |
//! | --- | --- |
//! | [`alerts`] | tells what is over a threshold or wrong, by mail, webhook and syslog |
//! | [`backup`] | makes a backup every 12 minutes |
//! | [`certificate`] | renews certificates, and takes those whose files were replaced |
//! | [`standby`] | tells the partner, and takes facts from it |
//! | [`watchdog`] | tells systemd that the server is alive |
//! | [`watch`] | looks whether something is going wrong: disk, lost facts |

pub mod alerts;
pub mod backup;
pub mod certificate;
pub mod standby;
pub mod watch;
pub mod watchdog;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;

/// How often a job looks at the clock.
const LOOK: Duration = Duration::from_millis(200);

/// Something that is done again and again.
pub trait Job: Send + 'static {
    /// Its name, for the log.
    fn name(&self) -> &'static str;

    /// Does it at `now` (seconds since 1970), and tells when it is due again.
    fn tick(&mut self, now: i64) -> i64;
}

#[derive(Default)]
struct Stop {
    is_set: Mutex<bool>,
    changed: Condvar,
}

/// Jobs at work, each on a thread of its own: one that takes its time keeps no other from its.
pub struct Jobs {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// Starts them.
    pub fn start(jobs: Vec<Box<dyn Job>>, clock: &Arc<dyn Clock>) -> std::io::Result<Self> {
        let stop = Arc::<Stop>::default();
        let mut threads = Vec::new();
        for job in jobs {
            let (stop, clock) = (Arc::clone(&stop), Arc::clone(clock));
            threads.push(std::thread::Builder::new().name(job.name().to_owned()).spawn(move || run(job, &stop, &*clock))?);
        }
        Ok(Self { stop, threads })
    }

    /// Ends them; what is at work is finished first.
    pub fn stop(self) {
        *self.stop.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.changed.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a job had panicked");
            }
        }
    }
}

fn run(mut job: Box<dyn Job>, stop: &Stop, clock: &dyn Clock) {
    let (mut due, mut before) = (i64::MIN, i64::MIN);
    loop {
        let now = clock.now_seconds();
        // A clock that was set back must not keep jobs from their work.
        let is_back = now < before;
        before = now;
        if now >= due || is_back {
            // A job that fails in this way is tried again, and takes no other with it.
            due = catch_unwind(AssertUnwindSafe(|| job.tick(now))).unwrap_or_else(|_| {
                tracing::error!(job = job.name(), "a job panicked; it is tried again in a minute");
                now + 60
            });
        }
        let guard = stop.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = stop.changed.wait_timeout_while(guard, LOOK, |is_set| !*is_set).unwrap_or_else(PoisonError::into_inner);
        if *guard {
            return;
        }
    }
}
