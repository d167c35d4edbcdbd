use super::*;

fn router(number: u8) -> IpAddr {
    [10, 77, number, 1].into()
}

fn note(claims: &mut Claims, passed: Option<u16>, probed: u16, mtu: u32) -> Option<u16> {
    claims.note(IpFamily::V4, passed, probed, mtu, router(1)).map(|claim| claim.mtu)
}

#[test]
fn an_impossible_mtu_is_ignored_and_counted() {
    let mut claims = Claims::default();
    for mtu in [0, 20, 67, 1279, 1500, 1501, 65_536, u32::MAX] {
        assert_eq!(note(&mut claims, Some(1280), 1500, mtu), None, "{mtu}");
    }
    assert_eq!(claims.ignored, 8);
    assert_eq!(claims.smallest(Some(1280)), None);
}

#[test]
fn an_ipv6_mtu_below_1280_is_ignored() {
    let mut claims = Claims::default();
    assert_eq!(claims.note(IpFamily::V6, None, 1500, 1279, router(1)), None);
    assert_eq!(claims.ignored, 1);
    assert!(claims.note(IpFamily::V6, None, 1500, 1280, router(1)).is_some());
}

#[test]
fn only_the_smallest_is_followed() {
    let mut claims = Claims::default();
    assert_eq!(note(&mut claims, Some(1280), 1500, 1400), Some(1400));
    assert_eq!(note(&mut claims, Some(1280), 9000, 1500), None);
    assert_eq!(claims.smallest(Some(1280)).map(|claim| claim.mtu), Some(1400));
}

#[test]
fn a_claim_dies_when_something_larger_passes() {
    let mut claims = Claims::default();
    note(&mut claims, Some(1280), 1500, 1400);
    assert!(claims.are_trusted(Some(1400)));
    assert!(!claims.are_trusted(Some(1401)));
    assert_eq!(claims.smallest(Some(1401)), None);
    assert_eq!(note(&mut claims, Some(1401), 1500, 1450), None, "who lied once is not followed");
}

#[test]
fn a_staircase_of_ptbs_is_not_followed_for_ever() {
    let mut claims = Claims::default();
    let followed = (0..100).filter(|step| note(&mut claims, None, 1500, 1400 - step).is_some()).count();
    assert_eq!(followed, MAX_FOLLOWED);
}
