use std::net::Ipv4Addr;

use super::*;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const LIMIT: Duration = Duration::from_secs(20);

/// One connection through a proxy: both of its ends, held by the test.
struct Line {
    proxy: Proxy,
    client: TcpStream,
    upstream: TcpStream,
}

async fn line() -> Line {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let upstream = listener.local_addr().unwrap().to_string();
    let proxy = Proxy::start(LOOPBACK, upstream, None, Clock::real()).await.unwrap();
    let client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (upstream, _) = listener.accept().await.unwrap();
    upstream.set_nodelay(true).unwrap();
    Line { proxy, client, upstream }
}

fn latency(latency_ms: u64, jitter_ms: u64) -> FaultKind {
    FaultKind::StoreLatency {
        latency: Duration::from_millis(latency_ms),
        jitter: Duration::from_millis(jitter_ms),
    }
}

fn ratio(value: f64) -> Ratio {
    Ratio::new(value).unwrap()
}

impl Line {
    /// The upstream sends one byte a time, each only when the proxy has taken the one before.
    async fn send_one_by_one(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let before = self.proxy.stats().armed;
            self.upstream.write_all(&[*byte]).await.unwrap();
            while self.proxy.stats().armed == before {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn receive(&mut self, bytes: usize) -> Vec<u8> {
        let mut received = vec![0; bytes];
        tokio::time::timeout(LIMIT, self.client.read_exact(&mut received)).await.unwrap().unwrap();
        received
    }
}

/// Chunks that wait together are late once, not one after another, and a connection that was
/// there before the fault feels it.
#[tokio::test]
async fn delays_do_not_add_up() {
    let mut line = line().await;
    line.upstream.write_all(b"before").await.unwrap();
    assert_eq!(line.receive(6).await, b"before");
    line.proxy.inject(&latency(200, 0), ratio(1.0), 1).unwrap();
    let begin = Instant::now();
    let sent: Vec<u8> = (0..50).collect();
    line.send_one_by_one(&sent).await;
    assert_eq!(line.receive(50).await, sent);
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(took < Duration::from_millis(50 * 200 / 4), "{took:?}");
    let stats = line.proxy.stats();
    assert_eq!((stats.connections, stats.armed, stats.touched), (1, 50, 50));
}

/// Jitter wider than the gaps, and only half of the chunks touched: none overtakes another.
#[tokio::test]
async fn none_overtakes_another() {
    let mut line = line().await;
    line.proxy.inject(&latency(40, 40), ratio(0.5), 3).unwrap();
    let sent: Vec<u8> = (0..200).collect();
    line.send_one_by_one(&sent).await;
    assert_eq!(line.receive(200).await, sent);
    let stats = line.proxy.stats();
    assert!((60..140).contains(&stats.touched), "{stats:?}");
}

/// What the fault holds is released at once by restoring, and nothing is held after.
#[tokio::test]
async fn restore_releases_at_once() {
    let mut line = line().await;
    line.proxy.inject(&latency(3_600_000, 0), ratio(1.0), 1).unwrap();
    line.send_one_by_one(b"held").await;
    let nothing = line.client.try_read(&mut [0; 4]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    line.proxy.restore();
    assert_eq!(line.receive(4).await, b"held");
    line.upstream.write_all(b"after").await.unwrap();
    assert_eq!(line.receive(5).await, b"after");
}

/// Armed with a share of 0 the fault touches nothing: the sham.
#[tokio::test]
async fn a_sham_touches_nothing() {
    let mut line = line().await;
    line.proxy.inject(&latency(3_600_000, 0), ratio(0.0), 1).unwrap();
    line.send_one_by_one(b"through").await;
    assert_eq!(line.receive(7).await, b"through");
    let stats = line.proxy.stats();
    assert_eq!((stats.armed, stats.touched), (7, 0));
}

/// Megabytes pass in the time of the latency, whole; one chunk after the other would take minutes.
#[tokio::test]
async fn throughput_is_unharmed() {
    let Line { proxy, mut client, mut upstream } = line().await;
    proxy.inject(&latency(500, 0), ratio(1.0), 1).unwrap();
    let sent: Vec<u8> = (0..6_u32 * 1024 * 1024).map(|n| (n % 251) as u8).collect();
    let begin = Instant::now();
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        upstream.write_all(&copy).await.unwrap();
        upstream.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    tokio::time::timeout(LIMIT, client.read_to_end(&mut received)).await.unwrap().unwrap();
    let took = begin.elapsed();
    writer.await.unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    assert!(took >= Duration::from_millis(500), "{took:?}");
    let one_by_one = Duration::from_millis(500) * u32::try_from(proxy.stats().touched).unwrap();
    assert!(took < one_by_one / 20, "{took:?} of {one_by_one:?}");
}

/// An upstream that never stops sending is held back by the queue's bound.
#[tokio::test]
async fn the_queue_is_bounded() {
    let Line { proxy, client, mut upstream } = line().await;
    proxy.inject(&latency(3_600_000, 0), ratio(1.0), 1).unwrap();
    let block = vec![0; 64 * 1024];
    let mut written = 0;
    // The end of writing is the bound itself: a block that cannot be written for a second.
    while tokio::time::timeout(Duration::from_secs(1), upstream.write_all(&block)).await.is_ok() {
        written += block.len();
        assert!(written < 64 * 1024 * 1024, "nothing holds it back");
    }
    assert!(written > 1024 * 1024);
    drop(client);
}

/// The end of a stream comes after what is still held, in both directions.
#[tokio::test]
async fn ends_are_passed_on_in_order() {
    let Line { proxy, mut client, mut upstream } = line().await;
    proxy.inject(&latency(100, 0), ratio(1.0), 1).unwrap();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut asked = String::new();
    upstream.read_to_string(&mut asked).await.unwrap();
    upstream.write_all(b"answer").await.unwrap();
    drop(upstream);
    let mut answered = String::new();
    tokio::time::timeout(LIMIT, client.read_to_string(&mut answered)).await.unwrap().unwrap();
    assert_eq!((asked.as_str(), answered.as_str()), ("question", "answer"));
}

/// An upstream that is away closes the connection and is counted; a proxy that is dropped closes
/// its connections and frees its address.
#[tokio::test]
async fn ends_of_the_upstream_and_of_the_proxy() {
    let gone = TcpListener::bind(LOOPBACK).await.unwrap().local_addr().unwrap();
    let proxy = Proxy::start(LOOPBACK, gone.to_string(), None, Clock::real()).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let read = tokio::time::timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)));
    assert_eq!(proxy.stats().unreachable, 1);

    let mut line = line().await;
    let addr = line.proxy.addr();
    drop(line.proxy);
    let read = tokio::time::timeout(LIMIT, line.client.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)));
    assert!(TcpStream::connect(addr).await.is_err());
}
