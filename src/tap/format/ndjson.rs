//! One JSON object a line: product format of `POST /v1/records` and of `.ndjson` files.

use std::fmt;
use std::io::{self, BufRead};

use super::explain::explain;
use crate::record::Record;
use crate::tap::Reason;

/// A longer line, in bytes, is refused unread: a few thousand features fit.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// A line that is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The line, from 1.
    pub line: u64,
    /// How it is counted.
    pub reason: Reason,
    /// What was wrong with it.
    pub message: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// One line that held something.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its place in the input, from 1.
    pub number: u64,
    /// Its length in bytes.
    pub bytes: usize,
    /// The record, or why it is none.
    pub outcome: Result<Record, Rejection>,
}

/// Reads lines one by one, holding at most one of them.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    bytes_max: usize,
    number: u64,
    line: Vec<u8>,
}

/// The lines of bytes in memory, each at most `bytes_max` long; empty ones are skipped.
pub fn decode(bytes: &[u8], bytes_max: usize) -> impl Iterator<Item = Line> {
    // Reading from memory cannot fail.
    Lines::new(bytes, bytes_max).map_while(Result::ok)
}

impl<R: BufRead> Lines<R> {
    /// The lines of a reader, each at most `bytes_max` long; empty ones are skipped.
    pub const fn new(reader: R, bytes_max: usize) -> Self {
        Self { reader, bytes_max, number: 0, line: Vec::new() }
    }

