use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use mtu_lab::docker::{NetnsLab, Place};

use super::super::handles::Handle;
use super::*;

const NAMESPACES: usize = 50;
/// Whoever walks past the links of so many veths has not come far when another thread begins to read routes.
const PAIRS: usize = 500;

/// Namespaces that nobody has asked an id for yet, and one that keeps a walk busy.
fn lab() -> (NetnsLab, Vec<PathBuf>) {
    let lab = NetnsLab::new().unwrap();
    let mut script = "netns add pod\nlink add pod0 type veth peer name eth0 netns pod\n".to_owned();
    for number in 0..NAMESPACES {
        writeln!(script, "netns add n{number}").unwrap();
    }
    lab.ip_batch(Place::Node, &script).unwrap();
    let mut links = String::new();
    for pair in 0..PAIRS {
        writeln!(links, "link add a{pair} type veth peer name b{pair}").unwrap();
    }
    lab.ip_batch(Place::Pod, &links).unwrap();
    let files = (0..NAMESPACES).map(|number| lab.path(format!("/run/netns/n{number}"))).collect();
    (lab, files)
}

/// A namespace without an id says nothing to a watch: a route that is added there after its routes were read, and
/// before it has an id, would be missed.
#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn no_routes_are_read_before_every_namespace_that_is_held_has_an_id() {
    let (lab, files) = lab();
    let open = || files.iter().map(|file| NetnsFile::open(file).unwrap());
    let without_id = Mutex::new(Vec::new());
    let inventory = lab
        .enter(Place::Node, || {
            let (watched, node) = (open().collect::<Vec<_>>(), Mutex::new(RouteSocket::open().unwrap()));
            let read_routes = || {
                let mut node = node.lock().unwrap();
                let unheard =
                    watched.iter().rev().filter(|netns| node.nsid_of(netns.as_fd()).unwrap().is_none());
                without_id.lock().unwrap().push(unheard.count());
                RouteSocket::open()?.routes()
            };
            let handles = Handles { others: open().map(Handle::new).collect(), ..Handles::default() };
            take_of(&NetnsFile::own().unwrap(), handles, read_routes).unwrap()
        })
        .unwrap();
    assert_eq!(without_id.into_inner().unwrap(), [0; NAMESPACES], "so many had no id, at each visit");
    let read = inventory.namespaces.iter().filter(|netns| netns.nsid.is_some() && netns.routes.is_some());
    assert_eq!(read.count(), NAMESPACES);
}
