//! Many devices, a few threads: all of them live for a moment, then the next moment comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::device::{Device, Faults, Links, Tally, Trade};

/// Threads that ask servers: more than the processors, because they wait.
const THREADS: usize = 8;
/// Devices that nobody serves ask again after so long.
const PAUSE: Duration = Duration::from_millis(500);

/// All devices.
pub struct Fleet {
    groups: Vec<Group>,
}

struct Group {
    devices: Vec<Device>,
    links: Links,
}

impl Fleet {
    /// So many devices, the trades in turn.
    pub fn new(count: usize, trades: &[Arc<Trade>], faults: Faults, seed: u64, now: i64) -> Self {
        let mut groups: Vec<Group> = (0..THREADS.min(count.max(1))).map(|_| Group { devices: Vec::new(), links: Links::new() }).collect();
        let among = groups.len();
        for (number, trade) in trades.iter().cycle().take(count).enumerate() {
            groups[number % among].devices.push(Device::new(trade, faults, seed.wrapping_add(number as u64), now));
        }
        Self { groups }
    }

    /// Every device does something, those of one thread one after the other.
    pub fn each(&mut self, work: impl Fn(&mut Device, &mut Links) + Sync) {
        std::thread::scope(|scope| {
            for Group { devices, links } in &mut self.groups {
                let work = &work;
                scope.spawn(move || devices.iter_mut().for_each(|device| work(device, links)));
            }
        });
    }

    /// Every thread lets its devices do something, one after the other and again and again, until the time has come. After
    /// a turn in which that was in vain for all of them it pauses.
    pub fn until(&mut self, end: Instant, work: impl Fn(&mut Device, &mut Links) -> bool + Sync) {
        std::thread::scope(|scope| {
            for Group { devices, links } in &mut self.groups {
                let work = &work;
                scope.spawn(move || {
                    while Instant::now() < end {
                        let turn = devices.iter_mut().take_while(|_| Instant::now() < end);
                        if turn.filter_map(|device| work(device, links).then_some(())).count() == 0 {
                            std::thread::sleep(PAUSE);
                        }
                    }
                });
            }
        });
    }

    /// One device after the other does something, without end, until that says to stop.
    pub fn in_turn(&mut self, mut work: impl FnMut(&mut Device, &mut Links) -> bool) {
        let count = self.groups.iter().map(|group| group.devices.len()).max().unwrap_or(0);
        for index in (0..count).cycle() {
            for Group { devices, links } in &mut self.groups {
                if let Some(device) = devices.get_mut(index)
                    && !work(device, links)
                {
                    return;
                }
            }
        }
    }

    /// How many devices have something that no server has.
    pub fn unsent(&self) -> usize {
        self.groups.iter().flat_map(|group| &group.devices).filter(|device| device.has_unsent()).count()
    }

    /// What all of them did.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for device in self.groups.iter().flat_map(|group| &group.devices) {
            sum.add(&device.tally);
            sum.longest_wait = sum.longest_wait.max(device.waits_for());
        }
        sum
    }
}
