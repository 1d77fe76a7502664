//! Every number that bounds something, with the arithmetic behind it. What has no limit here has a fixed size.

/// Lines (明细) of one invoice at most: the manual's limit for a draft.
pub const LINES_MAX: usize = 2_000;

/// Fee items (费用项目) of a freight invoice at most: the manual's limit for a draft.
pub const FEES_MAX: usize = 100;

/// One text of an invoice at most, in bytes of UTF-8. The longest draft field (备注, 230 GBK bytes) is at most 460 bytes of UTF-8, because a
/// character that counts 2 in GBK takes 2 to 4 in UTF-8. The rest is room for imported invoices, whose lengths are warnings.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// Canonical rest at most, in bytes. A line of a draft is at most 588: six texts of 200 + 80 + 40 + 19 + 64 + 120 bytes, 17 bytes of marks and
/// lengths, 48 of numbers. 2,000 of them are 1,176,000; head, particulars and slot stay below 40 texts of 4 KiB. That leaves a third for
/// imported invoices with longer texts.
pub const REST_BYTES_MAX: usize = 2 << 20;

/// Stored body at most, in bytes: 33 of header, 16 of authentication, and 16 of salt with a rest that does not compress, for which zstd needs
/// 1/256 more and a frame of a few bytes.
pub const BODY_BYTES_MAX: usize = 33 + 16 + (16 + REST_BYTES_MAX) + (16 + REST_BYTES_MAX) / 256 + 64;

/// Host in a signed QR code at most, with its port, in characters: keeps the code within QR version 10-M (311 alphanumeric characters):
/// 8 for `HTTPS://`, 28, 3 for `/Q/`, 271 of base32 are 310.
pub const HOST_LEN_MAX: usize = 28;

/// Payload of a signed QR code at most, in bytes: version 1, key id 8, face 64, rest digest 32, signature 64.
pub const QR_PAYLOAD_BYTES_MAX: usize = 1 + 8 + 64 + 32 + 64;

/// Text of any QR code that is looked at, in bytes: ours have at most 310, classic ones about 90; foreign web addresses may be longer and are
/// named as such.
pub const QR_TEXT_MAX: usize = 1_024;

/// A field of a typed question at most, in bytes: the longest that makes sense is a check code of 20 digits in four spaced groups.
pub const QUERY_FIELD_MAX: usize = 64;

/// Signature lines of a note at most: what C2SP signed-note requires everybody to accept.
pub const NOTE_SIGNATURES_MAX: usize = 16;

/// A signed note at most, in bytes: 16 lines of a post-quantum signature (5 kB, 6.7 kB in base64) and a name are 112 KiB, text besides.
pub const NOTE_BYTES_MAX: usize = 128 << 10;

/// Name of a key in a note at most, in bytes. Ours have at most 45: host 28, slash, 16 hex digits.
pub const KEY_NAME_MAX: usize = 255;

/// A witness's clock may be ahead of ours by this much, in seconds, before what it dates counts as of tomorrow.
pub const COSIGNATURE_SKEW_SECS: u64 = 300;

/// A trust policy at most, in bytes: the log tells of it in one event, and 64 logs of a witness need as much.
pub const POLICY_BYTES_MAX: usize = 12 << 10;

/// The largest stored record, in bytes: a sealed body has a layout of its own, and of all others the event of a policy is the longest.
pub const VALUE_BYTES_MAX: usize = 16 << 10;

/// Policies that are shown of those that the log tells of: the newest ones.
pub const POLICIES_SHOWN_MAX: usize = 8;

/// Logs, witnesses and groups of a policy at most, of each: what C2SP tlog-policy recommends to be ready for.
pub const POLICY_ENTRIES_MAX: usize = 32;

/// Hashes in a submission to a witness at most, by C2SP tlog-witness.
pub const ADD_CHECKPOINT_HASHES_MAX: usize = 63;

/// A submission to a witness at most, in bytes: 63 hashes of 45, two short lines, a note.
pub const ADD_CHECKPOINT_BYTES_MAX: usize = 64 * 45 + NOTE_BYTES_MAX;

/// What witnesses say against a copy of the ledger at most, in bytes.
pub const DISPUTE_BYTES_MAX: usize = 16 << 10;

/// How long a witness may take to answer, in seconds.
pub const WITNESS_PATIENCE_SECS: u64 = 5;

/// How often one witness is asked in one round: once to learn how far it is, once to have it cosign, once more where it moved meanwhile.
pub const WITNESS_TRIES_MAX: usize = 3;

/// How often a checkpoint that does not change is cosigned anew, in seconds: so long ago at most is the last time that somebody saw it.
pub const COSIGN_QUIET_SECS: u64 = 60;

/// How long one witness may take in one round, in seconds: two replies as late as they may be. So long a server waits at its start before it signs anything.
pub const WITNESS_ROUND_SECS: u64 = 2 * WITNESS_PATIENCE_SECS;

