//! Whether a usage statement goes on from the one before, so that a customer's use is told
//! without a gap: the same server, every day once, a journal to which facts were only
//! added. The vendor compares two statements; neither needs the server.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::usage_statement::{ChainHead, StatementItem, UsageStatement};
use crate::licensing::ItemId;

/// Something that a comparison showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is a gap or a contradiction; otherwise it is worth knowing only.
    pub is_failure: bool,
    /// What was found, in one sentence.
    pub text: String,
}

/// Compares a statement with the one before and names every gap. Without the one before,
/// what this one says about it is checked. Both must be verified already.
pub fn compare(previous: Option<&UsageStatement>, this: &UsageStatement) -> Vec<Finding> {
    let mut found = Findings::default();
    match (previous, &this.previous) {
        (None, None) => found.note("it is the first statement of this server: there is none before it to compare with".into()),
        (None, Some(link)) => {
            found.note(format!("statement {} (until {}) goes before it and was not given: what it said was not compared", link.statement_id, link.to));
            found.compare_days(None, link.to, this);
            found.compare_head("this server", &link.head, &this.head);
            found.compare_journal(&link.head, &link.journal_hash);
        }
        (Some(before), link) => {
            if before.server_uuid != this.server_uuid {
                found.fail(format!("the statements are of different servers: {} before, {} now", before.server_uuid, this.server_uuid));
            }
            if before.organization_id != this.organization_id {
                found.fail(format!("the statements are of different organizations: {} before, {} now", before.organization_id, this.organization_id));
            }
            if !found.is_empty() {
                // Days and items of somebody else tell nothing.
                return found.0;
            }
            match link {
                None => found.fail(format!("it says that no statement goes before it, but {} does", before.statement_id)),
                Some(link) if link.statement_id != before.statement_id => {
                    found.fail(format!(
                        "it goes on from statement {}, not from {}: a statement between them is missing",
                        link.statement_id, before.statement_id
                    ));
                }
                Some(link) => {
                    if (link.to, &link.head) != (before.to, &before.head) {
                        found.fail(format!("it tells another end of statement {} than that statement itself", before.statement_id));
                    }
                    found.compare_journal(&before.head, &link.journal_hash);
                }
            }
            found.compare_days(Some(before.from), before.to, this);
            found.compare_head("this server", &before.head, &this.head);
            found.compare_other_heads(before, this);
            found.compare_items(before, this);
        }
    }
    found.0
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn fail(&mut self, text: String) {
        self.0.push(Finding { is_failure: true, text });
    }

    fn note(&mut self, text: String) {
        self.0.push(Finding { is_failure: false, text });
    }

    fn compare_days(&mut self, from_before: Option<NaiveDate>, to_before: NaiveDate, this: &UsageStatement) {
        if this.from > to_before {
            let first = to_before.succ_opt().unwrap_or(to_before);
            let last = this.from.pred_opt().unwrap_or(this.from);
            if first <= last {
                self.fail(format!("{} in neither statement", days(first, last)));
            }
            return;
        }
        let (first, last) = (from_before.map_or(this.from, |from| from.max(this.from)), to_before.min(this.to));
        match first <= last {
            true => self.fail(format!("{} in both statements", days(first, last))),
            false => self.fail(format!("it ends on {}, before the other one begins: they were given in the wrong order", this.to)),
        }
    }

    fn compare_head(&mut self, whose: &str, before: &ChainHead, now: &ChainHead) {
        if now.sequence < before.sequence {
            self.fail(format!("the journal of {whose} has {} facts, and had {} before: facts were taken out", now.sequence, before.sequence));
        } else if now.sequence == before.sequence && now.hash != before.hash {
            self.fail(format!("the journal of {whose} has another fact {} than before: it was forked or rolled back", now.sequence));
        }
    }

    fn compare_other_heads(&mut self, before: &UsageStatement, this: &UsageStatement) {
        for head in &before.other_heads {
            match this.other_heads.iter().find(|now| now.origin == head.origin) {
                Some(now) => self.compare_head(&format!("server {}", head.origin), head, now),
                None => self.fail(format!("the facts of server {} were counted before and are missing", head.origin)),
            }
        }
    }

    fn compare_journal(&mut self, before: &ChainHead, journal_hash: &str) {
        if journal_hash != before.hash {
            self.fail(format!("the journal has another fact {} than when the statement before was made: it was forked or rolled back", before.sequence));
        }
    }

    fn compare_items(&mut self, before: &UsageStatement, this: &UsageStatement) {
        let now: BTreeMap<ItemId, &StatementItem> = this.items.iter().map(|item| (item.item_id, item)).collect();
        let late_or_early = match this.issued_at.date_naive() > this.to {
            true => format!("for days before {} (reported late) or after {}", this.from, this.to),
            false => format!("for days before {} (reported late)", this.from),
        };
        for old in &before.items {
            let Some(item) = now.get(&old.item_id) else {
                self.fail(format!("item {} ({}) was in the statement before and is missing", old.item_id, old.product));
                continue;
            };
            if item.total < old.total {
                self.fail(format!(
                    "item {} ({}) has {} units all time, and had {} before: use was taken out",
                    item.item_id, item.product, item.total, old.total
                ));
                continue;
            }
            let elsewhere = (item.total - old.total).saturating_sub(item.used_in_period());
            if elsewhere > 0 {
                self.note(format!(
                    "item {} ({}): {elsewhere} of the units charged since the statement before were {late_or_early}",
                    item.item_id, item.product
                ));
            }
        }
    }
}

