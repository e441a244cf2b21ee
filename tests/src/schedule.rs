//! Seeded schedules: what befalls an account, and objects that are put out of memory in every gap of it.

use crate::scale::Dice;
use crate::world::World;

/// Ways to put objects out of memory: none, the agent's, the relay's, both.
pub const WAYS: u64 = 4;

/// An account, and a model of what must be there.
pub trait Life {
    /// The account's DID.
    fn did(&self) -> &str;

    /// What befalls it next.
    fn event(&mut self, dice: &mut Dice);
}

/// Lives through so many schedules of so many events, each once for every way, so that every gap has seen all of them. Says how
/// often objects were put out of memory between two events.
pub fn live<'a, L: Life>(
    world: &'a World,
    schedules: u64,
    events: u64,
    begin: impl Fn(&'a World, &str) -> L,
    mut end: impl FnMut(L),
) -> u64 {
    let mut evictions = 0;
    for seed in 0..schedules {
        for turn in 0..WAYS {
            let (mut life, mut dice) = (begin(world, &format!("life{seed}x{turn}")), Dice::new(seed + 1));
            for event in 0..events {
                life.event(&mut dice);
                evictions += evict(world, life.did(), (event + turn) % WAYS);
            }
            end(life);
        }
    }
    evictions
}

/// Puts objects out of memory in one of the [`WAYS`], and says how many.
pub fn evict(world: &World, did: &str, way: u64) -> u64 {
    let objects = [(1, "agent", did), (2, "relay", "host")];
    let chosen = objects.iter().filter(|(bit, ..)| way & bit != 0);
    chosen.map(|(_, object, name)| world.evict(object, name)).count().try_into().unwrap()
}

/// Fires the alarms of an account and of the relay twice, as the platform may.
pub fn fire_alarms(world: &World, did: &str) {
    for (object, name) in [("agent", did), ("relay", "host")] {
        let _ = world.client().path(&format!("/test/fire?object={object}&name={name}")).ok();
    }
}
