use proptest::prelude::*;

use super::*;

fn inner(encap: Encap, outer_mtu: u32, family: IpFamily) -> u32 {
    encap.inner_mtu(LinkMtu::new(outer_mtu).unwrap(), family).unwrap().get()
}

#[test]
fn the_sizes_that_every_cni_documents() {
    use IpFamily::{V4, V6};
    for (encap, family, outer, want) in [
        (Encap::Vxlan, V4, 1500, 1450),
        (Encap::Vxlan, V6, 1500, 1430),
        (Encap::Vxlan, V4, 1460, 1410),
        (Encap::Geneve { options_bytes: 0 }, V4, 1500, 1450),
        (Encap::Geneve { options_bytes: 8 }, V4, 1500, 1442),
        (Encap::Ipip, V4, 1500, 1480),
        (Encap::Ipip, V6, 1500, 1460),
        (Encap::Gre { optional_fields: 0 }, V4, 1500, 1476),
        (Encap::Gre { optional_fields: 1 }, V4, 1500, 1472),
        (Encap::Wireguard, V4, 1500, 1440),
        (Encap::Wireguard, V6, 1500, 1420),
        (Encap::Wireguard, V4, 9001, 8941),
        (Encap::IpsecEsp { udp: false }, V4, 1500, 1446),
        (Encap::IpsecEsp { udp: true }, V4, 1500, 1438),
    ] {
        assert_eq!(inner(encap, outer, family), want, "{encap:?} over {family} {outer}");
    }
}

#[test]
fn an_outer_link_too_small_leaves_nothing() {
    let tiny = LinkMtu::new(50).unwrap();
    assert_eq!(Encap::Vxlan.inner_mtu(tiny, IpFamily::V4), None);
}

proptest! {
    #[test]
    fn an_esp_packet_of_the_inner_mtu_fits_and_one_byte_more_does_not(outer in 200_u32..10_000) {
        let on_wire = |inner: u32| 20 + 8 + 8 + (inner + 2).div_ceil(4) * 4 + 16;
        let mtu = inner(Encap::IpsecEsp { udp: false }, outer, IpFamily::V4);
        prop_assert!(on_wire(mtu) <= outer);
        prop_assert!(on_wire(mtu + 1) > outer);
    }
}