/// Characters of what a witness says that are written to the log.
pub const WITNESS_SAID_CHARS_MAX: usize = 200;

/// How long other words of a witness that still does not cosign are not written to the log, in seconds.
pub const WITNESS_SAID_SECS: u64 = 60;

/// Witnesses of a policy by which a log publishes at most: so many lines a note has left beside the log's own.
pub const POLICY_WITNESSES_MAX: usize = NOTE_SIGNATURES_MAX - 1 - FORMER_CHECKPOINT_KEYS_MAX;

/// What a monitor keeps of a log at most, in bytes: a note, and eight rows of 255 hashes of 45.
pub const MONITOR_STATE_BYTES_MAX: usize = NOTE_BYTES_MAX + 8 * (256 * 45) + 256;

/// A reply with leaves at most, in bytes: 256 of 98.
pub const BUNDLE_BYTES_MAX: usize = 256 * 98;

/// How long a monitor waits for one reply, in seconds.
pub const MONITOR_PATIENCE_SECS: u64 = 20;

/// How often a monitor asks for the same again where it was told to wait, and how long it waits each time at most, in seconds: a log of any size is read
/// within its quota.
pub const MONITOR_TRIES_MAX: usize = 10;

/// See [`MONITOR_TRIES_MAX`].
pub const MONITOR_WAIT_SECS_MAX: u64 = 60;

/// How long it waits so in one look at most, in seconds, where there are other addresses to look at.
pub const MONITOR_WAITS_SECS_MAX: u64 = 300;

/// For how long what a signed checkpoint is over may not be had at all before that is an alarm, in seconds.
pub const MONITOR_UNREAD_SECS_MAX: u64 = 3_600;

/// How long the program of an alarm may run, in seconds.
pub const MONITOR_ALARM_SECS: u64 = 30;

/// Pieces of evidence that a monitor keeps at most.
pub const MONITOR_EVIDENCE_MAX: usize = 100;

/// Logs that one witness watches at most.
pub const WITNESS_LOGS_MAX: usize = 64;

/// Lock record of a witness at most, in bytes: a name and a size for each log.
pub const WITNESS_LOCK_BYTES_MAX: usize = 128 + WITNESS_LOGS_MAX * 128;

/// State of a witness at most, in bytes: a note for each log.
pub const WITNESS_STATE_BYTES_MAX: usize = 128 + WITNESS_LOGS_MAX * (32 + NOTE_BYTES_MAX);

/// Contradictions that a witness keeps at most: the first ones say it all.
pub const WITNESS_EVIDENCE_MAX: usize = 100;

/// How long a witness answers the same checkpoint with the cosignature that it made last, in seconds: whoever submits it again and again costs one sync
/// in that time.
pub const COSIGN_AGAIN_SECS: u64 = 1;

/// Submissions that a witness reads at a time: 1,024 of 131 kB are 128 MiB.
pub const WITNESS_BODIES_MAX: usize = 1_024;

/// How long a submission may take to come, in seconds: it is a few kilobytes, and whoever sends slowly holds a place.
pub const WITNESS_BODY_SECS: u64 = 5;

/// How long a submission waits for its turn, in seconds: each costs two syncs.
pub const WITNESS_TURN_SECS: u64 = 5;

/// Hashes in an inclusion or consistency proof at most: one per level of a tree whose size is a u64, and one more for consistency.
pub const PROOF_HASHES_MAX: usize = 65;

/// Application data beside a proof at most, in bytes: a leaf and what its receipt says.
pub const PROOF_EXTRA_MAX: usize = 4 << 10;

/// Secret keys in one key file at most: five roles, and a dozen rotations of each.
pub const KEYRING_KEYS_MAX: usize = 64;

/// Data keys among them at most. They are never given up, as bodies need them; what is left is for an emergency.
pub const KEYRING_DATA_KEYS_MAX: usize = KEYRING_KEYS_MAX / 2;

/// Checkpoint keys that sign along with the one in use at most: each costs every commit a signature (14 us), and a note has room for witnesses left.
pub const FORMER_CHECKPOINT_KEYS_MAX: usize = 2;

/// How long a key that is replaced goes on to count unless told otherwise, in milliseconds: a day, in which mirrors and offline checkers fetch the new
/// list of keys.
pub const KEY_OVERLAP_MS: u64 = 24 * 3_600 * 1_000;

/// How long it goes on at least, in milliseconds, revoked or not: what was signed with it may be in the queue when its end is decided, the clock may
/// be behind the newest leaf by [`CLOCK_BEHIND_MAX_MS`], and the change itself may wait: for the two events of it and the checkpoints of its frame and the
/// one before to be signed, [`TOKEN_ANSWER_MS`] each, the latter perhaps after another [`TOKEN_TURN_MS`], and for the disk as long as an answer may take.
pub const KEY_OVERLAP_MIN_MS: u64 = 60_000;

