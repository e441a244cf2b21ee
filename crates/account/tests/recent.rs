//! Finding what was written lately, without an index that every write would pay for.

use murmuration_platform::Store;
use murmuration_syntax::{Nsid, RepoPath};

use crate::common::{NOW, World, put};

#[test]
fn the_newest_are_those_with_the_highest_keys_and_each_knows_its_commit() {
    let mut world = World::new();
    world.write(vec![put("app.bsky.feed.postx/z", "another collection")]).unwrap();
    let mut revs = Vec::new();
    for key in ["a", "c", "b"] {
        world.write(vec![put(&format!("app.bsky.feed.post/{key}"), key)]).unwrap();
        revs.push(world.account.head().unwrap().rev);
    }
    world.write(vec![put("app.bsky.feed.pos/y", "and another")]).unwrap();
    let posts = Nsid::parse("app.bsky.feed.post").unwrap();
    let before = world.store.counts();
    let newest = world.account.newest(&posts, 2).unwrap();
    let after = world.store.counts();
    let found: Vec<_> = newest.iter().map(|dated| (dated.record.path.rkey.as_str(), dated.rev)).collect();
    assert_eq!(found, [("c", revs[1]), ("b", revs[2])]);
    assert_eq!((after.read - before.read, after.written - before.written), (2, 0));

    let path = RepoPath::parse("app.bsky.feed.post/a").unwrap();
    let one = world.account.dated(&path).unwrap().unwrap();
    assert_eq!((one.rev, Some(one.record)), (revs[0], world.account.record(&path).unwrap()));
    world.write(vec![put("app.bsky.feed.post/a", "changed")]).unwrap();
    assert_eq!(world.account.dated(&path).unwrap().unwrap().rev, world.account.head().unwrap().rev);
    assert_eq!(world.account.newest(&Nsid::parse("com.example.none").unwrap(), 10).unwrap(), []);
    assert_eq!(world.account.made_at().unwrap(), NOW);
}
