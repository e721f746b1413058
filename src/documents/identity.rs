//! Who this server is: its UUID, its key, and the hardware it runs on (architecture §5).

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::keys::SigningKey;
use super::sealed::SealingKey;
use crate::licensing::ServerUuid;

/// A server's identity. The license file binds `uuid` and the public half of `key`.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// Its UUID.
    pub uuid: ServerUuid,
    /// The key it signs authorizations and requests with.
    pub key: SigningKey,
    /// The key that devices seal their requests to.
    pub sealing: SealingKey,
    /// The machine it was made on.
    pub hardware: HardwareFingerprint,
}

/// What the machine tells about itself, in clear. Only the [`HardwareFingerprint`] is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// The operating system's machine id.
    #[serde(default)]
    pub machine: Option<String>,
    /// The board's UUID or serial number.
    #[serde(default)]
    pub board: Option<String>,
    /// The CPU's model.
    #[serde(default)]
    pub cpu: Option<String>,
}

impl Hardware {
    /// Reads this machine. In an empty chroot nothing is known, and that is stable too.
    pub fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    /// Reads the machine whose file system is mounted here.
    pub fn read_under(root: &Path) -> Self {
        let fact = |names: &[&str]| names.iter().find_map(|name| std::fs::read_to_string(root.join(name)).ok().and_then(|text| telling(&text)));
        Self {
            machine: fact(&["etc/machine-id", "var/lib/dbus/machine-id"]),
            board: fact(&["sys/class/dmi/id/product_uuid", "sys/class/dmi/id/board_serial"]),
            cpu: std::fs::read_to_string(root.join("proc/cpuinfo")).ok().and_then(|text| cpu_model(&text)),
        }
    }

    /// The hashes by which the machine is known again.
    pub fn fingerprint(&self) -> HardwareFingerprint {
        let hash = |label: &str, fact: &Option<String>| {
            fact.as_ref().map(|fact| hex(digest(&SHA256, format!("tollkeeper hardware {label}\0{fact}").as_bytes()).as_ref()))
        };
        HardwareFingerprint { machine: hash("machine", &self.machine), board: hash("board", &self.board), cpu: hash("cpu", &self.cpu) }
    }
}

/// Hashes of what a machine told; nothing can be read back. Each is hex SHA-256, missing
/// where the machine did not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareFingerprint {
    /// Hash of the machine id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Hash of the board's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// Hash of the CPU's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
}

impl HardwareFingerprint {
    fn parts(&self) -> [Option<&str>; 3] {
        [self.machine.as_deref(), self.board.as_deref(), self.cpu.as_deref()]
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.parts().iter().all(Option::is_none)
    }

    /// Whether this is the same machine: at least two of the parts known to both agree, or
    /// the only one does. So one part may be exchanged, or be hidden from one of the two
    /// readings. With nothing in common only two empty fingerprints match.
    pub fn matches(&self, other: &Self) -> bool {
        let both: Vec<bool> = self.parts().into_iter().zip(other.parts()).filter_map(|(a, b)| Some(a? == b?)).collect();
        match both.len() {
            0 => self.is_empty() && other.is_empty(),
            known => both.iter().filter(|same| **same).count() >= known.min(2),
        }
    }

    /// One hex SHA-256 over all parts, for requests and for showing.
    pub fn digest(&self) -> String {
        let [machine, board, cpu] = self.parts().map(|part| part.unwrap_or("-"));
        hex(digest(&SHA256, format!("tollkeeper hardware\0machine={machine}\0board={board}\0cpu={cpu}").as_bytes()).as_ref())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

// Makers leave placeholders that thousands of machines share.
fn telling(text: &str) -> Option<String> {
    let fact = text.trim().to_ascii_lowercase();
    let placeholder =
        ["uninitialized", "none", "default string", "to be filled by o.e.m.", "not specified", "system serial number", "0123456789"].contains(&fact.as_str());
    let one_digit = fact.bytes().filter(|b| *b != b'-').all(|b| b == b'0') || fact.bytes().filter(|b| *b != b'-').all(|b| b == b'f');
    (!placeholder && !one_digit).then_some(fact)
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    // x86 names its model; ARM gives numbers.
    let value = |name: &str| cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    let told: Vec<&str> = ["model name", "Hardware", "CPU implementer", "CPU part"].into_iter().filter_map(value).filter(|value| !value.is_empty()).collect();
    (!told.is_empty()).then(|| told.join(" / "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hardware(machine: &str, board: &str, cpu: &str) -> HardwareFingerprint {
        let fact = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Hardware { machine: fact(machine), board: fact(board), cpu: fact(cpu) }.fingerprint()
    }

    #[test]
    fn two_of_three_parts_make_the_same_machine() {
        let ours = hardware("m", "b", "c");
        for (other, same) in [
            (hardware("m", "b", "c"), true),
            (hardware("m", "b", "x"), true),
            (hardware("m", "", "c"), true),
            (hardware("x", "x", "c"), false),
            (hardware("m", "", "x"), false),
            (hardware("m", "", ""), true),
            (hardware("x", "", ""), false),
            (hardware("", "", ""), false),
        ] {
            assert_eq!(ours.matches(&other), same, "{other:?}");
            assert_eq!(other.matches(&ours), same, "{other:?}");
        }
        assert!(hardware("", "", "").matches(&hardware("", "", "")));
        assert!(!hardware("m", "", "").matches(&hardware("", "b", "")));
    }

    #[test]
    fn equal_facts_of_different_parts_hash_differently() {
        let same = hardware("x", "x", "x");
        assert_ne!(same.machine, same.board);
        assert_ne!(hardware("m", "", "").digest(), hardware("", "m", "").digest());
        assert_eq!(same.digest().len(), 64);
    }

    #[test]
    fn a_machine_is_read_from_its_files_and_an_empty_chroot_is_stable() {
        let root = tempfile::tempdir().expect("dir");
        assert_eq!(Hardware::read_under(root.path()), Hardware::default());
        assert!(Hardware::default().fingerprint().matches(&Hardware::read_under(root.path()).fingerprint()));
        for (name, text) in [
            ("etc/machine-id", "ABC\n"),
            ("sys/class/dmi/id/product_uuid", "To be filled by O.E.M.\n"),
            ("sys/class/dmi/id/board_serial", "S1\n"),
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Xeon 9\n"),
        ] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("dir");
            std::fs::write(path, text).expect("file");
        }
        assert_eq!(Hardware::read_under(root.path()), Hardware { machine: Some("abc".into()), board: Some("s1".into()), cpu: Some("Xeon 9".into()) });
    }

    #[test]
    fn a_fingerprint_survives_json() {
        let ours = hardware("m", "", "c");
        let json = serde_json::to_string(&ours).expect("json");
        assert_eq!(serde_json::from_str::<HardwareFingerprint>(&json).expect("back"), ours);
        assert!(!json.contains("board"));
    }
}