/// How long it may go on at most, in milliseconds: a year; whoever has a list that old should be told.
pub const KEY_OVERLAP_MAX_MS: u64 = 366 * 24 * 3_600 * 1_000;

/// Public keys in one list at most: three roles, and years of rotations.
pub const PUBLIC_KEYS_MAX: usize = 1_024;

/// A proof file at most, in bytes: note, path and keys.
pub const PROOF_FILE_BYTES_MAX: usize = 1 << 20;

/// Memory that a key file may ask Argon2id to use, in KiB: 1 GiB, so that a tampered file cannot exhaust the machine.
pub const KDF_MEMORY_KIB_MAX: u32 = 1 << 20;

/// Passes that a key file may ask Argon2id for.
pub const KDF_PASSES_MAX: u32 = 16;

/// Lanes that a key file may ask Argon2id for.
pub const KDF_LANES_MAX: u32 = 16;

/// Submissions that may wait for the sequencer: at 100,000 a second 40 ms of work; whoever comes later waits to hand in.
pub const QUEUE_MAX: usize = 4_096;

/// Submissions in one frame at most: bounds the batch (about 1 KiB each, 4 MiB) and how long a waiter waits for others.
pub const FRAME_ENTRIES_MAX: usize = 4_096;

/// Drafts of `fapiao issue` that may be read and not yet printed: two frames of 1,024, one on its way to the disk and one filling behind it. At
/// 30,000 drafts a second 1,024 are 34 ms, longer than a slow disk's fsync. An answer is about 3 KiB, so 6 MiB wait for a reader who does not read.
pub const ISSUE_IN_FLIGHT_MAX: usize = 2_048;

/// Drafts of `fapiao issue` that may be read and not yet parsed: of ordinary ones (1 KiB, 50 us of work) 3 ms of work for one core, of the largest
/// (4 MiB) 256 MiB.
pub const ISSUE_UNPARSED_MAX: usize = 64;

/// How far the clock may be behind the newest leaf before signing stops, in milliseconds: the slew of a well-kept clock, not a step.
pub const CLOCK_BEHIND_MAX_MS: u64 = 5_000;

/// Counts that may wait for the disk before they are written ahead of time: about 100 bytes each.
pub const COUNTS_PENDING_MAX: usize = 100_000;

/// Counts that stay in memory after they are written, for those who ask again: 25 MB.
pub const COUNTS_KEPT_MAX: usize = 250_000;

/// Counts that are written at once: an invoice that is being issued waits for no more than these.
pub const COUNT_BATCH_ROWS: usize = 1_000;

/// Counts that may wait while the disk takes none, before a verification is refused rather than not counted: 100 MB.
pub const COUNTS_PENDING_IN_TROUBLE_MAX: usize = 1_000_000;

/// How long a count may wait for the disk, in milliseconds: half of the second that is promised.
pub const COUNT_FLUSH_MS: u64 = 500;

/// Answers under one root, at most; with more, the next root does not wait for its hour. Their hashes, 512 KiB, are read and hashed to prove one of them
/// (`cargo bench -- answers`).
pub const ANSWERS_PER_ROOT_MAX: usize = 16_384;

/// Roots shown for one time, at most: those of the two minutes around it, at 8,000 answers a second. Below the one or two that may be over an answer of
/// that time all hashes are shown, 700 KiB each.
pub const ANSWER_ROOTS_MAX: usize = 64;

/// How old an answer may be when it is signed, in milliseconds: by this much at most the order of the times may differ from that of the numbers.
pub const ANSWER_DELAY_MAX_MS: u64 = 60_000;

/// What is said of answers and the log at most, in a file, in bytes: the roots of one time, and the hashes below a few.
pub const ANSWER_ROOTS_BYTES_MAX: usize = 8 << 20;

/// How long a signed answer waits for its root, in milliseconds, if nobody says otherwise: an hour.
pub const ANSWERS_INTERVAL_MS: u64 = 3_600_000;

/// How often it is seen whether a root over answers is due, in milliseconds, and one that could not be logged is tried again.
pub const ANSWERS_LOOK_MS: u64 = 30_000;

/// Rows of a table read at once: at most 1,024 x 8 KiB of tiles, of anything else below 2 MiB, so that the database is never held for long.
pub const SCAN_PAGE_ROWS: usize = 1_024;

/// Leaves from which a derived table is rebuilt before its rows are written: below 4 MiB.
pub const REBUILD_CHUNK: usize = 4_096;

/// The inventory of a closed database at most, in bytes: 100 a file, and ten thousand tables of 64 MiB are 640 GB.
pub const INVENTORY_BYTES_MAX: usize = 1 << 20;

/// How often it is tried to go on after trouble with the disk, in milliseconds.
pub const RESUME_EVERY_MS: u64 = 500;

/// What must fit on the disk before it is tried to go on, in bytes: RocksDB's first files on opening, and a frame.
pub const RESUME_PROBE_BYTES: usize = 1 << 20;

