//! What happens to real processes: the shell plays every bad server there is.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test code, which may block"
)]

use std::sync::Arc;
use std::time::Duration;

use mcpc_plan::{Era as PlanEra, StartWhen};
use rustix::process::{Pid, Signal, kill_process, test_kill_process_group};
use tokio::time::{Instant, timeout};

use super::Upstream;
use super::fake::{permit, start, stdio, tool_call};
use super::tests::plain;
use crate::call::{Answer, Era, Leave, Reply};
use crate::failure::Failure;
use crate::status::UpstreamState;
use crate::{Reach, Real};

/// No end is waited for longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A legacy server in the shell. `$BEFORE` runs first, `$CALL` answers a call; both see `$id`.
const SERVER: &str = r#"
eval "$1"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  case $line in
  *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}}';;
  *'"notifications/'*) ;;
  *) eval "$2";;
  esac
done
eval "$3"
"#;

/// Answers with the process id.
const ANSWER: &str = r#"echo '{"jsonrpc":"2.0","id":'$id',"result":{"is":'$$'}}'"#;

/// Starts the server: what it does first, for a call, and at the end of its input.
fn shell(before: &str, call: &str, after: &str) -> Arc<Upstream> {
    let reach: Arc<dyn Reach> = Arc::new(Real::new().unwrap());
    let args = ["-c", SERVER, "server", before, call, after];
    start(
        stdio("/bin/sh", &args, StartWhen::Lazy),
        PlanEra::Legacy,
        &reach,
    )
}

