use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::*;

const HOST: &str = "mtu-agent-webhook.mtu-agent-controller.svc";
const ADDRESSES: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("it is a time")
}

fn hosts(names: &[&str]) -> Hosts {
    Hosts::new(names.iter().map(|name| (*name).to_owned())).expect("they are names")
}

fn all_hosts() -> Hosts {
    hosts(&[HOST, ADDRESSES[0], ADDRESSES[1]])
}

fn one_host() -> Hosts {
    hosts(&[HOST])
}

fn carry_out(
    step: Step,
    secret: &mut Contents,
    webhooks: Option<&mut Vec<Vec<u8>>>,
    hosts: &Hosts,
    now: Timestamp,
) {
    match step {
        Step::MakeAuthority { beside, .. } => {
            let made = issue::authority(now).expect("a CA can be made");
            secret.authorities = (made.certificate + &issue::bundle(&beside)).into_bytes();
            secret.authority_key = made.key.into_bytes();
        }
        Step::Announce { bundle } => {
            webhooks.expect("there is a configuration").fill(bundle.into_bytes());
        }
        Step::Issue { signer, .. } => {
            let made = issue::serving(&signer, hosts, now).expect("a certificate can be issued");
            secret.certificate = made.certificate.into_bytes();
            secret.key = made.key.into_bytes();
        }
        Step::Forget { bundle } => secret.authorities = bundle.into_bytes(),
        Step::Wait { .. } => {}
    }
}

fn word(step: &Step) -> &'static str {
    match step {
        Step::MakeAuthority { .. } => "make authority",
        Step::Announce { .. } => "announce",
        Step::Issue { .. } => "issue",
        Step::Forget { .. } => "forget",
        Step::Wait { .. } => "wait",
    }
}

/// One leader, alone, at any time.
struct Alone {
    secret: Contents,
    webhooks: Option<Vec<Vec<u8>>>,
    rotation: Rotation,
    hosts: Hosts,
    now: Timestamp,
}

impl Alone {
    fn new() -> Self {
        let hosts = all_hosts();
        let rotation = Rotation::new(hosts.clone());
        Self {
            secret: Contents::default(),
            webhooks: Some(vec![Vec::new(); 2]),
            rotation,
            hosts,
            now: start(),
        }
    }

    /// Settled, by a leader that is no more.
    fn settled() -> Self {
        let mut alone = Self::new();
        alone.act();
        alone.rotation = Rotation::new(alone.hosts.clone());
        alone
    }

    /// All steps until the next wait, and its end.
    fn act(&mut self) -> (Vec<&'static str>, Timestamp) {
        let mut steps = Vec::new();
        loop {
            match self.rotation.next(&self.secret, self.webhooks.as_deref(), self.now) {
                Step::Wait { until } => return (steps, until),
                step @ (Step::MakeAuthority { .. }
                | Step::Announce { .. }
                | Step::Issue { .. }
                | Step::Forget { .. }) => {
                    steps.push(word(&step));
                    carry_out(step, &mut self.secret, self.webhooks.as_mut(), &self.hosts, self.now);
                    assert!(steps.len() < 9, "it goes round and round: {steps:?}");
                }
            }
        }
    }

    fn steps(&mut self) -> Vec<&'static str> {
        self.act().0
    }

    /// Up to then, nothing but then.
    fn pass_until(&mut self, then: Timestamp) {
        loop {
            let (_, until) = self.act();
            self.now = until.min(then);
            if until >= then {
                return;
            }
        }
    }

    fn generations(&self) -> usize {
        Authority::bundle(&self.secret.authorities).len()
    }

    fn is_accepted(&self) -> bool {
        let mut webhooks = self.webhooks.iter().flatten();
        webhooks.all(|bundle| accepted(bundle, &chain(&self.secret), &self.hosts, self.now))
    }

    fn serving(&self) -> Validity {
        Validity::of(&chain(&self.secret)[0]).expect("it is a certificate")
    }
}

/// As an API server that has this bundle: its clock, each of the names, and a CA that is itself still valid.
fn accepted(bundle: &[u8], chain: &[CertificateDer<'static>], hosts: &Hosts, now: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle) {
        let root = root.expect("a bundle is PEM");
        if Validity::of(&root).is_some_and(|validity| validity.holds(now)) {
            roots.add(root).expect("it is a CA");
        }
    }
    let provider = Arc::new(ring::default_provider());
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
        return false;
    };
    let now =
        UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().expect("after 1970")));
    let Some((leaf, rest)) = chain.split_first() else { return false };
    hosts.names().all(|host| verifier.verify_server_cert(leaf, rest, host, &[], now).is_ok())
}

