use super::*;

fn parsed(text: &str) -> Target {
    text.parse().unwrap()
}

#[test]
fn addresses_are_taken_with_and_without_brackets() {
    assert_eq!(parsed("192.0.2.1"), Target::Address("192.0.2.1".parse().unwrap()));
    assert_eq!(parsed("2001:db8::1"), Target::Address("2001:db8::1".parse().unwrap()));
    assert_eq!(parsed("[2001:db8::1]"), parsed("2001:db8::1"));
    assert_eq!(parsed(" ::1 "), Target::Address("::1".parse().unwrap()));
}

#[test]
fn a_link_local_address_may_name_its_link() {
    let target = parsed("fe80::1%eth0");
    assert_eq!(target.device(), Some("eth0"));
    assert_eq!(target.to_string(), "fe80::1%eth0");
    assert!("2001:db8::1%eth0".parse::<Target>().is_err());
    assert!("fe80::1%".parse::<Target>().is_err());
}

#[test]
fn host_names_are_taken_as_they_are() {
    for name in
        ["example.org", "example.org.", "localhost", "my-host", "_svc.example.org", "a1", "1a.example"]
    {
        assert_eq!(parsed(name), Target::Name(name.to_owned()));
    }
}

#[test]
fn what_is_neither_address_nor_name_is_bad_usage_and_says_why() {
    for text in [
        "http://example.org/",
        "10.0.0.0/8",
        "example.org:443",
        "192.0.2.1:80",
        "[::1",
        "[192.0.2.1]",
        "[::1]:80",
        "256.1.1.1",
        "10.1",
        "1",
        "example.0x10",
        "-x",
        "a..b",
        "bücher.example",
        "two words",
        "::g",
        "a%eth0",
    ] {
        let error = text.parse::<Target>().unwrap_err();
        assert!(error.to_string().contains("no target"), "{error}");
    }
    assert!("a".repeat(64).parse::<Target>().is_err());
    assert!(["a"; 128].join(".").parse::<Target>().is_err());
    assert_eq!("  ".parse::<Target>(), Err(TargetError::Empty));
}

#[test]
fn one_address_of_each_family_is_probed() {
    let all: Vec<IpAddr> =
        ["::1", "192.0.2.1", "192.0.2.2", "::2"].iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(first_of_each_family(&all), [all[1], all[0]]);
    assert_eq!(first_of_each_family(&[]), Vec::<IpAddr>::new());
}

#[tokio::test]
async fn an_address_resolves_to_itself_without_a_resolver() {
    assert_eq!(parsed("192.0.2.1").resolve().await.unwrap(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn a_name_that_cannot_exist_is_no_bad_usage_but_a_failure_to_resolve() {
    // RFC 6761 §6.4: resolvers never find anything under .invalid.
    let error = parsed("nothing.invalid").resolve().await.unwrap_err();
    assert!(error.to_string().starts_with("resolve host name nothing.invalid"), "{error}");
}
