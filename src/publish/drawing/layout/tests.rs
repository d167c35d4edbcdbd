use proptest::prelude::*;

use super::*;
use crate::discovery::identity::Identity;
use crate::domain::link::{LinkKind, LinkRef};
use crate::domain::mtu::IpFamily;
use crate::domain::topology::NetnsIx;
use crate::domain::topology::sample::Sample;
use crate::publish::sample::{identity, paths, survey};

/// What to add to a host, one after the other: where (a number of a namespace), how, an MTU, and a name.
type Step = (usize, u8, u32, String);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..40_usize, 0..4_u8, 68..9001_u32, "\\PC{0,15}"), 0..40)
}

fn built(steps: &[Step]) -> Drawing {
    let mut sample = Sample::host();
    let mut bridges: Vec<LinkRef<NetnsIx>> = Vec::new();
    let mut names = vec![None];
    for (at, how, mtu, name) in steps {
        let netns = NetnsIx(at % sample.topology().namespaces.len());
        match how {
            0 => {
                let link = sample.link(netns, name, LinkKind::Device, *mtu);
                sample.default_route(link, IpFamily::V4, (mtu % 2 == 0).then_some(mtu - 10));
            }
            1 => bridges.push(sample.link(netns, name, LinkKind::Bridge, *mtu)),
            _ => {
                let inner = sample.nested_in(netns);
                names.push((*how == 2).then(|| name.clone()));
                let [end, outer] = sample.veth((inner, "eth0"), (netns, name), *mtu);
                if let Some(bridge) = bridges.iter().rev().find(|bridge| bridge.netns == netns) {
                    sample.enslave(outer, *bridge);
                }
                sample.default_route(end, IpFamily::V6, None);
            }
        }
    }
    let identity = |(number, name)| Identity { name, ..identity(&format!("nsid:{number}")) };
    let identities = names.into_iter().enumerate().map(identity).collect();
    Drawing::of(&survey(&sample, identities, Vec::new(), paths()))
}

/// Where a text ends at most.
fn end(label: &Label, column_px: i32) -> i32 {
    label.at.x + columns(&label.text) * column_px
}

fn holds(outer: Area, inner: Area) -> bool {
    outer.x < inner.x
        && outer.y < inner.y
        && inner.x + inner.width < outer.x + outer.width
        && inner.y + inner.height < outer.y + outer.height
}

/// From where to where each row and each box in a box reaches downward.
fn extents(tile: &Tile<'_>) -> Vec<(i32, i32)> {
    let rows = tile.rows.iter().map(|row| {
        let last = row.notes.last().map_or(row.name.at.y, |note| note.at.y);
        (row.dot.y - ROW / 2, last + 4)
    });
    let tiles = tile.tiles.iter().map(|inner| (inner.area.y, inner.area.y + inner.area.height));
    let mut extents: Vec<_> = rows.chain(tiles).collect();
    extents.sort_unstable();
    extents
}

fn check(tile: &Tile<'_>) {
    let right = tile.area.x + tile.area.width;
    assert!(end(&tile.heading, NAME_PX) <= right, "{tile:?}");
    let extents = extents(tile);
    assert!(
        extents.iter().all(|(top, bottom)| *top > tile.area.y && *bottom < tile.area.y + tile.area.height)
    );
    assert!(extents.windows(2).all(|two| two[0].1 <= two[1].0), "nothing covers anything: {extents:?}");
    for row in &tile.rows {
        let before = row.mtu.as_ref().map_or(right, |mtu| mtu.at.x - columns(&mtu.text) * NAME_PX);
        assert!(end(&row.name, NAME_PX) <= before, "{row:?}");
        assert!(row.kind.as_ref().is_none_or(|kind| end(kind, SMALL_PX) <= before), "{row:?}");
        let kind = row.kind.as_ref().map_or(before, |kind| kind.at.x);
        assert!(end(&row.name, NAME_PX) <= kind, "{row:?}");
        assert!(row.notes.iter().all(|note| end(note, SMALL_PX) <= right), "{row:?}");
        assert!(row.dot.x > tile.area.x && row.dot.x < right);
    }
    for inner in &tile.tiles {
        assert!(holds(tile.area, inner.area), "{:?} is not in {:?}", inner.area, tile.area);
        check(inner);
    }
}

fn count(tile: &Tile<'_>) -> usize {
    let own = tile.room.map_or(0, |_| 1);
    own + tile.tiles.iter().map(count).sum::<usize>()
}

proptest! {
    #[test]
    fn every_box_is_in_its_parents_and_no_text_reaches_over_another(steps in steps()) {
        let drawing = built(&steps);
        let scene = lay_out(&drawing);
        let all = Area { x: 0, y: 0, width: scene.width, height: scene.height };
        for tile in &scene.tiles {
            prop_assert!(holds(all, tile.area));
            check(tile);
        }
        for two in scene.tiles.windows(2) {
            prop_assert!(two[0].area.y + two[0].area.height < two[1].area.y);
        }
    }

    #[test]
    fn every_namespace_is_drawn_or_counted(steps in steps()) {
        let drawing = built(&steps);
        let nested = steps.iter().filter(|(_, how, ..)| *how >= 2).count();
        let drawn: usize = lay_out(&drawing).tiles.iter().map(count).sum();
        prop_assert_eq!(drawn + drawing.folded + drawing.left_out, nested + 1);
    }
}

#[test]
fn three_levels_fit_a_phone_and_deeper_ones_get_more_room() {
    let chain = |levels: usize| {
        let steps: Vec<_> = (0..levels).map(|at| (at, 2, 1500, "veth".to_owned())).collect();
        built(&steps)
    };
    assert_eq!(lay_out(&chain(3)).width, WIDTH);
    assert_eq!(lay_out(&chain(5)).width, WIDTH + 2 * (STEP + EDGE));
}

#[test]
fn what_has_no_room_is_cut_with_an_ellipsis() {
    let at = Point { x: 0, y: 0 };
    assert_eq!(label(at, "docker0", 70, 10).text, "docker0");
    assert_eq!(label(at, "docker0", 60, 10).text, "dock…");
    assert_eq!(label(at, "网络网", 60, 10).text, "网络网");
    assert_eq!(label(at, "网络网络", 60, 10).text, "网络…");
    assert_eq!(label(at, "docker0", -5, 10).text, "");
}