/// "The day … is" or "the days … to … are".
fn days(first: NaiveDate, last: NaiveDate) -> String {
    if first == last { format!("the day {first} is") } else { format!("the days {first} to {last} are") }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::usage_statement::PreviousStatement;
    use super::super::usage_statement::tests::statement;
    use super::*;
    use crate::licensing::ServerUuid;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("day")
    }

    fn other(sequence: u64, hash: &str) -> ChainHead {
        ChainHead { origin: ServerUuid(Uuid::from_u128(6)), sequence, hash: hash.repeat(64) }
    }

    /// November and December of one server, with nothing between and nothing lost.
    fn november_and_december() -> (UsageStatement, UsageStatement) {
        let mut november = statement(ServerUuid(Uuid::from_u128(5)));
        november.other_heads = vec![other(40, "d")];
        let mut december = november.clone();
        december.statement_id = Uuid::from_u128(12);
        (december.from, december.to) = (day("2026-12-01"), day("2026-12-31"));
        december.issued_at = "2026-12-31T23:00:00Z".parse().expect("time");
        december.items[0].total += december.items[0].used_in_period();
        december.head = ChainHead { sequence: 200, hash: "e".repeat(64), ..november.head.clone() };
        december.previous = Some(PreviousStatement {
            statement_id: november.statement_id,
            to: november.to,
            head: november.head.clone(),
            journal_hash: november.head.hash.clone(),
        });
        (november, december)
    }

    type Spoil<'a> = &'a dyn Fn(&mut UsageStatement);

    fn found(spoil: Spoil<'_>) -> Vec<(bool, String)> {
        let (november, mut december) = november_and_december();
        spoil(&mut december);
        compare(Some(&november), &december).into_iter().map(|finding| (finding.is_failure, finding.text)).collect()
    }

    #[test]
    fn a_statement_that_goes_on_without_a_gap_shows_nothing() {
        assert_eq!(found(&|_| {}), []);
        assert_eq!(found(&|d| d.items.push(StatementItem { item_id: ItemId(2), ..d.items[0].clone() })), [], "a new item is no gap");
    }

    #[test]
    fn every_gap_is_named_once() {
        let link = |d: &mut UsageStatement, change: &dyn Fn(&mut PreviousStatement)| d.previous.iter_mut().for_each(change);
        let cases: [(&str, Spoil<'_>); 17] = [
            ("different servers", &|d| d.server_uuid = ServerUuid(Uuid::from_u128(6))),
            ("different organizations: 216998 before, 7 now", &|d| d.organization_id = "7".parse().expect("organization")),
            ("the day 2026-12-01 is in neither", &|d| d.from = day("2026-12-02")),
            ("the days 2026-12-01 to 2026-12-04 are in neither", &|d| d.from = day("2026-12-05")),
            ("the days 2026-11-29 to 2026-11-30 are in both", &|d| d.from = day("2026-11-29")),
            ("in the wrong order", &|d| (d.from, d.to) = (day("2026-10-01"), day("2026-10-31"))),
            ("has 99 facts, and had 100 before", &|d| d.head.sequence = 99),
            ("has another fact 100 than before", &|d| d.head.sequence = 100),
            ("no statement goes before it, but 00000000-0000-0000-0000-00000000000b does", &|d| d.previous = None),
            ("a statement between them is missing", &|d| link(d, &|p| p.statement_id = Uuid::from_u128(99))),
            ("tells another end", &|d| link(d, &|p| p.to = day("2026-11-29"))),
            ("tells another end", &|d| link(d, &|p| p.head.sequence = 98)),
            ("another fact 100 than when the statement before was made", &|d| link(d, &|p| p.journal_hash = "f".repeat(64))),
            ("item 1 (dbr) was in the statement before and is missing", &|d| d.items.clear()),
            ("item 1 (dbr) has 129 units all time, and had 130 before", &|d| d.items[0].total = 129),
            ("the facts of server 00000000-0000-0000-0000-000000000006 were counted", &|d| d.other_heads.clear()),
            ("the journal of server 00000000-0000-0000-0000-000000000006 has 39 facts", &|d| d.other_heads = vec![other(39, "d")]),
        ];
        for (expected, spoil) in cases {
            let found = found(spoil);
            assert!(found.len() == 1 && found[0].0 && found[0].1.contains(expected), "{expected}: {found:?}");
        }
    }

    #[test]
    fn several_gaps_are_all_named() {
        let all = found(&|d| {
            d.from = day("2026-12-02");
            d.head.sequence = 1;
            d.items.clear();
        });
        assert_eq!(all.iter().filter(|(is_failure, _)| *is_failure).count(), 3, "{all:?}");
    }

    #[test]
    fn late_reports_are_worth_knowing_and_no_failure() {
        let late = found(&|d| d.items[0].total += 4);
        assert!(
            matches!(&late[..], [(false, text)] if text.contains("4 of the units") && text.ends_with("for days before 2026-12-01 (reported late)")),
            "{late:?}"
        );
        let later = found(&|d| {
            d.items[0].total += 4;
            d.issued_at = "2027-01-05T00:00:00Z".parse().expect("time");
        });
        assert!(matches!(&later[..], [(false, text)] if text.ends_with("or after 2026-12-31")), "{later:?}");
        // December's first days were in November's all-time total already.
        assert_eq!(found(&|d| d.items[0].total -= 4), []);
    }

    #[test]
    fn without_the_statement_before_its_end_is_compared_all_the_same() {
        let (november, mut december) = november_and_december();
        assert!(matches!(&compare(None, &november)[..], [Finding { is_failure: false, .. }]));
        assert!(matches!(&compare(None, &december)[..], [Finding { is_failure: false, text }] if text.contains("was not given")));
        december.from = day("2026-12-02");
        december.head.sequence = 7;
        december.previous.iter_mut().for_each(|link| link.journal_hash = "f".repeat(64));
        let failures = compare(None, &december).into_iter().filter(|finding| finding.is_failure).count();
        assert_eq!(failures, 3);
    }
}
