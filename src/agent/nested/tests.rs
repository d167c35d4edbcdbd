use std::cell::RefCell;
use std::rc::Rc;

use tokio::task::LocalSet;
use tokio::time::sleep;

use super::*;
use crate::discovery::identity::Identity;
use crate::discovery::nested::Passes;
use crate::discovery::path::PathResult;
use crate::domain::mtu::PathMtu;
use crate::domain::search::{Outcome, Verdict};
use crate::domain::topology::NetnsIx;
use crate::domain::topology::sample::{Docker, machine, pod};

const INTERVAL: Duration = Duration::from_mins(1);

/// A node with one pod and a docker container in each of so many levels in it; a namespace's inode is its position.
fn look(levels: usize, bytes: u32) -> Look {
    let mut sample = machine(1500);
    let (mut netns, _) = pod(&mut sample, 1450);
    for _ in 0..levels {
        netns = Docker::start(&mut sample, netns, bytes).container;
    }
    let identity = |(NetnsIx(position), _)| Identity {
        id: position.to_string(),
        inode: u64::try_from(position).ok(),
        ..Identity::default()
    };
    let identities = sample.topology().iter().map(identity).collect();
    Look::sample(sample.topology().clone(), identities)
}

fn path(address: &str, bytes: u16) -> Path {
    let path_mtu = PathMtu::new(bytes).unwrap();
    let outcome = Outcome {
        verdict: Verdict::Exact { path_mtu },
        limited_by: None,
        probes_sent: 9,
        bytes_sent: 9000,
        flights: 2,
        rtt: None,
        loss: None,
        ptbs_ignored: 0,
        elapsed: Duration::ZERO,
    };
    Path::new("registry".into(), Some(address.parse().unwrap()), PathResult::Searched(outcome))
}

fn wall() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A follower whose probes answer what `passes` holds.
struct Run {
    nested: Nested,
    tuned: watch::Sender<BTreeSet<u64>>,
    /// Inodes in the order in which they were probed.
    probed: Rc<RefCell<Vec<u64>>>,
    passes: Rc<RefCell<Passes>>,
}

impl Run {
    fn new() -> Self {
        let (tuned, follower) = watch::channel(BTreeSet::new());
        let probed = Rc::<RefCell<Vec<u64>>>::default();
        let passes = Rc::new(RefCell::new(Passes::Full));
        let (asked, answer) = (Rc::clone(&probed), Rc::clone(&passes));
        let probe = move |netns: NestedNetns, targets: Vec<NestedTarget>| {
            asked.borrow_mut().push(netns.inode);
            let passes = answer.borrow().clone();
            async move {
                let to = targets.first().map(|it| (it.target.clone(), it.address));
                let mtu = netns.mtu.and_then(|mtu| mtu.as_path_mtu().ok());
                vec![NestedProbe { to, mtu, passes }]
            }
        };
        let nested = Nested::follow_by(probe, follower, "node-1".into(), wall);
        Self { nested, tuned, probed, passes }
    }

    /// What is told of each namespace: its position, level, and whether it is verified.
    fn told(&mut self, look: &Look, paths: &[Path]) -> Vec<(usize, u8, Option<bool>)> {
        let told = self.nested.paths(look, paths, INTERVAL).into_iter();
        told.map(|it| (it.netns.0, it.level, it.probe.passes.is_verified())).collect()
    }
}

/// In paused time; nothing is waited for but what there is to tell.
async fn run(test: impl AsyncFnOnce(Run)) {
    LocalSet::new().run_until(async { test(Run::new()).await }).await;
}