#[test]
fn the_first_start_makes_a_ca_announces_it_and_issues_a_certificate() {
    let mut alone = Alone::new();
    let (steps, until) = alone.act();
    assert_eq!(steps, ["make authority", "announce", "issue"]);
    assert!(alone.is_accepted());
    assert_eq!(alone.generations(), 1);
    assert_eq!(until, alone.serving().due(), "the serving certificate is the first that is due");
    assert_eq!(until.duration_since(alone.now).as_hours() / 24, 59);
}

#[test]
fn a_restart_writes_nothing() {
    assert_eq!(Alone::settled().steps(), [""; 0]);
}

#[test]
fn a_certificate_is_for_its_names_and_addresses_and_no_other() {
    let alone = Alone::settled();
    let ca = &Authority::bundle(&alone.secret.authorities)[0];
    let chain = chain(&alone.secret);
    assert!(ca.vouches_for(&chain, &alone.hosts, alone.now));
    for other in ["192.0.2.2", "2001:db8::2", "other.svc", "svc"] {
        assert!(!ca.vouches_for(&chain, &hosts(&[other]), alone.now), "{other}");
    }
}

#[test]
fn without_a_configuration_nobody_calls_and_all_is_made_ready() {
    let mut alone = Alone::new();
    alone.webhooks = None;
    assert_eq!(alone.steps(), ["make authority", "issue"]);
    alone.webhooks = Some(vec![Vec::new(); 2]);
    assert_eq!(alone.steps(), ["announce"]);
    assert!(alone.is_accepted());
}

#[test]
fn a_configuration_that_was_applied_anew_gets_its_bundle_back() {
    for damage in [Vec::new(), b"garbage".to_vec()] {
        let mut alone = Alone::settled();
        alone.webhooks.as_mut().expect("there is one")[1] = damage;
        assert_eq!(alone.steps(), ["announce"]);
        assert!(alone.is_accepted());
    }
}

#[test]
fn a_serving_certificate_is_renewed_after_two_thirds_of_its_life() {
    let mut alone = Alone::settled();
    let due = alone.serving().due();
    alone.now = later(due, -SignedDuration::from_secs(1));
    assert_eq!(alone.steps(), [""; 0]);
    alone.now = due;
    assert_eq!(alone.steps(), ["issue"]);
    assert!(alone.is_accepted());
}

#[test]
fn a_new_ca_is_trusted_everywhere_before_anything_is_served_that_needs_it_and_the_old_one_stays_until_it_is_over()
 {
    let mut alone = Alone::settled();
    let old = Authority::bundle(&alone.secret.authorities)[0].clone();
    alone.pass_until(old.validity.due());
    assert_eq!(alone.steps(), ["make authority", "announce"]);
    assert_eq!(alone.generations(), 2);
    assert!(
        old.vouches_for(&chain(&alone.secret), &alone.hosts, alone.now),
        "what is served is by the old one"
    );
    let (steps, settled) = alone.act();
    assert_eq!((steps, settled), (vec![], later(alone.now, SETTLED)));

    alone.now = later(settled, -SignedDuration::from_secs(30));
    alone.rotation = Rotation::new(alone.hosts.clone());
    let (steps, settled) = alone.act();
    assert_eq!(
        (steps, settled),
        (vec![], later(alone.now, SETTLED)),
        "another leader knows nothing of the first one's"
    );
    alone.now = settled;
    assert_eq!(alone.steps(), ["issue"]);
    assert!(!old.vouches_for(&chain(&alone.secret), &alone.hosts, alone.now));
    assert_eq!(alone.generations(), 2);

    alone.pass_until(old.validity.until);
    assert_eq!(alone.generations(), 2);
    assert_eq!(alone.steps(), ["forget", "announce"]);
    assert_eq!(alone.generations(), 1);
    assert!(alone.is_accepted());
}

#[test]
fn all_that_a_ca_issues_is_over_before_the_ca_is() {
    let alone = Alone::settled();
    let ca = &Authority::bundle(&alone.secret.authorities)[0];
    let last = later(ca.validity.due(), issue::SERVING_LIFE);
    assert!(last.duration_since(ca.validity.until) < -30 * DAY);
}

#[test]
fn four_years_pass_without_a_gap() {
    let mut alone = Alone::settled();
    let mut authorities = 1;
    while alone.now < later(start(), 4 * 365 * DAY) {
        let (steps, until) = alone.act();
        authorities += steps.iter().filter(|step| **step == "make authority").count();
        assert!(alone.is_accepted(), "{}", alone.now);
        assert!(alone.generations() <= GENERATIONS);
        assert!(until > alone.now);
        alone.now = until;
    }
    assert_eq!(authorities, 7, "one in 243 days");
}

