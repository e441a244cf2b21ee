//! Against the library's own keystream, and the published vector.

#![allow(missing_docs, clippy::indexing_slicing, clippy::unwrap_used)]

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use murmuration_cipher::Cipher;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn seals_as_the_library_does_and_opens_what_it_has_sealed(
        key: [u8; 32],
        nonce: [u8; 24],
        aad in vec(any::<u8>(), 0..70),
        text in vec(any::<u8>(), 0..1_400),
    ) {
        let (own, library) = (Cipher::new(&key), XChaCha20Poly1305::new(&key.into()));
        let sealed = library.encrypt(&nonce.into(), Payload { msg: &text, aad: &aad }).unwrap();
        prop_assert_eq!(&own.seal(&nonce, &aad, &text), &sealed);
        prop_assert_eq!(own.open(&nonce, &aad, &sealed).unwrap().to_vec(), text);
    }
}

/// Those around one, four and eight blocks, whose tails are made otherwise than whole blocks.
#[test]
fn every_length_of_a_text_is_sealed_as_by_the_library() {
    let (own, library) = (Cipher::new(&[3; 32]), XChaCha20Poly1305::new(&[3; 32].into()));
    for length in 0..=600 {
        let text = vec![7; length];
        let sealed = library.encrypt(&[9; 24].into(), text.as_slice()).unwrap();
        assert_eq!(own.seal(&[9; 24], b"", &text), sealed, "{length}");
    }
}

#[test]
fn nothing_opens_that_was_changed() {
    let cipher = Cipher::new(&[3; 32]);
    let sealed = cipher.seal(&[9; 24], b"here", &[7; 300]);
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(cipher.open(&[9; 24], b"here", &changed).is_none(), "{at}");
        assert!(cipher.open(&[9; 24], b"here", &sealed[..at]).is_none(), "{at}");
    }
    assert!(cipher.open(&[9; 24], b"there", &sealed).is_none());
    assert!(cipher.open(&[8; 24], b"here", &sealed).is_none());
    assert!(Cipher::new(&[4; 32]).open(&[9; 24], b"here", &sealed).is_none());
}

/// draft-irtf-cfrg-xchacha-03, section A.3.1.
#[test]
fn interop_the_vector_of_the_draft() {
    let key: [u8; 32] = std::array::from_fn(|n| 0x80 + u8::try_from(n).unwrap());
    let nonce: [u8; 24] = std::array::from_fn(|n| 0x40 + u8::try_from(n).unwrap());
    let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    let text =
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let sealed = Cipher::new(&key).seal(&nonce, &aad, text);
    let beginning =
        [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b, 0x95, 0x76, 0x57, 0x94, 0x93, 0xc0, 0xe9, 0x39];
    let tag =
        [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49];
    assert_eq!(&sealed[..16], beginning);
    assert_eq!(&sealed[text.len()..], tag);
}