/// Why a ledger is reopened under another origin, in bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 1_024;

/// Drafts kept beside receipts that are submitted again: about 2 KiB each, 400 MB.
pub const RESUBMIT_DRAFTS_MAX: usize = 200_000;

/// A line with a receipt at most, in bytes: a note of one signature, 64 hashes of a path, and a few hundred bytes of hex and QR text take 8 KiB.
pub const RECEIPT_LINE_BYTES_MAX: usize = 64 << 10;

/// How often it is looked whether the files that hold an erased body are gone, and after how many milliseconds again: 10 s in all. A page of a scan takes
/// a few of them.
pub const SCOUR_TRIES: u32 = 1_000;

/// See [`SCOUR_TRIES`].
pub const SCOUR_EVERY_MS: u64 = 10;

/// Why a body is erased, as it stands in the audit trail beside the invoice's code and number, bytes.
pub const ERASE_REASON_BYTES_MAX: usize = 96;

/// Backups kept unless told otherwise: two weeks of daily ones.
pub const BACKUPS_KEPT: usize = 14;

/// Rows read at once by a check, in bytes: about 800 seals or 2,500 leaves, so that starting to read costs little beside reading, and the database is
/// held for a millisecond. A worker holds four of them and as much to read ahead: 2 MiB.
pub const STRETCH_BYTES: usize = 256 << 10;

/// Leaves in a piece of work of a check at most, a power of two and whole tiles: at 10 us a leaf half a second, so that workers end together.
pub const FSCK_CHUNK: u64 = 65_536;

/// Pieces of work of a check for each worker at least, so that at the end nobody waits for more than a sixteenth.
pub const FSCK_PARTS: u64 = 16;

/// Signatures checked by one equation: from here on larger batches gain less than a hundredth. About 400 bytes each, below 1 MiB; if one is wrong
/// they are checked one by one, 40 us each, 0.1 s.
pub const FSCK_BATCH: usize = 2_048;

/// Findings that a check lists at most; the others are counted. About 200 bytes each, 20 MB.
pub const FSCK_FINDINGS_MAX: usize = 100_000;

/// Rows that are read one by one at a time where a check has to, in the order of their keys.
pub const FSCK_POINT_READS: usize = 256;

/// Invoices by which a check estimates how the rows of a table spread over its keys, to share them out.
pub const FSCK_SAMPLES: u64 = 1_024;

/// Taxpayers that one caller acts for at most: a large bookkeeping agency. The row of one with all of them is 500 x 21 bytes, and stays with its
/// regions (100 x 7) and its label below the 16 KiB of a stored value.
pub const CALLER_TAXPAYERS_MAX: usize = 500;

/// Regions of one caller at most: the country has 36 bureaus, and a province fewer than 30 cities.
pub const CALLER_REGIONS_MAX: usize = 100;

/// What an administrator calls a caller, in bytes of UTF-8: one line.
pub const CALLER_LABEL_BYTES_MAX: usize = 200;

/// Callers whose rows are kept in memory: about 400 bytes each, 26 MB. Beyond that all are forgotten, and read again as they come.
pub const CALLERS_CACHED_MAX: usize = 65_536;

/// Callers, or entries of the audit trail, in one page at most: below 16 MiB of the largest callers, usually 200 KB.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Subject of an entry of the audit trail at most, in bytes: a range of numbers (12 + 2 x 8 digits) and a taxpayer take 50.
pub const AUDIT_SUBJECT_BYTES_MAX: usize = 128;

/// Outcome of an entry of the audit trail at most, in bytes: a code.
pub const AUDIT_OUTCOME_BYTES_MAX: usize = 32;

/// Ids looked up in one read at most.
pub const BATCH_IDS_MAX: usize = 256;

/// Questions at once from one address prefix: an office, a campus or a carrier's whole neighbourhood may share an IPv4 address, and several people in
/// it check an invoice in the same second.
pub const QUOTA_ADDRESS_BURST: u32 = 300;

/// Questions a minute from one address prefix: 10 a second, 864,000 a day.
pub const QUOTA_ADDRESS_PER_MINUTE: u32 = 600;

/// Questions at once from one phone number: a person with a pile of receipts.
pub const QUOTA_PHONE_BURST: u32 = 60;

/// Questions a minute from one phone number: faster than anybody types or scans.
pub const QUOTA_PHONE_PER_MINUTE: u32 = 60;

/// Questions at once with one API key: a bulk list of ten seconds' worth.
pub const QUOTA_KEY_BURST: u32 = 100_000;

/// Questions a minute with one API key: 10,000 a second, what one core answers in a twentieth of its time.
pub const QUOTA_KEY_PER_MINUTE: u32 = 600_000;

/// Askers whose buckets are not full at most: 64 shards of 3,584 rows, which fill a hash map of 4,096 places (33 bytes each) to seven eighths: 8.7 MB.
/// A question leaves an address's bucket less than full for 0.1 s, so to fill the table takes 2.3 million questions a second.
pub const QUOTA_ASKERS_MAX: usize = QUOTA_SHARDS * 3_584;

