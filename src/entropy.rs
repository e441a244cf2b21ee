//! Random bytes, from the runtime's `crypto.getRandomValues`.

use murmuration_platform::Entropy;

/// The runtime's source. Not usable outside a request, an alarm or a message: nothing here runs at start-up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[allow(clippy::panic)]
    fn fill(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            // INVARIANT: the source exists and cannot fail where a request runs. Were it to, no key may be made of what
            // the buffer held before; the guard turns this into an answer.
            panic!("no entropy: {error}");
        }
    }
}
