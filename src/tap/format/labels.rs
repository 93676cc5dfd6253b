//! One JSON object a line: labels that come later than the records that they are of.

use serde::Deserialize;

use super::explain::explain;
use crate::record::{Scalar, word};
use crate::units::Timestamp;

/// Requests of longer names are not waited for, in bytes.
pub const REQUEST_BYTES_MAX: usize = 1_024;

/// What turned out to be right for one row: one line of `POST /v1/labels`.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelLine {
    /// Which model; may be left out where one is watched.
    #[serde(default)]
    pub model: Option<String>,
    /// The request that was answered, an integer taken as its digits.
    #[serde(default, deserialize_with = "word")]
    pub request_id: Option<String>,
    /// The row within it; 0 unless said.
    #[serde(default)]
    pub row: u64,
    /// The truth.
    pub label: Scalar,
    /// When it came to be known; now unless said.
    #[serde(default)]
    pub ts: Option<Timestamp>,
}

/// A label with its request.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its line in the body, from 1.
    pub number: u64,
    /// The request.
    pub request: String,
    /// The rest.
    pub line: LabelLine,
}

/// The labels of a body, or the number of a line and what is wrong with it. Empty lines are skipped.
pub fn decode(body: &[u8], bytes_max: usize) -> impl Iterator<Item = Result<Named, String>> {
    let lines = body.split(|byte| *byte == b'\n').zip(1_u64..);
    lines.filter(|(line, _)| !line.iter().all(u8::is_ascii_whitespace)).map(move |(line, number)| {
        let parsed = parse(line, bytes_max).map(|(request, line)| Named { number, request, line });
        parsed.map_err(|why| format!("line {number}: {why}"))
    })
}

fn parse(line: &[u8], bytes_max: usize) -> Result<(String, LabelLine), String> {
    if line.len() > bytes_max {
        return Err(format!("{} bytes, expected at most {bytes_max}", line.len()));
    }
    let mut label: LabelLine =
        serde_json::from_slice(line).map_err(|error| explain::<LabelLine>(line, &error))?;
    match label.request_id.take() {
        Some(request) if request.len() <= REQUEST_BYTES_MAX => Ok((request, label)),
        Some(request) => {
            Err(format!("`request_id` of {} bytes, expected at most {REQUEST_BYTES_MAX}", request.len()))
        }
        None => Err("`request_id` is missing: nobody knows which row the label is of".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines in every spelling, and each mistake by its line, its place and what was expected.
    #[test]
    fn lines() {
        let body = concat!(
            "{\"request_id\":\"r\",\"row\":2,\"label\":1,\"ts\":5,\"model\":\"m\"}\n\n",
            "{\"request_id\":7,\"label\":\"good\"}\r\n",
            "{\"request_id\":\"r\"}\n{\"label\":1}\n{\"request_id\":\"r\",\"label\":1,\"rows\":2}\nnope\n",
            "{\"request_id\":\"0123456789012345678901234567890123456789012345678901234567890123456789\",\"label\":1}"
        );
        let found: Vec<_> = decode(body.as_bytes(), 80).collect();
        let Named { number: 1, request, line: first } = found[0].as_ref().unwrap() else {
            panic!("{found:?}")
        };
        assert_eq!((request.as_str(), first.row, &first.label), ("r", 2, &Scalar::Number(1.0)));
        assert_eq!((first.ts, first.model.as_deref()), (Some(Timestamp::from_millis(5)), Some("m")));
        let Named { number: 3, request, line: second } = found[1].as_ref().unwrap() else {
            panic!("{found:?}")
        };
        assert_eq!((request.as_str(), second.row, second.ts), ("7", 0, None));
        let expected = [
            ("line 4", "label"),
            ("line 5", "request_id"),
            ("line 6", "rows"),
            ("line 7", "expected"),
            ("line 8", "at most 80"),
        ];
        for (found, (line, what)) in found[2..].iter().zip(expected) {
            let error = found.as_ref().unwrap_err();
            assert!(error.starts_with(line) && error.contains(what) && !error.contains('\n'), "{error}");
        }
        assert_eq!(found.len(), 7);
    }
}
