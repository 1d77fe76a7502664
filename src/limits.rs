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

/// Hashes in an inclusion or consistency proof at most: one per level of a tree whose size is a u64, and one more for consistency.
pub const PROOF_HASHES_MAX: usize = 65;

/// Application data beside a proof at most, in bytes: a leaf and what its receipt says.
pub const PROOF_EXTRA_MAX: usize = 4 << 10;

/// Secret keys in one key file at most: five roles, and a dozen rotations of each.
pub const KEYRING_KEYS_MAX: usize = 64;

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

/// Counts that may wait for the disk before whoever counts helps to flush: about 100 bytes each.
pub const COUNTS_PENDING_MAX: usize = 100_000;

/// Counts that may wait while the disk takes none, before a verification is refused rather than not counted: 100 MB.
pub const COUNTS_PENDING_IN_TROUBLE_MAX: usize = 1_000_000;

/// How long a count may wait for the disk, in milliseconds: half of the second that is promised.
pub const COUNT_FLUSH_MS: u64 = 500;

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

/// Ids looked up in one read at most.
pub const BATCH_IDS_MAX: usize = 256;

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

/// An encrypted key file at most, in bytes: 64 keys of 42 bytes and the header, with room to spare.
pub const KEY_FILE_BYTES_MAX: usize = 16 << 10;

const _: () = assert!(HOST_LEN_MAX + 8 + 3 + (QR_PAYLOAD_BYTES_MAX * 8).div_ceil(5) <= 311);
const _: () = assert!(FSCK_CHUNK.is_power_of_two() && FSCK_CHUNK >= 256);
// A frame of 1,024 in flight and another one behind it.
const _: () = assert!(ISSUE_IN_FLIGHT_MAX >= 2 * 1_024);
// Lengths and counts are written as u16.
const _: () = assert!(TEXT_BYTES_MAX <= 0xffff);
const _: () = assert!(LINES_MAX <= 0xffff);
const _: () = assert!(QR_TEXT_MAX <= 0xffff);
const _: () = assert!(LINES_MAX * 588 + 40 * TEXT_BYTES_MAX <= REST_BYTES_MAX);
