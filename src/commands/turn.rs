//! A sign of life of the writer.

use crate::store::{Command, Error, Ledger};

/// Has the writer come round, and write nothing.
pub struct Turn;

impl Command for Turn {
    type Answer = ();

    fn execute(&self, _: &mut Ledger<'_>) -> Result<(), Error> {
        Ok(())
    }
}
