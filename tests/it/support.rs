//! What the end-to-end tests share: the program as a child process, the scene's baseline, and the
//! machine's cores.

use std::ffi::OsStr;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use silentry::baseline::Baseline;
use silentry::chaos::Experiment;
use silentry::lab::{Outcome, Plan, Quiet, rehearse};
use silentry::scene::Choice;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// Nothing that is waited for takes longer, unless the machine is ill.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at something that sends no event.
const LOOK: Duration = Duration::from_millis(20);

/// The machine: whoever measures latencies takes a half of it, whoever needs its cores takes all.
static MACHINE: Semaphore = Semaphore::const_new(2);

/// Room for a run at a hundred requests a second; two fit.
pub(crate) async fn room() -> SemaphorePermit<'static> {
    MACHINE.acquire().await.expect("never closed")
}

/// The machine alone, for work that keeps every core busy.
pub(crate) async fn alone() -> SemaphorePermit<'static> {
    MACHINE.acquire_many(2).await.expect("never closed")
}

/// An experiment file of the repository.
pub(crate) fn experiment(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("experiments/{name}.yaml"))
}

/// A folder of this name for one test's files, empty, below `target/`.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    match std::fs::remove_dir_all(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{}: {e}", path.display()),
        _ => std::fs::create_dir_all(&path).expect("target/ can be written"),
    }
    path
}

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; nothing when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program with these arguments, its output piped, without settings of the caller's.
pub(crate) fn silentry(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_silentry"));
    command.args(args).env_remove("SILENTRY_LOG").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub(crate) async fn ran(mut command: Command) -> Ran {
    ended(command.spawn().expect("the program starts")).await
}

/// What a child left, once it has ended.
pub(crate) async fn ended(child: Child) -> Ran {
    let output = within("the program's end", child.wait_with_output()).await.expect("its output is read");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
    }
}

/// Runs the program to its end.
pub(crate) async fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    ran(silentry(args)).await
}

/// The future's answer, or the test's failure: nothing hangs.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(answer) => answer,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// Looks until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    within(what, async {
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

/// Sends a signal to one process.
pub(crate) async fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().await;
    assert!(status.expect("kill runs").success(), "kill -{name} {pid}");
}

/// The processes of this name that `parent` started.
pub(crate) async fn children(parent: u32, name: &str) -> Vec<u32> {
    let table = Command::new("ps").args(["-A", "-o", "pid=,ppid=,comm="]).output().await.expect("ps runs");
    let table = String::from_utf8_lossy(&table.stdout);
    let rows = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (pid, ppid): (u32, u32) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (ppid == parent && words.next()?.contains(name)).then_some(pid)
    });
    rows.collect()
}

/// Whether there is still a process of this number that is more than a memory.
pub(crate) async fn lives(pid: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().await;
    let state = String::from_utf8_lossy(&state.expect("ps runs").stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

/// Whether a program is there; absent is a failure unless the variable says that it is meant.
pub(crate) async fn has(program: &str, variable: &str) -> bool {
    match Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await {
        Ok(_) => true,
        Err(error) => {
            let meant = std::env::var(variable).is_ok_and(|value| value == "1");
            assert!(meant, "{program}: {error}; install it (scripts/test-needs) or set {variable}=1");
            false
        }
    }
}

/// A `redis-server` that a test started, as a user would have.
pub(crate) struct Redis {
    child: Child,
    pub(crate) url: String,
}

impl Redis {
    /// Starts one on a free port; nothing where its absence is meant.
    pub(crate) async fn start() -> Option<Self> {
        if !has("redis-server", "SILENTRY_WITHOUT_REDIS").await {
            return None;
        }
        // A free port may be taken by another before the server has it.
        for _ in 0..5 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
            let port = free.local_addr().expect("bound").port();
            drop(free);
            let mut command = Command::new("redis-server");
            command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
            command.args(["--appendonly", "no", "--daemonize", "no"]).kill_on_drop(true);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().expect("redis-server starts");
            let mut said = String::new();
            let mut stdout = child.stdout.take().expect("piped");
            let mut part = [0; 4096];
            let ready = within("redis-server's readiness", async {
                loop {
                    let n = stdout.read(&mut part).await.expect("its output is read");
                    said.push_str(&String::from_utf8_lossy(&part[..n]));
                    if n == 0 || said.contains("eady to accept connections") {
                        return n > 0;
                    }
                }
            })
            .await;
            if ready {
                tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
                return Some(Self { child, url: format!("redis://127.0.0.1:{port}") });
            }
        }
        panic!("redis-server found no port");
    }

    /// One command's answer.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url.as_str()).expect("an address");
        let mut connection =
            within("a connection", client.get_multiplexed_async_connection()).await.expect("it answers");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        within("an answer", command.query_async(&mut connection)).await.expect("it answers")
    }

    /// How often the server was sent a command, by its own statistics.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let text: String = self.ask(&["INFO", "commandstats"]).await;
        let start = format!("cmdstat_{command}:calls=");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.map_or(0, |line| line.split(',').next().expect("a number").parse().expect("a number"))
    }

    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("redis-server ends");
    }
}

/// The main story, told once by the program itself with everything built anew.
pub(crate) struct Story {
    pub(crate) ran: Ran,
    /// Its `--out` folder.
    pub(crate) out: PathBuf,
}

impl Story {
    /// The one document of its standard output.
    pub(crate) fn verdict(&self) -> Value {
        serde_json::from_str(&self.ran.stdout).unwrap_or_else(|e| panic!("{e}: {:?}", self.ran))
    }

    /// The baseline that it built, for those who come later.
    pub(crate) fn baseline(&self) -> PathBuf {
        self.out.join("baseline.json")
    }
}

pub(crate) async fn story() -> &'static Story {
    static STORY: OnceCell<Story> = OnceCell::const_new();
    let tell = || async {
        let out = folder("story");
        let _alone = alone().await;
        let ran = run(["demo", "--short", "--json", "--out", &path(&out)]).await;
        Story { ran, out }
    };
    STORY.get_or_init(tell).await
}

/// A path as an argument.
pub(crate) fn path(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Runs an experiment of the repository in this process, short, with the story's baseline.
pub(crate) async fn rehearsed(name: &str, store: Choice, without: &[&str]) -> Outcome {
    let file = std::fs::read(story().await.baseline()).expect("the story left its baseline");
    let text = std::fs::read_to_string(experiment(name)).expect("the experiment is there");
    let plan = Plan {
        experiment: Experiment::read(&text).expect("it is sound"),
        store,
        without: without.iter().map(|name| (*name).to_owned()).collect(),
        short: true,
        baseline: Some(Baseline::read(&file).expect("a baseline")),
        progress: Arc::new(Quiet),
    };
    let _room = room().await;
    within("the rehearsal", rehearse(plan, std::future::pending())).await.expect("it can be run")
}

/// The lines of an NDJSON text.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}
