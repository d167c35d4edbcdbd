use super::*;

fn expected(calico: Option<&str>, configs: &[(&str, &str)]) -> Option<(u32, String)> {
    let directory = tempfile::tempdir().unwrap();
    let calico_file = directory.path().join("mtu");
    if let Some(text) = calico {
        fs::write(&calico_file, text).unwrap();
    }
    let config_directory = directory.path().join("net.d");
    fs::create_dir(&config_directory).unwrap();
    for (name, text) in configs {
        fs::write(config_directory.join(name), text).unwrap();
    }
    let found = read(&calico_file, &config_directory)?;
    Some((found.mtu.get(), found.from.file_name()?.to_str()?.to_owned()))
}

#[test]
fn calicos_own_file_is_the_surest() {
    let config = ("10-x.conf", r#"{"name":"x","type":"bridge","mtu":1400}"#);
    assert_eq!(expected(Some("1450\n"), &[config]), Some((1450, "mtu".into())));
}

#[test]
fn a_plugin_of_the_first_configuration_may_say_it_as_a_number_or_as_text() {
    let list = r#"{"name":"k8s","plugins":[{"type":"calico","mtu":1440},{"type":"portmap"}]}"#;
    assert_eq!(expected(None, &[("10-calico.conflist", list)]), Some((1440, "10-calico.conflist".into())));
    let text = r#"{"name":"k8s","plugins":[{"type":"ptp","mtu":"1420"}]}"#;
    assert_eq!(expected(None, &[("a.conflist", text), ("README", "no")]), Some((1420, "a.conflist".into())));
}

#[test]
fn what_is_no_mtu_is_not_taken_for_one() {
    for mtu in ["0", "\"__CNI_MTU__\"", "67", "70000", "-1", "null"] {
        let config = format!(r#"{{"name":"k8s","type":"bridge","mtu":{mtu}}}"#);
        assert_eq!(expected(None, &[("10-x.conf", &config)]), None, "{mtu}");
    }
    assert_eq!(expected(Some("garbage"), &[("10-x.conf", "{")]), None);
    assert_eq!(expected(None, &[]), None);
}

#[test]
fn only_the_first_configuration_is_in_force() {
    let silent = ("05-kindnet.conflist", r#"{"name":"kindnet","plugins":[{"type":"ptp"}]}"#);
    let stale = ("10-old.conf", r#"{"name":"old","type":"bridge","mtu":1300}"#);
    assert_eq!(expected(None, &[silent, stale]), None);
}