#[test]
fn whatever_the_secret_lost_is_made_anew_and_what_is_served_stays_trusted_meanwhile() {
    type Damage = fn(&mut Contents);
    let damages: [(Damage, &[&str], &[&str]); 8] = [
        (|secret| *secret = Contents::default(), &["make authority", "announce"], &["issue"]),
        (|secret| secret.authorities = b"no PEM".to_vec(), &["make authority", "announce"], &["issue"]),
        (|secret| secret.authorities.clear(), &["make authority", "announce"], &["issue"]),
        (|secret| secret.authority_key = secret.key.clone(), &["make authority", "announce"], &["issue"]),
        (|secret| secret.authority_key = vec![0xff], &["make authority", "announce"], &["issue"]),
        (
            |secret| secret.authorities = secret.certificate.clone(),
            &["make authority", "announce"],
            &["issue"],
        ),
        (|secret| secret.certificate = b"-----BEGIN CERTIFICATE-----".to_vec(), &["issue"], &[]),
        (|secret| secret.key = secret.authority_key.clone(), &["issue"], &[]),
    ];
    for (number, (damage, at_once, settled)) in damages.into_iter().enumerate() {
        let mut alone = Alone::settled();
        let served = chain(&alone.secret);
        damage(&mut alone.secret);
        assert_eq!(alone.steps(), at_once, "damage {number}");
        for bundle in alone.webhooks.iter().flatten() {
            assert!(accepted(bundle, &served, &alone.hosts, alone.now), "damage {number}");
        }
        alone.now = later(alone.now, SETTLED);
        assert_eq!(alone.steps(), settled, "damage {number}");
        assert!(alone.is_accepted(), "damage {number}");
    }
}

#[test]
fn another_host_name_gets_another_certificate() {
    let mut alone = Alone::settled();
    alone.hosts = hosts(&[HOST, ADDRESSES[0], ADDRESSES[1], "other.svc"]);
    alone.rotation = Rotation::new(alone.hosts.clone());
    assert_eq!(alone.steps(), ["issue"]);
    assert!(alone.is_accepted());
}

#[test]
fn a_clock_that_was_wrong_by_years_is_got_over() {
    for wrong in [-3 * 365 * DAY, -HOUR * 2, 5 * DAY, 3 * 365 * DAY] {
        let mut alone = Alone::new();
        alone.now = later(start(), wrong);
        alone.act();
        alone.now = start();
        alone.act();
        assert!(alone.is_accepted(), "off by {wrong}");
        alone.now = later(alone.now, SETTLED);
        alone.act();
        assert!(alone.is_accepted(), "off by {wrong}");
    }
}

/// Some leaders, each of which may think itself the only one, some replicas, one Secret, one configuration.
struct Cluster {
    now: Timestamp,
    secret: Contents,
    secret_version: usize,
    webhooks: Option<Vec<Vec<u8>>>,
    configuration_version: usize,
    /// What some API server may still believe, and since when no other does.
    stale: Vec<(Timestamp, Vec<Vec<u8>>)>,
    leaders: [Leader; 2],
    replicas: [Vec<CertificateDer<'static>>; 3],
    /// When all were last up to date.
    last_calm: Timestamp,
    planted: Planted,
}

/// A defect that the model must find.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Planted {
    None,
    /// A certificate of a new CA is served before that is trusted.
    Unannounced,
    /// Writes without a precondition.
    Unguarded,
}

struct Leader {
    /// Its clock is off by this.
    skew: SignedDuration,
    rotation: Rotation,
    looked: Looked,
}

enum Looked {
    Nowhere,
    AtConfiguration {
        since: Timestamp,
        version: usize,
        webhooks: Option<Vec<Vec<u8>>>,
    },
    /// And has made up its mind. Until what it writes arrives, all may be different.
    AtBoth(Box<Decided>),
}

struct Decided {
    step: Step,
    at: Timestamp,
    configuration_version: usize,
    webhooks: Option<Vec<Vec<u8>>>,
    secret_version: usize,
    secret: Contents,
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    /// A leader takes a third of a step: reads one, reads the other, writes.
    Leader(usize),
    /// A leader is killed, and another starts.
    Crash(usize),
    /// A replica sees the Secret as it is now.
    Replica(usize),
    Time(SignedDuration),
    /// Somebody applies the manifest, which has no bundle.
    Apply,
    DeleteConfiguration,
    /// Somebody loses what the Secret holds.
    LoseSecret,
    LoseAuthorityKey,
    LoseCertificate,
}

