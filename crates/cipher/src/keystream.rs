//! The keystream of XChaCha20 (draft-irtf-cfrg-xchacha, <https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha>),
//! whose blocks are those of RFC 8439, section 2.3 (<https://www.rfc-editor.org/rfc/rfc8439>).

use chacha20::cipher::array::Array;
use chacha20::cipher::consts::{U4, U24, U32, U64};
use chacha20::cipher::{
    BlockSizeUser, IvSizeUser, KeyIvInit, KeySizeUser, ParBlocks, ParBlocksSizeUser, StreamCipherBackend,
    StreamCipherClosure, StreamCipherCore, StreamCipherSeekCore,
};
use chacha20::{R20, hchacha};
use zeroize::Zeroize;

use crate::lanes::Lanes;

/// What blocks are made of, and which is the next. Wiped when it goes out of use.
#[derive(Clone)]
pub(crate) struct Keystream {
    key: [u32; 8],
    counter: u32,
    nonce: [u32; 3],
}

impl Keystream {
    /// Fills up to four blocks, the next of the stream.
    #[inline(always)]
    fn fill(&mut self, out: &mut [Block]) {
        for (group, words) in (0..).zip(self.blocks().as_chunks::<4>().0) {
            for (block, bytes) in out.iter_mut().zip(Lanes::across(*words)) {
                if let Some(place) = block.as_mut_slice().as_chunks_mut::<16>().0.get_mut(group) {
                    *place = bytes;
                }
            }
        }
        // Four at the most.
        self.counter = self.counter.wrapping_add(u32::try_from(out.len()).unwrap_or(0));
    }

    /// The next four blocks, a lane each.
    #[inline(always)]
    fn blocks(&self) -> [Lanes; 16] {
        let [k0, k1, k2, k3, k4, k5, k6, k7] = self.key.map(Lanes::splat);
        let [n0, n1, n2] = self.nonce.map(Lanes::splat);
        let [c0, c1, c2, c3] = CONSTANTS.map(Lanes::splat);
        let counter = Lanes::splat(self.counter).add(Lanes::COUNT);
        let first = [c0, c1, c2, c3, k0, k1, k2, k3, k4, k5, k6, k7, counter, n0, n1, n2];
        let mut state = first;
        for _ in 0..DOUBLE_ROUNDS {
            double_round(&mut state);
        }
        for (word, first) in state.iter_mut().zip(first) {
            *word = word.add(first);
        }
        state
    }
}

/// Columns, then diagonals.
#[inline(always)]
fn double_round(state: &mut [Lanes; 16]) {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = state;
    quarter_round(a0, b0, c0, d0);
    quarter_round(a1, b1, c1, d1);
    quarter_round(a2, b2, c2, d2);
    quarter_round(a3, b3, c3, d3);
    quarter_round(a0, b1, c2, d3);
    quarter_round(a1, b2, c3, d0);
    quarter_round(a2, b3, c0, d1);
    quarter_round(a3, b0, c1, d2);
}

#[inline(always)]
fn quarter_round(a: &mut Lanes, b: &mut Lanes, c: &mut Lanes, d: &mut Lanes) {
    *a = a.add(*b);
    *d = d.xor(*a).rotate::<16>();
    *c = c.add(*d);
    *b = b.xor(*c).rotate::<12>();
    *a = a.add(*b);
    *d = d.xor(*a).rotate::<8>();
    *c = c.add(*d);
    *b = b.xor(*c).rotate::<7>();
}

impl KeyIvInit for Keystream {
    fn new(key: &Array<u8, U32>, nonce: &Array<u8, U24>) -> Self {
        let (head, tail) = nonce.split::<chacha20::cipher::consts::U16>();
        let mut subkey = hchacha::<R20>(key, &head);
        let mut words = [0; 8];
        read(&mut words, subkey.as_slice());
        subkey.as_mut_slice().zeroize();
        // Four bytes of zeros come first.
        let mut nonce = [0; 3];
        read(nonce.split_at_mut(1).1, tail.as_slice());
        Self { key: words, counter: 0, nonce }
    }
}

fn read(words: &mut [u32], bytes: &[u8]) {
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
}

impl Drop for Keystream {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl KeySizeUser for Keystream {
    type KeySize = U32;
}

impl IvSizeUser for Keystream {
    type IvSize = U24;
}

impl BlockSizeUser for Keystream {
    type BlockSize = U64;
}

impl StreamCipherCore for Keystream {
    #[inline(always)]
    fn remaining_blocks(&self) -> Option<usize> {
        usize::try_from(u32::MAX - self.counter).ok()
    }

    #[inline(always)]
    fn process_with_backend(&mut self, closure: impl StreamCipherClosure<BlockSize = U64>) {
        closure.call(&mut Backend(self));
    }
}

impl StreamCipherSeekCore for Keystream {
    type Counter = u32;

    fn get_block_pos(&self) -> u32 {
        self.counter
    }

    fn set_block_pos(&mut self, place: u32) {
        self.counter = place;
    }
}

/// Makes blocks for the library.
struct Backend<'a>(&'a mut Keystream);

impl BlockSizeUser for Backend<'_> {
    type BlockSize = U64;
}

impl ParBlocksSizeUser for Backend<'_> {
    type ParBlocksSize = U4;
}

impl StreamCipherBackend for Backend<'_> {
    #[inline(always)]
    fn gen_ks_block(&mut self, block: &mut Block) {
        self.0.fill(std::slice::from_mut(block));
    }

    #[inline(always)]
    fn gen_par_ks_blocks(&mut self, blocks: &mut ParBlocks<Self>) {
        self.0.fill(blocks.as_mut_slice());
    }

    #[inline(always)]
    fn gen_tail_blocks(&mut self, blocks: &mut [Block]) {
        self.0.fill(blocks);
    }
}

type Block = Array<u8, U64>;

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Twenty rounds.
const DOUBLE_ROUNDS: usize = 10;
