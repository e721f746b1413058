//! Reports on their way: which are sent together, and what an answer means for them
//! (domain §5, protocol §3).

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::state::{Progress, State, StoredReport};
use crate::licensing::ClientUuid;
use crate::protocol::lost::Lost;
use crate::protocol::reports::{ReportsAnswer, ReportsRequest};
use crate::protocol::{ErrorCode, REPORTS_MAX};

/// Most bytes of reports in one request; a server takes a MiB with all that is around them.
const BYTES_MAX: usize = 900_000;

/// What became of one submission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submitted {
    /// Reports that are on a server's disk now.
    pub accepted: u64,
    /// Reports that were there before.
    pub duplicate: u64,
    /// Reports that no server takes, with code and reason; they are forgotten.
    pub rejected: Vec<(u16, String)>,
}

/// The next submission: reports of one grant that some server of ours can take.
pub fn next_batch(state: &State, client: ClientUuid, servers: &[String]) -> Option<ReportsRequest> {
    let is_ours =
        |stored: &&StoredReport| stored.progress == Progress::Pending && state.grants.granted.get(&stored.grant).is_some_and(|grant| grant.servers == servers);
    let first = state.stored().find(is_ours)?;
    let mut bytes = 0;
    let reports = state.stored().filter(is_ours).filter(|stored| stored.grant == first.grant).map(|stored| &stored.report);
    let reports = reports.take(REPORTS_MAX).take_while(|report| {
        bytes += serde_json::to_vec(report).map_or(BYTES_MAX, |json| json.len());
        bytes <= BYTES_MAX
    });
    let authorization = state.grants.granted.get(&first.grant)?.authorization.clone();
    Some(ReportsRequest { client_uuid: client, authorization, reports: reports.cloned().collect(), seen: state.seen() })
}

/// A server took the submission.
pub fn take_answer(state: &mut State, answer: &ReportsAnswer) -> Submitted {
    let mut submitted = Submitted { accepted: answer.accepted.len() as u64, duplicate: answer.duplicate.len() as u64, rejected: Vec::new() };
    let taken: HashSet<Uuid> = answer.accepted.iter().chain(&answer.duplicate).copied().collect();
    let accepted = Progress::Accepted { origin: answer.origin.clone(), sequence: answer.sequence };
    state.change_stored(|stored| {
        let is_taken = taken.contains(&stored.report.report_id);
        if is_taken {
            stored.progress = accepted.clone();
        }
        is_taken
    });
    // A slot that the server thinks has not begun, or a device that it does not know yet, may be
    // right after the next authorization.
    let waits = |code: u16| [ErrorCode::ReportFromFuture.number(), ErrorCode::NotAuthorized.number()].contains(&code);
    for rejected in &answer.rejected {
        if waits(rejected.code) {
            set_progress(state, &[rejected.report_id], &Progress::Failed);
        } else {
            state.drop_stored(|stored| stored.report.report_id == rejected.report_id);
            submitted.rejected.push((rejected.code, rejected.detail.clone()));
        }
    }
    state.note_seen(&answer.origin, answer.sequence);
    take_news(state, &answer.origin, &answer.lost, &answer.safe);
    submitted
}

/// What a server tells of its site: which facts were lost, and which no single loss can take any
/// more. The lost come first: what was reported in them is sent again, to whichever server answers,
/// although it was safe before. What another server has not got from the one that answers is sent
/// there.
pub fn take_news(state: &mut State, answering: &str, lost: &Lost, safe: &BTreeMap<String, u64>) {
    if !lost.is_empty() {
        state.change_stored(|stored| match &stored.progress {
            Progress::Accepted { origin, sequence } if lost.holds(origin, *sequence) => {
                stored.progress = Progress::Pending;
                true
            }
            _ => false,
        });
    }
    let is_safe = |stored: &StoredReport| match &stored.progress {
        Progress::Accepted { origin, sequence } => safe.get(origin).is_some_and(|last| last >= sequence),
        Progress::Pending | Progress::Failed => false,
    };
    state.drop_stored(is_safe);
    state.change_stored(|stored| match &stored.progress {
        Progress::Accepted { origin, .. } if origin != answering => {
            stored.progress = Progress::Pending;
            true
        }
        _ => false,
    });
}

/// Says how far these reports got.
pub fn set_progress(state: &mut State, ids: &[Uuid], progress: &Progress) {
    state.change_stored(|stored| {
        let is_meant = ids.contains(&stored.report.report_id) && stored.progress != *progress;
        if is_meant {
            stored.progress = progress.clone();
        }
        is_meant
    });
}

/// A new authorization: what failed is sent again.
pub fn retry_failed(state: &mut State) {
    state.change_stored(|stored| {
        let has_failed = stored.progress == Progress::Failed;
        if has_failed {
            stored.progress = Progress::Pending;
        }
        has_failed
    });
}
