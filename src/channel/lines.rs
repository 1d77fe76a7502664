//! JSON objects one after the other, as they come in from a file, a pipe or a socket.

use std::io::{self, BufRead, Write};

use crossbeam_channel::{Receiver, TryRecvError};
use serde_json::{Value, json};

use super::json::DRAFT_BYTES_MAX;

/// Reads lines that are not blank. Of one that is longer than it may be, the rest is passed over.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    line: u64,
    limit: usize,
}

impl<R: BufRead> Lines<R> {
    /// Reads from `input`, of each line so many bytes.
    pub fn new(input: R, limit: usize) -> Lines<R> {
        Lines { input, line: 0, limit }
    }

    /// The next line that is not blank, with its number. One that is too long is cut a byte after what it may have.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let mut line = Vec::new();
            // With the two bytes that may end it.
            let read = io::Read::take(&mut self.input, self.limit as u64 + 2).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            let is_cut = read > self.limit + 1 && !line.ends_with(b"\n");
            if is_cut {
                line.truncate(self.limit + 1);
                self.pass_over()?;
            }
            if is_cut || !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.line, line)));
            }
        }
    }

    fn pass_over(&mut self) -> io::Result<()> {
        loop {
            let rest = self.input.fill_buf()?;
            let (passed, is_end) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (rest.len(), rest.is_empty()),
            };
            self.input.consume(passed);
            if is_end {
                return Ok(());
            }
        }
    }
}

/// Reads JSON objects that follow each other: one a line, or spread over lines. An object begins at the start of a line, so that one that is not
/// closed costs only itself.
#[derive(Debug)]
pub struct Drafts<R> {
    lines: Lines<R>,
    ahead: Option<(u64, Vec<u8>)>,
}

impl<R: BufRead> Drafts<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> Drafts<R> {
        Drafts { lines: Lines::new(input, DRAFT_BYTES_MAX), ahead: None }
    }

    /// The bytes of the next draft and the line on which it begins.
    pub fn next_draft(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Some((first, mut bytes)) = self.next_line()? else { return Ok(None) };
        while !is_closed(&bytes) && bytes.len() <= DRAFT_BYTES_MAX {
            match self.next_line()? {
                Some((at, line)) if line.starts_with(b"{") => {
                    self.ahead = Some((at, line));
                    break;
                }
                Some((_, line)) => bytes.extend_from_slice(&line),
                None => break,
            }
        }
        Ok(Some((first, bytes)))
    }

    /// The next line that is not blank, with its number. One longer than any draft is cut, and then is no JSON.
    fn next_line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        match self.ahead.take() {
            Some(ahead) => Ok(Some(ahead)),
            None => self.lines.next_line(),
        }
    }
}

/// The next of a queue; before it has to be waited for, whoever reads us gets all there is.
pub fn next_of<T>(queue: &Receiver<T>, out: &mut impl Write) -> io::Result<Option<T>> {
    match queue.try_recv() {
        Ok(next) => Ok(Some(next)),
        Err(TryRecvError::Disconnected) => Ok(None),
        Err(TryRecvError::Empty) => {
            out.flush()?;
            Ok(queue.recv().ok())
        }
    }
}

/// The last line of a stream that ended early: without a word it would pass for a whole one.
pub fn broken_off(zh: &str, en: &str) -> Value {
    json!({ "status": "broken_off", "zh": zh, "en": en })
}

/// Whether every brace that was opened outside of strings is closed again.
fn is_closed(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0i64, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    depth <= 0 && !in_string
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_apart_on_one_line_or_many() {
        let input = b"{\"a\":\"}{\"}\n\n{\n  \"b\": \"\\\"{\"\n}\n{\"open\": 1\n{\"c\":2}\nnoise\n";
        let mut drafts = Drafts::new(&input[..]);
        let mut seen = Vec::new();
        while let Some((line, bytes)) = drafts.next_draft().expect("memory") {
            seen.push((line, String::from_utf8(bytes).expect("UTF-8").replace('\n', "")));
        }
        let expected = [(1, "{\"a\":\"}{\"}"), (3, "{  \"b\": \"\\\"{\"}"), (6, "{\"open\": 1"), (7, "{\"c\":2}"), (8, "noise")];
        assert_eq!(seen, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let input = b"four\r\n\nfive5\n12345678901234567890\n     \n          \nlast";
        let mut lines = Lines::new(&input[..], 4);
        let mut seen = Vec::new();
        while let Some((line, bytes)) = lines.next_line().expect("memory") {
            seen.push((line, String::from_utf8(bytes).expect("UTF-8")));
        }
        // Five blanks and their end are blank; of ten, nobody looks whether the rest is.
        let expected = [(1, "four\r\n"), (3, "five5\n"), (4, "12345"), (6, "     "), (7, "last")];
        assert_eq!(seen, expected.map(|(line, text)| (line, text.to_owned())));
    }
}
