//! A feature store that speaks Redis' protocol: the user's own, a `redis-server` of ours, or the
//! embedded one, so that one command always works.

mod address;
mod embedded;
mod keyspace;
mod server;

pub use address::StoreAddress;

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::{Data, Error, STORE_FEATURES};
use embedded::Embedded;
use server::Server;

/// In a Redis of the user's, keys that a killed run left behind go away after this.
const LEASE_SECS: u32 = 24 * 60 * 60;
/// Commands sent at once while filling and clearing.
const PIPELINE: usize = 200;
/// The longest wait for one such pipeline, and for a connection.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer reasons are cut.
const REASON_CHARS_MAX: usize = 200;

/// Which store to use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// A Redis of the user's, `redis://[user:password@]host[:port][/db]`.
    Url(String),
    /// A `redis-server` found on PATH, else the embedded one.
    #[default]
    Auto,
    /// The embedded one.
    Embedded,
}

/// Which store it became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A Redis of the user's.
    User,
    /// A `redis-server` that was started here.
    RedisServer,
    /// The embedded server.
    Embedded,
}

/// A running store, filled with one hash a wine: `silentry:<its own>:wine:<id>`.
///
/// When it is dropped its own server ends; only [`Store::stop`] clears a Redis of the user's.
#[derive(Debug)]
pub struct Store {
    backing: Backing,
    address: StoreAddress,
    reads_before: u64,
    wines: Vec<i64>,
}

#[derive(Debug)]
enum Backing {
    User,
    RedisServer(Box<Server>),
    Embedded(#[expect(dead_code, reason = "held for its drop, which ends the server")] Embedded),
}

impl Store {
    /// Finds or starts a store and fills it.
    ///
    /// # Errors
    /// When the address is wrong, nothing answers there, or it refuses the data. A `redis-server`
    /// on PATH that does not come up is replaced by the embedded one, with a warning in the log.
    pub async fn start(choice: &Choice, data: &Data) -> Result<Self, Error> {
        let (backing, address) = match choice {
            Choice::Url(url) => (Backing::User, StoreAddress::parse(url)?),
            Choice::Auto => match own_server().await {
                Some(server) => {
                    let address = StoreAddress::at(server.addr())?;
                    (Backing::RedisServer(Box::new(server)), address)
                }
                None => embedded().await?,
            },
            Choice::Embedded => embedded().await?,
        };
        let wines = data.wines().iter().map(|wine| wine.id).collect();
        let mut store = Self { backing, address, reads_before: 0, wines };
        // Where nothing answers there is nothing to clean, and one error is enough.
        store.connect().await?;
        match store.fill_and_count(data).await {
            Ok(reads) => store.reads_before = reads,
            Err(error) => {
                // What is left of a Redis of the user's is cleaned; the first error is the one to tell.
                if let Err(error) = store.stop().await {
                    tracing::warn!(%error, "a store that could not be filled was not cleaned either");
                }
                return Err(error);
            }
        }
        Ok(store)
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> &StoreAddress {
        &self.address
    }

    /// Which store it became.
    #[must_use]
    pub const fn kind(&self) -> StoreKind {
        match self.backing {
            Backing::User => StoreKind::User,
            Backing::RedisServer(_) => StoreKind::RedisServer,
            Backing::Embedded(_) => StoreKind::Embedded,
        }
    }

    /// Reads of features since it was filled, from the server's own command statistics. In a Redis
    /// of the user's, HMGETs of others count too.
    ///
    /// # Errors
    /// When it does not answer, or its statistics were reset meanwhile.
    pub async fn reads(&self) -> Result<u64, Error> {
        let calls = self.hmget_calls().await?;
        calls.checked_sub(self.reads_before).ok_or_else(|| self.failed("command statistics were reset"))
    }

    /// Takes the features out of a Redis of the user's, or ends its own server.
    ///
    /// # Errors
    /// When the user's Redis does not answer: the keys then go away after a day by themselves.
    pub async fn stop(self) -> Result<(), Error> {
        if self.kind() == StoreKind::User {
            let mut connection = self.connect().await?;
            for wines in self.wines.chunks(PIPELINE) {
                let mut pipe = redis::pipe();
                pipe.cmd("DEL")
                    .arg(wines.iter().map(|wine| self.address.key(*wine)).collect::<Vec<_>>())
                    .ignore();
                self.run(&pipe, &mut connection).await?;
            }
        }
        match self.backing {
            Backing::RedisServer(server) => server.stop().await,
            Backing::User | Backing::Embedded(_) => Ok(()),
        }
    }

    async fn fill_and_count(&self, data: &Data) -> Result<u64, Error> {
        self.fill(data).await?;
        self.hmget_calls().await
    }

    async fn fill(&self, data: &Data) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        for wines in data.wines().chunks(PIPELINE) {
            let mut pipe = redis::pipe();
            for wine in wines {
                let fields: Vec<(&str, f64)> = STORE_FEATURES.into_iter().zip(wine.store).collect();
                pipe.cmd("HSET").arg(self.address.key(wine.id)).arg(&fields).ignore();
                if self.kind() == StoreKind::User {
                    pipe.cmd("EXPIRE").arg(self.address.key(wine.id)).arg(LEASE_SECS).ignore();
                }
            }
            self.run(&pipe, &mut connection).await?;
        }
        Ok(())
    }

