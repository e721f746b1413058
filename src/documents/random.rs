//! Random UUIDs, from the generator that makes the keys.

use uuid::Uuid;

/// A random UUID (version 4).
///
/// Not `Uuid::new_v4`: in a static program the crate behind it does not find the system's
/// `getrandom` and opens `/dev/urandom`, which an empty root directory does not have.
///
/// # Panics
/// When the system gives no random numbers at all; no key could be made either.
pub fn random_uuid() -> Uuid {
    let [uuid] = random_uuids();
    uuid
}

/// Several at once, which costs hardly more than one.
///
/// # Panics
/// As [`random_uuid`].
pub fn random_uuids<const N: usize>() -> [Uuid; N] {
    let mut bytes = [[0; 16]; N];
    aws_lc_rs::rand::fill(bytes.as_flattened_mut()).expect("the system gives random numbers");
    bytes.map(|bytes| uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_uuids_are_of_version_4_and_differ() {
        let ([one, other], third) = (random_uuids(), random_uuid());
        assert_ne!(one, third);
        assert_eq!((one.get_version_num(), one.get_variant()), (4, uuid::Variant::RFC4122));
        assert_ne!(one, other);
    }
}
