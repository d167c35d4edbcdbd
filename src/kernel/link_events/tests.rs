use super::*;

#[tokio::test]
async fn whoever_hears_something_whenever_they_listen_lets_others_have_their_turn() {
    let mut events = LinkEvents::listen(LinkSocket::open().unwrap()).unwrap();
    let loopback = Ifindex::new(1).unwrap();
    let other = tokio::spawn(async {});
    for _ in 0..1000 {
        events.ask_for(loopback).unwrap(); // it is answered by then
        assert!(!events.next().await.unwrap().is_empty());
        if other.is_finished() {
            return;
        }
    }
    panic!("there was another task all the time");
}
