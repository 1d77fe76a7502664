//! JSON objects one after the other, as they come in from a file, a pipe or a socket.

use std::io::{self, BufRead};

use super::json::DRAFT_BYTES_MAX;

/// Reads JSON objects that follow each other: one a line, or spread over lines. An object begins at the start of a line, so that one that is not
/// closed costs only itself.
#[derive(Debug)]
pub struct Drafts<R> {
    input: R,
    line: u64,
    ahead: Option<(u64, Vec<u8>)>,
}

impl<R: BufRead> Drafts<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> Drafts<R> {
        Drafts { input, line: 0, ahead: None }
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

    /// The next line that is not blank, with its number. A line longer than any draft is cut, and then is no JSON.
    fn next_line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        loop {
            let mut line = Vec::new();
            let read = io::Read::take(&mut self.input, DRAFT_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.line, line)));
            }
        }
    }
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
}
