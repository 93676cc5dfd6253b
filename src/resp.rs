//! Frames of Redis' protocol (RESP2), taken from a stream of bytes with bounds on size and nesting.
//!
//! `redis-protocol` decodes the frames. It does so by recursion, so a frame's extent and depth are
//! measured first: a few kilobytes of nested array headers would otherwise exhaust the stack.

use bytes::BytesMut;
pub use redis_protocol::resp2::types::BytesFrame as Frame;

/// The deepest nesting of arrays that is read; commands have 1, replies of any command here 2.
pub const DEPTH_MAX: usize = 8;

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// A frame beyond the bound in bytes.
    #[error("frame of more than {0} bytes")]
    TooLarge(usize),
    /// Arrays nested beyond [`DEPTH_MAX`].
    #[error("arrays nested more than {DEPTH_MAX} deep")]
    TooDeep,
    /// Not RESP2.
    #[error("not a RESP2 frame: {0}")]
    Malformed(String),
}

/// Takes the first whole frame off the buffer; nothing while it is incomplete.
///
/// # Errors
/// When the stream is not RESP2, or the frame is beyond `bytes_max` or [`DEPTH_MAX`]; the stream
/// cannot be read on after that.
pub fn take(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Frame>, Error> {
    let Some(len) = frame_len(buffer, bytes_max)? else {
        return if buffer.len() > bytes_max { Err(Error::TooLarge(bytes_max)) } else { Ok(None) };
    };
    let bytes = buffer.split_to(len).freeze();
    match redis_protocol::resp2::decode::decode_bytes(&bytes) {
        Ok(Some((frame, _))) => Ok(Some(frame)),
        Ok(None) => Err(Error::Malformed("its length and its content disagree".to_owned())),
        Err(error) => Err(Error::Malformed(error.to_string())),
    }
}

/// Writes a frame after what the buffer holds.
///
/// # Errors
/// When the frame cannot be written, such as a simple string with a line break.
pub fn put(buffer: &mut BytesMut, frame: &Frame) -> Result<(), Error> {
    redis_protocol::resp2::encode::extend_encode(buffer, frame, false)
        .map(|_| ())
        .map_err(|error| Error::Malformed(error.to_string()))
}

/// A command as clients send it: an array of bulk strings.
#[must_use]
pub fn command(words: &[&str]) -> Frame {
    Frame::Array(words.iter().map(|word| Frame::BulkString(word.as_bytes().to_vec().into())).collect())
}

/// The words of a command; nothing when the frame is not an array of strings.
#[must_use]
pub fn words(frame: Frame) -> Option<Vec<bytes::Bytes>> {
    let Frame::Array(items) = frame else { return None };
    items
        .into_iter()
        .map(|item| match item {
            Frame::BulkString(word) | Frame::SimpleString(word) => Some(word),
            _ => None,
        })
        .collect()
}

/// The length of the first frame in bytes, nothing while it is incomplete.
fn frame_len(buffer: &[u8], bytes_max: usize) -> Result<Option<usize>, Error> {
    // Elements still to come, one entry a level.
    let mut open: Vec<usize> = vec![1];
    let mut at = 0;
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        let Some((element, next)) = element(buffer, at, bytes_max)? else { return Ok(None) };
        at = next;
        if let Element::Array(items) = element {
            if open.len() > DEPTH_MAX {
                return Err(Error::TooDeep);
            }
            open.push(items);
        }
    }
    if at > bytes_max { Err(Error::TooLarge(bytes_max)) } else { Ok(Some(at)) }
}

enum Element {
    Whole,
    Array(usize),
}

