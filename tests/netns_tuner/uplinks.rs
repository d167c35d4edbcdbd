//! A host with an uplink besides that of its default route.

use anyhow::Result;
use mtu_lab::docker::Place;

use crate::*;

const STORAGE: u32 = 9000;

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn links_to_another_uplink_keep_what_gets_out_there() -> Result<()> {
    let lab = lab()?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    lab.ip_batch(
        Place::Node,
        "link add eth1 mtu 9000 type veth peer name wire1 mtu 9000
         link set eth1 up
         link add link eth1 name port mtu 9000 type macvlan
         link add br1 mtu 9000 type bridge
         link set port master br1
         link add storage mtu 9000 type veth peer name eth1 mtu 9000 netns c1
         link set storage master br1
         link add link eth1 name eth2 mtu 9000 netns c1 type macvlan",
    )?;
    let agent = tuning(&lab, 2)?;
    // After this the guard has heard of all that was there before.
    until_answered(&agent, &lab, Place::Netns("c1"))?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, UPLINK);
    for (place, link) in
        [(Place::Netns("c1"), "eth1"), (Place::Netns("c1"), "eth2"), (Place::Node, "storage")]
    {
        assert_eq!(lab.link_mtu(place, link)?, STORAGE, "{link}");
    }
    agent.until_sample("mtu_agent_tune_changes_pending", 0.0)
}
