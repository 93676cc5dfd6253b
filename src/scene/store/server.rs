use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::address::StoreAddress;
use crate::scene::Error;

/// The program that is looked for on PATH.
const PROGRAM: &str = "redis-server";
/// Another process may take the free port first: that many are tried.
const TRIES: u32 = 3;
/// The longest wait for it to answer.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two tries to connect while it starts.
const READY_PAUSE: Duration = Duration::from_millis(20);
/// The longest wait for one try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A `redis-server` of our own on loopback; killed when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    addr: SocketAddr,
    /// Dropped before the server, whose number another process may get.
    watchman: Option<Child>,
    child: Child,
    _dir: TempDir,
}

impl Server {
    /// Starts it; nothing when there is none on PATH.
    pub(super) async fn start() -> Result<Option<Self>, Error> {
        let mut last = String::new();
        for _ in 0..TRIES {
            let Some(mut server) = Self::spawn().await? else { return Ok(None) };
            match server.ready().await {
                Ok(()) => return Ok(Some(server)),
                Err(reason) => last = reason,
            }
        }
        Err(Error::StoreStart(format!("{PROGRAM} does not come up: {last}")))
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn stop(mut self) -> Result<(), Error> {
        if let Some(mut watchman) = self.watchman.take()
            && let Err(error) = watchman.kill().await
        {
            tracing::warn!(%error, "the watchman of {PROGRAM} cannot be stopped");
        }
        self.child.kill().await.map_err(|error| Error::StoreStart(format!("cannot stop {PROGRAM}: {error}")))
    }

    async fn spawn() -> Result<Option<Self>, Error> {
        let failed = |what: &str, error: std::io::Error| Error::StoreStart(format!("{what}: {error}"));
        let dir = TempDir::new().map_err(|error| failed("no temporary directory", error))?;
        let addr = free_port().await?;
        let child = Command::new(PROGRAM)
            .args(["--port", &addr.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: an interrupt at the terminal is for us, who still need the store to
            // show that the fault is gone.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        match child {
            Ok(child) => Ok(Some(Self { addr, watchman: watchman(&child), child, _dir: dir })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(PROGRAM, error)),
        }
    }

    /// Waits until this very process answers on the port.
    async fn ready(&mut self) -> Result<(), String> {
        let address = StoreAddress::at(self.addr).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            let reason = match process_id(&address).await {
                Ok(id) if id == self.child.id() => return Ok(()),
                Ok(id) => format!("port {} answers from process {id:?}", self.addr.port()),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                return Err(reason);
            }
            sleep(READY_PAUSE).await;
        }
    }
}

/// A shell that waits until our end of its input is closed, however we end, and then kills the server:
/// a SIGKILL leaves us no time to do it. Nothing when there is no shell; the server then outlives that.
fn watchman(server: &Child) -> Option<Child> {
    let id = server.id()?.to_string();
    let watchman = Command::new("/bin/sh")
        .args(["-c", "read -r _; kill -9 \"$1\"", "sh", &id])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    watchman.inspect_err(|error| tracing::debug!(%error, "no watchman for {PROGRAM}")).ok()
}

async fn process_id(address: &StoreAddress) -> Result<Option<u32>, redis::RedisError> {
    let mut connection = address.connect(CONNECT_TIMEOUT).await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    Ok(info.lines().find_map(|line| line.strip_prefix("process_id:")).and_then(|id| id.trim().parse().ok()))
}

async fn free_port() -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Listen)?;
    listener.local_addr().map_err(Error::Listen)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When this process dies without a word, its end of the watchman's pipe closes: the server goes.
    #[tokio::test]
    async fn the_watchman_outlives_us() {
        let Some(mut server) = Server::start().await.unwrap() else {
            let meant = std::env::var("SILENTRY_WITHOUT_REDIS").is_ok_and(|value| value == "1");
            assert!(meant, "no redis-server on PATH; set SILENTRY_WITHOUT_REDIS=1 if that is meant");
            return;
        };
        drop(server.watchman.as_mut().unwrap().stdin.take().unwrap());
        let ended = tokio::time::timeout(READY_TIMEOUT, server.child.wait()).await.unwrap().unwrap();
        assert!(!ended.success());
    }
}
