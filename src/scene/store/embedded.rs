use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::keyspace::{Keyspace, error};
use crate::resp;
use crate::scene::Error;

/// The largest command.
const COMMAND_BYTES_MAX: usize = 512 * 1024;
/// Connections at once; beyond it further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// The pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A small server of Redis' protocol on loopback; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Embedded {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Embedded {
    pub(super) async fn start() -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Listen)?;
        let addr = listener.local_addr().map_err(Error::Listen)?;
        Ok(Self { addr, task: tokio::spawn(accept(listener)) })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener) {
    let keys = Arc::new(Mutex::new(Keyspace::default()));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let session = Session { keys: Arc::clone(&keys), buffer: BytesMut::new() };
                connections.spawn(async move {
                    if let Err(error) = serve(stream, session).await {
                        tracing::debug!(%error, "embedded store: connection ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "embedded store: accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, mut session: Session) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(16 * 1024);
    loop {
        input.clear();
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let (replies, goes_on) = session.feed(&input);
        stream.write_all(&replies).await?;
        if !goes_on {
            return stream.shutdown().await;
        }
    }
}

/// One connection, without its socket.
struct Session {
    keys: Arc<Mutex<Keyspace>>,
    buffer: BytesMut,
}

impl Session {
    /// Runs every whole command; the replies, and whether the connection goes on.
    fn feed(&mut self, input: &[u8]) -> (Bytes, bool) {
        self.buffer.extend_from_slice(input);
        let mut replies = BytesMut::new();
        let goes_on = self.run(&mut replies);
        (replies.freeze(), goes_on)
    }

    fn run(&mut self, replies: &mut BytesMut) -> bool {
        let refuse = |replies: &mut BytesMut, why: &str| {
            // An error reply that cannot be written leaves only the closing of the connection.
            let _ = resp::put(replies, &error(&format!("ERR Protocol error: {why}")));
            false
        };
        loop {
            let words = match resp::take(&mut self.buffer, COMMAND_BYTES_MAX) {
                Ok(None) => return true,
                Ok(Some(frame)) => match resp::words(frame) {
                    Some(words) => words,
                    None => return refuse(replies, "expected an array of strings"),
                },
                Err(why) => return refuse(replies, &why.to_string()),
            };
            let reply = self.keys.lock().unwrap_or_else(PoisonError::into_inner).run(&words);
            if resp::put(replies, &reply).is_err() {
                return refuse(replies, "the reply cannot be written");
            }
            if words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"QUIT")) {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn session() -> Session {
        Session { keys: Arc::new(Mutex::new(Keyspace::default())), buffer: BytesMut::new() }
    }

    fn check(commands: &[&str], expected: &str) {
        let mut session = session();
        let mut last = Bytes::new();
        for text in commands {
            let mut input = BytesMut::new();
            resp::put(&mut input, &resp::command(&text.split(' ').collect::<Vec<_>>())).unwrap();
            last = session.feed(&input).0;
        }
        assert_eq!(String::from_utf8_lossy(&last), expected, "{commands:?}");
    }

    /// Commands answer byte for byte as Redis does.
    #[test]
    fn commands_answer_like_redis() {
        check(&["PING"], "+PONG\r\n");
        check(&["SET k v", "GET k"], "$1\r\nv\r\n");
        check(&["GET k"], "$-1\r\n");
        check(&["HSET h a 1 b 2", "HSET h b 3 c 4"], ":1\r\n");
        check(&["HSET h a 1", "HMGET h a b"], "*2\r\n$1\r\n1\r\n$-1\r\n");
        check(&["HMGET none a"], "*1\r\n$-1\r\n");
        check(&["HSET h a 1", "HGETALL h"], "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
        check(&["HSET h a 1", "SET k v", "EXISTS h k x"], ":2\r\n");
        check(&["HSET h a 1", "DEL h x", "DBSIZE"], ":0\r\n");
        check(
            &["SET k v", "HGET k f"],
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        );
        check(&["HSET h a"], "-ERR wrong number of arguments for 'hset' command\r\n");
        check(&["HELLO 3"], "-NOPROTO unsupported protocol version\r\n");
        check(&["SELECT 1"], "-ERR DB index is out of range\r\n");
        check(&["FLUSHALL"], "-ERR unknown command 'FLUSHALL'\r\n");
        check(
            &["HMGET h a", "HMGET h a", "INFO commandstats"],
            "$61\r\n# Commandstats\r\ncmdstat_hmget:calls=2\r\ncmdstat_info:calls=1\r\n\r\n",
        );
    }

    /// The client that the service uses understands it, pipelines and all.
    #[tokio::test]
    async fn the_redis_client_understands_it() {
        let store = Embedded::start().await.unwrap();
        let client = redis::Client::open(format!("redis://{}", store.addr())).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut hset = redis::cmd("HSET");
        hset.arg("h").arg(&[("a", 1.5), ("b", 2.0)]);
        let added: u64 = hset.query_async(&mut connection).await.unwrap();
        assert_eq!(added, 2);
        let mut pipe = redis::pipe();
        for _ in 0..500 {
            pipe.cmd("HMGET").arg("h").arg("a").arg("x");
        }
        let read: Vec<Vec<Option<f64>>> = pipe.query_async(&mut connection).await.unwrap();
        assert_eq!((read.len(), &read[499]), (500, &vec![Some(1.5), None]));
        let unknown: redis::RedisResult<()> = redis::cmd("NOSUCH").query_async(&mut connection).await;
        assert!(unknown.unwrap_err().to_string().contains("unknown command"));
        let resp3 = redis::Client::open(format!("redis://{}/?protocol=resp3", store.addr())).unwrap();
        assert!(resp3.get_multiplexed_async_connection().await.is_err());
    }

    proptest! {
        /// No bytes make it panic, however they are cut, and what it answers is RESP2.
        #[test]
        fn arbitrary_bytes_never_panic(parts in proptest::collection::vec(
            prop_oneof![
                prop::sample::select(vec!["*1\r\n", "*2\r\n", "*3\r\n", "$1\r\nk\r\n", "$4\r\nHSET\r\n",
                    "$4\r\nINFO\r\n", "$3\r\nDEL\r\n", "$-1\r\n", "*0\r\n", "*-1\r\n", "PING\r\n"])
                    .prop_map(|text| text.as_bytes().to_vec()),
                proptest::collection::vec(any::<u8>(), 0..20),
            ], 0..30)) {
            let mut session = session();
            for part in &parts {
                let (replies, goes_on) = session.feed(part);
                let mut replies = BytesMut::from(&replies[..]);
                while resp::take(&mut replies, 1 << 20).unwrap().is_some() {}
                prop_assert!(replies.is_empty());
                if !goes_on { break; }
            }
        }
    }
}
