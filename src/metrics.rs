//! What is counted and measured (指标), in the text format of Prometheus. Labels come from small closed sets: no ids, no addresses, nothing personal.
//!
//! Pure: counting is adding to atomics, and whoever renders passes in what only the operating system knows.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A request that was answered.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Answered {
    /// Name of the endpoint, or `none`.
    pub endpoint: &'static str,
    /// HTTP status.
    pub status: u16,
}

/// One of a closed set of names.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Named {
    /// Which.
    pub name: &'static str,
}

/// An endpoint.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Endpoint {
    /// Its name.
    pub endpoint: &'static str,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests answered, by endpoint and status.
    pub requests: Family<Answered, Counter>,
    /// From the last byte of the head to the answer's head, seconds.
    pub request_seconds: Family<Endpoint, Histogram, fn() -> Histogram>,
    /// Connections that are open.
    pub connections: Gauge<i64, AtomicI64>,
    /// Connections that were accepted.
    pub connections_accepted: Counter<u64, AtomicU64>,
    /// Requests under way.
    pub in_flight: Gauge<i64, AtomicI64>,
    /// Handlers that panicked; each is a defect.
    pub panics: Counter<u64, AtomicU64>,
    /// TLS handshakes that came to nothing.
    pub tls_failures: Counter<u64, AtomicU64>,
    /// Answers to questions, by verdict.
    pub verdicts: Family<Named, Counter>,
    /// Submissions, by what became of them.
    pub submissions: Family<Named, Counter>,
    /// Requests that were put off, by reason.
    pub throttled: Family<Named, Counter>,
    /// Requests refused for their token or role, by reason.
    pub unauthorised: Family<Named, Counter>,
    /// Request bodies in memory, bytes.
    pub body_bytes: Gauge<i64, AtomicI64>,
    /// Frames committed.
    pub frames: Counter<u64, AtomicU64>,
    /// Entries in them.
    pub entries: Counter<u64, AtomicU64>,
    /// From the signing of a frame to its publication, seconds: two syncs and the writes between them.
    pub commit_seconds: Histogram,
    /// Leaves of the published log.
    pub ledger_size: Gauge<i64, AtomicI64>,
    /// Time of the newest leaf, seconds since 1970.
    pub ledger_time: Gauge<i64, AtomicI64>,
    /// 1 if submissions are decided, 0 if the ledger refuses to sign.
    pub ledger_writable: Gauge<i64, AtomicI64>,
    /// 1 if it is known that more was signed elsewhere than this copy has.
    pub ledger_behind: Gauge<i64, AtomicI64>,
    /// Leaves of the newest checkpoint that enough witnesses cosigned.
    pub cosigned_size: Gauge<i64, AtomicI64>,
    /// When the first of them saw it, seconds since 1970.
    pub cosigned_time: Gauge<i64, AtomicI64>,
    /// Resident memory of the process, bytes.
    pub resident_memory: Gauge<i64, AtomicI64>,
    /// Files and sockets of the process.
    pub open_files: Gauge<i64, AtomicI64>,
    /// How many of those the system allows.
    pub open_files_limit: Gauge<i64, AtomicI64>,
    /// Free space where the data directory lies, bytes.
    pub disk_free: Gauge<i64, AtomicI64>,
    /// All space there, bytes.
    pub disk_size: Gauge<i64, AtomicI64>,
    /// When the process began to serve, seconds since 1970.
    pub started: Gauge<i64, AtomicI64>,
}

/// 50 us to 26 s in steps of two.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 20))
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("fapiao"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latencies),
            connections: Gauge::default(),
            connections_accepted: Counter::default(),
            in_flight: Gauge::default(),
            panics: Counter::default(),
            tls_failures: Counter::default(),
            verdicts: Family::default(),
            submissions: Family::default(),
            throttled: Family::default(),
            unauthorised: Family::default(),
            body_bytes: Gauge::default(),
            frames: Counter::default(),
            entries: Counter::default(),
            commit_seconds: latencies(),
            ledger_size: Gauge::default(),
            ledger_time: Gauge::default(),
            ledger_writable: Gauge::default(),
            ledger_behind: Gauge::default(),
            cosigned_size: Gauge::default(),
            cosigned_time: Gauge::default(),
            resident_memory: Gauge::default(),
            open_files: Gauge::default(),
            open_files_limit: Gauge::default(),
            disk_free: Gauge::default(),
            disk_size: Gauge::default(),
            started: Gauge::default(),
        };
        let mut registry = std::mem::take(&mut metrics.registry);
        registry.register("http_requests", "Requests answered, by endpoint and status", metrics.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the request's head to the answer's head",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register("http_connections", "Connections that are open", metrics.connections.clone());
        registry.register("http_connections_accepted", "Connections that were accepted", metrics.connections_accepted.clone());
        registry.register("http_requests_in_flight", "Requests under way", metrics.in_flight.clone());
        registry.register("http_panics", "Handlers that panicked: each is a defect", metrics.panics.clone());
        registry.register("tls_handshakes_failed", "TLS handshakes that came to nothing", metrics.tls_failures.clone());
        registry.register("verdicts", "Answers to questions, by verdict", metrics.verdicts.clone());
        registry.register("submissions", "Submissions, by what became of them", metrics.submissions.clone());
        registry.register("throttled", "Requests that were put off, by reason", metrics.throttled.clone());
        registry.register("unauthorised", "Requests refused for their token or role, by reason", metrics.unauthorised.clone());
        registry.register_with_unit("http_bodies", "Request bodies in memory", Unit::Bytes, metrics.body_bytes.clone());
        registry.register("ledger_frames", "Frames committed", metrics.frames.clone());
        registry.register("ledger_entries", "Entries committed", metrics.entries.clone());
        let help = "From the signing of a frame to its publication";
        registry.register_with_unit("ledger_commit_duration", help, Unit::Seconds, metrics.commit_seconds.clone());
        registry.register("ledger_size", "Leaves of the published log", metrics.ledger_size.clone());
        registry.register_with_unit("ledger_newest", "Time of the newest leaf since 1970", Unit::Seconds, metrics.ledger_time.clone());
        registry.register("ledger_writable", "1 if submissions are decided, 0 if the ledger refuses to sign", metrics.ledger_writable.clone());
        registry.register("ledger_behind", "1 if more was signed elsewhere than this copy has", metrics.ledger_behind.clone());
        registry.register("cosigned_size", "Leaves of the newest checkpoint that enough witnesses cosigned", metrics.cosigned_size.clone());
        let help = "When the first of them saw that checkpoint since 1970";
        registry.register_with_unit("cosigned_newest", help, Unit::Seconds, metrics.cosigned_time.clone());
        registry.register_with_unit("resident_memory", "Resident memory of the process", Unit::Bytes, metrics.resident_memory.clone());
        registry.register("open_files", "Files and sockets of the process", metrics.open_files.clone());
        registry.register("open_files_limit", "Files and sockets that the system allows the process", metrics.open_files_limit.clone());
        registry.register_with_unit("disk_size", "All space where the data directory lies", Unit::Bytes, metrics.disk_size.clone());
        registry.register_with_unit("disk_free", "Free space where the data directory lies", Unit::Bytes, metrics.disk_free.clone());
        registry.register_with_unit("started", "When the process began to serve since 1970", Unit::Seconds, metrics.started.clone());
        metrics.registry = registry;
        metrics
    }

    /// All of it as text (`application/openmetrics-text; version=1.0.0`).
    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => unreachable!("writing to memory failed: {error}"),
        }
    }
}