async fn call(upstream: &Arc<Upstream>) -> Result<String, Failure> {
    let call = tool_call(Era::Legacy, Leave::Cancels, r#"{"name":"echo"}"#);
    match upstream.send(call, permit()).await? {
        Answer::Done(Reply::Result(bytes) | Reply::Error(bytes)) => Ok(plain(&bytes)),
        Answer::Stream(_) => panic!("a stream"),
    }
}

fn group(upstream: &Upstream) -> Pid {
    let id = upstream.state().pid.unwrap();
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// Waits until nothing of a process group is left.
async fn is_gone(group: Pid) -> bool {
    let gone = async {
        while test_kill_process_group(group).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.is_ok()
}

#[tokio::test]
async fn a_server_answers_and_ends_with_its_input() {
    let upstream = shell("", ANSWER, "");
    let first = call(&upstream).await.unwrap();
    assert_eq!(call(&upstream).await.unwrap(), first);
    let group = group(&upstream);
    let began = Instant::now();
    upstream.stop(Duration::from_secs(5)).await;
    assert!(is_gone(group).await);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_server_that_leaves_the_plan_while_it_starts_ends_with_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let (began, ended) = (folder.path().join("began"), folder.path().join("ended"));
    // It hears what it is asked, and never answers.
    let silent = format!(
        "touch '{}'; while IFS= read -r line; do :; done; touch '{}'; exit",
        began.display(),
        ended.display()
    );
    let upstream = shell(&silent, "", "");
    let calling = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { call(&upstream).await }
    });
    while !began.exists() {
        tokio::task::yield_now().await;
    }
    upstream.stop(Duration::ZERO).await;
    assert!(ended.exists(), "it is let finish, and waited for");
    assert_eq!(calling.await.unwrap(), Err(Failure::Stopped));
}

#[tokio::test]
async fn a_killed_server_fails_its_call_at_once_and_is_back_within_a_second() {
    let upstream = shell("", ":", "");
    let calling = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { call(&upstream).await }
    });
    while upstream.state().condition != UpstreamState::Ready {
        tokio::task::yield_now().await;
    }
    let first = group(&upstream);
    kill_process(first, Signal::KILL).unwrap();
    let began = Instant::now();
    assert_eq!(calling.await.unwrap(), Err(Failure::Closed));
    assert!(began.elapsed() < Duration::from_millis(200));
    let deadline = Instant::now() + Duration::from_secs(1);
    upstream.profile(deadline).await.unwrap();
    assert_ne!(group(&upstream), first);
    upstream.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn the_whole_tree_ends_although_it_ignores_everything_and_holds_the_pipes() {
    let before = r#"trap "" TERM; sh -c 'trap "" TERM; while :; do sleep 100; done' &"#;
    let upstream = shell(before, ANSWER, "while :; do sleep 100; done");
    call(&upstream).await.unwrap();
    let group = group(&upstream);
    // Returns at the end of the ladder at the latest; what it could not see end by then, ends all the same. How long
    // that takes beside a grace is held by a gateway of its own, in the tests of faults.
    timeout(PATIENCE, upstream.stop(Duration::ZERO))
        .await
        .unwrap();
    assert!(is_gone(group).await);
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_does_not_hide_a_death() {
    let upstream = shell("sleep 100 &", "kill -9 $$", "");
    let began = Instant::now();
    assert_eq!(call(&upstream).await, Err(Failure::Closed));
    assert!(began.elapsed() < Duration::from_secs(1));
    upstream.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_server_that_has_closed_a_pipe_is_gone_before_the_next_one_starts() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("lock");
    let before = format!("mkdir '{}' || exit 9", lock.display());
    let after = format!("rmdir '{}'", lock.display());
    // It ends with its input, but not before it has finished what it is at.
    let upstream = shell(&before, "exec >&-; sleep 1", &after);
    assert_eq!(call(&upstream).await, Err(Failure::Closed));
    let deadline = Instant::now() + PATIENCE;
    upstream.profile(deadline).await.unwrap();
    assert_eq!(upstream.state().restarts, 1);
    upstream.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_last_answer_before_the_end_is_heard() {
    let upstream = shell("", &format!("{ANSWER}; exit 0"), "");
    assert!(call(&upstream).await.is_ok());
    upstream.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_flood_of_talk_and_garbage_does_not_block_a_server() {
    let before = "head -c 4000000 /dev/zero >&2; echo hello; head -c 3000000 /dev/zero; echo";
    let upstream = shell(before, ANSWER, "");
    assert!(call(&upstream).await.is_ok());
    assert_eq!(
        upstream
            .health
            .ignored_lines
            .load(std::sync::atomic::Ordering::Relaxed),
        2
    );
    upstream.stop(Duration::ZERO).await;
}

/// The descriptors that this process itself was given to pass on, by whoever started it.
fn handed_down() -> Vec<String> {
    const CLOSES_ON_EXEC: u32 = 0o2_000_000;
    let names = std::fs::read_dir("/proc/self/fd").unwrap();
    names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{name}"))
                .ok()
                .and_then(|text| {
                    let line = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
                    u32::from_str_radix(line.trim(), 8).ok()
                });
            flags.is_some_and(|flags| flags & CLOSES_ON_EXEC == 0)
        })
        .collect()
}

#[tokio::test]
async fn a_server_sees_a_clean_environment_and_no_descriptor_of_the_gateway() {
    let answer = r#"
        names=$(env | cut -d= -f1 | sort | tr '\n' ' ')
        files=$(ls /proc/$$/fd | tr '\n' ' ')
        echo '{"jsonrpc":"2.0","id":'$id',"result":{"is":"'$names$files'"}}'"#;
    let upstream = shell("", answer, "");
    let seen = call(&upstream).await.unwrap();
    let handed_down = handed_down();
    for word in seen.trim_matches('"').split_whitespace() {
        let is_variable = [
            "PATH", "HOME", "LANG", "TMPDIR", "USER", "SHELL", "PWD", "OLDPWD", "SHLVL", "_",
        ]
        .contains(&word);
        // The shell itself holds a pipe to the substitution, and one descriptor beyond the first ten.
        let is_own = ["0", "1", "2", "3", "10"].contains(&word);
        let is_known = is_variable || is_own || handed_down.iter().any(|name| name == word);
        assert!(is_known, "{word} in {seen}");
    }
    upstream.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_unreachable_and_harms_nothing() {
    let reach: Arc<dyn Reach> = Arc::new(Real::new().unwrap());
    let transport = stdio("/nonexistent/server", &[], StartWhen::Lazy);
    let upstream = start(transport, PlanEra::Auto, &reach);
    assert_eq!(call(&upstream).await, Err(Failure::Unreachable));
    assert_eq!(upstream.state().condition, UpstreamState::Failing);
    upstream.stop(Duration::ZERO).await;
}
