//! Every minute: is a certificate to be renewed, was its file replaced, does it end?

use super::Job;

const PERIOD_SECONDS: i64 = 60;

/// Does what it is given, which knows the certificates.
pub struct CertificateJob<F>(pub F);

impl<F: FnMut() + Send + 'static> Job for CertificateJob<F> {
    fn name(&self) -> &'static str {
        "certificate"
    }

    fn tick(&mut self, now: i64) -> i64 {
        (self.0)();
        now + PERIOD_SECONDS
    }
}
