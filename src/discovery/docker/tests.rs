use super::*;

fn arguments(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn the_data_root_is_found_however_it_was_told() {
    let root = Path::new("/proc/7/root");
    for line in [
        "dockerd --data-root /srv/d -H unix:///x",
        "dockerd --data-root=/srv/d",
        "dockerd -g /srv/d",
        "dockerd --graph=/srv/d",
    ] {
        assert_eq!(data_root_of(root, &arguments(line)), Path::new("/proc/7/root/srv/d"), "{line}");
    }
    assert_eq!(
        data_root_of(root, &arguments("dockerd --mtu=1450")),
        Path::new("/proc/7/root/var/lib/docker")
    );
}

#[test]
fn a_container_is_read_from_its_config() {
    let config = br#"{"ID":"ab12","Name":"/dind","State":{"Pid":3},"NetworkSettings":{"SandboxKey":"/var/run/docker/netns/1f2e"}}"#;
    let want = Container { name: "dind".into(), sandbox: Some("1f2e".into()) };
    assert_eq!(container(config), Some(("ab12".into(), want)));
}

#[test]
fn a_stopped_container_has_no_sandbox_and_a_torn_file_no_container() {
    let stopped = br#"{"ID":"ab12","Name":"/x","NetworkSettings":{"SandboxKey":""}}"#;
    assert_eq!(container(stopped).and_then(|(_, container)| container.sandbox), None);
    assert_eq!(container(&stopped[..20]), None);
}
