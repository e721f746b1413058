//! How a site finds out what a server lost that was restored from an older backup, and gets it
//! again: devices tell in `seen` how far its facts went, it tells in `lost` which of them it
//! does not hold any more, and devices send what they reported in those.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// For each server, by its UUID, the numbers of the facts that it lost: first and last of each range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost(Vec<(String, u64, u64)>);

impl Lost {
    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A server lost its facts `from` to `to`, both included.
    pub fn add(&mut self, server: String, from: u64, to: u64) {
        self.0.push((server, from, to));
    }

    /// Whether a server lost this fact.
    pub fn holds(&self, server: &str, sequence: u64) -> bool {
        self.0.iter().any(|(lost, from, to)| lost == server && (*from..=*to).contains(&sequence))
    }
}

impl Serialize for Lost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut servers = serde_json::Map::new();
        for (server, from, to) in &self.0 {
            if let Value::Array(ranges) = servers.entry(server).or_insert_with(|| Value::Array(Vec::new())) {
                ranges.push(Value::Array(vec![(*from).into(), (*to).into()]));
            }
        }
        servers.serialize(serializer)
    }
}

/// For each server, by its UUID, the highest number of a fact that it told a device.
pub type Seen = BTreeMap<String, u64>;

/// What makes no sense is left out, and fails nothing: no license may hang on it.
impl<'de> Deserialize<'de> for Lost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut lost = Self::default();
        if let Value::Object(servers) = Value::deserialize(deserializer)? {
            for (server, told) in servers {
                for (from, to) in told.as_array().into_iter().flatten().filter_map(read_range) {
                    lost.add(server.clone(), from, to);
                }
            }
        }
        Ok(lost)
    }
}

fn read_range(range: &Value) -> Option<(u64, u64)> {
    let [from, to] = range.as_array()?.as_slice() else { return None };
    let (from, to) = (from.as_u64()?, to.as_u64()?);
    (from <= to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(told: Value) -> Lost {
        serde_json::from_value(told).expect("no failure")
    }

    #[test]
    fn a_range_holds_its_first_and_its_last_fact() {
        let lost = read(json!({"a": [[3, 5], [9, 9]]}));
        let held: Vec<u64> = (0..12).filter(|sequence| lost.holds("a", *sequence)).collect();
        assert_eq!(held, [3, 4, 5, 9]);
        assert!(!lost.holds("b", 4));
        assert_eq!(serde_json::to_value(&lost).expect("JSON"), json!({"a": [[3, 5], [9, 9]]}));
    }

    #[test]
    fn what_makes_no_sense_is_left_out_one_by_one() {
        let told = json!({"a": [[3, 5], [7, 6], [1], [1, 2, 3], [-1, 4], [1.5, 4], ["1", 4], "1-4", null, 7, [9, 9], [10, u64::MAX]],
            "b": {"from": 1, "to": 4}, "c": null, "d": [], "e": [[0, 0]]});
        assert_eq!(read(told), read(json!({"a": [[3, 5], [9, 9], [10, u64::MAX]], "e": [[0, 0]]})));
        for told in [json!(null), json!([[1, 4]]), json!(4), json!("a"), json!(true), json!({})] {
            assert!(read(told).is_empty());
        }
    }
}
