//! Which barcodes of a video stream count (domain §5): the same barcode in one frame counts
//! once; seen again within three seconds after it counted, it does not count.

use std::collections::HashMap;
use std::time::Duration;

/// The pause after which a barcode counts again.
pub const PAUSE: Duration = Duration::from_secs(3);

/// Remembers what counted lately. Time is an argument: any clock that goes forward, such as
/// that of the frames.
#[derive(Debug, Clone)]
pub struct Deduplicator {
    pause: Duration,
    counted: HashMap<(String, String), Duration>,
    swept: Duration,
}

impl Default for Deduplicator {
    fn default() -> Self {
        Self::new(PAUSE)
    }
}

impl Deduplicator {
    /// With another pause.
    pub fn new(pause: Duration) -> Self {
        Self { pause, counted: HashMap::new(), swept: Duration::ZERO }
    }

    /// Which of the barcodes of one frame, each a format and a text, count: true in their
    /// places. `at` is the frame's time since some beginning.
    pub fn count_frame(&mut self, barcodes: &[(&str, &str)], at: Duration) -> Vec<bool> {
        barcodes.iter().map(|(format, text)| self.is_new(format, text, at)).collect()
    }

    /// Whether this barcode, seen at this time, counts.
    pub fn is_new(&mut self, format: &str, text: &str, at: Duration) -> bool {
        if at.saturating_sub(self.swept) > self.pause {
            let pause = self.pause;
            self.counted.retain(|_, counted| at.saturating_sub(*counted) < pause);
            self.swept = at;
        }
        let barcode = (format.to_owned(), text.to_owned());
        // In one frame the time is the same; a pause of nothing still counts a frame once.
        if self.counted.get(&barcode).is_some_and(|counted| at == *counted || at.saturating_sub(*counted) < self.pause) {
            return false;
        }
        self.counted.insert(barcode, at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barcode_counts_once_in_a_frame_and_again_after_the_pause() {
        let mut seen = Deduplicator::default();
        let at = Duration::from_millis;
        assert_eq!(seen.count_frame(&[("QR", "a"), ("QR", "a"), ("EAN", "a"), ("QR", "b")], at(0)), [true, false, true, true]);
        assert!(!seen.is_new("QR", "a", at(2_999)));
        assert!(seen.is_new("QR", "a", at(3_000)));
        assert!(!seen.is_new("QR", "a", at(5_000)) && seen.is_new("QR", "b", at(5_000)));
        let mut eager = Deduplicator::new(Duration::ZERO);
        assert!(eager.is_new("QR", "a", at(1)) && !eager.is_new("QR", "a", at(1)) && eager.is_new("QR", "a", at(2)));
    }

    #[test]
    fn what_is_long_gone_takes_no_room() {
        let mut seen = Deduplicator::default();
        for n in 0..10_000u64 {
            assert!(seen.is_new("QR", &n.to_string(), Duration::from_millis(n * 10)));
        }
        assert!(seen.counted.len() < 1_000);
    }
}
