//! The survey of hosts that no docker is needed for: links and routes made by hand, in namespaces of their own.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::Output;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::docker::{NetnsLab, Place};
use serde_json::{Value, json};

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const JSON: [&str; 4] = ["survey", "--no-probe", "--output", "json"];

/// A host whose uplink eth0 has this MTU, a default route of each family, and nothing else.
fn host(uplink_mtu: u16) -> Result<NetnsLab> {
    let lab = NetnsLab::new()?;
    lab.ip_batch(
        Place::Node,
        &format!(
            "link add eth0 mtu {uplink_mtu} type veth peer name wire
             link set eth0 up
             link set wire up
             addr add 192.0.2.2/24 dev eth0
             addr add 2001:db8::2/64 dev eth0 nodad
             route add default via 192.0.2.1
             route add default via 2001:db8::1\n"
        ),
    )?;
    Ok(lab)
}

/// Adds a pod at a veth of this MTU, with a default route of each family that has these attributes.
fn add_pod(lab: &NetnsLab, mtu: u16, route: &str) -> Result<()> {
    lab.ip_batch(
        Place::Node,
        &format!(
            "netns add pod
             link add cali1 mtu {mtu} type veth peer name eth0 mtu {mtu} netns pod
             link set cali1 up\n"
        ),
    )?;
    lab.ip_batch(
        Place::Pod,
        &format!(
            "link set eth0 up
             addr add 10.244.0.2/24 dev eth0
             addr add 2001:db8:1::2/64 dev eth0 nodad
             route add default via 10.244.0.1 {route}
             route add default via 2001:db8:1::1 {route}\n"
        ),
    )
}

fn survey(lab: &NetnsLab) -> Result<(Value, i32)> {
    survey_in(lab, Place::Node)
}

fn survey_in(lab: &NetnsLab, place: Place<'_>) -> Result<(Value, i32)> {
    parsed(&lab.run(place, &[&[MTU_AGENT], &JSON[..]].concat())?)
}

fn parsed(output: &Output) -> Result<(Value, i32)> {
    let survey = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok((survey, output.status.code().context("the survey was killed")?))
}

fn namespaces(survey: &Value) -> &[Value] {
    survey["namespaces"].as_array().expect("a list")
}

fn named<'a>(survey: &'a Value, name: &str) -> &'a Value {
    let named = namespaces(survey).iter().find(|netns| netns["name"] == name);
    named.unwrap_or_else(|| panic!("no namespace is named {name}: {survey:#}"))
}

fn link<'a>(netns: &'a Value, name: &str) -> &'a Value {
    let mut links = netns["links"].as_array().expect("a list").iter();
    links.find(|link| link["name"] == name).unwrap_or_else(|| panic!("no link is named {name}: {netns:#}"))
}

/// Name of its namespace, its own, and what it should be, of each mismatch.
fn mismatches(survey: &Value) -> BTreeSet<(String, String, u64)> {
    let mismatch = |it: &Value| {
        let netns = namespaces(survey).iter().find(|netns| netns["id"] == it["namespace"]);
        let name = netns.and_then(|netns| netns["name"].as_str()).unwrap_or("host");
        let link = it["link"].as_str().expect("a name");
        (name.to_owned(), link.to_owned(), it["should_be"].as_u64().expect("a number"))
    };
    survey["mismatches"].as_array().expect("a list").iter().map(mismatch).collect()
}

