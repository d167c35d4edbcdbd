use super::*;

fn config(text: &str) -> Result<Config, ConfigError> {
    Config::try_from(toml::from_str::<Knobs>(text).expect("TOML"))
}

#[test]
fn nothing_given_gives_the_defaults() {
    let config = config("").unwrap();
    assert_eq!((config.targets.len(), config.max_dind_mtu.get()), (0, 1500));
    assert_eq!((config.raise_after.as_secs(), config.probe_interval.as_secs()), (600, 60));
    assert_eq!(config.listen.to_string(), "127.0.0.1:9817");
    assert_eq!(config.directory, Path::new("/run/mtu-agent"));
}

#[test]
fn everything_can_be_given() {
    let text = r#"
        targets = ["registry.example.org", "2001:db8::1", "registry.example.org"]
        max_dind_mtu = 9000
        raise_after = "1h 30m"
        probe_interval = "90s"
        resync_interval = "2m"
        listen = "[::1]:9000"
        directory = "/run/elsewhere"
    "#;
    let config = config(text).unwrap();
    assert_eq!(
        config.targets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["registry.example.org", "2001:db8::1"]
    );
    assert_eq!((config.raise_after.as_secs(), config.probe_interval.as_secs()), (5400, 90));
}

#[test]
fn what_is_given_in_two_places_is_taken_from_the_first() {
    let flags = Knobs { max_dind_mtu: Some(1400), ..Knobs::default() };
    let file = Knobs { max_dind_mtu: Some(1300), raise_after: Some("5s".into()), ..Knobs::default() };
    let both = flags.over(file);
    assert_eq!((both.max_dind_mtu, both.raise_after.as_deref()), (Some(1400), Some("5s")));
}

#[test]
fn what_is_impossible_is_refused_with_what_to_give() {
    for (text, said) in [
        ("max_dind_mtu = 575", "give 576 to 65535"),
        ("max_dind_mtu = 70000", "give 576 to 65535"),
        ("raise_after = \"soon\"", "such as 90s, 10m or 1h 30m"),
        ("raise_after = \"-1s\"", "raise_after is \"-1s\""),
        ("probe_interval = \"10ms\"", "a duration from 1s to 24h"),
        ("resync_interval = \"2 days\"", "resync_interval is"),
        ("targets = [\"a\", \"b c\"]", "target 2 of the configuration"),
        ("tune = \"both\"", "tune"),
        ("targets = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]", "give at most 8"),
    ] {
        let refused = config(text).unwrap_err().to_string();
        assert!(refused.contains(said), "{text}: {refused}");
    }
}

#[test]
fn nothing_is_tuned_unless_it_says_so_and_docker_keeps_a_larger_mtu_that_fits() {
    let by_default = config("").unwrap();
    assert_eq!((by_default.tune, by_default.all_docker), (Permission::Observe, false));
    assert_eq!(by_default.max_tuned_mtu, LinkMtu::LARGEST_USEFUL);
    let given = config("tune = \"clamp\"\nall_docker = true\nmax_dind_mtu = 1400").unwrap();
    assert_eq!((given.tune, given.all_docker), (Permission::Clamp, true));
    assert_eq!(given.max_tuned_mtu, given.max_dind_mtu);
}

#[test]
fn a_name_that_means_nothing_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    fs::write(&path, "target = [\"example.org\"]\n").unwrap();
    let refused = Knobs::read(&path).unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("unknown field `target`"), "{why}");
    let refused = Knobs::read(&directory.path().join("none")).unwrap_err().to_string();
    assert!(refused.starts_with("read the configuration "), "{refused}");
}

#[test]
fn what_cannot_change_while_it_runs_is_refused_whole() {
    let old = config("").unwrap();
    let new = config("listen = \"127.0.0.1:1\"\nmax_dind_mtu = 1400").unwrap();
    assert!(old.replace(new).unwrap_err().to_string().contains("listen changed, which takes a restart"));
    let new = config("metrics_listen = \"192.0.2.2:9817\"").unwrap();
    let refused = old.replace(new).unwrap_err().to_string();
    assert!(refused.contains("metrics_listen changed, which takes a restart"), "{refused}");
    for (text, knob) in [("tune = \"links\"", "tune"), ("all_docker = true", "all_docker")] {
        let refused = old.replace(config(text).unwrap()).unwrap_err().to_string();
        assert!(refused.contains(&format!("{knob} changed, which takes a restart")), "{refused}");
    }
    let new = config("max_dind_mtu = 1400").unwrap();
    assert_eq!(old.replace(new.clone()).unwrap(), new);
}
