//! When a quota runs out at the present rate (domain §6): a straight line through the recent
//! past, with its basis told.

/// Most days of the past that the rate is taken from.
pub const BASIS_DAYS: i64 = 30;

/// What the recent past says about the future.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Units a day, on the average.
    pub per_day: f64,
    /// Days that the average is taken over.
    pub basis_days: i64,
    /// Whole days from now until nothing is left of the quota; absent when that is further away
    /// than anybody plans, or nothing is used.
    pub days_left: Option<i64>,
}

/// From what is left of the quota and what was used in the last days. `None` before there is a
/// whole day to judge by.
pub fn forecast(quota_left: u64, used_lately: u64, basis_days: i64) -> Option<Forecast> {
    /// A hundred years.
    const FAR: f64 = 36_500.0;
    if basis_days < 1 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let (left, per_day) = (quota_left as f64, used_lately as f64 / basis_days as f64);
    #[expect(clippy::cast_possible_truncation, reason = "less than FAR")]
    let days_left = (per_day > 0.0 && left / per_day < FAR).then(|| (left / per_day).floor() as i64);
    Some(Forecast { per_day, basis_days, days_left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_tells_the_day() {
        assert_eq!(forecast(100, 300, 30).expect("there").days_left, Some(10));
        assert_eq!(forecast(0, 300, 30).expect("there").days_left, Some(0));
        assert_eq!(forecast(100, 0, 30).expect("there").days_left, None);
        assert_eq!(forecast(u64::MAX, 1, 30).expect("there").days_left, None);
        assert_eq!(forecast(100, 300, 0), None);
    }
}
