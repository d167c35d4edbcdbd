use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn now() -> Instant {
    Instant::now()
}

/// A node's schedule, driven in virtual time: each probe takes `takes`, and tells something or not.
struct Drive {
    schedule: Schedule<&'static str>,
    began: Instant,
    now: Instant,
    takes: Duration,
    is_known: bool,
    under_way: Vec<(Instant, u64)>,
    /// When each probe began, and of which namespace.
    begun: Vec<(Duration, u64)>,
}

impl Drive {
    fn new(takes: Duration, is_known: bool) -> Self {
        let now = now();
        let schedule = Schedule::new("node-1", now);
        Self { schedule, began: now, now, takes, is_known, under_way: Vec::new(), begun: Vec::new() }
    }

    fn want(&mut self, inodes: impl IntoIterator<Item = u64>, is_of: &'static str) {
        self.schedule.want(inodes.into_iter().map(|inode| (inode, is_of)), MINUTE, self.now);
    }

    fn run(&mut self, until: Duration) {
        let end = self.began + until;
        loop {
            while let Some((inode, _)) = self.schedule.poll(self.now) {
                self.begun.push((self.now - self.began, inode));
                self.under_way.push((self.now + self.takes, inode));
                assert!(self.under_way.len() <= AT_ONCE, "{}", self.under_way.len());
            }
            let over = self.under_way.first().map(|(over, _)| *over);
            let next = [over, self.schedule.poll_timeout()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next;
            if over == Some(next) {
                let (_, inode) = self.under_way.remove(0);
                self.schedule.done(inode, self.is_known, next);
            }
        }
        self.now = end;
    }

    fn gaps(&self) -> Vec<Duration> {
        gaps(self.begun.iter().map(|(at, _)| *at))
    }

    fn of(&self, inode: u64) -> Vec<Duration> {
        self.begun.iter().filter(|(_, it)| *it == inode).map(|(at, _)| *at).collect()
    }
}

/// From each to the next.
fn gaps(times: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
    let times: Vec<_> = times.into_iter().collect();
    times.windows(2).map(|pair| pair[1].abs_diff(pair[0])).collect()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn two_hundred_fresh_ones_are_probed_one_after_the_other_each_once() {
    let mut drive = Drive::new(millis(5), true);
    drive.want(1..=200, "new");
    drive.run(Duration::from_secs(50));
    assert_eq!(
        drive.begun.iter().map(|(_, inode)| *inode).collect::<Vec<_>>(),
        (1..=200).collect::<Vec<_>>()
    );
    assert!(drive.gaps().iter().all(|gap| *gap == FRESH));
}

#[test]
fn slow_ones_are_under_way_four_at_a_time() {
    let mut drive = Drive::new(Duration::from_secs(2), true);
    drive.want(1..=20, "new");
    drive.run(Duration::from_secs(3));
    let expected = [0, 250, 500, 750, 2000, 2250, 2500, 2750].map(millis);
    assert_eq!(drive.begun.iter().map(|(at, _)| *at).collect::<Vec<_>>(), expected);
}

#[test]
fn who_came_first_is_probed_first_and_new_ones_before_those_that_were_probed() {
    let mut drive = Drive::new(millis(5), true);
    drive.want([9], "new");
    drive.run(Duration::from_secs(59));
    drive.want([3, 9], "new");
    drive.run(Duration::from_mins(1));
    drive.want([1, 3, 9], "new");
    drive.run(Duration::from_secs(70));
    assert_eq!(drive.begun.iter().map(|(_, inode)| *inode).collect::<Vec<_>>(), [9, 3, 1, 9]);
}

#[test]
fn one_that_was_probed_is_probed_again_at_the_interval_and_not_in_step_with_another() {
    let mut drive = Drive::new(millis(5), true);
    drive.want([1, 2], "new");
    drive.run(Duration::from_mins(5));
    for inode in [1, 2] {
        let times = drive.of(inode);
        assert_eq!(times.len(), 5, "{times:?}");
        let is_an_interval = |gap: Duration| MINUTE <= gap && gap <= millis(67_000);
        assert!(gaps(times.clone()).into_iter().all(is_an_interval), "{times:?}");
    }
    assert_ne!(gaps(drive.of(1)).last(), gaps(drive.of(2)).last());
}

#[test]
fn however_many_there_are_twenty_are_probed_again_in_an_interval_and_none_is_left_out() {
    let mut drive = Drive::new(millis(5), true);
    drive.want(1..=100, "new");
    drive.run(Duration::from_mins(2));
    drive.begun.clear();
    drive.run(Duration::from_mins(7));
    let count = drive.begun.len();
    assert!((95..=100).contains(&count), "{count} in five minutes");
    assert_eq!(drive.begun.iter().map(|(_, inode)| inode).collect::<BTreeSet<_>>().len(), count);
}

#[test]
fn one_that_could_not_be_told_is_tried_again_soon() {
    let mut drive = Drive::new(millis(5), false);
    drive.want([1], "new");
    drive.run(Duration::from_secs(35));
    assert_eq!(drive.of(1).len(), 4, "{:?}", drive.of(1));
}

#[test]
fn one_that_changed_is_probed_at_once_also_while_it_is() {
    let mut drive = Drive::new(Duration::from_secs(2), true);
    drive.want([1], "1500");
    drive.run(Duration::from_secs(1));
    drive.want([1], "1450");
    drive.run(Duration::from_secs(10));
    assert_eq!(drive.of(1), [0, 2000].map(millis));
    drive.want([1], "1400");
    drive.run(Duration::from_secs(20));
    assert_eq!(drive.of(1), [0, 2000, 10_000].map(millis));
}

#[test]
fn one_that_ended_is_forgotten_and_its_place_is_free_again() {
    let mut drive = Drive::new(Duration::from_secs(2), true);
    drive.want(1..=8, "new");
    drive.run(Duration::from_secs(1));
    drive.want([8], "new");
    drive.run(Duration::from_mins(3));
    assert_eq!(drive.of(8).len(), 3);
    assert_eq!(drive.begun.len(), 4 + 3);
    drive.want([], "new");
    drive.run(Duration::from_mins(4));
    assert_eq!((drive.schedule.poll_timeout(), drive.schedule.under_way), (None, 0));
}

proptest! {
    #[test]
    fn whatever_comes_and_goes_probes_are_apart_and_each_new_one_has_its_turn(
        sets in prop::collection::vec(prop::collection::btree_set(0_u64..40, 0..20), 1..20),
        takes in 1_u64..3000,
        is_known: bool,
    ) {
        let mut drive = Drive::new(millis(takes), is_known);
        let mut end = Duration::ZERO;
        for set in &sets {
            drive.want(set.iter().copied(), "new");
            end += Duration::from_secs(2);
            drive.run(end);
        }
        drive.run(end + Duration::from_secs(30));
        prop_assert!(drive.gaps().iter().all(|gap| *gap >= FRESH));
        for inode in sets.last().expect("there is one") {
            prop_assert!(!drive.of(*inode).is_empty(), "{inode}");
        }
    }
}
