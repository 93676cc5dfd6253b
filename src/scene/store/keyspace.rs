use std::collections::BTreeMap;

use bytes::Bytes;

use crate::resp::Frame;

/// Bytes of keys and values beyond which nothing is stored.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 64;

/// The data and the commands of the embedded store, without any IO.
#[derive(Debug, Default)]
pub(super) struct Keyspace {
    entries: BTreeMap<Bytes, Value>,
    bytes: usize,
    calls: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
enum Value {
    Text(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
}

/// One command: its name, how many arguments it takes at least, and what it does.
struct Command {
    name: &'static str,
    arguments_min: usize,
    run: fn(&mut Keyspace, &[Bytes]) -> Frame,
}

/// Every command there is.
static COMMANDS: &[Command] = &[
    Command { name: "PING", arguments_min: 0, run: ping },
    Command { name: "HELLO", arguments_min: 0, run: hello },
    Command { name: "CLIENT", arguments_min: 1, run: |_, _| ok() },
    Command { name: "SELECT", arguments_min: 1, run: select },
    Command { name: "SET", arguments_min: 2, run: set },
    Command { name: "GET", arguments_min: 1, run: get },
    Command { name: "HSET", arguments_min: 3, run: hset },
    Command { name: "HGET", arguments_min: 2, run: hget },
    Command { name: "HMGET", arguments_min: 2, run: hmget },
    Command { name: "HGETALL", arguments_min: 1, run: hgetall },
    Command { name: "EXISTS", arguments_min: 1, run: exists },
    Command { name: "DEL", arguments_min: 1, run: del },
    Command { name: "DBSIZE", arguments_min: 0, run: |keys, _| integer(keys.entries.len()) },
    Command { name: "INFO", arguments_min: 0, run: info },
    Command { name: "QUIT", arguments_min: 0, run: |_, _| ok() },
];

impl Keyspace {
    /// Runs one command; anything wrong with it is answered as an error, as Redis does.
    pub(super) fn run(&mut self, words: &[Bytes]) -> Frame {
        let Some((name, arguments)) = words.split_first() else { return error("ERR empty command") };
        let Some(command) = COMMANDS.iter().find(|c| c.name.as_bytes().eq_ignore_ascii_case(name)) else {
            return error(&format!("ERR unknown command '{}'", printable(name)));
        };
        *self.calls.entry(command.name).or_insert(0) += 1;
        if arguments.len() < command.arguments_min {
            let name = command.name.to_lowercase();
            return error(&format!("ERR wrong number of arguments for '{name}' command"));
        }
        (command.run)(self, arguments)
    }

    fn hash(&self, key: &Bytes) -> Result<Option<&BTreeMap<Bytes, Bytes>>, Frame> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Hash(hash)) => Ok(Some(hash)),
            Some(Value::Text(_)) => Err(wrong_type()),
        }
    }

    fn remove(&mut self, key: &Bytes) -> bool {
        let removed = self.entries.remove(key);
        if let Some(value) = &removed {
            self.bytes = self.bytes.saturating_sub(key.len() + ENTRY_BYTES + value.bytes());
        }
        removed.is_some()
    }

    const fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes <= BYTES_MAX
    }
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Hash(hash) => hash.iter().map(|(k, v)| k.len() + v.len() + ENTRY_BYTES).sum(),
        }
    }
}

fn ping(_: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    arguments
        .first()
        .map_or_else(|| Frame::SimpleString("PONG".into()), |word| Frame::BulkString(word.clone()))
}

/// Speaks version 2 only, and says so to a client that would rather speak 3.
fn hello(_: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    if arguments.first().is_some_and(|version| version.as_ref() != b"2") {
        return error("NOPROTO unsupported protocol version");
    }
    let text = |word: &'static str| Frame::BulkString(word.into());
    Frame::Array(vec![text("server"), text("silentry"), text("proto"), Frame::Integer(2)])
}

fn select(_: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    if arguments.first().is_some_and(|db| db.as_ref() == b"0") {
        ok()
    } else {
        error("ERR DB index is out of range")
    }
}

fn set(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    let [key, value] = arguments else { return error("ERR syntax error") };
    keys.remove(key);
    let bytes = key.len() + ENTRY_BYTES + value.len();
    if !keys.has_room(bytes) {
        return out_of_memory();
    }
    keys.bytes += bytes;
    keys.entries.insert(owned(key), Value::Text(owned(value)));
    ok()
}