    /// Reads to the end of a line, or of the input, keeping no more than the bound; answers its
    /// length without the line feed, nothing at the end.
    fn read_line(&mut self) -> io::Result<Option<usize>> {
        self.line.clear();
        let mut length = 0;
        let mut any = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(any.then_some(length));
            }
            any = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = available.get(..end.unwrap_or(available.len())).unwrap_or(available);
            let room = self.bytes_max.saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..room).unwrap_or(part));
            length += part.len();
            let read = part.len() + usize::from(end.is_some());
            self.reader.consume(read);
            if end.is_some() {
                return Ok(Some(length));
            }
        }
    }

    fn outcome(&self, bytes: usize) -> Result<Record, Rejection> {
        let reject = |reason, message| Err(Rejection { line: self.number, reason, message });
        if bytes > self.bytes_max {
            let message = format!("{bytes} bytes, expected at most {}", self.bytes_max);
            return reject(Reason::TooLarge, message);
        }
        match serde_json::from_slice(self.content()) {
            Ok(record) => Ok(record),
            Err(error) => reject(Reason::Malformed, explain::<Record>(self.content(), &error)),
        }
    }

    /// The line without the mark that some editors put before the first one.
    fn content(&self) -> &[u8] {
        let mark = if self.number == 1 { self.line.strip_prefix(b"\xef\xbb\xbf") } else { None };
        mark.unwrap_or(&self.line)
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let bytes = match self.read_line().transpose()? {
                Ok(bytes) => bytes,
                Err(error) => return Some(Err(error)),
            };
            self.number += 1;
            if !self.content().trim_ascii().is_empty() {
                return Some(Ok(Line { number: self.number, bytes, outcome: self.outcome(bytes) }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"ts":0,"model":"m","features":{"a":1}}"#;

    fn rejected(text: &[u8], max: usize) -> Vec<(u64, Reason)> {
        decode(text, max).filter_map(|l| l.outcome.err()).map(|r| (r.line, r.reason)).collect()
    }

    /// Each bad line is told by number and reason; its neighbours are records.
    #[test]
    fn bad_lines_stop_nobody() {
        let long = format!(r#"{{"ts":0,"model":"{}"}}"#, "m".repeat(200));
        let text = format!(
            "{GOOD}\n\nnot json\n{GOOD}\r\n{{\"ts\":0}}\n{long}\n{{\"ts\":0,\"model\":\"m\",\"x\":1}}\n{GOOD}"
        );
        assert_eq!(decode(text.as_bytes(), 100).filter(|l| l.outcome.is_ok()).count(), 3);
        let (malformed, too_large) = (Reason::Malformed, Reason::TooLarge);
        assert_eq!(
            rejected(text.as_bytes(), 100),
            [(3, malformed), (5, malformed), (6, too_large), (7, malformed)]
        );
        assert_eq!(rejected(b"\xff\xfe\n", 100), [(1, malformed)]);
    }

    /// A message says where in the line, in which field, and what was expected; a name of the sender's is
    /// cut and cannot end the line.
    #[test]
    fn messages() {
        let told = |line: &str| decode(line.as_bytes(), 500).next().unwrap().outcome.unwrap_err().message;
        for (rest, expected) in [
            (r#""ts":"soon""#, "column 25, `ts`: `soon` is not a time"),
            (
                r#""ts":0,"request_id":1.5"#,
                "`request_id`: invalid type: floating point `1.5`, expected a string or",
            ),
            (
                r#""ts":0,"dims":{"pod":true}"#,
                "`dims.pod`: invalid type: boolean `true`, expected a string or",
            ),
            (r#""ts":0,"features":{"a":NaN}"#, "`features.a`: expected value"),
            (r#""ts":0,"latency_ms":"12""#, "`latency_ms`: invalid type: string"),
            (r#""ts":0,"feature_status":{"a\nb":"lost"}"#, r"`feature_status.a\nb`: unknown variant `lost`"),
            (r#""version":"1""#, "missing field `ts`"),
            (r#""ts":0,"a\nb\u202e":1"#, r"unknown field `a\nb\u{202e}`, expected one of `ts`, `model`,"),
            (r#""ts":0,"status":"a\nb""#, r"unknown variant `a\nb`, expected"),
            (r#""ts":0,"status":"a\"b""#, r#"unknown variant `a"b`, expected"#),
        ] {
            let found = told(&format!(r#"{{"model":"m",{rest}}}"#));
            assert!(found.contains(expected) && found.starts_with("column "), "{found}");
            assert!(!found.contains('\n') && !found.contains('…'), "{found}");
        }
        let long = "a".repeat(400);
        for (rest, expected) in [
            (format!(r#""ts":"{long}""#), "a` is not a time, expected RFC 3339"),
            (format!(r#""ts":0,"status":"{long}""#), "a`, expected"),
            (format!(r#""ts":0,"{long}":1"#), "`seq`, `label`"),
        ] {
            let found = told(&format!(r#"{{"model":"m",{rest}}}"#));
            assert!(found.contains(expected), "{found}");
            assert!(found.chars().count() < 500, "{found}");
        }
        let long = told(&format!(r#"{{"ts":0,"model":"m","feature_ts":{{"{}":1.5}}}}"#, "a".repeat(300)));
        assert!(long.len() < 200 && long.contains("`feature_ts.aaa"), "{long}");
    }

    /// The bound is on the line, and a line of exactly that length is read; the mark is skipped.
    #[test]
    fn the_bound() {
        assert!(rejected(GOOD.as_bytes(), GOOD.len()).is_empty());
        assert_eq!(rejected(GOOD.as_bytes(), GOOD.len() - 1), [(1, Reason::TooLarge)]);
        assert!(rejected(format!("\u{feff}{GOOD}").as_bytes(), 100).is_empty());
    }

    proptest! {
        /// Whatever the bytes, every line with content gives exactly one outcome and nothing panics.
        #[test]
        fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty());
            let marks = bytes.starts_with(b"\xef\xbb\xbf");
            prop_assume!(!marks);
            prop_assert_eq!(decode(&bytes, 50).count(), lines.count());
        }

        /// However the reader cuts its input, the lines are the same.
        #[test]
        fn any_buffer_size(size in 1_usize..40) {
            let text = format!("{GOOD}\nbad\n{GOOD}\n");
            let reader = io::BufReader::with_capacity(size, text.as_bytes());
            let lines: Vec<Line> = Lines::new(reader, 100).map(Result::unwrap).collect();
            prop_assert_eq!(lines, decode(text.as_bytes(), 100).collect::<Vec<_>>());
        }
    }
}
