//! Which calls are sent again, how often and how many of all, against scripted servers under a virtual
//! clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mcpc_plan::{Access, Balance, Retry};
use tokio::time::{Instant, sleep};

use super::Wish;
use super::fake::{Scripted, Seen, limits, timeouts, tool_call};
use super::replicas_tests::{Stage, TWO, Wanted};
use super::tests::{PARAMS, result};
use crate::call::{Call, Era, Leave};
use crate::failure::Failure;
use crate::list::{Terms, pages};
use crate::list_kind::Kind;

const RETRY: Option<Retry> = Some(Retry {
    attempts: 3,
    budget_percent: 20,
});

/// Servers that answer only every so many calls.
fn every(nth: usize) -> impl Fn(&str, &Seen) -> Option<Scripted> + Clone + use<> {
    let calls = Arc::new(AtomicUsize::new(0));
    move |name, seen| {
        let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
        Some(if number.is_multiple_of(nth) {
            Scripted::json(result(seen, &format!("{name:?}")))
        } else {
            Scripted::status(503)
        })
    }
}

fn repeatable() -> Call {
    let mut call = tool_call(Era::Modern, Leave::Cancels, PARAMS);
    call.is_repeatable = true;
    call
}

/// What changes nothing.
fn reading() -> Call {
    let mut call = tool_call(Era::Modern, Leave::Cancels, PARAMS);
    call.method = "resources/read".into();
    call
}

fn executed(stage: &mut Stage) -> usize {
    asked(stage, "tools/call")
}

fn asked(stage: &mut Stage, method: &str) -> usize {
    let seen = stage.records.iter_mut().flat_map(|record| {
        let seen = std::iter::from_fn(|| record.try_recv().ok());
        seen.filter(|seen| seen.method() == method)
            .collect::<Vec<_>>()
    });
    seen.count()
}

#[tokio::test(start_paused = true)]
async fn what_may_be_called_twice_is_sent_again_and_nothing_else() {
    for wanted in [&TWO[..1], &TWO[..]] {
        let balance = Balance::RoundRobin;
        let mut stage = Stage::ruled(Era::Modern, wanted, balance, RETRY, every(3));
        stage.ready(wanted.len()).await;
        assert!(stage.send(repeatable()).await.is_ok());
        assert_eq!(executed(&mut stage), 3);
        assert_eq!(stage.replicas.spent().sent, 2);

        let mut stage = Stage::ruled(Era::Modern, wanted, balance, RETRY, every(2));
        stage.ready(wanted.len()).await;
        assert_eq!(stage.asks().await, Err(Failure::Status(503)));
        assert_eq!(executed(&mut stage), 1, "it may have had its effect");
        assert_eq!(stage.replicas.spent().sent, 0);

        // Nor does a connection that ends under it make more of them.
        let closes = |_: &str, _: &Seen| Some(Scripted::closes());
        let mut stage = Stage::ruled(Era::Modern, wanted, balance, RETRY, closes);
        stage.ready(wanted.len()).await;
        assert_eq!(stage.send(reading()).await, Err(Failure::Closed));
        assert_eq!(asked(&mut stage, "resources/read"), 3);
        assert_eq!(stage.replicas.spent().sent, 2);

        let mut stage = Stage::ruled(Era::Modern, wanted, balance, None, every(2));
        stage.ready(wanted.len()).await;
        assert_eq!(stage.send(repeatable()).await, Err(Failure::Status(503)));
        assert_eq!(executed(&mut stage), 1, "nobody has allowed it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_could_not_be_sent_waits_for_its_server_as_long_as_it_may_try() {
    let stage = Stage::ruled(Era::Modern, &TWO[..1], Balance::RoundRobin, RETRY, every(1));
    stage.ready(1).await;
    stage.refuses(0, true);
    let began = Instant::now();
    let back = async {
        sleep(Duration::from_millis(20)).await;
        stage.refuses(0, false);
    };
    let (answer, ()) = tokio::join!(stage.asks(), back);
    assert_eq!(answer.as_deref(), Ok("a"));
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_always_fails_gets_few_calls_twice() {
    let attempts = Some(Retry {
        attempts: 10,
        budget_percent: 10,
    });
    let mut stage = Stage::ruled(
        Era::Modern,
        &TWO[..1],
        Balance::RoundRobin,
        attempts,
        every(1000),
    );
    stage.ready(1).await;
    stage
        .replicas
        .upstreams()
        .for_each(|upstream| upstream.obey(&mcpc_plan::Rules::default(), None));
    for _ in 0..20 {
        assert_eq!(stage.send(repeatable()).await, Err(Failure::Status(503)));
    }
    let sent = stage.replicas.spent().sent;
    assert!((10..=12).contains(&sent), "{sent}");
    assert_eq!(executed(&mut stage) as u64, 20 + sent);
    assert!(stage.replicas.spent().refused > 0);
}

/// Lists tools as a client's list does: how often servers were asked, and how often that counts as sent again.
async fn lists(wanted: &[Wanted], retry: Option<Retry>, fails: fn() -> Scripted) -> (usize, u64) {
    let script = move |_: &str, _: &Seen| Some(fails());
    let mut stage = Stage::ruled(Era::Modern, wanted, Balance::RoundRobin, retry, script);
    stage.ready(wanted.len()).await;
    let kind = Kind::Tools;
    let terms = Terms {
        name: "fake",
        timeouts: &timeouts(),
        limits: &limits(),
        access: Access::Open,
        is_sent_once: stage.replicas.retries(),
    };
    let until = Instant::now() + Duration::from_secs(10);
    let mut tries = stage.replicas.tries();
    loop {
        let upstream = tries.next_to_ask(Wish::List(kind));
        let part = pages(&terms, upstream, kind, until).await;
        let Err(failure) = part else {
            break;
        };
        if !tries.lists_on(failure, until).await {
            break;
        }
    }
    (
        asked(&mut stage, kind.method()),
        stage.replicas.spent().sent,
    )
}

#[tokio::test(start_paused = true)]
async fn a_list_is_sent_as_often_as_the_plan_says_and_each_time_is_counted() {
    let times = |attempts| {
        Some(Retry {
            attempts,
            budget_percent: 20,
        })
    };
    let unavailable = || Scripted::status(503);
    let refused = || Scripted::status(404);
    for (wanted, retry, fails, expected) in [
        (&TWO[..], times(3), Scripted::closes as fn() -> _, (3, 2)),
        (&TWO[..], times(3), unavailable, (3, 2)),
        (&TWO[..1], times(3), Scripted::closes, (3, 2)),
        (&TWO[..], times(1), Scripted::closes, (1, 0)),
        // It would be refused again, but another one may not.
        (&TWO[..], times(3), refused, (2, 1)),
        // Each is asked, and asked again if it closes a connection that it has kept.
        (&TWO[..], None, unavailable, (2, 0)),
        (&TWO[..], None, Scripted::closes, (4, 0)),
    ] {
        let seen = lists(wanted, retry.clone(), fails).await;
        assert_eq!(seen, expected, "{} of {retry:?}", wanted.len());
    }
}
