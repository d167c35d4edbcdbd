//! How far pods ask to be tuned: by their annotation, or by the label of their namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use mtu_agent::discovery::opt_in::OptIns;
use mtu_agent::domain::permission::Permission;
use mtu_lab::api_server::{Cut, Fault, Recorded};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use super::log::Log;
use super::{LONG, NODE, PODS, Run, SOON, now};

const NAMESPACES: &str = "/api/v1/namespaces";

/// An agent that tunes, with watches of pods and namespaces.
struct Tuning {
    run: Run,
    opt_ins: Receiver<OptIns>,
}

impl Tuning {
    async fn start() -> Result<Self> {
        let run = Run::start_tuning(Permission::Links).await?;
        run.server.wait_for_watch(PODS).await;
        run.server.wait_for_watch(NAMESPACES).await;
        let opt_ins = run.publishing.opt_ins();
        Ok(Self { run, opt_ins })
    }

    /// Puts a pod on the node, with an annotation or without.
    fn pod(&self, name: &str, says: Option<&str>) {
        self.pod_with(name, says, &json!({}));
    }

    fn pod_with(&self, name: &str, says: Option<&str>, spec: &Value) {
        let annotations = says.map(|says| json!({"mtu-agent.dev/tune": says}));
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "ci", "name": name, "uid": format!("uid-{name}"), "annotations": annotations},
            "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running"},
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            pod["spec"][key] = value.clone();
        }
        self.run.server.put(pod);
    }

    /// Has the pods' namespace, with this label or without.
    fn namespace(&self, says: Option<&str>) {
        let labels = says.map(|says| json!({"mtu-agent.dev/tune": says}));
        self.run.server.put(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ci", "labels": labels}}),
        );
    }

    async fn until(&mut self, pods: &[(&str, Permission)]) {
        let expected: BTreeMap<_, _> =
            pods.iter().map(|(name, permission)| (format!("uid-{name}"), *permission)).collect();
        let reached = timeout(LONG, self.opt_ins.wait_for(|it| it.pods == expected)).await.is_ok();
        assert!(reached, "{expected:?} is awaited, and {:?} is known", *self.opt_ins.borrow());
    }
}

