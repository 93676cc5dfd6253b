use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::scene::Error;

/// Where a store is and how to log in there; printed without the password.
#[derive(Clone)]
pub struct StoreAddress {
    host: String,
    port: u16,
    info: ConnectionInfo,
    /// The start of every key, so that the rest of a user's Redis, another demo's part of it among
    /// that, stays untouched.
    prefix: String,
}

impl StoreAddress {
    /// Reads `redis://[user:password@]host[:port][/db]`.
    ///
    /// # Errors
    /// [`Error::StoreUrl`] for anything else, TLS and sockets of the file system included.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| {
            let shown = url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned();
            Error::StoreUrl { url: shown, reason: reason.to_owned() }
        };
        let info = url.into_connection_info().map_err(|error| wrong(&error.to_string()))?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else {
            return Err(wrong("only plain TCP can be put behind the fault proxy"));
        };
        // The meter behind the proxy reads version 2 of the protocol.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        let prefix = format!("silentry:{}:wine:", uuid::Uuid::now_v7().simple());
        Ok(Self { host, port, info: info.set_redis_settings(settings), prefix })
    }

    /// A store without password.
    ///
    /// # Errors
    /// None for an address that is one.
    pub(super) fn at(addr: SocketAddr) -> Result<Self, Error> {
        Self::parse(&format!("redis://{addr}"))
    }

    /// `host:port`, as a proxy wants it.
    #[must_use]
    pub fn host_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The key of a wine's features; each address that is read has keys of its own.
    #[must_use]
    pub(in crate::scene) fn key(&self, wine: i64) -> String {
        format!("{}{wine}", self.prefix)
    }

    /// The same log-in, and the same keys, through a proxy.
    #[must_use]
    pub fn through(&self, proxy: SocketAddr) -> Self {
        let (host, port) = (proxy.ip().to_string(), proxy.port());
        let info = self.info.clone().set_addr(ConnectionAddr::Tcp(host.clone(), port));
        Self { host, port, info, prefix: self.prefix.clone() }
    }

    /// A new connection, made within `limit`; its replies have no time-out of their own.
    pub(in crate::scene) async fn connect(
        &self,
        limit: Duration,
    ) -> Result<MultiplexedConnection, redis::RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(None);
        let client = redis::Client::open(self.info.clone())?;
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host_port())
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses are read, and a password is never shown, in errors neither.
    #[test]
    fn addresses() {
        let address = StoreAddress::parse("redis://:secret@localhost:7000/2").unwrap();
        assert_eq!(address.host_port(), "localhost:7000");
        assert!(!format!("{address:?} {address}").contains("secret"));
        let through = address.through("127.0.0.1:9".parse().unwrap());
        assert_eq!(through.host_port(), "127.0.0.1:9");
        assert_eq!(through.info.redis_settings().db(), 2);
        for wrong in
            ["localhost:6379", "rediss://u:secret@x", "redis://u:secret@0.0.0.0", "unix:///tmp/r", ""]
        {
            let error = StoreAddress::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("expected such as") && !error.contains("secret"), "{error}");
        }
    }
}
