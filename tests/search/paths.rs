//! Paths that tests make up.

use mtu_lab::scenario::Scenario;

use crate::driver::Run;

/// A scenario of which only the path matters.
pub(crate) fn scenario(path: &str) -> Scenario {
    let text = format!("about = \"made up\"\n{path}\n[expect]\nverdict = \"exact\"");
    Scenario::parse("made up", &text).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

/// Three routers, the link of the second one narrow, and no PTB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hole {
    /// MTU of all other links.
    pub(crate) link: u16,
    /// MTU of the narrow one.
    pub(crate) mtu: u16,
    /// Round trip without jitter.
    pub(crate) rtt_ms: f64,
    /// Share that is lost each way.
    pub(crate) loss: f64,
}

impl Hole {
    /// A size of `seed`'s choice; no table has most of them.
    pub(crate) fn odd(seed: u64, link: u16) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { link, mtu: dice.u16(1280..link), rtt_ms: 10.0, loss: 0.0 }
    }

    pub(crate) fn scenario(&self) -> Scenario {
        scenario(&self.path())
    }

    /// Its TOML, to which more may be added.
    pub(crate) fn path(&self) -> String {
        let Self { link, mtu, rtt_ms, loss } = self;
        let each = rtt_ms / 6.0;
        let ends = format!("mtu = {link}\ndelay_ms = {each}");
        format!(
            "[link]\nmtu = {link}\n[[hop]]\n{ends}\n\
             [[hop]]\nmtu = {mtu}\ndelay_ms = {each}\nloss = {loss}\nptb = false\n[[hop]]\n{ends}\n"
        )
    }

    pub(crate) fn assert_never_above(&self, run: &Run) {
        for outcome in [&run.outcome, &run.afterwards] {
            let told = outcome.verdict.path_mtu().map_or(0, mtu_agent::domain::mtu::PathMtu::get);
            assert!(told <= self.mtu, "{told} is above {self:?}");
        }
    }
}