fn lists(run: &Run) -> Vec<Recorded> {
    run.server.requests().into_iter().filter(|it| it.path == NAMESPACES && !it.is_watch()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pod_opts_in_by_itself_and_its_annotation_may_change() -> Result<()> {
    let mut tuning = Tuning::start().await?;
    tuning.pod("a", Some("links"));
    tuning.pod("b", None);
    tuning.until(&[("a", Permission::Links)]).await;
    let began = now();
    tuning.pod("a", Some("clamp"));
    tuning.until(&[("a", Permission::Clamp)]).await;
    tuning.pod("a", None);
    tuning.until(&[]).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nothing is waited for but the API server");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_namespace_opts_its_pods_in_until_its_label_is_removed() -> Result<()> {
    let mut tuning = Tuning::start().await?;
    tuning.pod("a", None);
    tuning.namespace(Some("links"));
    tuning.until(&[("a", Permission::Links)]).await;
    tuning.pod("b", None);
    tuning.until(&[("a", Permission::Links), ("b", Permission::Links)]).await;
    tuning.namespace(Some("clamp"));
    tuning.until(&[("a", Permission::Clamp), ("b", Permission::Clamp)]).await;
    tuning.namespace(None);
    tuning.until(&[]).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_a_pod_says_beats_its_namespace() -> Result<()> {
    let mut tuning = Tuning::start().await?;
    tuning.namespace(Some("links"));
    tuning.pod("a", Some("observe"));
    tuning.pod("b", Some("clamp"));
    tuning.pod("c", None);
    tuning.until(&[("a", Permission::Observe), ("b", Permission::Clamp), ("c", Permission::Links)]).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_word_that_is_none_counts_as_observe_and_is_logged_once() -> Result<()> {
    let log = Log::default();
    let _of_this_thread = log.kept();
    let mut tuning = Tuning::start().await?;
    tuning.namespace(Some("links"));
    tuning.pod("a", Some("everything"));
    tuning.until(&[("a", Permission::Observe)]).await;
    tuning.pod("b", None);
    tuning.until(&[("a", Permission::Observe), ("b", Permission::Links)]).await;
    let [told] = &log.lines("counts as observe")[..] else { panic!("{log:?}") };
    assert!(told.contains("pod ci/a") && told.contains("everything"), "{told}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_pod_in_the_nodes_own_network_opts_nothing_in() -> Result<()> {
    let mut tuning = Tuning::start().await?;
    tuning.namespace(Some("links"));
    tuning.pod_with("host", Some("links"), &json!({"hostNetwork": true}));
    tuning.pod("a", None);
    tuning.until(&[("a", Permission::Links)]).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn only_metadata_of_namespaces_that_say_so_is_asked_for() -> Result<()> {
    let tuning = Tuning::start().await?;
    let requests = tuning.run.server.requests().into_iter().filter(|it| it.path == NAMESPACES);
    let requests: Vec<_> = requests.collect();
    let [list, watch] = &requests[..] else { panic!("{requests:?}") };
    assert!(!list.is_watch() && watch.is_watch());
    for request in [list, watch] {
        assert_eq!(request.parameter("labelSelector"), "mtu-agent.dev/tune");
        assert!(request.accept.contains("as=PartialObjectMetadata"), "{}", request.accept);
    }
    assert_eq!((list.parameter("resourceVersion"), list.parameter("limit")), ("0", ""), "from the cache");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_that_tunes_nothing_does_not_ask_for_namespaces() -> Result<()> {
    let run = Run::start().await?;
    run.server.wait_for_watch(PODS).await;
    sleep(LONG).await;
    assert_eq!(lists(&run).len(), 0);
    assert!(run.publishing.opt_ins().borrow().is_known);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn it_takes_two_permissions_more() -> Result<()> {
    let tuning = Tuning::start().await?;
    let used = tuning.run.server.used_permissions(None).into_iter().filter(|it| it.resource != "pods");
    let used: BTreeSet<_> = used.map(|it| (it.resource, it.verb, it.namespace, it.name)).collect();
    let expected = ["list", "watch"].map(|verb| ("namespaces".to_owned(), verb.to_owned(), None, None));
    assert_eq!(used, BTreeSet::from(expected));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn opt_ins_are_heard_again_after_whatever_ends_the_watch() -> Result<()> {
    let mut tuning = Tuning::start().await?;
    tuning.pod("a", None);
    for cut in [Cut::End, Cut::Break, Cut::Gone] {
        tuning.run.server.drop_watches(cut);
        tuning.namespace(Some("links"));
        tuning.until(&[("a", Permission::Links)]).await;
        tuning.run.server.drop_watches(cut);
        tuning.namespace(None);
        tuning.until(&[]).await;
    }
    Ok(())
}

/// An API server that was started anew has forgotten where every watch of every agent was.
#[tokio::test(start_paused = true)]
async fn of_a_watch_that_the_server_has_forgotten_nothing_is_said() -> Result<()> {
    let log = Log::default();
    let _kept = log.kept();
    let mut tuning = Tuning::start().await?;
    tuning.run.server.drop_watches(Cut::Gone);
    tuning.namespace(Some("links"));
    tuning.pod("a", None);
    tuning.until(&[("a", Permission::Links)]).await;
    assert_eq!(log.lines("changes are"), [""; 0]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_last_ones_stay_while_the_server_is_away() -> Result<()> {
    let mut tuning = Tuning::start().await?;
    tuning.namespace(Some("links"));
    tuning.pod("a", None);
    tuning.pod("b", Some("clamp"));
    let expected = [("a", Permission::Links), ("b", Permission::Clamp)];
    tuning.until(&expected).await;
    tuning.opt_ins.mark_unchanged();
    tuning.run.server.away().await?;
    tuning.run.server.drop_watches(Cut::Break);
    sleep(LONG).await;
    assert!(!tuning.opt_ins.has_changed()?, "{:?}", *tuning.opt_ins.borrow());
    tuning.run.server.back().await?;
    tuning.pod("c", None);
    tuning.until(&[expected[0], expected[1], ("c", Permission::Links)]).await;
    Ok(())
}

/// Tuning without the permission for namespaces, as where the manifests of an older version are applied.
#[tokio::test(start_paused = true)]
async fn without_permission_for_namespaces_the_pods_own_annotations_count() -> Result<()> {
    let log = Log::default();
    let _of_this_thread = log.kept();
    let run = Run::start_tuning(Permission::Links).await?;
    run.server.fail(usize::MAX, Fault::status(403), |it| it.path == NAMESPACES);
    let opt_ins = run.publishing.opt_ins();
    let mut tuning = Tuning { run, opt_ins };
    tuning.namespace(Some("links"));
    tuning.pod("a", None);
    tuning.pod("b", Some("clamp"));
    tuning.until(&[("b", Permission::Clamp)]).await;
    tuning.pod("b", Some("observe"));
    tuning.until(&[("b", Permission::Observe)]).await;
    sleep(LONG).await;
    let tries = lists(&tuning.run).len();
    assert!((8..=60).contains(&tries), "{tries} in forty minutes");
    assert!(!tuning.opt_ins.borrow().is_known, "what namespaces say is not");
    assert_eq!(log.lines("changes are not heard").len(), 1, "once for all tries");
    tuning.run.server.heal();
    tuning.until(&[("a", Permission::Links), ("b", Permission::Observe)]).await;
    assert!(tuning.opt_ins.borrow().is_known);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn they_are_known_when_pods_and_namespaces_were_told() -> Result<()> {
    let run = Run::start_tuning(Permission::Clamp).await?;
    let mut opt_ins = run.publishing.opt_ins();
    assert!(!opt_ins.borrow().is_known);
    timeout(SOON, opt_ins.wait_for(|it| it.is_known)).await??;
    assert_eq!(opt_ins.borrow().pods, BTreeMap::new());
    Ok(())
}
