//! How a site finds out what a server lost that was restored from an older backup, and gets it
//! again: devices tell in `seen` how far its facts went, it tells in `lost` which of them it
//! does not hold any more, and devices send what they reported in those.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// For each server, by its UUID, the numbers of the facts that it lost: first and last of each range.
pub type Lost = BTreeMap<String, Vec<(u64, u64)>>;

/// For each server, by its UUID, the highest number of a fact that it told a device.
pub type Seen = BTreeMap<String, u64>;

/// Whether this server lost this fact.
pub fn is_lost(lost: &Lost, server: &str, sequence: u64) -> bool {
    lost.get(server).is_some_and(|ranges| ranges.iter().any(|(from, to)| (*from..=*to).contains(&sequence)))
}

/// Reads [`Lost`]. What makes no sense in it is left out, and fails nothing: no license may hang on it.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lost, D::Error> {
    let Value::Object(servers) = Value::deserialize(deserializer)? else { return Ok(Lost::new()) };
    let ranges_of = |told: &Value| told.as_array().into_iter().flatten().filter_map(read_range).collect::<Vec<_>>();
    Ok(servers.into_iter().map(|(server, told)| (server, ranges_of(&told))).filter(|(_, ranges)| !ranges.is_empty()).collect())
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

    #[test]
    fn a_range_holds_its_first_and_its_last_fact() {
        let lost = Lost::from([("a".to_owned(), vec![(3, 5), (9, 9)])]);
        let held: Vec<u64> = (0..12).filter(|sequence| is_lost(&lost, "a", *sequence)).collect();
        assert_eq!(held, [3, 4, 5, 9]);
        assert!(!is_lost(&lost, "b", 4));
    }

    #[test]
    fn what_makes_no_sense_is_left_out_one_by_one() {
        let told = json!({"a": [[3, 5], [7, 6], [1], [1, 2, 3], [-1, 4], [1.5, 4], ["1", 4], "1-4", null, 7, [9, 9], [10, u64::MAX]],
            "b": {"from": 1, "to": 4}, "c": null, "d": [], "e": [[0, 0]]});
        let read_back = read(told).expect("no failure");
        assert_eq!(read_back, Lost::from([("a".to_owned(), vec![(3, 5), (9, 9), (10, u64::MAX)]), ("e".to_owned(), vec![(0, 0)])]));
        for told in [json!(null), json!([[1, 4]]), json!(4), json!("a"), json!(true), json!({})] {
            assert_eq!(read(told).expect("no failure"), Lost::new());
        }
    }
}
