use super::*;

const ID: &str = "4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c";
const INNER: &str = "aa3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7d6baa";
const UID: &str = "0b6a3c9e-1f0d-4c53-9a80-6d2b6b1c7f11";

#[test]
fn every_runtime_puts_the_container_id_in_the_cgroup() {
    for cgroup in [
        format!("0::/docker/{ID}"),
        format!("0::/system.slice/docker-{ID}.scope"),
        format!("0::/system.slice/docker-{ID}.scope/init"),
        format!("12:memory:/docker/{ID}\n0::/"),
        format!(
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice/cri-containerd-{ID}.scope"
        ),
        format!("0::/kubepods/besteffort/pod{UID}/{ID}"),
        format!("0::/kubepods.slice/kubepods-pod0.slice/crio-{ID}.scope"),
        format!("0::/system.slice/containerd.service/kubepods-pod0.slice:cri-containerd:{ID}"),
        format!("0::/machine.slice/libpod-{ID}.scope/container"),
    ] {
        assert_eq!(container_id(&cgroup), Some(ID), "{cgroup}");
    }
}

#[test]
fn a_nested_container_is_named_and_not_the_one_around_it() {
    let v1 = format!("4:memory:/docker/{ID}\n3:pids:/docker/{ID}/docker/{INNER}\n0::/docker/{ID}");
    assert_eq!(container_id(&v1), Some(INNER));
}

#[test]
fn a_process_of_the_host_has_neither() {
    for cgroup in
        ["", "0::/", "0::/system.slice/docker.service", "0::/user.slice/user-1000.slice/session-2.scope"]
    {
        assert_eq!((container_id(cgroup), pod_uid(cgroup)), (None, None), "{cgroup}");
    }
}

#[test]
fn both_cgroup_drivers_name_the_pod() {
    let underscored = UID.replace('-', "_");
    for cgroup in [
        format!("0::/kubepods/burstable/pod{UID}/{ID}"),
        format!("0::/kubepods/pod{UID}/{ID}"),
        format!(
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{underscored}.slice/cri-containerd-{ID}.scope"
        ),
        format!("11:pids:/kubepods.slice/kubepods-pod{underscored}.slice\n0::/"),
        format!("0::/kubelet.slice/kubelet-kubepods.slice/kubepods-pod{underscored}.slice/crio-{ID}.scope"),
    ] {
        assert_eq!(pod_uid(&cgroup).as_deref(), Some(UID), "{cgroup}");
    }
}

#[test]
fn a_static_pod_is_named_by_the_hash_of_its_manifest() {
    let hash = "d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7";
    assert_eq!(pod_uid(&format!("0::/kubepods/burstable/pod{hash}/{ID}")).as_deref(), Some(hash));
}

fn found(pinned: &[&str]) -> FoundNetns {
    let pinned = pinned.iter().map(|name| (*name).to_owned()).collect();
    FoundNetns { inode: Some(7), pinned, ..FoundNetns::default() }
}

#[test]
fn a_pod_is_called_by_its_name_before_its_container_is() {
    let mut names = Names::default();
    names.pods.insert(UID.into(), "ci/runner-0".into());
    names.containers.insert(ID.into(), Container { name: "k8s_POD".into(), sandbox: None });
    let cgroup = format!("0::/kubepods/burstable/pod{UID}/{ID}");
    let identity = identify(NetnsIx(1), &found(&["cni-1"]), [cgroup], &names);
    assert_eq!(identity.name.as_deref(), Some("ci/runner-0"));
    assert_eq!(identity.id, "inode:7");
}

#[test]
fn a_namespace_that_docker_pinned_is_its_container_even_when_no_process_is_seen() {
    let mut names = Names::default();
    names.containers.insert(ID.into(), Container { name: "dind".into(), sandbox: Some("1f2e".into()) });
    let identity = identify(NetnsIx(1), &found(&["1f2e"]), [String::new()], &names);
    assert_eq!((identity.name.as_deref(), identity.container_id.as_deref()), (Some("dind"), Some(ID)));
}

#[test]
fn the_host_is_the_host_whatever_its_first_process_is() {
    let identity = identify(HOST, &found(&[]), [format!("0::/docker/{ID}")], &Names::default());
    assert_eq!((identity.id.as_str(), identity.container_id), ("host", None));
}

/// The pod that processes in these cgroups tell; letters stand for pods, `-` for a process that has ended, and `c` for
/// one in a container of no pod.
fn told(processes: &str) -> Option<char> {
    let uid = |pod: char| UID.replace("0b6a3c9e", &pod.to_string().repeat(8));
    let cgroup = |process| match process {
        '-' => String::new(),
        'c' => format!("0::/system.slice/docker-{INNER}.scope"),
        pod => format!("0::/kubepods/burstable/pod{}/{ID}", uid(pod)),
    };
    let identity = identify(NetnsIx(1), &found(&["cni-1"]), processes.chars().map(cgroup), &Names::default());
    let container = identity.container_id.as_deref();
    let pod = ['a', 'b'].into_iter().find(|pod| identity.pod_uid == Some(uid(*pod)));
    assert_eq!(container == Some(ID), pod.is_some(), "{container:?}");
    pod
}

#[test]
fn a_pod_is_known_by_any_of_its_processes_whoever_is_in_there_besides() {
    for processes in ["a", "aa", "-a", "--ca", "ca", "ac", "baa", "aba", "-bca-a", "abbaa"] {
        assert_eq!(told(processes), Some('a'), "{processes}");
    }
    for processes in ["", "-", "c-", "ab", "ba", "b-ca"] {
        assert_eq!(told(processes), None, "{processes}");
    }
}

#[test]
fn no_more_processes_are_asked_than_it_takes() {
    let mut asked = 0;
    let pod = std::iter::repeat_with(|| {
        asked += 1;
        format!("0::/kubepods/pod{UID}/{ID}")
    });
    identify(NetnsIx(1), &found(&[]), pod.take(1000), &Names::default());
    assert_eq!(asked, 2);
    let host = std::iter::repeat_with(|| panic!("the host needs no cgroup to be told"));
    identify(HOST, &found(&[]), host.take(1), &Names::default());
}
