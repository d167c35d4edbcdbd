use super::*;

fn config(change: impl FnOnce(&mut Knobs)) -> Result<Config, String> {
    let mut knobs = Knobs { identity: Some("replica-1".into()), ..Knobs::default() };
    change(&mut knobs);
    Config::try_from(knobs).map_err(|error| error.to_string())
}

fn hosts(config: &Config) -> Vec<String> {
    config.webhook_hosts.names().map(|name| name.to_str().into_owned()).collect()
}

#[test]
fn without_options_the_defaults_count() {
    let config = config(|_| {}).unwrap();
    assert_eq!(
        (config.listen.to_string(), config.webhook_listen.to_string()),
        ("[::]:9817".into(), "[::]:9443".into())
    );
    assert_eq!(
        (config.namespace.as_str(), config.pool_label.as_str()),
        ("mtu-agent-controller", "mtu-agent.dev/pool")
    );
    assert_eq!(
        config.node_selector,
        "kubernetes.io/os!=windows,type!=virtual-kubelet,eks.amazonaws.com/compute-type!=fargate"
    );
    assert_eq!(hosts(&config), ["mtu-agent-webhook.mtu-agent-controller.svc"]);
    assert_eq!((config.raise_after, config.debounce), (Duration::from_mins(10), Duration::from_secs(10)));
    assert_eq!(config.drain, Duration::from_secs(10));
    assert_eq!(config.certificates, Certificates::SelfSigned);
}

#[test]
fn the_host_name_is_the_identity_unless_one_is_given() {
    assert_eq!(config(|knobs| knobs.identity = None).unwrap().identity, host::host_name());
    assert_eq!(config(|_| {}).unwrap().identity, "replica-1");
}

#[test]
fn the_webhook_is_called_by_the_service_of_its_namespace() {
    let config = config(|knobs| knobs.namespace = Some("ci".into())).unwrap();
    assert_eq!(hosts(&config), ["mtu-agent-webhook.ci.svc"]);
}

#[test]
fn what_cannot_be_is_refused_with_what_to_give() {
    type Change = fn(&mut Knobs);
    let refused: [(Change, &str); 18] = [
        (
            |knobs| knobs.namespace = Some("Upper".into()),
            "namespace is \"Upper\": give the name of a namespace",
        ),
        (|knobs| knobs.namespace = Some(String::new()), "namespace is \"\""),
        (|knobs| knobs.identity = Some("a b".into()), "identity is \"a b\""),
        (|knobs| knobs.identity = Some("x".repeat(110)), "another of at most 109 bytes"),
        (|knobs| knobs.drain = Some("a while".into()), "drain is \"a while\": give a duration from 0s to 1h"),
        (|knobs| knobs.pool_label = Some("/pool".into()), "pool_label is \"/pool\""),
        (|knobs| knobs.pool_label = Some("pool/".into()), "pool_label is \"pool/\""),
        (|knobs| knobs.pool_label = Some("a/b/c".into()), "such as mtu-agent.dev/pool"),
        (
            |knobs| knobs.node_selector = Some("pool in (a)".into()),
            "node_selector is \"pool in (a)\": give what labels of nodes must be",
        ),
        (|knobs| knobs.node_selector = Some("a,".into()), "node_selector is \"a,\""),
        (|knobs| knobs.node_selector = Some("a=b=c".into()), "node_selector"),
        (|knobs| knobs.node_selector = Some("!a=b".into()), "node_selector"),
        (|knobs| knobs.node_selector = Some("=b".into()), "node_selector"),
        (|knobs| knobs.node_selector = Some("a=-b".into()), "such as pool=runners"),
        (
            |knobs| knobs.webhook_hosts = Some(vec!["a b".into()]),
            "--webhook-host takes a DNS name or an IP address",
        ),
        (
            |knobs| knobs.raise_after = Some("soon".into()),
            "raise_after is \"soon\": give a duration from 0s to 24h",
        ),
        (|knobs| knobs.debounce = Some("0s".into()), "debounce is \"0s\": give a duration from 1s to 1h"),
        (|knobs| knobs.debounce = Some("-1s".into()), "debounce"),
    ];
    for (change, said) in refused {
        let error = config(change).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn nodes_are_selected_by_labels_that_they_have_and_have_not() {
    for selector in [NODE_SELECTOR, "", "a", "!example.org/a", "a=b", "a==b", "a!=b", "a=", "a.b/c=D_e,f!=1"]
    {
        let config = config(|knobs| knobs.node_selector = Some(selector.into())).unwrap();
        assert_eq!(config.node_selector, selector);
    }
}

#[test]
fn what_can_be_is_taken() {
    let config = config(|knobs| {
        knobs.pool_label = Some("pool".into());
        knobs.webhook_hosts =
            Some(vec!["192.0.2.1".into(), "2001:db8::1".into(), "webhook.example.org".into()]);
        knobs.raise_after = Some("0s".into());
        knobs.debounce = Some("1m 30s".into());
    })
    .unwrap();
    assert_eq!((config.pool_label.as_str(), hosts(&config).len()), ("pool", 3));
    assert_eq!((config.raise_after, config.debounce), (Duration::ZERO, Duration::from_secs(90)));
}
