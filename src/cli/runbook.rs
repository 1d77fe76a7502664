//! `fapiao runbook`: the manual's page for when something is the matter, in the program, because then the program is what is at hand.

use clap::Args;
use serde_json::json;

use super::{Exit, Failure, print};

const PAGE: &str = include_str!("../manual/runbook.md");

/// `fapiao runbook`
#[derive(Args)]
pub(super) struct Runbook {
    /// Code that `fapiao doctor` printed, name of an alert, or a word of a heading: only what is about it 诊断代码、告警名称或标题词语
    code: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The sections of the page: heading and text.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'))
}

/// The codes that a section is about, as its lines `Doctor:` and `Alert:` name them.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("Doctor: ").or_else(|| line.strip_prefix("Alert: ")));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Headings of the sections about a code of `fapiao doctor`.
pub(super) fn headings(code: &str) -> impl Iterator<Item = &'static str> {
    sections().filter(move |(_, text)| codes(text).any(|named| named == code)).map(|(heading, _)| heading)
}

impl Runbook {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let text = match &self.code {
            None => PAGE.to_owned(),
            Some(code) => {
                let is_about = |(_, text): &(&str, &str)| codes(text).any(|named| named == code);
                let word = code.to_lowercase();
                let is_of_word = |(heading, _): &(&str, &str)| heading.to_lowercase().contains(&word);
                let mut about: Vec<_> = sections().filter(is_about).collect();
                // Not everything that can be the matter has a code.
                if about.is_empty() {
                    about = sections().filter(is_of_word).collect();
                }
                about.iter().map(|(heading, text)| format!("## {heading}\n{text}")).collect::<Vec<_>>().join("\n")
            }
        };
        if text.is_empty() {
            let mut known: Vec<&str> = sections().flat_map(|(_, text)| codes(text)).collect();
            known.sort_unstable();
            known.dedup();
            return Err(Failure::Usage(format!("nothing is known of it by that name; there are: {}", known.join(", "))));
        }
        print(self.json, &json!({ "text": text }), text.trim_end())?;
        Ok(Exit::Fine)
    }
}