/// Parts of the table of buckets, each with a lock of its own.
pub const QUOTA_SHARDS: usize = 64;

/// How long a full shard of buckets is not swept again, in milliseconds: a sweep is 3,584 rows, 10 us, so all of them are below a hundredth of one core.
pub const QUOTA_PURGE_EVERY_MS: u64 = 100;

/// Failed tries that a phone or an API key has on one invoice in a day; also those that an address prefix has with total and tax ids once strangers
/// failed too often. Six digits then last 100,000 askers, each with a phone or a key of its own, for one day.
pub const FAILURES_ASKER_MAX: u8 = 10;

/// Failed tries that all askers without a token have together on one invoice in a day: 1 in 50,000 to hit six digits.
pub const FAILURES_ANONYMOUS_MAX: u8 = 20;

/// Rows of a sketch of failures. Whoever wants a stranger to be taken for a guesser must fill all four of their cells.
pub const SKETCH_ROWS: usize = 4;

/// Cells of a row: 4 Mi of a byte each, 16 MiB a sketch, 48 MiB for three. To fill the share p of each row to n takes at least p x 4 Mi x n failures in a day,
/// each on an invoice that exists, and touches p^4 of all others. Without a token (n = 20) that is, for 1 in 16, p = 1/2 and 42 million failures, the whole
/// day's quota of 49 addresses; for 1 in 10,000, p = 1/10, 8.4 million and 10 addresses. Who is touched has to show all 20 digits, total and tax ids,
/// or the signed code. Ten million honest slips a day leave two or three in a cell.
pub const SKETCH_CELLS: usize = 4 << 20;

/// Segments of a row, of which an asker has one for all of its invoices, 64 Ki cells: a single hostile key that fills its four touches 1 in 64^4 of the
/// others. Each fills its four with 64 Ki x 10 failures; for p = 1/2 it takes 44 keys, whose segments cover half, and 29 million failures. An honest key with 100,000 failures a day has 1.5 to a cell, where 10 are too many.
pub const SKETCH_SEGMENTS: usize = 64;

/// Locks under which factors are compared: 1,024 x 8 bytes. A comparison is 1 us, so that two of different invoices seldom meet.
pub const GUESS_STRIPES: usize = 1_024;

/// How old the date of a new invoice may be, in days, unless configured.
pub const ISSUE_DAYS_BACK: u32 = 31;

/// Connections of a load at most: 64 KiB of buffers each, 256 MiB with those of a server on the same machine.
pub const LOAD_CONNECTIONS_MAX: u16 = 4_096;

/// Threads of a load at most.
pub const LOAD_THREADS_MAX: u16 = 64;

/// Requests under way on one connection of a load at most: 256 drafts of 1 KiB are 256 KiB, more than sockets buffer.
pub const LOAD_PIPELINE_MAX: u16 = 256;

/// Drafts in one bulk request of a load at most: 100 MB of drafts, and 300 MB of full receipts.
pub const LOAD_BATCH_MAX: u32 = 100_000;

/// Connections that issue in bulk before a load: two keep two cores busy, two more fill the gaps.
pub const LOAD_BULK_CONNECTIONS: usize = 4;

/// Head of an answer to a load at most, in bytes.
pub const LOAD_HEAD_BYTES_MAX: usize = 16 << 10;

/// Answer to a load at most, in bytes: [`LOAD_BATCH_MAX`] lines with receipts of 3 KiB are 300 MB, twice over.
pub const LOAD_RESPONSE_BYTES_MAX: usize = 640 << 20;

/// What a demo writes about itself at most, in bytes.
pub const LOAD_SAMPLES_BYTES_MAX: usize = 16 << 20;

/// Latencies beyond it are recorded as this, in microseconds: ten minutes.
pub const LOAD_LATENCY_MAX_US: u64 = 600_000_000;

/// Wrong answers and errors that a load shows.
pub const LOAD_EXAMPLES_MAX: usize = 8;

/// Signed QR codes that a connection of a load keeps: 300 bytes each.
pub const LOAD_CODES_KEPT: usize = 256;

/// How long what is due at the end of a load may take to be sent, and as long again to be answered, in seconds.
pub const LOAD_DRAIN_SECONDS: u64 = 10;

/// How long a load waits for a server that has gone away, in seconds: a restart takes one, a restore by hand does not count.
pub const LOAD_PATIENCE_SECONDS: u64 = 60;

/// How often a load tries to connect again, in milliseconds.
pub const LOAD_RECONNECT_MS: u64 = 50;

/// Acknowledged invoices that a load asks for again unless told otherwise.
pub const LOAD_RECHECKED: usize = 10_000;

/// Label of a token at most, in bytes: PKCS#11 has 32.
pub const TOKEN_LABEL_BYTES_MAX: usize = 32;

