//! How memories are used is known, and costs next to nothing.

use crate::common::{Agent, record, search};
use murmuration_memory::Uses;
use murmuration_memory::limits::USES_A_ROW;

impl Agent {
    /// A search whose hits are given out.
    fn recall(&self, text: &str) -> Vec<Uses> {
        let found = self.memories.search(self.keeper(), &search(text)).unwrap();
        self.memories.note_uses(self.keeper(), found.iter().map(|found| found.hit.slot)).unwrap();
        found.iter().map(|found| found.uses).collect()
    }
}

#[test]
fn a_use_is_noted_and_written_with_the_page_that_is_written_anyway() {
    let mut alice = Agent::new();
    let tea = alice.remember("tea at four").path;
    alice.remember("cats sleep");
    let before = alice.written();
    assert_eq!(alice.recall("tea"), [Uses::default()]);
    let last = Some(alice.now.get());
    assert_eq!(alice.recall("tea"), [Uses { count: 1, last }]);
    assert_eq!(alice.written(), before, "a search writes nothing");
    // The other memory's page is the same page, so its change takes the count along for nothing.
    alice.remember("dogs do not");
    assert_eq!(alice.written() - before, 4);
    alice.wake();
    assert_eq!(alice.recall("tea"), [Uses { count: 2, last }]);
    // A new version has been used as often as the one before.
    alice.update(&tea, &record("tea at five"), None).unwrap();
    assert_eq!(alice.recall("tea")[0].count, 3);
    // What waits when the object goes to sleep is lost, and no more than that.
    alice.wake();
    assert_eq!(alice.recall("tea")[0].count, 3);
}

#[test]
fn many_uses_share_one_row() {
    let mut alice = Agent::new();
    alice.remember("tea at four");
    let before = alice.written();
    for _ in 0..3 * USES_A_ROW {
        alice.recall("tea");
    }
    assert_eq!(alice.written() - before, 3);
    alice.wake();
    assert_eq!(alice.recall("tea")[0].count, 3 * USES_A_ROW);
}