    async fn hmget_calls(&self) -> Result<u64, Error> {
        let mut connection = self.connect().await?;
        let mut info = redis::cmd("INFO");
        info.arg("commandstats");
        let answer = tokio::time::timeout(ADMIN_TIMEOUT, info.query_async::<String>(&mut connection)).await;
        let text = match answer {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => return Err(self.failed(&error.to_string())),
            Err(_) => return Err(self.failed("no answer to INFO")),
        };
        // A server that was never asked does not list the command.
        let Some(line) = text.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls=")) else {
            return Ok(0);
        };
        let digits = line.split(',').next().unwrap_or(line).trim();
        digits.parse().map_err(|_| self.failed(&format!("command statistics `{line}`")))
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        self.address.connect(ADMIN_TIMEOUT).await.map_err(|error| self.failed(&error.to_string()))
    }

    async fn run(&self, pipe: &redis::Pipeline, to: &mut MultiplexedConnection) -> Result<(), Error> {
        match tokio::time::timeout(ADMIN_TIMEOUT, pipe.query_async::<()>(to)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed(&error.to_string())),
            Err(_) => Err(self.failed("no answer in time")),
        }
    }

    /// A pipeline's error tells of every command in it: the first says it all.
    fn failed(&self, reason: &str) -> Error {
        let reason = reason.chars().take(REASON_CHARS_MAX).collect();
        Error::Store { addr: self.address.host_port(), reason }
    }
}

async fn own_server() -> Option<Server> {
    match Server::start().await {
        Ok(server) => server,
        Err(error) => {
            tracing::warn!(%error, "using the embedded store instead");
            None
        }
    }
}

async fn embedded() -> Result<(Backing, StoreAddress), Error> {
    let embedded = Embedded::start().await?;
    let address = StoreAddress::at(embedded.addr())?;
    Ok((Backing::Embedded(embedded), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn dbsize(address: &StoreAddress) -> u64 {
        let mut connection = address.connect(ADMIN_TIMEOUT).await.unwrap();
        redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap()
    }

    async fn check(store: &Store, data: &Data) {
        assert_eq!(dbsize(store.address()).await, 1_599);
        assert_eq!(store.reads().await.unwrap(), 0);
        let mut connection = store.address().connect(ADMIN_TIMEOUT).await.unwrap();
        let wine = data.wines()[42];
        let mut hmget = redis::cmd("HMGET");
        let read: Vec<f64> = hmget
            .arg(store.address().key(42))
            .arg(&STORE_FEATURES[..])
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(read, wine.store);
        assert_eq!(store.reads().await.unwrap(), 1);
    }

    /// The embedded store holds every wine and counts its reads.
    #[tokio::test]
    async fn the_embedded_store_is_filled() {
        let data = Data::load().unwrap();
        let store = Store::start(&Choice::Embedded, &data).await.unwrap();
        assert_eq!(store.kind(), StoreKind::Embedded);
        check(&store, &data).await;
        store.stop().await.unwrap();
    }

    /// A `redis-server` on PATH is used and ended again; a store of the user's (here: that server)
    /// is filled, and cleared of our keys and no others. Without the program this fails unless
    /// SILENTRY_WITHOUT_REDIS=1 says that it is meant to be missing.
    #[tokio::test]
    async fn a_real_redis_is_filled_and_cleared() {
        let data = Data::load().unwrap();
        let own = Store::start(&Choice::Auto, &data).await.unwrap();
        if own.kind() == StoreKind::Embedded {
            let meant = std::env::var("SILENTRY_WITHOUT_REDIS").is_ok_and(|value| value == "1");
            assert!(meant, "no redis-server on PATH; set SILENTRY_WITHOUT_REDIS=1 if that is meant");
            return;
        }
        check(&own, &data).await;
        let url = format!("redis://{}", own.address());
        let mut connection = own.address().connect(ADMIN_TIMEOUT).await.unwrap();
        let _: () = redis::cmd("SET").arg("theirs").arg(1).query_async(&mut connection).await.unwrap();
        let user = Store::start(&Choice::Url(url.clone()), &data).await.unwrap();
        assert_eq!(user.kind(), StoreKind::User);
        check_lease(user.address(), &mut connection).await;
        assert_eq!(user.reads().await.unwrap(), 0, "reads of before do not count");
        // Another demo on the same Redis, which ends first, takes nothing of the first one's away.
        let second = Store::start(&Choice::Url(url.clone()), &data).await.unwrap();
        second.stop().await.unwrap();
        assert_eq!(dbsize(own.address()).await, 2 * 1_599 + 1);
        user.stop().await.unwrap();
        assert_eq!(dbsize(own.address()).await, 1_599 + 1, "the keys of others are left");
        let address = own.address().clone();
        own.stop().await.unwrap();
        assert!(address.connect(ADMIN_TIMEOUT).await.is_err(), "the server is gone");
        let error = Store::start(&Choice::Url(url), &data).await.unwrap_err();
        assert!(error.to_string().contains(&address.host_port()), "{error}");
    }

    async fn check_lease(address: &StoreAddress, connection: &mut MultiplexedConnection) {
        let ttl: i64 = redis::cmd("TTL").arg(address.key(0)).query_async(connection).await.unwrap();
        assert!(ttl > 0 && ttl <= i64::from(LEASE_SECS), "{ttl}");
    }
}
