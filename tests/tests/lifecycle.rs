//! A world keeps everything: over a restart, a `kill -9`, and an object's way out of memory and back.

use murmuration_tests::{Subscriber, World};

#[test]
fn what_was_answered_survives_kill_9() {
    let mut world = World::start();
    let client = world.client();
    for count in 1..=3 {
        let _ = client.path("/test/note?object=agent&name=a").ok();
        world.kill_9_all();
        assert!(client.try_path("/xrpc/_health").is_err());
        world.restart();
        let notes = client.path("/test/notes?object=agent&name=a").ok().json();
        assert_eq!(notes["notes"], count);
    }
}

#[test]
fn an_object_wakes_where_it_slept_and_its_sockets_with_it() {
    let world = World::start();
    let client = world.client();
    let _ = client.path("/test/note?object=agent&name=a").ok();
    let mut socket = Subscriber::connect(&world.address(), "/test/socket?object=agent&name=a");
    world.evict("agent", "a");
    // Counted since the object woke: only what this call itself does.
    let rows = client.path("/test/rows?object=agent&name=a").ok().json();
    assert!(rows["written"].as_i64().unwrap() == 0, "{rows}");
    socket.send("awake?");
    assert_eq!(socket.message().unwrap().to_text().unwrap(), "awake?");
    assert_eq!(client.path("/test/notes?object=agent&name=a").ok().json()["notes"], 1);
}
