//! Certificates of this server and their keys, sealed, on this machine alone.

use crate::store::audit::AdminActed;
use crate::store::facts::Body;
use crate::store::{Command, Error, Ledger};

/// Keeps one.
pub struct KeepCertificate {
    /// The row of the database that holds it.
    pub row: &'static str,
    /// It, sealed; empty: there is none any more.
    pub sealed: Vec<u8>,
    /// Who wanted that, if anybody did.
    pub act: Option<AdminActed>,
}

impl Command for KeepCertificate {
    type Answer = ();

    fn execute(&self, ledger: &mut Ledger<'_>) -> Result<(), Error> {
        ledger.put_local(self.row, &self.sealed)?;
        match &self.act {
            Some(act) => ledger.record(&Body::AdminActed(act.clone())).map(drop),
            None => Ok(()),
        }
    }
}
