//! What every decoder must hold to, whatever it is given. A target panics where it does not, and else says whether the input was accepted.
//!
//! Two programs run them: the fuzzer, for as long as one likes, and `tests/it/corpus.rs`, once over the committed corpus.

pub mod bytes;
pub mod draft;
pub mod http;
pub mod sealed;
pub mod text;

/// What is under test: the crate as it is, or the crate behind a wrapper with one bug per target, which shows that the target can find one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The crate.
    Sound,
    /// The crate with a planted bug.
    Planted,
}

impl Subject {
    /// Whether the bug is in.
    pub fn is_planted(self) -> bool {
        self == Subject::Planted
    }
}

/// Holds one input against the properties; whether it was accepted.
pub type Target = fn(&[u8], Subject) -> bool;

/// Every target; its corpus and its binary have the same name.
pub const TARGETS: [(&str, Target); 24] = [
    ("face", bytes::face),
    ("rest", bytes::rest),
    ("event", bytes::event),
    ("leaf", bytes::leaf),
    ("value", bytes::value),
    ("answer", bytes::answer),
    ("rows", bytes::rows),
    ("note", text::note),
    ("proof", text::proof),
    ("consistency", text::consistency),
    ("submission", text::submission),
    ("policy", text::policy),
    ("keyfile", sealed::keyfile),
    ("body", sealed::body),
    ("qr_signed", text::qr_signed),
    ("qr_classic", text::qr_classic),
    ("question", text::question),
    ("typed", text::typed),
    ("draft", draft::draft),
    ("upper", text::upper),
    ("scalar", text::scalar),
    ("answer_file", sealed::answer_file),
    ("row_file", sealed::row_file),
    ("request", http::request),
];