fn happening() -> impl Strategy<Value = Happening> {
    let seconds = |seconds: std::ops::Range<i64>| {
        seconds.prop_map(|seconds| Happening::Time(SignedDuration::from_secs(seconds)))
    };
    prop_oneof![
        20 => (0..2_usize).prop_map(Happening::Leader),
        2 => (0..2_usize).prop_map(Happening::Crash),
        6 => (0..3_usize).prop_map(Happening::Replica),
        4 => seconds(1..90),
        2 => seconds(3600..10 * 86_400),
        2 => seconds(10 * 86_400..25 * 86_400),
        1 => Just(Happening::Apply),
        1 => Just(Happening::DeleteConfiguration),
        1 => Just(Happening::LoseSecret),
        1 => Just(Happening::LoseAuthorityKey),
        1 => Just(Happening::LoseCertificate),
    ]
}

impl Cluster {
    /// A leader and the replicas catch up at least this often. Less often, and certificates end.
    const LONGEST_STORM: SignedDuration = SignedDuration::from_hours(25 * 24);
    /// API servers hear of a new bundle within this time.
    const API_SERVER_LAG: SignedDuration = SignedDuration::from_secs(30);

    /// A leader that looks for longer looks again. What it has sent may still arrive at any time.
    const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

    fn new(planted: Planted) -> Self {
        let leader = |skew| Leader { skew, rotation: Rotation::new(one_host()), looked: Looked::Nowhere };
        Self {
            now: start(),
            secret: Contents::default(),
            secret_version: 0,
            webhooks: Some(vec![Vec::new(); 2]),
            configuration_version: 0,
            stale: Vec::new(),
            leaders: [leader(-HOUR / 2), leader(HOUR / 2)],
            replicas: [const { Vec::new() }; 3],
            last_calm: start(),
            planted,
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), TestCaseError> {
        match happening {
            Happening::Leader(leader) => self.act(leader),
            Happening::Crash(leader) => self.crash(leader),
            Happening::Replica(replica) => self.follow(replica),
            Happening::Time(time) => {
                if later(self.now, time).duration_since(self.last_calm) > Self::LONGEST_STORM {
                    self.calm()?;
                }
                self.now = later(self.now, time);
            }
            // With both lost, nobody knows which CA the replicas need.
            Happening::Apply | Happening::DeleteConfiguration if self.secret.authorities.is_empty() => {}
            Happening::Apply => self.configure(Some(vec![Vec::new(); 2])),
            Happening::DeleteConfiguration => self.configure(None),
            Happening::LoseSecret if self.is_calm() => self.damage(|secret| *secret = Contents::default()),
            Happening::LoseAuthorityKey if self.is_calm() => {
                self.damage(|secret| secret.authority_key.clear());
            }
            Happening::LoseCertificate => self.damage(|secret| secret.certificate.clear()),
            // Replicas that are late may need the CA that two losses in a row have pushed out.
            Happening::LoseSecret | Happening::LoseAuthorityKey => {}
        }
        self.check()
    }

    fn damage(&mut self, damage: impl FnOnce(&mut Contents)) {
        damage(&mut self.secret);
        self.secret_version += 1;
    }

    fn configure(&mut self, webhooks: Option<Vec<Vec<u8>>>) {
        match &webhooks {
            Some(_) => self.stale.push((self.now, self.webhooks.take().unwrap_or_default())),
            None => self.stale.clear(), // whoever deletes it wants no calls
        }
        self.webhooks = webhooks;
        self.configuration_version += 1;
    }

    fn crash(&mut self, leader: usize) {
        self.leaders[leader].looked = Looked::Nowhere;
        self.leaders[leader].rotation = Rotation::new(one_host());
    }

    fn follow(&mut self, replica: usize) {
        let chain = chain(&self.secret);
        if !chain.is_empty() {
            self.replicas[replica] = chain;
        }
    }

    fn act(&mut self, leader: usize) {
        let looked = std::mem::replace(&mut self.leaders[leader].looked, Looked::Nowhere);
        let looked = match looked {
            Looked::AtConfiguration { since, version, webhooks }
                if self.now <= later(since, Self::PATIENCE) =>
            {
                let configuration_version = version;
                let Leader { rotation, skew, .. } = &mut self.leaders[leader];
                let at = later(self.now, *skew);
                let seen = webhooks.as_deref().filter(|_| self.planted != Planted::Unannounced);
                let step = rotation.next(&self.secret, seen, at);
                let (secret_version, secret) = (self.secret_version, self.secret.clone());
                Looked::AtBoth(Box::new(Decided {
                    step,
                    at,
                    configuration_version,
                    webhooks,
                    secret_version,
                    secret,
                }))
            }
            Looked::Nowhere | Looked::AtConfiguration { .. } => Looked::AtConfiguration {
                since: self.now,
                version: self.configuration_version,
                webhooks: self.webhooks.clone(),
            },
            Looked::AtBoth(decided) => {
                self.write(*decided);
                Looked::Nowhere
            }
        };
        self.leaders[leader].looked = looked;
    }

    fn write(&mut self, decided: Decided) {
        let Decided { step, at, configuration_version, mut webhooks, secret_version, mut secret } = decided;
        let unguarded = self.planted == Planted::Unguarded;
        let announces = matches!(step, Step::Announce { .. });
        let waits = matches!(step, Step::Wait { .. });
        carry_out(step, &mut secret, webhooks.as_mut(), &one_host(), at);
        if announces && (unguarded || configuration_version == self.configuration_version) {
            self.configure(webhooks);
        } else if !announces && !waits && (unguarded || secret_version == self.secret_version) {
            self.damage(|held| *held = secret);
        }
    }

    /// A leader does all there is to do, and all replicas hear of it.
    fn calm(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..40 {
            self.act(0);
            self.check()?;
            self.now = later(self.now, SETTLED / 6);
        }
        for replica in 0..self.replicas.len() {
            self.follow(replica);
            self.check()?;
        }
        self.last_calm = self.now;
        Ok(())
    }

    /// All that is served comes from the newest CA, which every API server trusts.
    fn is_calm(&self) -> bool {
        let newest = Authority::bundle(&self.secret.authorities).into_iter().next();
        let by_newest = |chain: &Vec<_>| {
            newest.as_ref().is_some_and(|newest| newest.vouches_for(chain, &one_host(), self.now))
        };
        let is_announced = |bundle: &Vec<u8>| Authority::bundle(bundle).first() == newest.as_ref();
        self.replicas.iter().all(by_newest)
            && self.webhooks.as_ref().is_some_and(|webhooks| webhooks.iter().all(is_announced))
            && self.stale.iter().all(|(since, _)| later(*since, Self::API_SERVER_LAG) < self.now)
    }

    /// Whatever a replica serves, no API server refuses it that has a bundle at all.
    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(Authority::bundle(&self.secret.authorities).len() <= GENERATIONS);
        let stale = self.stale.iter().filter(|(since, _)| self.now < later(*since, Self::API_SERVER_LAG));
        let bundles = self.webhooks.iter().chain(stale.map(|(_, webhooks)| webhooks)).flatten();
        let mut bundles: Vec<_> = bundles.filter(|bundle| !bundle.is_empty()).collect();
        bundles.dedup();
        let mut served: Vec<_> = self.replicas.iter().filter(|chain| !chain.is_empty()).collect();
        served.dedup();
        for chain in served {
            for bundle in &bundles {
                prop_assert!(accepted(bundle, chain, &one_host(), self.now), "at {}", self.now);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_served_is_accepted_at_every_moment(happenings in prop::collection::vec(happening(), 1..250)) {
        let mut cluster = Cluster::new(Planted::None);
        cluster.calm()?;
        for happening in happenings {
            cluster.happen(happening)?;
        }
        cluster.happen(Happening::Apply)?;
        cluster.calm()?;
        prop_assert!(cluster.is_calm(), "and in the end all is well again");
    }
}

#[test]
fn the_model_finds_a_certificate_that_is_served_before_its_ca_is_trusted() {
    let mut cluster = Cluster::new(Planted::None);
    cluster.calm().expect("a first start is fine");
    cluster.planted = Planted::Unannounced;
    let mut years = std::iter::repeat_n(Happening::Time(20 * DAY), 15);
    assert!(years.any(|time| cluster.happen(time).is_err()));
}

#[test]
fn the_model_finds_a_late_leader_whose_writes_are_not_refused() {
    for planted in [Planted::None, Planted::Unguarded] {
        let mut cluster = Cluster::new(planted);
        cluster.calm().expect("a first start is fine");
        cluster.happen(Happening::Apply).expect("nothing is wrong with that");
        for _ in 0..2 {
            cluster.happen(Happening::Leader(1)).expect("it only reads");
        }
        while Authority::bundle(&cluster.secret.authorities).len() == 1 {
            cluster.happen(Happening::Time(20 * DAY)).expect("time passes");
            cluster.calm().expect("the other leader does what there is to do");
        }
        assert!(cluster.is_calm());
        let late = cluster.happen(Happening::Leader(1));
        assert_eq!(late.is_err(), planted == Planted::Unguarded, "{late:?}");
    }
}