/// Id of a key in a token at most, in bytes: ours have 16.
pub const TOKEN_ID_BYTES_MAX: usize = 32;

/// Sessions with a token at a time, each with a thread of its own: a network token answers in a millisecond, SoftHSM in a fifth, and both work on several at once.
pub const TOKEN_SESSIONS_MAX: usize = 4;

/// How long anybody waits for a token, in milliseconds: many times what a slow one takes, and a third of what an answer may take.
pub const TOKEN_ANSWER_MS: u64 = 5_000;

/// How long of that anybody waits for a session that is free, in milliseconds: the rest of it is the token's.
pub const TOKEN_TURN_MS: u64 = 2_000;

/// How long a commit waits for a signature that may be left out, in milliseconds: what the slowest token takes for one.
pub const TOKEN_AT_ONCE_MS: u64 = 200;

/// How long a key is not asked for such a signature after it did not make one, in milliseconds: a token that hangs costs a minute's commits that once.
pub const TOKEN_SPARED_MS: u64 = 60_000;

/// How long a token that does not answer, or is not there, is not asked again, in milliseconds: whoever comes meanwhile is told so at once.
pub const TOKEN_REST_MS: u64 = 400;

/// Private keys of ours that are looked for in a token, to say which no key file names.
pub const TOKEN_KEYS_MAX: usize = 1_024;

/// A PIN at most, in bytes.
pub const PIN_BYTES_MAX: usize = 255;

/// An encrypted key file at most, in bytes: 64 keys of 109 bytes and the header, with room to spare.
pub const KEY_FILE_BYTES_MAX: usize = 16 << 10;

/// Connections of the HTTP server at most. Each takes about 12 KiB idle and [`HTTP_BUFFER_BYTES`] more at worst: 200 MiB, and 450 MiB; of HTTP/2 36 KiB,
/// 590 MiB. Whoever comes later takes the place of one that does nothing, and waits where there is none.
pub const HTTP_CONNECTIONS_MAX: usize = 16_384;

/// Connections that may wait to be accepted.
pub const HTTP_BACKLOG: u32 = 4_096;

/// Read buffer of an HTTP/1 connection, and the head of a request at most, in bytes: a bearer token is 80, a QR payload 271, and proxies add a few
/// hundred.
pub const HTTP_BUFFER_BYTES: usize = 16 << 10;

/// Header fields of a request at most: browsers send about 20.
pub const HTTP_HEADERS_MAX: usize = 64;

/// Tokens of a revocation list, at most: 6 bytes each in the file, 14 in memory, and as much again while the next list is made.
pub const REVOCATIONS_MAX: usize = 50_000_000;

/// Bytes of a revocation list, at most.
pub const REVOCATIONS_BYTES_MAX: usize = REVOCATIONS_MAX * 9 + 1_024;

/// How long a revocation list may be kept by whoever passes it on, in seconds, however late the next one is due.
pub const REVOCATIONS_CACHED_SECS_MAX: u64 = 3_600;

/// When to ask again for a list that is not there yet, or is overdue, in seconds.
pub const REVOCATIONS_RETRY_SECS: u64 = 10;

/// How often it is seen whether a revocation list is due, in milliseconds, and one that could not be made is tried again.
pub const REVOCATIONS_LOOK_MS: u64 = 30_000;

/// How old a revocation list may be before nothing is said by it, in hours, if nobody says otherwise.
pub const REVOCATIONS_AGE_HOURS: u64 = 48;

/// How often the log is read to its end while a list is made, before what has come meanwhile is left to the next one.
pub const REVOCATIONS_ROUNDS_MAX: usize = 32;

/// Bytes of a file with certificates, or a private key, at most.
pub const TLS_FILE_BYTES_MAX: usize = 256 << 10;

/// Certificates of a chain, at most: nobody has as many.
pub const TLS_CERTIFICATES_MAX: usize = 16;

/// How often the files of certificate and key are looked at, in seconds.
pub const TLS_LOOK_SECS: u64 = 30;

/// Until the head of a request is complete, and a TLS handshake, in seconds; also how long a connection may lie idle between two requests.
pub const HTTP_HEAD_SECS: u64 = 30;

/// Until the body of a request is complete, in seconds; for bulk bodies, until the next piece of it.
pub const HTTP_BODY_SECS: u64 = 20;

/// Until the peer takes some of an answer, in seconds.
pub const HTTP_WRITE_SECS: u64 = 30;

/// Until a request is answered, in seconds, its body included, bulk aside: ten fsyncs of a slow disk are 1 s.
pub const HTTP_ANSWER_SECS: u64 = 30;

/// Until a connection is ended on which a request is under way and nothing comes of it, neither a byte of an answer taken nor another request, in
/// seconds: longer than any request may take.
pub const HTTP_STALL_SECS: u64 = 60;

