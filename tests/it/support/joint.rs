//! How two servers and their devices are joined. Devices reach both, whatever becomes of the way
//! from the one server to the other.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use super::place::Place;
use super::{Line, tollkeeper};

/// The address of a server of a [`Plant`]. The port is the one that servers have: in a network of its own nobody else
/// has it.
fn address_of(which: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, which as u8 + 1], 48443))
}

fn mac_of(which: usize) -> String {
    format!("02:00:00:00:00:0{}", which + 1)
}

/// A switch at which the devices are, with a place at the end of a cable for each of the two servers.
struct Plant {
    servers: [Place; 2],
    devices: Place,
}

impl Plant {
    fn new() -> Result<Self, String> {
        let plant = Self { servers: [Place::new()?, Place::new()?], devices: Place::new()? };
        plant.devices.run("ip link add name site type bridge")?;
        plant.devices.run("ip address add 192.0.2.3/24 dev site")?;
        plant.devices.run("ip link set dev site up")?;
        for (which, place) in plant.servers.iter().enumerate() {
            let (mac, holder) = (mac_of(which), place.id());
            plant.devices.run(&format!("ip link add name port{which} type veth peer name eth0 address {mac} netns {holder}"))?;
            plant.devices.run(&format!("ip link set dev port{which} master site up"))?;
            for line in ["ip link set dev lo up", &format!("ip address add {}/24 dev eth0", address_of(which).ip()), "ip link set dev eth0 up"] {
                place.run(line)?;
            }
            // As behind a router: that the other one is gone is told by nobody, not even by one's own system.
            let other = 1 - which;
            place.run(&format!("ip neighbour add {} lladdr {} dev eth0 nud permanent", address_of(other).ip(), mac_of(other)))?;
        }
        Ok(plant)
    }

    fn isolate(&self, is_on: bool) {
        for which in 0..2 {
            self.devices.run(&format!("bridge link set dev port{which} isolated {}", if is_on { "on" } else { "off" })).expect("the switch does so");
        }
    }
}

enum Way {
    /// Nothing that could be cut is between them.
    Direct,
    /// A proxy before each, for the other one; what it does when they are cut apart.
    Lines([Line; 2], fn(&Line)),
    Plant(Plant),
}

/// See the module.
pub struct Joint {
    /// Where devices reach each server.
    pub addresses: [SocketAddr; 2],
    way: Way,
}

/// A port that is free now. Both servers must come back under the address that the other one knows.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address")
}

impl Joint {
    /// On this machine, never cut.
    pub fn direct() -> Self {
        Self { addresses: [free_address(), free_address()], way: Way::Direct }
    }

    /// Cut by proxies: connections end, and new ones are refused.
    pub fn by_lines() -> Self {
        Self::by_proxies(Line::cut)
    }

    /// Cut by proxies that swallow what is said: nearly as a network does that is silent.
    pub fn by_silent_lines() -> Self {
        Self::by_proxies(Line::swallow)
    }

    fn by_proxies(cut: fn(&Line)) -> Self {
        let addresses = [free_address(), free_address()];
        let lines = addresses.map(|address| {
            let line = Line::new();
            line.lead_to(address);
            line
        });
        Self { addresses, way: Way::Lines(lines, cut) }
    }

    /// Each in a network of its own. Cut by a switch that drops what the one sends the other: nobody is told, and
    /// whoever waits for an answer waits. Why not, where the system lets nobody make networks.
    pub fn by_networks() -> Result<Self, String> {
        Plant::new().map(|plant| Self { addresses: [address_of(0), address_of(1)], way: Way::Plant(plant) })
    }

    /// Where the other server reaches this one.
    pub fn url(&self, which: usize) -> String {
        match &self.way {
            Way::Lines(lines, _) => lines[which].url(),
            Way::Direct | Way::Plant(_) => format!("https://{}", self.addresses[which]),
        }
    }

    /// A command line of the program, where that server is.
    pub fn command(&self, which: usize, args: &[&str]) -> Command {
        let here = tollkeeper(args);
        let Way::Plant(plant) = &self.way else { return here };
        let mut there = plant.servers[which].command(here.get_program());
        there.args(here.get_args()).env_clear().envs(here.get_envs().filter_map(|(name, value)| Some((name, value?))));
        there
    }

    /// Does something where the devices are.
    pub fn among_devices<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.way {
            Way::Plant(plant) => plant.devices.within(work),
            Way::Direct | Way::Lines(..) => work(),
        }
    }

    /// The two are cut off from each other.
    pub fn cut(&self) {
        match &self.way {
            Way::Direct => panic!("there is nothing to cut"),
            Way::Lines(lines, cut) => lines.iter().for_each(cut),
            Way::Plant(plant) => plant.isolate(true),
        }
    }

    /// They reach each other again.
    pub fn mend(&self) {
        match &self.way {
            Way::Direct => {}
            Way::Lines(lines, _) => lines.iter().for_each(Line::mend),
            Way::Plant(plant) => plant.isolate(false),
        }
    }
}