fn get(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    match arguments.first().and_then(|key| keys.entries.get(key)) {
        None => Frame::Null,
        Some(Value::Text(text)) => Frame::BulkString(text.clone()),
        Some(Value::Hash(_)) => wrong_type(),
    }
}

fn hset(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    let Some((key, pairs)) = arguments.split_first() else { return error("ERR syntax error") };
    if !pairs.len().is_multiple_of(2) {
        return error("ERR wrong number of arguments for 'hset' command");
    }
    let mut hash = match keys.hash(key) {
        Err(refusal) => return refusal,
        Ok(found) => found.cloned().unwrap_or_else(BTreeMap::new),
    };
    let before = hash.len();
    for pair in pairs.chunks_exact(2) {
        if let [field, value] = pair {
            hash.insert(owned(field), owned(value));
        }
    }
    let added = hash.len() - before;
    let value = Value::Hash(hash);
    let bytes = key.len() + ENTRY_BYTES + value.bytes();
    let held = keys.entries.get(key).map_or(0, |old| key.len() + ENTRY_BYTES + old.bytes());
    if bytes > held && !keys.has_room(bytes - held) {
        return out_of_memory();
    }
    keys.remove(key);
    keys.bytes += bytes;
    keys.entries.insert(owned(key), value);
    integer(added)
}

fn hget(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    let [key, field] = arguments else { return error("ERR wrong number of arguments for 'hget' command") };
    match keys.hash(key) {
        Ok(hash) => text_or_null(hash.and_then(|hash| hash.get(field))),
        Err(refusal) => refusal,
    }
}

fn hmget(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    let Some((key, fields)) = arguments.split_first() else { return error("ERR syntax error") };
    match keys.hash(key) {
        Ok(hash) => Frame::Array(
            fields.iter().map(|field| text_or_null(hash.and_then(|hash| hash.get(field)))).collect(),
        ),
        Err(refusal) => refusal,
    }
}

fn hgetall(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    let [key] = arguments else { return error("ERR wrong number of arguments for 'hgetall' command") };
    match keys.hash(key) {
        Ok(None) => Frame::Array(Vec::new()),
        Ok(Some(hash)) => {
            let texts = hash.iter().flat_map(|(field, value)| [field, value]);
            Frame::Array(texts.map(|text| Frame::BulkString(text.clone())).collect())
        }
        Err(refusal) => refusal,
    }
}

fn exists(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    integer(arguments.iter().filter(|key| keys.entries.contains_key(*key)).count())
}

fn del(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    integer(arguments.iter().filter(|key| keys.remove(key)).count())
}

/// The sections that are asked for of `server`, `keyspace` and `commandstats`; without a name, as
/// in Redis, all but the last.
fn info(keys: &mut Keyspace, arguments: &[Bytes]) -> Frame {
    let asked = |section: &str| {
        arguments.iter().any(|word| {
            word.eq_ignore_ascii_case(section.as_bytes())
                || word.eq_ignore_ascii_case(b"all")
                || word.eq_ignore_ascii_case(b"everything")
        })
    };
    let mut text = String::new();
    if arguments.is_empty() || asked("server") {
        text.push_str("# Server\r\nredis_mode:standalone\r\nserver_name:silentry\r\n");
    }
    if arguments.is_empty() || asked("keyspace") {
        text.push_str(&format!("# Keyspace\r\ndb0:keys={},expires=0,avg_ttl=0\r\n", keys.entries.len()));
    }
    if asked("commandstats") {
        text.push_str("# Commandstats\r\n");
        for (name, calls) in &keys.calls {
            text.push_str(&format!("cmdstat_{}:calls={calls}\r\n", name.to_lowercase()));
        }
    }
    Frame::BulkString(text.into_bytes().into())
}

/// A copy: a slice would keep the whole read that it came with alive.
fn owned(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn ok() -> Frame {
    Frame::SimpleString("OK".into())
}

fn integer(n: usize) -> Frame {
    Frame::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn text_or_null(text: Option<&Bytes>) -> Frame {
    text.map_or(Frame::Null, |text| Frame::BulkString(text.clone()))
}

fn wrong_type() -> Frame {
    error("WRONGTYPE Operation against a key holding the wrong kind of value")
}

fn out_of_memory() -> Frame {
    error("OOM command not allowed when used memory > 'maxmemory'.")
}

/// An error reply; one line, whatever the client sent.
pub(super) fn error(text: &str) -> Frame {
    Frame::Error(printable(text.as_bytes()).into())
}

fn printable(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(128);
    shown.map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '?' }).collect()
}