/// Connections that do nothing and are ended at once when there is no room for another.
pub const HTTP_ROOM_AT_ONCE: usize = 64;

/// Bytes of an answer that are handed over at once, and that a connection holds of one that nobody takes.
pub const HTTP_SLICE_BYTES: usize = 16 << 10;

/// Requests of one HTTP/2 connection at a time.
pub const HTTP2_STREAMS_MAX: u32 = 100;

/// Bytes of request bodies that the peer of an HTTP/2 connection may send before any is read: 256 MiB on all of them.
pub const HTTP2_WINDOW_BYTES: u32 = 16 << 10;

/// Requests under way at a time beyond the first of each connection, those included whose bodies do not come and whose answers nobody takes: what comes
/// then is told to come later. Each holds 45 KiB of head at worst: 360 MiB.
pub const HTTP_REQUESTS_MAX: usize = 8_192;

/// Body of a question or of an administrative request at most, in bytes: the longest question has a QR text of 1,024 characters, each written as
/// `\u0000` at worst.
pub const JSON_BODY_BYTES_MAX: usize = 16 << 10;

/// Request bodies in memory at most, in KiB: 64 drafts of the largest size, or 16,384 ordinary requests.
pub const HTTP_BODIES_KIB_MAX: usize = 256 << 10;

/// Body of a bulk request at most, in bytes: a million drafts of 2 KiB. It is never in memory as a whole.
pub const BULK_BODY_BYTES_MAX: u64 = 2 << 30;

/// Bulk requests at a time: each has its own threads, and two of them fill the sequencer. Each holds [`BULK_UNPARSED_MAX`] drafts of 4 MiB at worst: 512 MiB.
pub const BULK_AT_ONCE_MAX: usize = 16;

/// Drafts of one bulk request that may wait for the disk, and for their places among the answers.
pub const BULK_IN_FLIGHT_MAX: usize = 512;

/// Drafts of one bulk request that are read and not yet looked at.
pub const BULK_UNPARSED_MAX: usize = 8;

/// Bulk requests of one caller at a time: those who send a byte now and then are to be four callers at least before nobody else has a place.
pub const BULK_OF_ONE_MAX: usize = 4;

/// Rows of a bulk verification at most; with their proofs, 1 KiB each, a result is 1 GiB.
pub const BULK_ROWS_MAX: u64 = 1_000_000;

/// Bulk verifications at a time. They have places of their own: whoever verifies keeps nobody from issuing.
pub const BULK_VERIFY_AT_ONCE_MAX: usize = 8;

/// Bulk verifications of one caller at a time: each reads and answers on two cores.
pub const BULK_VERIFY_OF_ONE_MAX: usize = 2;

/// A line of a bulk verification at most, in bytes, as for a single question; [`BATCH_IDS_MAX`] of them are read ahead and as many answered, 8 MiB at worst
/// of one request.
pub const BULK_QUESTION_BYTES_MAX: usize = JSON_BODY_BYTES_MAX;

/// How long the questions of a batch wait at most for their turn in the asker's quota, in seconds; then they are throttled. At 600,000 a minute a batch
/// waits a second.
pub const BULK_PATIENCE_SECS: u64 = 30;

/// Pieces of a bulk body, or of its answer, that wait for whoever reads them: 16 of at most 64 KiB are 1 MiB each way.
pub const BULK_PIECES_MAX: usize = 16;

/// An answer to a bulk request is sent in pieces of this size, in bytes, or whenever more input has to be waited for.
pub const BULK_PIECE_BYTES: usize = 64 << 10;

/// Submissions over HTTP, bulk aside, that may wait for their commit: with those of bulk requests no more than the sequencer's queue takes, so that no
/// thread of the server ever waits to hand one in.
pub const HTTP_SUBMISSIONS_MAX: usize = 2_048;

/// Threads for what reads and syncs files, so that answering questions does not wait for it: proofs, disclosures, the audit table.
pub const HTTP_BLOCKING_THREADS: usize = 32;

/// Threads that serve sockets, at most.
pub const HTTP_THREADS_MAX: usize = 256;

/// How long the end waits for what requests that were cut off still do on threads of their own, in milliseconds: a signature, and the commit that it is for.
pub const HTTP_LINGER_MS: u64 = 2 * TOKEN_ANSWER_MS;

/// How long requests under way may take to end once the server was told to stop, in seconds.
pub const HTTP_DRAIN_SECS: u64 = 30;

/// A configuration file at most, in bytes.
pub const CONFIG_BYTES_MAX: usize = 64 << 10;

/// How often `--server` tries the same, the first time included: four waits of at most [`REMOTE_WAIT_SECS_MAX`], two minutes.
pub const REMOTE_TRIES_MAX: u32 = 5;

/// Longest `Retry-After` that `--server` waits for, in seconds; whoever is told to come back later than that is told so.
pub const REMOTE_WAIT_SECS_MAX: u64 = 30;