/// The element that starts at `at`, and where the next one starts.
fn element(buffer: &[u8], at: usize, bytes_max: usize) -> Result<Option<(Element, usize)>, Error> {
    let rest = buffer.get(at..).unwrap_or(&[]);
    let Some((&kind, body)) = rest.split_first() else { return Ok(None) };
    if !b"+-:$*".contains(&kind) {
        return Err(Error::Malformed(format!("starts with byte {kind:#04x}")));
    }
    let Some(line) = body.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let after_line = at + 1 + line + 2;
    let text = body.get(..line).unwrap_or(&[]);
    match kind {
        b'*' => Ok(Some((Element::Array(length(text, bytes_max)?.unwrap_or(0)), after_line))),
        b'$' => match length(text, bytes_max)? {
            None => Ok(Some((Element::Whole, after_line))),
            Some(len) => bulk_end(buffer, after_line, len),
        },
        _ => Ok(Some((Element::Whole, after_line))),
    }
}

fn bulk_end(buffer: &[u8], start: usize, len: usize) -> Result<Option<(Element, usize)>, Error> {
    match buffer.get(start + len..start + len + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((Element::Whole, start + len + 2))),
        Some(_) => Err(Error::Malformed("a string is not followed by a line break".to_owned())),
    }
}

/// A declared length; nothing for -1, which is null.
fn length(text: &[u8], bytes_max: usize) -> Result<Option<usize>, Error> {
    if text == b"-1" {
        return Ok(None);
    }
    let wrong = || Error::Malformed(format!("length `{}`", String::from_utf8_lossy(text)));
    let digits = std::str::from_utf8(text).map_err(|_| wrong())?;
    if digits.is_empty() || digits.len() > 19 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let len: usize = digits.parse().map_err(|_| wrong())?;
    if len > bytes_max { Err(Error::TooLarge(bytes_max)) } else { Ok(Some(len)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A pipeline of commands comes out one by one, and a cut frame waits for its rest.
    #[test]
    fn frames_are_taken_one_by_one() {
        let mut buffer = BytesMut::from(&b"*2\r\n$4\r\nHGET\r\n$1\r\nk\r\n+OK\r\n$-1\r\n*1\r\n$3\r\nab"[..]);
        let first = take(&mut buffer, 1024).unwrap().and_then(words).unwrap();
        assert_eq!(first, ["HGET", "k"]);
        assert_eq!(take(&mut buffer, 1024).unwrap(), Some(Frame::SimpleString("OK".into())));
        assert_eq!(take(&mut buffer, 1024).unwrap(), Some(Frame::Null));
        assert_eq!(take(&mut buffer, 1024).unwrap(), None);
        buffer.extend_from_slice(b"c\r\n");
        assert_eq!(take(&mut buffer, 1024).unwrap(), Some(command(&["abc"])));
    }

    /// What would exhaust stack or memory is refused before it is decoded.
    #[test]
    fn bounds_are_kept() {
        let mut deep = BytesMut::from("*1\r\n".repeat(100_000).as_bytes());
        assert_eq!(take(&mut deep, 1 << 20), Err(Error::TooDeep));
        let mut large = BytesMut::from(&b"$999999999\r\n"[..]);
        assert_eq!(take(&mut large, 1024), Err(Error::TooLarge(1024)));
        let mut endless = BytesMut::from(vec![b'+'; 2000].as_slice());
        assert_eq!(take(&mut endless, 1024), Err(Error::TooLarge(1024)));
        for text in ["*-2\r\n", "$1\r\nabc", "hello\r\n", "$x\r\n"] {
            let mut buffer = BytesMut::from(text.as_bytes());
            assert!(matches!(take(&mut buffer, 1024), Err(Error::Malformed(_))), "{text:?}");
        }
    }

    proptest! {
        /// No bytes make the reader panic, and each step consumes or ends.
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(
            prop_oneof![3 => prop::sample::select(b"*$+-:\r\n0123".to_vec()), 1 => any::<u8>()], 0..200)) {
            let mut buffer = BytesMut::from(bytes.as_slice());
            let mut left = buffer.len();
            while let Ok(Some(_)) = take(&mut buffer, 100) {
                prop_assert!(buffer.len() < left);
                left = buffer.len();
            }
        }
    }
}
