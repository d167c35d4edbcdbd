//! The opt-ins of this node's pods, as the pods and their namespaces have them.

use std::collections::BTreeSet;
use std::future::pending;

use tokio::sync::watch;
use tracing::warn;

use super::namespaces::Labels;
use super::pods::KnownPods;
use crate::discovery::opt_in::{Misspelt, OptIns, Said};

/// Tells them whenever they change, for ever; without `labels`, what pods say themselves.
pub(super) async fn keep(
    mut pods: watch::Receiver<KnownPods>,
    mut labels: Option<watch::Receiver<Labels>>,
    opt_ins: watch::Sender<OptIns>,
) {
    let mut told = BTreeSet::new();
    loop {
        let (asked, misspelt) = {
            let labels = labels.as_mut().map(|labels| labels.borrow_and_update());
            merge(&pods.borrow_and_update(), labels.as_deref())
        };
        for it in misspelt.difference(&told) {
            warn!(
                whose = it.whose,
                word = it.word,
                "this says not how far to tune, and counts as observe: say observe, clamp or links"
            );
        }
        told = misspelt;
        opt_ins.send_if_modified(|known| {
            *known != asked && {
                *known = asked;
                true
            }
        });
        let labels = async {
            match &mut labels {
                Some(labels) => labels.changed().await,
                None => pending().await,
            }
        };
        let changed = tokio::select! {
            changed = pods.changed() => changed,
            changed = labels => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn merge(pods: &KnownPods, labels: Option<&Labels>) -> (OptIns, BTreeSet<Misspelt>) {
    // In the host's own network nothing is tuned for a pod, and one that has ended has no network.
    let tunable = pods.all.iter().filter(|(_, pod)| !pod.host_network && !pod.ended);
    let said = tunable.map(|(uid, pod)| Said {
        uid,
        namespace: &pod.namespace,
        name: &pod.name,
        annotation: pod.tune.as_deref(),
        label: labels.and_then(|labels| labels.all.get(&pod.namespace)).map(String::as_str),
    });
    OptIns::merge(said, pods.is_listed && labels.is_none_or(|labels| labels.is_listed))
}
