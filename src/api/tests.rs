//! The API over real sockets on loopback: codes, bounds and time-outs.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::server::{Bounds, serve_within};
use super::*;
use crate::service::{Service, Setup};
use crate::units::Clock;

/// The largest body of records here.
const BODY_MAX: usize = 64 * 1024;
/// One record, compressed by gzip.
const GZIP: &str = "1f8b0800000000000203ab562a2956b232d051cacd4f49cd51b252ca55aae5020028e511a015000000";
/// 200,000 bytes of nothing, compressed by gzip.
const GZIP_BOMB: &str = "1f8b0800000000000203edc13101000000c2a0f54f6d067fa00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000080d7007b58e05c400d0300";

struct Served {
    addr: std::net::SocketAddr,
    url: String,
    http: reqwest::Client,
    handle: Handle,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    _service: Service,
}

/// A server without models; requests may take `request_timeout`.
async fn served(bounds: Bounds, request_timeout: Duration, token: Option<&str>) -> Served {
    let service = Service::start(Setup::in_memory(Vec::new(), Clock::real())).unwrap();
    let handle = service.handle();
    let bodies = Arc::new(Semaphore::new(guard::BODIES_MAX));
    let api = Api { service: handle.clone(), token: token.map(Token::new), bodies, request_timeout };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopping) = oneshot::channel::<()>();
    let router = routes(api, BODY_MAX);
    let server = tokio::spawn(async move {
        serve_within(listener, router, async { drop(stopping.await) }, bounds).await;
    });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    Served { addr, url: format!("http://{addr}"), http, handle, stop, server, _service: service }
}

async fn plain() -> Served {
    served(Bounds::default(), guard::REQUEST_TIMEOUT, None).await
}

impl Served {
    /// Status and code of a body sent in an encoding.
    async fn post(&self, path: &str, encoding: Option<&str>, body: Vec<u8>) -> (u16, String) {
        let mut request = self.http.post(format!("{}{path}", self.url)).body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let response = request.send().await.unwrap();
        let (status, id) = (response.status().as_u16(), response.headers().get("x-request-id").cloned());
        let json: serde_json::Value = response.json().await.unwrap();
        if status >= 400 {
            assert_eq!(json["request_id"], id.unwrap().to_str().unwrap(), "{json}");
        }
        (status, json["code"].as_str().unwrap_or("").to_owned())
    }

    fn lost(&self, reason: &str) -> u64 {
        self.handle.health().tap.rows_lost.get(reason).copied().unwrap()
    }

    /// Sends bytes as they are, and reads until the server closes.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// A zstd frame of 125 MiB in 4 KiB: a thousand blocks of one repeated byte.
fn zstd_bomb() -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for block in 0..1_000_u32 {
        let header = u32::from(block == 999) | 1 << 1 | (128 * 1024) << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b'x');
    }
    frame
}

fn check(found: (u16, String), status: u16, code: &str) {
    assert_eq!((found.0, found.1.as_str()), (status, code));
}

/// Bodies that are no records are told by status and code, and counted.
#[tokio::test]
async fn wrong_bodies_have_codes() {
    let api = plain().await;
    let post = async |body: &[u8]| api.post("/v1/records", None, body.to_vec()).await;
    check(post(b"").await, 202, "");
    check(post(b"\n \n").await, 202, "");
    check(post(b"{\n").await, 400, "malformed_records");
    check(post(b"\xff\xfe\x00").await, 400, "malformed_records");
    check(post(&[b'x'; BODY_MAX + 1]).await, 413, "body_too_large");
    assert_eq!((api.lost("malformed"), api.lost("too_large")), (2, 1));
    check(api.post("/v1/oip", None, b"[]".to_vec()).await, 400, "malformed_records");
    check(api.post("/v1/runs", None, b"\xff".to_vec()).await, 400, "bad_experiment");
    check(api.post("/v1/runs", None, b"name: x".to_vec()).await, 400, "bad_experiment");
    check(api.post("/v1/runs", None, vec![b' '; DOCUMENT_BYTES_MAX + 1]).await, 413, "body_too_large");
    check(api.post("/v1/runs/none/events", None, b"{}".to_vec()).await, 400, "bad_event");
    let ended = br#"{"act":"run_ended"}"#.to_vec();
    check(api.post("/v1/runs/none/events", None, ended).await, 404, "unknown_run");
    check(api.post("/v1/models/a/versions/2/accept", None, b"{}".to_vec()).await, 400, "bad_action");
    let ann = br#"{"who":"ann"}"#.to_vec();
    check(api.post("/v1/models/a/versions/2/accept", None, ann).await, 404, "unknown_model");
}

/// Encodings: those that are known are read, bombs end at the bound, and others are refused in words.
#[tokio::test]
async fn encodings() {
    let api = plain().await;
    let post = async |encoding: &str, body| api.post("/v1/records", Some(encoding), body).await;
    // It is read: nothing is watched here, and the answer says so.
    check(post("gzip", bytes(GZIP)).await, 400, "unknown_model");
    check(post("GZIP", bytes(GZIP)).await, 400, "unknown_model");
    check(post("identity", b"{}".to_vec()).await, 400, "malformed_records");
    check(post("gzip", bytes(GZIP_BOMB)).await, 413, "body_too_large");
    check(post("zstd", zstd_bomb()).await, 413, "body_too_large");
    check(post("gzip", b"no gzip".to_vec()).await, 400, "unreadable_body");
    check(post("gzip", bytes(&GZIP[..20])).await, 400, "unreadable_body");
    for unknown in ["br", "deflate", "gzip, gzip", "", "x\t"] {
        check(post(unknown, b"{}".to_vec()).await, 415, "unsupported_encoding");
    }
    assert_eq!(api.lost("too_large"), 2);
}