/// How long `--server` waits for a connection, in seconds.
pub const REMOTE_CONNECT_SECS: u64 = 10;

/// How long `--server` waits for the next piece of a reply, in seconds: twice [`HTTP_ANSWER_SECS`], after which a server has given up itself.
pub const REMOTE_SILENCE_SECS: u64 = 60;

/// Drafts that `--server` sends at a time, at most: two frames' worth keep a server's cores busy, and a lost reply costs no more than these again.
pub const REMOTE_BATCH_MAX: usize = 512;

/// Bytes of drafts after which `--server` sends what it has.
pub const REMOTE_BATCH_BYTES: usize = 1 << 20;

/// Answer to a question put to `--server` at most, in bytes: an invoice with the largest draft, masked, and a proof.
pub const REMOTE_ANSWER_BYTES_MAX: usize = 8 << 20;

/// Line of a reply to `--server` at most, in bytes: a receipt has 4 KiB.
pub const REMOTE_LINE_BYTES_MAX: usize = 1 << 20;

/// Addresses of proxies whose word is taken, at most.
pub const PROXIES_MAX: usize = 64;

const _: () = assert!(HOST_LEN_MAX + 8 + 3 + (QR_PAYLOAD_BYTES_MAX * 8).div_ceil(5) <= 311);
// A word of a digest, four bytes, names a cell; a segment is whole words of eight cells.
const _: () = assert!(SKETCH_CELLS <= 1 << 32 && SKETCH_CELLS.is_power_of_two());
const _: () = assert!(SKETCH_SEGMENTS.is_power_of_two() && SKETCH_CELLS / SKETCH_SEGMENTS >= 8);
// Stripe and shard come from two bytes and one.
const _: () = assert!(GUESS_STRIPES <= 1 << 16 && GUESS_STRIPES.is_power_of_two() && QUOTA_SHARDS <= 256 && QUOTA_SHARDS.is_power_of_two());
// Salt, signature and what frames them.
const _: () = assert!(POLICY_BYTES_MAX + 256 <= VALUE_BYTES_MAX && POLICY_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(FSCK_CHUNK.is_power_of_two() && FSCK_CHUNK >= 256);
const _: () = assert!(KEY_OVERLAP_MIN_MS > CLOCK_BEHIND_MAX_MS + 4 * TOKEN_ANSWER_MS + 2 * TOKEN_TURN_MS + HTTP_ANSWER_SECS * 1_000);
const _: () = assert!(KEY_OVERLAP_MIN_MS <= KEY_OVERLAP_MS && KEY_OVERLAP_MS <= KEY_OVERLAP_MAX_MS);
// Threads are left for what is asked meanwhile.
const _: () = assert!(BULK_AT_ONCE_MAX + BULK_VERIFY_AT_ONCE_MAX <= HTTP_BLOCKING_THREADS * 3 / 4);
// A client that hears nothing while its questions wait neither gives up nor is given up.
const _: () = assert!(BULK_PATIENCE_SECS < HTTP_STALL_SECS && BULK_PATIENCE_SECS < REMOTE_SILENCE_SECS);
// Between two attempts to go on, a token is asked again.
const _: () = assert!(TOKEN_AT_ONCE_MS < TOKEN_TURN_MS && TOKEN_TURN_MS < TOKEN_ANSWER_MS);
const _: () = assert!(TOKEN_REST_MS < RESUME_EVERY_MS && TOKEN_ANSWER_MS < HTTP_ANSWER_SECS * 1_000);
// A frame of 1,024 in flight and another one behind it.
const _: () = assert!(ISSUE_IN_FLIGHT_MAX >= 2 * 1_024);
// A caller's row fits a stored value, with 200 bytes of everything else.
const _: () = assert!(CALLER_TAXPAYERS_MAX * 21 + CALLER_REGIONS_MAX * 7 + CALLER_LABEL_BYTES_MAX + 200 <= 16 << 10);
// Whoever is late with a body is told that it was late, and not that the server was.
const _: () = assert!(HTTP_BODY_SECS < HTTP_ANSWER_SECS && HTTP_ANSWER_SECS <= HTTP_DRAIN_SECS && HTTP_ANSWER_SECS < HTTP_STALL_SECS);
// Lengths and counts are written as u16.
const _: () = assert!(TEXT_BYTES_MAX <= 0xffff);
const _: () = assert!(LINES_MAX <= 0xffff);
const _: () = assert!(QR_TEXT_MAX <= 0xffff);
const _: () = assert!(LINES_MAX * 588 + 40 * TEXT_BYTES_MAX <= REST_BYTES_MAX);
// What all requests together may have under way fits the queue, the open frame and the one in flight: no thread that serves sockets waits to hand one in.
const _: () = assert!(BULK_AT_ONCE_MAX * BULK_IN_FLIGHT_MAX + HTTP_SUBMISSIONS_MAX <= QUEUE_MAX + 2 * FRAME_ENTRIES_MAX);