#[tokio::test(start_paused = true)]
async fn only_tuned_namespaces_are_probed_and_told_of() {
    run(async |mut run| {
        let (look, paths) = (look(2, 1450), [path("192.0.2.1", 1450)]);
        assert_eq!(run.told(&look, &paths), []);
        sleep(INTERVAL * 3).await;
        assert_eq!(*run.probed.borrow(), [0_u64; 0]);

        // 0 is the host, and 99 is not there.
        run.tuned.send_replace([0, 2, 3, 99].into());
        run.nested.next().await;
        assert_eq!(run.told(&look, &paths), [(2, 2, None), (3, 3, None)], "unknown as yet");
        run.nested.next().await;
        assert_eq!(run.told(&look, &paths), [(2, 2, Some(true)), (3, 3, None)]);
        run.nested.next().await;
        assert_eq!(run.told(&look, &paths), [(2, 2, Some(true)), (3, 3, Some(true))]);
        assert_eq!(*run.probed.borrow(), [2, 3]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_target_that_answers_nothing_is_probed_and_that_is_said() {
    run(async |mut run| {
        let look = look(1, 1450);
        run.tuned.send_replace([2].into());
        let told = run.nested.paths(&look, &[], INTERVAL);
        sleep(INTERVAL * 3).await;
        assert_eq!(*run.probed.borrow(), [0_u64; 0]);
        let [NestedPath { probe: NestedProbe { to: None, passes: Passes::Unknown { why }, .. }, .. }] =
            &told[..]
        else {
            panic!("{told:?}")
        };
        assert!(why.contains("no target"), "{why}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_the_same_again_is_no_news_and_what_is_not_is() {
    run(async |mut run| {
        let (look, paths) = (look(1, 1450), [path("192.0.2.1", 1450)]);
        run.tuned.send_replace([2].into());
        run.told(&look, &paths);
        run.nested.next().await;
        assert_eq!(run.told(&look, &paths), [(2, 2, Some(true))]);
        let narrower = Passes::Narrower { path_mtu: PathMtu::new(1400).unwrap() };
        let later = async {
            sleep(INTERVAL * 5).await;
            run.passes.replace(narrower);
        };
        tokio::join!(run.nested.next(), later);
        assert_eq!(run.told(&look, &paths), [(2, 2, Some(false))]);
        assert_eq!(run.probed.borrow().len(), 6, "once in each interval");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_found_counts_no_more_once_the_mtu_or_the_target_is_another() {
    run(async |mut run| {
        let paths = [path("192.0.2.1", 1450)];
        run.tuned.send_replace([2].into());
        let began = clock();
        for (look, paths) in [
            (look(1, 1450), &paths[..]),
            (look(1, 1400), &paths),
            (look(1, 1400), &[path("192.0.2.1", 1400)]),
            (look(1, 1400), &[path("192.0.2.2", 1400)]),
        ] {
            assert_eq!(run.told(&look, paths), [(2, 2, None)]);
            run.nested.next().await;
            assert_eq!(run.told(&look, paths), [(2, 2, Some(true))]);
        }
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "at once, but for a second between two that are told"
        );
        assert_eq!(run.probed.borrow().len(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_hundred_that_appear_at_once_are_told_of_in_some_fifty_surveys() {
    run(async |mut run| {
        let (look, paths) = (look(200, 1450), [path("192.0.2.1", 1450)]);
        run.tuned.send_replace((2..=201).collect());
        run.told(&look, &paths);
        let (began, mut surveys) = (clock(), 0);
        while run.told(&look, &paths).iter().any(|(.., verified)| verified.is_none()) {
            run.nested.next().await;
            surveys += 1;
        }
        assert_eq!(*run.probed.borrow(), (2..=201).collect::<Vec<_>>());
        assert!((45..=52).contains(&surveys) && began.elapsed() <= Duration::from_secs(51), "{surveys}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn containers_that_end_meanwhile_are_forgotten() {
    run(async |mut run| {
        let (all, fewer, paths) = (look(3, 1450), look(1, 1450), [path("192.0.2.1", 1450)]);
        run.tuned.send_replace([2, 3, 4].into());
        run.told(&all, &paths);
        run.nested.next().await;
        assert_eq!(run.told(&fewer, &paths), [(2, 2, Some(true))]);
        sleep(INTERVAL * 2).await;
        let last = run.probed.borrow().len();
        assert!(
            run.probed.borrow()[1..].iter().filter(|inode| **inode != 2).count() <= 1,
            "{:?}",
            run.probed
        );
        run.tuned.send_replace(BTreeSet::new());
        assert_eq!(run.told(&fewer, &paths), []);
        sleep(INTERVAL * 2).await;
        assert_eq!(run.probed.borrow().len(), last);
    })
    .await;
}
