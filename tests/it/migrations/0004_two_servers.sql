-- What a site that had the samples of versions 1 to 3 wrote at version 4: it lost facts, and counts on
-- from above them. Never edit: later versions must go on reading it.
INSERT INTO journal (origin, sequence, stamp, kind, body, hash) VALUES (X'01010101010101010101010101010101', 1000000016, 1795348861000008, 'sequence_raised', X'7B226166746572223A31362C22726561736F6E223A2261206261636B75702077617320726573746F726564227D', X'46185CB9371549B79BDD87E35C41296D19CD9CBD9C183931978520C339B83B09');
INSERT INTO gaps (origin, resumed, after, stamp, reason) VALUES (X'01010101010101010101010101010101', 1000000016, 16, 1795348861000008, 'a backup was restored');
INSERT INTO audit (stamp, origin, sequence, actor, action, subject, detail, address) VALUES (1795348861000008, X'01010101010101010101010101010101', 1000000016, 'server', 'facts_lost', 'facts after 16', 'a backup was restored', '');
