//! Who stops a demonstration gets it stopped: soon, with the fault taken back and no server left.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::support::{
    alone, children, ended, has, lives, path, room, signal, silentry, story, until, within,
};

/// From the signal to the end: requests in flight have 2 s, everything else is quick.
const SOON: Duration = Duration::from_secs(20);

/// Ctrl-C while the fault is on: the verdict says that the run was aborted, and the fault is restored
/// and proven gone; the redis-server that was started is gone too.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_in_the_fault() {
    let with_redis = has("redis-server", "SILENTRY_WITHOUT_REDIS").await;
    let baseline = path(&story().await.baseline());
    let _room = room().await;
    let mut command = silentry(["demo", "--json", "--baseline", &baseline]);
    command.env("SILENTRY_LOG", "silentry=info");
    let mut child = command.spawn().expect("the program starts");
    let pid = child.id().expect("it runs");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut said = Vec::new();
    within("the fault", async {
        while let Some(line) = log.next_line().await.expect("its log is read") {
            said.push(line);
            if said.last().is_some_and(|l| l.contains("FaultActive")) {
                return;
            }
        }
        panic!("it ended before the fault: {said:?}");
    })
    .await;
    let redis = children(pid, "redis-server").await;
    assert_eq!(redis.len(), usize::from(with_redis), "{redis:?}");

    signal("INT", pid).await;
    let stopped = tokio::time::timeout(SOON, async {
        let mut rest = String::new();
        while let Some(line) = log.next_line().await.expect("its log is read") {
            rest.push_str(&line);
            rest.push('\n');
        }
        (rest, ended(child).await)
    });
    let (log, ran) = stopped.await.expect("it ends soon");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let verdict: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!((&verdict["status"], &verdict["headline"]), (&"aborted".into(), &"inconclusive".into()));
    let because = verdict["hypothesis"]["because"].to_string();
    assert!(because.contains("interrupted"), "{because}");
    for act in ["Aborted", "FaultRestored", "FaultVerified"] {
        assert!(log.contains(act), "{act} is missing: {log}");
    }
    for pid in redis {
        assert!(!lives(pid).await, "redis-server {pid} is an orphan");
    }
}

/// Ctrl-C while the baseline is still being built: nothing to judge, and nothing left behind either.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_before_the_run() {
    if !has("redis-server", "SILENTRY_WITHOUT_REDIS").await {
        return;
    }
    let _alone = alone().await;
    let mut child = silentry(["demo", "--json"]).spawn().expect("the program starts");
    let pid = child.id().expect("it runs");
    let redis = until("its redis-server", || async { children(pid, "redis-server").await.pop() }).await;
    signal("INT", pid).await;
    let mut stderr = child.stderr.take().expect("piped");
    let stopped = tokio::time::timeout(SOON, async {
        let mut said = String::new();
        stderr.read_to_string(&mut said).await.expect("its log is read");
        (said, ended(child).await)
    });
    let (said, ran) = stopped.await.expect("it ends soon");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{said}");
    assert!(said.contains("stopped before the run began: interrupted"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    until("the end of its redis-server", || async { (!lives(redis).await).then_some(()) }).await;
}
