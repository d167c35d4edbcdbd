//! What has changed since the last conclusion, for people who read logs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tracing::{info, warn};

use crate::discovery::nested::verified_by_level;
use crate::discovery::survey::Survey;
use crate::domain::mtu::LinkMtu;
use crate::domain::steady::SteadyMtu;

/// Target and address.
type PathName = (String, Option<IpAddr>);
/// Verdict and path MTU.
type Answer = (Option<&'static str>, Option<u16>);

/// The last conclusion, as far as people want to know of its changes.
#[derive(Debug, Default)]
pub(super) struct News {
    value: Option<LinkMtu>,
    is_lost: bool,
    mismatches: usize,
    verdicts: BTreeMap<PathName, Answer>,
    /// Of each level, whether what was tuned there was found to carry full-size packets.
    verified: BTreeMap<u8, bool>,
}

impl News {
    /// Logs a line for each change of a verdict.
    pub(super) fn tell(&mut self, survey: &Survey, steady: &SteadyMtu) {
        let (value, is_lost) = (steady.value(), steady.lost_since().is_some());
        if value != self.value
            && let Some(mtu) = value
        {
            info!(mtu = mtu.get(), was = self.value.map(LinkMtu::get), "safe dind MTU changed");
        }
        if is_lost != self.is_lost && value.is_some() {
            if is_lost {
                warn!("nothing tells a safe dind MTU any more; the last good one stays");
            } else {
                info!("a safe dind MTU is told again");
            }
        }
        let mismatches = survey.findings.len();
        if mismatches != self.mismatches {
            info!(links = mismatches, was = self.mismatches, "links with a wrong MTU changed");
        }
        let verdicts: BTreeMap<_, _> = survey
            .paths
            .iter()
            .map(|path| {
                let path_mtu = path.path_mtu().map(|(path_mtu, _)| path_mtu.get());
                ((path.target.clone(), path.address), (path.verdict(), path_mtu))
            })
            .collect();
        for ((target, address), (verdict, path_mtu)) in &verdicts {
            if self.verdicts.get(&(target.clone(), *address)) != Some(&(*verdict, *path_mtu)) {
                let address = address.map(|address| address.to_string());
                info!(target_name = target, address, verdict, path_mtu, "verdict of a path changed");
            }
        }
        // What is not known now says nothing against what was found last.
        let mut verified = std::mem::take(&mut self.verified);
        for (level, is_verified) in verified_by_level(&survey.nested_paths) {
            let was = verified.insert(level, is_verified);
            if was != Some(is_verified) {
                if is_verified {
                    info!(level, "tuned networks were found to carry packets of the size of their links");
                } else {
                    warn!(
                        level,
                        "packets of the size of their links vanish on the way out of tuned networks; \
                         nested_paths in /v1/survey has which"
                    );
                }
            }
        }
        *self = Self { value, is_lost, mismatches, verdicts, verified };
    }
}
