//! A device's UUID where it follows from the machine (domain §3, "hard binding"): the operating
//! system's id with the CPU's, on ARM with the network cards' addresses, hashed, so that nothing
//! about the machine can be read back.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

use crate::documents::Hardware;
use crate::licensing::ClientUuid;

/// The UUID of this machine; `None` where its system tells no id.
pub fn of_this_machine() -> Option<ClientUuid> {
    of_machine_under(Path::new("/"), cfg!(any(target_arch = "arm", target_arch = "aarch64")))
}

fn of_machine_under(root: &Path, is_arm: bool) -> Option<ClientUuid> {
    let hardware = Hardware::read_under(root);
    let second = if is_arm { addresses_under(root).join(" ") } else { hardware.cpu.unwrap_or_default() };
    let text = format!("tollkeeper device\0{}\0{second}", hardware.machine?);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
    Some(ClientUuid(uuid::Builder::from_custom_bytes(bytes).into_uuid()))
}

/// The addresses of the network cards that are part of the machine: bridges and tunnels come
/// and go.
fn addresses_under(root: &Path) -> Vec<String> {
    let Ok(cards) = std::fs::read_dir(root.join("sys/class/net")) else { return Vec::new() };
    let built_in = cards.flatten().map(|card| card.path()).filter(|card| card.join("device").exists());
    let mut found: Vec<String> = built_in.filter_map(|card| std::fs::read_to_string(card.join("address")).ok()).map(|text| text.trim().to_owned()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_keeps_its_uuid_and_another_has_another() {
        let root = tempfile::tempdir().expect("dir");
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("dir");
            std::fs::write(path, text).expect("file");
        };
        assert_eq!(of_machine_under(root.path(), false), None, "no id, no binding");
        write("etc/machine-id", "0aa\n");
        write("proc/cpuinfo", "model name\t: Xeon\n");
        let first = of_machine_under(root.path(), false).expect("bound");
        assert_eq!(of_machine_under(root.path(), false), Some(first));
        write("sys/class/net/eth0/address", "02:00:00:00:00:01\n");
        write("sys/class/net/eth0/device/x", "");
        assert_eq!(of_machine_under(root.path(), false), Some(first));
        let arm = of_machine_under(root.path(), true).expect("bound");
        write("sys/class/net/docker0/address", "02:00:00:00:00:02\n");
        assert_eq!(of_machine_under(root.path(), true), Some(arm));
        write("etc/machine-id", "0ab\n");
        assert_ne!(of_machine_under(root.path(), false), Some(first));
    }
}
