//! Usage reports: each is taken once, whoever takes it (domain §5).

use rusqlite::{OptionalExtension as _, params};
use uuid::Uuid;

use super::Error;
use super::facts::{ChargedReport, ReportsAccepted};
use super::ledger::Ledger;
use super::usage::{self, Direction};
use super::{presence, slots};
use crate::licensing::charging::Charge;
use crate::licensing::{ClientUuid, CodeId, ServerUuid, Slot};

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM reports WHERE report_id = ?1)";
const FIND: &str = "SELECT origin, slot, code_id, charges, client_uuid FROM reports WHERE report_id = ?1";
const INSERT: &str = "INSERT INTO reports (report_id, origin, sequence, slot, client_uuid, code_id, charges) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (report_id) DO NOTHING";
const REPLACE: &str = "UPDATE reports SET origin = ?2, sequence = ?3, slot = ?4, client_uuid = ?5, code_id = ?6, charges = ?7 WHERE report_id = ?1";

pub(super) const STATEMENTS: &[&str] = &[EXISTS, FIND, INSERT, REPLACE];

/// Whether a report with this id was taken.
pub fn is_known(ledger: &Ledger<'_>, id: Uuid) -> Result<bool, Error> {
    Ok(ledger.connection().prepare_cached(EXISTS)?.query_row(params![id.as_bytes()], |row| row.get(0))?)
}

/// A report is keyed by its id. When both servers took it the lower origin wins, and what
/// the other charged for it is taken back; so the outcome is the same in any order.
pub(super) fn apply_accepted(ledger: &mut Ledger<'_>, origin: ServerUuid, sequence: u64, body: &ReportsAccepted) -> Result<(), Error> {
    for report in &body.reports {
        presence::see(ledger, report.code, report.slot.day(), body.client, &report.charges)?;
        let row = Row { report, origin, sequence, body };
        if row.write(ledger, INSERT)? == 0 {
            let Some(known) = find(ledger, report.id)? else { continue };
            if known.origin <= origin {
                continue;
            }
            count(ledger, known.origin, report.id, known.code, known.slot, known.client, &known.charges, Direction::TakeBack)?;
            row.write(ledger, REPLACE)?;
        }
        count(ledger, origin, report.id, report.code, report.slot, body.client, &report.charges, Direction::Charge)?;
    }
    Ok(())
}

/// Everything that follows from a report, or no longer follows.
#[expect(clippy::too_many_arguments, reason = "what a report says, without making one")]
fn count(
    ledger: &mut Ledger<'_>,
    origin: ServerUuid,
    id: Uuid,
    code: CodeId,
    slot: Slot,
    client: ClientUuid,
    charges: &[Charge],
    direction: Direction,
) -> Result<(), Error> {
    usage::count(ledger, origin, code, slot, charges, direction);
    slots::count(ledger, client, id, slot, charges, direction)?;
    presence::count(ledger, code, slot.day(), client, charges, direction)?;
    presence::change_slot(ledger, code, slot, client, id.as_bytes(), direction)
}

struct Row<'a> {
    report: &'a ChargedReport,
    origin: ServerUuid,
    sequence: u64,
    body: &'a ReportsAccepted,
}

impl Row<'_> {
    fn write(&self, ledger: &Ledger<'_>, sql: &str) -> Result<usize, Error> {
        let charges = serde_json::to_string(&self.report.charges).map_err(|error| Error::Other(error.to_string()))?;
        Ok(ledger.connection().prepare_cached(sql)?.execute(params![
            self.report.id.as_bytes(),
            self.origin.bytes(),
            self.sequence as i64,
            self.report.slot.start(),
            self.body.client.bytes(),
            self.report.code.bytes(),
            charges
        ])?)
    }
}

struct Known {
    origin: ServerUuid,
    slot: Slot,
    code: CodeId,
    client: ClientUuid,
    charges: Vec<Charge>,
}

fn find(ledger: &Ledger<'_>, id: Uuid) -> Result<Option<Known>, Error> {
    let row = ledger
        .connection()
        .prepare_cached(FIND)?
        .query_row(params![id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?, row.get(4)?)))
        .optional()?;
    row.map(|(origin, slot, code, charges, client)| {
        Ok(Known {
            origin: ServerUuid::from_bytes(origin),
            slot: Slot::containing(slot),
            code: CodeId::from_bytes(code),
            client: ClientUuid::from_bytes(client),
            charges: read_charges(id, &charges)?,
        })
    })
    .transpose()
}

/// Who paid what for a report, as the table has it.
pub(super) fn read_charges(id: Uuid, json: &str) -> Result<Vec<Charge>, Error> {
    serde_json::from_str(json).map_err(|error| Error::Corrupt(format!("report {id}: {error}")))
}
