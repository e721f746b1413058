//! Facts on their way from one server to the other: a page is a row of frames, deflated.
//!
//! A frame: origin (16 bytes), sequence and time (8 each), length and text of the kind (1 and n),
//! length and text of the body (4 and n), hash (32); numbers are big-endian.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::licensing::ServerUuid;
use crate::store::facts::Fact;

/// Most facts of a page.
pub const FACTS_MAX: usize = 4_000;
/// Bytes at which a page is full, before it is deflated.
pub const BYTES_FULL: usize = 2 << 20;
/// The largest page that is taken; a fact is at most some hundred kilobytes.
const BYTES_MAX: u64 = 16 << 20;

/// The bytes of a page.
pub fn write(facts: &[Fact]) -> std::io::Result<Vec<u8>> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    for fact in facts {
        writer.write_all(fact.origin.bytes())?;
        writer.write_all(&fact.sequence.to_be_bytes())?;
        writer.write_all(&fact.stamp.to_be_bytes())?;
        let kind = u8::try_from(fact.kind.len()).map_err(std::io::Error::other)?;
        writer.write_all(&[kind])?;
        writer.write_all(fact.kind.as_bytes())?;
        let body = u32::try_from(fact.json.len()).map_err(std::io::Error::other)?;
        writer.write_all(&body.to_be_bytes())?;
        writer.write_all(&fact.json)?;
        writer.write_all(&fact.hash)?;
    }
    writer.finish()
}

/// Takes a frame's part off the front.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (part, after) = rest.split_at_checked(length).ok_or_else(|| "the page of facts is cut off".to_owned())?;
    *rest = after;
    Ok(part)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    <[u8; N]>::try_from(take(rest, N)?).map_err(|error| error.to_string())
}

/// The facts of a page.
///
/// # Errors
/// What is wrong with it. Hashes are looked at when the facts are taken.
pub fn read(bytes: &[u8]) -> Result<Vec<Fact>, String> {
    let mut whole = Vec::new();
    GzDecoder::new(bytes).take(BYTES_MAX + 1).read_to_end(&mut whole).map_err(|error| format!("the page of facts cannot be read: {error}"))?;
    if whole.len() as u64 > BYTES_MAX {
        return Err(format!("the page of facts is larger than {BYTES_MAX} bytes"));
    }
    let (mut rest, mut facts) = (whole.as_slice(), Vec::new());
    while !rest.is_empty() {
        let origin = ServerUuid::from_bytes(array(&mut rest)?);
        let sequence = u64::from_be_bytes(array(&mut rest)?);
        let stamp = i64::from_be_bytes(array(&mut rest)?);
        let [kind] = array(&mut rest)?;
        let kind = String::from_utf8(take(&mut rest, kind.into())?.to_vec()).map_err(|_| "the kind of a fact is not text".to_owned())?;
        let body = u32::from_be_bytes(array(&mut rest)?) as usize;
        let json = take(&mut rest, body)?.to_vec();
        let hash = array(&mut rest)?;
        // SQLite counts up to here.
        if sequence == 0 || sequence > i64::MAX as u64 {
            return Err(format!("{sequence} is no number of a fact"));
        }
        facts.push(Fact { origin, sequence, stamp, kind, json, hash });
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fact(sequence: u64, kind: &str, json: &str) -> Fact {
        Fact {
            origin: ServerUuid::from_bytes([sequence as u8; 16]),
            sequence,
            stamp: -5 + sequence as i64,
            kind: kind.to_owned(),
            json: json.as_bytes().to_vec(),
            hash: [sequence as u8; 32],
        }
    }

    #[test]
    fn a_page_comes_back_as_it_was_and_no_part_of_it_does() {
        let facts: Vec<Fact> = (1..200).map(|n| fact(n, "admin_acted", &format!("{{\"by\":\"ä{n}\"}}"))).collect();
        let bytes = write(&facts).expect("written");
        assert_eq!(read(&bytes).expect("read"), facts);
        assert_eq!(read(&write(&[]).expect("written")).expect("read"), []);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_page_that_unfolds_without_end_is_refused() {
        let mut writer = GzEncoder::new(Vec::new(), Compression::best());
        writer.write_all(&vec![0; 64 << 20]).expect("written");
        let bomb = writer.finish().expect("finished");
        assert!(bomb.len() < 100_000 && read(&bomb).expect_err("refused").contains("larger"));
    }

    proptest! {
        #[test]
        fn bytes_of_anybody_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
            writer.write_all(&bytes).expect("written");
            let _ = read(&writer.finish().expect("finished"));
            let _ = read(&bytes);
        }
    }
}