/// Paths with odd characters, methods that nobody serves, ids of callers.
#[tokio::test]
async fn paths_methods_and_ids() {
    let api = plain().await;
    let send = async |method: &str, path: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = api.http.request(method, format!("{}{path}", api.url)).header("x-request-id", "mine");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-request-id"], "mine");
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    };
    for (path, code) in [
        ("/v1/models/a%20b%2Fc%00%F0%9F%8D%B7", "unknown_model"),
        ("/v1/models/%ff", "bad_path"),
        ("/v1/models/a/versions/2%2F0/baseline", "unknown_model"),
        ("/v1/models/a/versions/%ff/baseline", "bad_path"),
        ("/v1/runs/..%2F..%2Fetc/verdict", "unknown_run"),
        ("/v1/gate/runs/%22", "unknown_run"),
        ("/nothing", "no_route"),
    ] {
        let (status, text) = send("GET", path).await;
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["code"], code, "{path}: {status} {text}");
    }
    assert_eq!(send("HEAD", "/healthz").await, (200, String::new()));
    for method in ["OPTIONS", "DELETE"] {
        let (status, text) = send(method, "/v1/alerts").await;
        assert!(status == 405 && text.contains("no_method"), "{status} {text}");
    }
    let answer =
        api.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-request-id: \r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-request-id: "), "{answer}");
}

/// Without the token nothing is taken, whatever the body, and what reads stays open.
#[tokio::test]
async fn the_token_comes_first() {
    let api = served(Bounds::default(), guard::REQUEST_TIMEOUT, Some("secret")).await;
    check(api.post("/v1/records", None, vec![b'x'; BODY_MAX + 1]).await, 401, "unauthorized");
    check(api.post("/v1/records", Some("br"), b"{}".to_vec()).await, 401, "unauthorized");
    let send = async |token: &str| {
        let request = api.http.post(format!("{}/v1/records", api.url)).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((send("wrong").await, send("secret").await), (401, 202));
    assert_eq!(api.http.get(format!("{}/v1/runs", api.url)).send().await.unwrap().status(), 200);
    let baseline = api.http.get(format!("{}/v1/models/a/versions/2/baseline", api.url)).send().await.unwrap();
    assert_eq!(baseline.status(), 401, "what a baseline tells of traffic is not for everybody");
    assert_eq!(api.lost("too_large"), 0);
}

/// A head that never ends and a body that dribbles lose their connections, in bounded time.
#[tokio::test]
async fn slow_senders_are_cut_off() {
    let short = Duration::from_millis(200);
    let api = served(Bounds { head_timeout: short, ..Bounds::default() }, short, None).await;
    assert_eq!(api.raw(b"GET /healthz HTTP/1.1\r\nhost:").await, "");
    let answer = api.raw(b"POST /v1/records HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too_slow"), "{answer}");
}

/// Connections beyond the bound wait until another ends; nobody is turned away.
#[tokio::test]
async fn connections_are_bounded() {
    let bounds = Bounds { connections_max: 1, ..Bounds::default() };
    let api = served(bounds, guard::REQUEST_TIMEOUT, None).await;
    let mut first = TcpStream::connect(api.addr).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 12];
    first.read_exact(&mut some).await.unwrap();
    let mut second = api.http.get(format!("{}/healthz", api.url)).send();
    let mut second = Box::pin(async { (&mut second).await.unwrap().status() });
    let waits = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
    assert!(waits.is_err(), "{waits:?}");
    drop(first);
    assert_eq!(second.await, 200);
}

/// The server ends at once beside an idle connection, and within its grace beside a stuck one.
#[tokio::test]
async fn stopping_does_not_hang() {
    for stuck in [&b""[..], b"POST /v1/records HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"] {
        let grace = if stuck.is_empty() { Duration::from_secs(600) } else { Duration::from_millis(200) };
        let bounds = Bounds { stop_grace: grace, ..Bounds::default() };
        let api = served(bounds, guard::REQUEST_TIMEOUT, None).await;
        let mut idle = TcpStream::connect(api.addr).await.unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut some = [0; 12];
        idle.read_exact(&mut some).await.unwrap();
        idle.write_all(stuck).await.unwrap();
        api.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), api.server).await.unwrap().unwrap();
    }
}

/// Labels go through the same doors as records: a token, known encodings, bounded bodies; what is no label is told by
/// status and code.
#[tokio::test]
async fn labels_have_codes() {
    let api = plain().await;
    let post = async |body: &[u8]| api.post("/v1/labels", None, body.to_vec()).await;
    check(post(b"").await, 200, "");
    check(post(b"nope\n").await, 400, "malformed_labels");
    check(post(b"{\"request_id\":\"r\",\"label\":1,\"model\":\"m\"}").await, 400, "unknown_model");
    check(post(&vec![b' '; BODY_MAX + 1]).await, 413, "body_too_large");
    let metrics = api.handle.metrics().unwrap();
    for (outcome, n) in [("malformed", 1), ("unknown_model", 1)] {
        let line = format!(r#"silentry_labels_total{{model="",outcome="{outcome}"}} {n}"#);
        assert!(metrics.contains(&line), "no `{line}` in\n{metrics}");
    }
    assert!(metrics.contains("silentry_label_bodies_refused_total 1"), "{metrics}");
    check(api.post("/v1/labels", Some("br"), Vec::new()).await, 415, "unsupported_encoding");
    let guarded = served(Bounds::default(), guard::REQUEST_TIMEOUT, Some("secret")).await;
    check(guarded.post("/v1/labels", None, Vec::new()).await, 401, "unauthorized");
}