fn rows(rows: &[(&str, &str, u64)]) -> BTreeSet<(String, String, u64)> {
    rows.iter().map(|(netns, link, mtu)| ((*netns).to_owned(), (*link).to_owned(), *mtu)).collect()
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_macvlan_that_the_host_does_not_see_is_found_by_the_file_of_its_namespace() -> Result<()> {
    let lab = host(1400)?;
    lab.netns("child")?;
    lab.ip(&["link", "add", "mv0", "link", "eth0", "netns", "child", "type", "macvlan"])?;
    lab.ip_batch(
        Place::Netns("child"),
        "link set mv0 up
         addr add 192.0.2.3/24 dev mv0
         route add default via 192.0.2.1\n",
    )?;
    let (survey, code) = survey(&lab)?;
    let child = named(&survey, "child");
    assert_eq!((&child["level"], &child["parent"], code), (&json!(1), &json!("host"), 0));
    assert_eq!(child["effective_mtu"], 1400);
    let macvlan = link(child, "mv0");
    let uplink = link(&namespaces(&survey)[0], "eth0");
    assert_eq!(macvlan["kind"], "macvlan");
    assert_eq!(macvlan["lower"], json!({"id": "host", "ifindex": uplink["ifindex"]}));
    assert_eq!(macvlan["peer"], Value::Null);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn namespaces_that_no_link_connects_have_no_level_and_no_mismatch() -> Result<()> {
    let lab = host(1400)?;
    lab.netns("alone")?;
    lab.netns("beside")?;
    lab.ip_batch(
        Place::Netns("alone"),
        "link add eth0 mtu 9000 type veth peer name eth0 mtu 9000 netns beside
         link set eth0 up
         addr add 10.0.0.1/24 dev eth0
         route add default via 10.0.0.2\n",
    )?;
    let (survey, code) = survey(&lab)?;
    for name in ["alone", "beside"] {
        let netns = named(&survey, name);
        assert_eq!((&netns["level"], &netns["place"]), (&Value::Null, &json!("unconnected")), "{name}");
        assert_eq!((&netns["parent"], &netns["effective_mtu"]), (&Value::Null, &Value::Null), "{name}");
    }
    assert_eq!(link(named(&survey, "alone"), "eth0")["peer"]["id"], named(&survey, "beside")["id"]);
    assert_eq!((mismatches(&survey), code), (rows(&[]), 0));
    assert_eq!(survey["safe_dind_mtu"]["value"], 1400);
    Ok(())
}

/// A node that is itself a namespace of a larger host: `node`, with its uplink eth0 a veth to there.
fn node_in_a_container(uplink_mtu: u16) -> Result<NetnsLab> {
    let lab = host(9000)?;
    lab.ip_batch(
        Place::Node,
        &format!(
            "netns add node
             netns add sibling
             link add br-kind type bridge
             link set br-kind up
             link add n0 mtu {uplink_mtu} master br-kind type veth peer name eth0 mtu {uplink_mtu} netns node
             link add s0 mtu 9000 master br-kind type veth peer name eth0 mtu 9000 netns sibling\n"
        ),
    )?;
    lab.ip_batch(
        Place::Netns("node"),
        "link set eth0 up
         addr add 172.18.0.2/16 dev eth0
         route add default via 172.18.0.1\n",
    )?;
    Ok(lab)
}

/// A pod in that node, at a bridge.
fn add_pod_at_a_bridge(lab: &NetnsLab, mtu: u16) -> Result<()> {
    lab.netns("pod")?;
    lab.ip_batch(
        Place::Netns("node"),
        &format!(
            "link add cni0 type bridge
             link set cni0 up
             link add veth1 mtu {mtu} type veth peer name eth0 mtu {mtu} netns pod
             link set veth1 master cni0 up\n"
        ),
    )?;
    lab.ip_batch(
        Place::Pod,
        "link set eth0 up
         addr add 10.244.0.2/24 dev eth0
         route add default via 10.244.0.1\n",
    )
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_node_in_a_container_is_the_host_and_what_is_behind_its_uplink_is_not_walked() -> Result<()> {
    let lab = node_in_a_container(1400)?;
    add_pod_at_a_bridge(&lab, 1500)?;
    let (survey, code) = survey_in(&lab, Place::Netns("node"))?;

    let outside: Vec<_> = namespaces(&survey).iter().filter(|netns| netns["place"] == "outside").collect();
    assert_eq!(outside.len(), 1, "the larger host: {survey:#}");
    assert_eq!((&outside[0]["level"], &outside[0]["links"]), (&Value::Null, &json!([])));
    assert_eq!(named(&survey, "sibling")["level"], Value::Null);
    assert_eq!(
        (&named(&survey, "pod")["level"], &named(&survey, "pod")["parent"]),
        (&json!(1), &json!("host"))
    );
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&json!(1400), 1));
    let expected = rows(&[("host", "cni0", 1400), ("host", "veth1", 1400), ("pod", "eth0", 1400)]);
    assert_eq!(mismatches(&survey), expected);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_second_card_at_the_pods_bridge_is_their_way_out_and_limits_them() -> Result<()> {
    let lab = node_in_a_container(1500)?;
    add_pod_at_a_bridge(&lab, 1500)?;
    lab.ip_batch(
        Place::Node,
        "link add n1 mtu 1400 master br-kind type veth peer name eth1 mtu 1400 netns node\n",
    )?;
    lab.ip_batch(Place::Netns("node"), "link set eth1 master cni0 up\n")?;
    let (survey, code) = survey_in(&lab, Place::Netns("node"))?;
    assert_eq!(link(&namespaces(&survey)[0], "cni0")["mtu"], 1400, "a bridge follows its smallest port");
    assert_eq!(mismatches(&survey), rows(&[("host", "veth1", 1400), ("pod", "eth0", 1400)]));
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&json!(1400), 1));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn an_mtu_on_the_default_route_of_a_pod_counts() -> Result<()> {
    let lab = host(1500)?;
    add_pod(&lab, 1500, "mtu 1400")?;
    let (survey, code) = survey(&lab)?;
    let pod = named(&survey, "pod");
    assert_eq!((&pod["effective_mtu"], code), (&json!(1400), 0));
    let eth0 = &link(pod, "eth0")["ifindex"];
    assert_eq!(pod["default_route"], json!({"ifindex": eth0, "mtu": 1400, "evidence": "configured"}));
    let safe = &survey["safe_dind_mtu"];
    assert_eq!((&safe["value"], &safe["ipv4"], &safe["ipv6"]), (&json!(1400), &json!(1400), &json!(1400)));
    assert_eq!(safe["limited_by"], json!({"kind": "route", "id": pod["id"], "mtu": 1400}));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn of_several_default_routes_the_preferred_one_counts() -> Result<()> {
    let lab = host(1500)?;
    add_pod(&lab, 1500, "metric 200 mtu 1300")?;
    lab.ip_batch(Place::Pod, "route add default via 10.244.0.1 metric 100 mtu 1400\n")?;
    let (survey, _) = survey(&lab)?;
    let safe = &survey["safe_dind_mtu"];
    assert_eq!((&safe["ipv4"], &safe["ipv6"]), (&json!(1400), &json!(1300)));
    Ok(())
}

/// Sends more than one packet to `address` in the namespace `server`, and returns when it has arrived.
fn upload(lab: &NetnsLab, address: &str) -> Result<()> {
    let address: IpAddr = address.parse()?;
    let listener = lab.enter(Place::Netns("server"), || TcpListener::bind((address, 0)))??;
    let port = listener.local_addr()?.port();
    let sent = vec![7_u8; 64 * 1024];
    let received = thread::scope(|scope| {
        let server = scope.spawn(move || -> Result<usize> {
            let mut received = Vec::new();
            listener.accept()?.0.read_to_end(&mut received)?;
            Ok(received.len())
        });
        lab.enter(Place::Node, || TcpStream::connect((address, port))?.write_all(&sent))??;
        server.join().expect("it does not panic")
    })?;
    ensure!(received == sent.len(), "{received} bytes arrived");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_the_kernel_learned_is_a_hint_and_lowers_nothing() -> Result<()> {
    let lab = NetnsLab::new()?;
    lab.ip_batch(
        Place::Node,
        "netns add router
         netns add server
         link add eth0 type veth peer name near netns router
         link set eth0 up
         addr add 192.0.2.2/24 dev eth0
         addr add 2001:db8::2/64 dev eth0 nodad
         route add default via 192.0.2.1
         route add default via 2001:db8::1\n",
    )?;
    lab.sysctls(
        Place::Netns("router"),
        &[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")],
    )?;
    // The server's own end is larger, or it would announce a smaller segment and nothing had to be learned.
    lab.ip_batch(
        Place::Netns("router"),
        "link add far mtu 1400 type veth peer name eth0 mtu 1500 netns server
         link set near up
         link set far up
         addr add 192.0.2.1/24 dev near
         addr add 2001:db8::1/64 dev near nodad
         addr add 198.51.100.1/24 dev far
         addr add 2001:db8:2::1/64 dev far nodad\n",
    )?;
    lab.ip_batch(
        Place::Netns("server"),
        "link set eth0 up
         addr add 198.51.100.2/24 dev eth0
         addr add 2001:db8:2::2/64 dev eth0 nodad
         route add default via 198.51.100.1
         route add default via 2001:db8:2::1\n",
    )?;
    for address in ["198.51.100.2", "2001:db8:2::2"] {
        upload(&lab, address)?;
    }
    let (survey, code) = survey(&lab)?;
    let host = &namespaces(&survey)[0];
    assert_eq!(
        host["learned_path_mtus"],
        json!([{"destination": "198.51.100.2", "mtu": 1400}, {"destination": "2001:db8:2::2", "mtu": 1400}])
    );
    assert_eq!((&host["effective_mtu"], &survey["safe_dind_mtu"]["value"]), (&json!(1500), &json!(1500)));
    assert_eq!(code, 0);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_vxlan_that_carries_pods_to_other_hosts_caps_the_safe_value_once_a_route_uses_it() -> Result<()> {
    let lab = host(1500)?;
    add_pod(&lab, 1500, "")?;
    lab.ip_batch(
        Place::Node,
        "link add vxlan.calico mtu 1450 type vxlan id 4096 dev eth0 dstport 4789
         link set vxlan.calico up\n",
    )?;
    let safe = |lab: &NetnsLab| -> Result<Value> { Ok(survey(lab)?.0["safe_dind_mtu"].take()) };
    assert_eq!(safe(&lab)?["value"], 1500);
    lab.ip(&["route", "add", "10.244.1.0/24", "dev", "vxlan.calico"])?;
    let capped = safe(&lab)?;
    assert_eq!((&capped["value"], &capped["ipv6"]), (&json!(1450), &json!(1500)));
    assert_eq!(capped["limited_by"]["name"], "vxlan.calico");
    lab.ip(&["route", "add", "10.244.2.0/24", "dev", "vxlan.calico", "mtu", "1430"])?;
    assert_eq!(safe(&lab)?["limited_by"], json!({"kind": "route", "id": "host", "mtu": 1430}));
    assert_eq!(survey(&lab)?.0["host"]["cni"]["name"], "Calico");
    Ok(())
}

/// One that is not taken yet (another metric), or not any more (dead), does not count.
#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn of_uplinks_that_share_the_packets_the_one_that_carries_least_decides() -> Result<()> {
    let lab = host(1500)?;
    lab.ip_batch(
        Place::Node,
        "link add eth1 mtu 1450 type veth peer name wire1
         link set eth1 up
         link set wire1 up
         addr add 198.51.100.2/24 dev eth1
         addr add 2001:db8:2::2/64 dev eth1 nodad
         route add default via 198.51.100.1 metric 500
         route add default via 2001:db8:2::1 metric 5000\n",
    )?;
    lab.sysctls(Place::Node, &[("net/ipv4/conf/eth1/ignore_routes_with_linkdown", "1")])?;
    let safe = |lab: &NetnsLab| -> Result<_> {
        let mut safe = survey(lab)?.0["safe_dind_mtu"].take();
        Ok([safe["ipv4"].take(), safe["ipv6"].take()])
    };
    assert_eq!(safe(&lab)?, [1500, 1500]);
    lab.ip_batch(
        Place::Node,
        "route replace default nexthop via 192.0.2.1 dev eth0 nexthop via 198.51.100.1 dev eth1
         route append default via 2001:db8:2::1 dev eth1\n",
    )?;
    assert_eq!(safe(&lab)?, [1450, 1450]);
    let host = &survey(&lab)?.0["namespaces"][0];
    assert_eq!(host["default_route"]["ifindex"], link(host, "eth1")["ifindex"]);
    lab.ip(&["link", "set", "wire1", "down"])?;
    assert_eq!(safe(&lab)?[0], 1500);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_host_with_ipv6_alone_has_a_value_for_it_alone() -> Result<()> {
    let lab = host(1500)?;
    add_pod(&lab, 1420, "")?;
    for place in [Place::Node, Place::Pod] {
        lab.ip_batch(place, "route del default\n")?;
    }
    let (survey, code) = survey(&lab)?;
    let safe = &survey["safe_dind_mtu"];
    assert_eq!((&safe["value"], &safe["ipv4"], &safe["ipv6"]), (&json!(1420), &Value::Null, &json!(1420)));
    assert_eq!((&named(&survey, "pod")["effective_mtu"], code), (&json!(1420), 0));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_host_without_a_default_route_has_no_value_and_says_why() -> Result<()> {
    let lab = NetnsLab::new()?;
    let (survey, code) = survey(&lab)?;
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&Value::Null, 2));
    let remark = survey["safe_dind_mtu"]["remark"].as_str().context("a remark")?;
    assert!(remark.contains("default route"), "{remark}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_any_capability_it_says_what_is_unseen_and_by_what_it_would_be_seen() -> Result<()> {
    let lab = host(1500)?;
    add_pod(&lab, 1450, "mtu 1400")?;
    // Others may not reach the binary where it was built.
    let binary = "/run/tmp/mtu-agent";
    fs::copy(MTU_AGENT, lab.path(binary)).context("copy the binary into the lab")?;
    let nobody = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--bounding-set",
        "-all",
        binary,
    ];
    let (survey, code) = parsed(&lab.run(Place::Node, &[&nobody[..], &JSON[..]].concat())?)?;

    assert_eq!(survey["host"]["privileges"], json!([]));
    let unseen = survey["unseen"].as_array().context("a list")?;
    let needs = |what: &str| {
        let found = unseen.iter().find(|it| it["what"].as_str().is_some_and(|text| text.contains(what)));
        &found.unwrap_or_else(|| panic!("nothing says {what:?}: {unseen:#?}"))["needs"]
    };
    assert_eq!(needs("links of 1 other network namespace"), "CAP_NET_ADMIN");
    assert_eq!(needs("the namespace of"), "CAP_SYS_PTRACE");
    assert!(needs("routes of 1 namespace").as_str().is_some_and(|needs| needs.starts_with("CAP_SYS_ADMIN")));
    // The host's own links are everybody's to read: the outer end of the pod's veth is one.
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&json!(1450), 0));
    Ok(())
}

/// Every id is there once, and every reference leads to one.
fn assert_consistent(survey: &Value) {
    let ids: Vec<_> = namespaces(survey).iter().map(|netns| &netns["id"]).collect();
    let distinct: BTreeSet<_> = ids.iter().map(|id| id.as_str().expect("a string")).collect();
    assert_eq!(ids.len(), distinct.len(), "{ids:?}");
    for netns in namespaces(survey) {
        let ends = netns["links"].as_array().expect("a list").iter();
        let references = ends.flat_map(|link| [&link["peer"]["id"], &link["lower"]["id"]]);
        for reference in references.chain([&netns["parent"]]).filter(|id| !id.is_null()) {
            assert!(ids.contains(&reference), "{reference} is nobody: {survey:#}");
        }
    }
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_survey_holds_while_namespaces_come_and_go() -> Result<()> {
    const ROUNDS: usize = 40;
    let lab = host(1500)?;
    add_pod(&lab, 1450, "")?;
    let churn = || -> Result<()> {
        for _ in 0..ROUNDS {
            let make = |number| {
                format!(
                    "netns add churn{number}
                     netns add churn{number}-inner
                     link add churn{number} type veth peer name eth0 netns churn{number}
                     link set churn{number} up\n"
                )
            };
            lab.ip_batch(Place::Node, &(0..5).map(make).collect::<Vec<_>>().concat())?;
            for number in 0..5 {
                let inner = format!("link add veth0 type veth peer name eth0 netns churn{number}-inner\n");
                lab.ip_batch(Place::Netns(&format!("churn{number}")), &inner)?;
            }
            // The links by themselves: a namespace that a survey holds open keeps its own.
            let delete = |number| {
                format!(
                    "link delete churn{number}
                     netns delete churn{number}
                     netns delete churn{number}-inner\n"
                )
            };
            lab.ip_batch(Place::Node, &(0..5).map(delete).collect::<Vec<_>>().concat())?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let churning = scope.spawn(churn);
        loop {
            let last = churning.is_finished();
            let (survey, code) = survey(&lab)?;
            assert_consistent(&survey);
            let pod = named(&survey, "pod");
            assert_eq!((&pod["level"], &pod["effective_mtu"], code), (&json!(1), &json!(1450), 0));
            if last {
                break;
            }
        }
        churning.join().expect("it does not panic")
    })
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_host_that_never_had_a_route_has_no_safe_mtu_and_says_so() -> Result<()> {
    let lab = NetnsLab::new()?;
    let (survey, code) = survey(&lab)?;
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&Value::Null, 2));
    let remark = survey["safe_dind_mtu"]["remark"].as_str().context("a remark")?;
    assert!(remark.contains("nothing here has a default route"), "{remark}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_namespace_that_never_had_a_route_is_read_and_not_unseen() -> Result<()> {
    let lab = host(1500)?;
    lab.ip_batch(
        Place::Node,
        "netns add lonely
         link add lonely1 mtu 9000 type veth peer name eth0 mtu 9000 netns lonely\n",
    )?;
    let (survey, code) = survey(&lab)?;
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&json!(1500), 0), "{survey:#}");
    let unseen = survey["unseen"].as_array().context("a list")?;
    assert!(
        !unseen.iter().any(|it| it["what"].as_str().is_some_and(|what| what.starts_with("routes"))),
        "{unseen:?}"
    );
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_link_whose_name_is_no_text_hides_neither_itself_nor_what_comes_after_it() -> Result<()> {
    let lab = host(1400)?;
    for pod in ["p1", "p2", "p3"] {
        lab.netns(pod)?;
        lab.ip(&[
            "link",
            "add",
            &format!("cali{pod}"),
            "mtu",
            "1400",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            pod,
        ])?;
        lab.ip_batch(
            Place::Netns(pod),
            "link set eth0 mtu 1400 up
             addr add 10.244.0.2/24 dev eth0
             route add default via 10.244.0.1",
        )?;
        let bridge = r#"ip link add "$(printf '\377\033[2J')" type bridge"#;
        lab.check_in(Place::Netns(pod), &["sh", "-c", bridge])?;
        lab.check_in(Place::Netns(pod), &["ip", "link", "add", "docker0", "type", "bridge"])?;
    }
    let (survey, _) = survey(&lab)?;
    for pod in ["p1", "p2", "p3"] {
        for name in ["docker0", "\u{fffd}\u{fffd}[2J"] {
            assert_eq!(link(named(&survey, pod), name)["mtu"], 1500, "{pod}");
        }
    }
    Ok(())
}
