//! Padding, so that a ciphertext's length says little about the text inside.
//!
//! Padmé (Nikitin et al., *Reducing Metadata Leakage from Encrypted Files and Communication with PURBs*, 2019,
//! <https://arxiv.org/abs/1806.03160>, section 4): a length is rounded up until its binary form, like a floating point
//! number's, has a mantissa no longer than its exponent. That costs at most 12 % and leaves O(log log n) bits to be
//! seen. Below [`MIN_PADDED_BYTES`] all texts look alike.

use zeroize::Zeroizing;

use crate::EnvelopeError;

/// The text, of at most `most` bytes, one byte 0x80, and zeros up to the length that Padmé gives.
pub(crate) fn pad(text: &[u8], most: usize) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    if text.len() > most {
        return Err(EnvelopeError::TooLarge);
    }
    let length = padded(text.len() + 1);
    // Reserved whole, so that no copy of the text is left behind by a vector that grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    bytes.extend_from_slice(text);
    bytes.push(MARK);
    bytes.resize(length, 0);
    Ok(bytes)
}

/// The text without its padding, of which there is exactly one form.
pub(crate) fn unpad(mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let mark = bytes.iter().rposition(|byte| *byte != 0).ok_or(EnvelopeError::Sealed)?;
    if bytes.get(mark) != Some(&MARK) || padded(mark + 1) != bytes.len() {
        return Err(EnvelopeError::Sealed);
    }
    bytes.truncate(mark);
    Ok(bytes)
}

/// The length that a marked text of so many bytes is padded to.
pub(crate) fn padded(length: usize) -> usize {
    let length = length.max(MIN_PADDED_BYTES);
    let exponent = length.ilog2();
    let mantissa = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - mantissa)) - 1;
    (length + mask) & !mask
}

/// Bytes of the longest text in an envelope: the largest length of Padmé below the 256 KiB that a record may carry
/// inline (`agent.crypto.defs#envelope`), less the tag and the mark. What is larger belongs into a blob.
pub const MAX_MESSAGE_BYTES: usize = MAX_PADDED_BYTES - 1;

/// Bytes of the largest padded text: from 2^17 to 2^18, lengths of Padmé are multiples of 2^12.
pub(crate) const MAX_PADDED_BYTES: usize = 258_048;

/// Bytes of the smallest padded text: an answer of one word looks like one of three lines.
pub(crate) const MIN_PADDED_BYTES: usize = 256;

/// Ends the text. With it a text may end in zeros.
const MARK: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the paper's definition, computed apart from this crate.
    #[test]
    fn lengths_are_those_of_padme() {
        let known = [
            (1, 256),
            (255, 256),
            (256, 256),
            (257, 272),
            (272, 272),
            (500, 512),
            (513, 544),
            (1_000, 1_024),
            (1_025, 1_088),
            (9_000, 9_216),
            (65_537, 67_584),
            (100_000, 100_352),
            (258_048, 258_048),
            (258_049, 262_144),
        ];
        for (length, expected) in known {
            assert_eq!(padded(length), expected, "{length}");
        }
    }

    #[test]
    fn padding_costs_at_most_an_eighth_and_is_its_own_fixed_point() {
        let mut last = 0;
        for length in MIN_PADDED_BYTES..=MAX_PADDED_BYTES {
            let padded_length = padded(length);
            assert!(
                padded_length >= length && padded_length >= last && padded(padded_length) == padded_length
            );
            assert!((padded_length - length) * 8 <= length, "{length}");
            last = padded_length;
        }
    }

    #[test]
    fn every_text_comes_back_also_one_that_ends_in_zeros_or_marks() {
        for text in [b"".as_slice(), b"\0", b"a\0\0", b"a\x80", b"\x80\0\x80\0", &[0; 1000], &[0x80; 271]] {
            let padded_text = pad(text, MAX_MESSAGE_BYTES).unwrap();
            assert_eq!(padded_text.len(), padded(text.len() + 1));
            assert_eq!(unpad(padded_text).unwrap().as_slice(), text);
        }
    }

    #[test]
    fn refuses_padding_of_another_form() {
        let bad: [Vec<u8>; 5] = [vec![], vec![0; 256], vec![1; 256], vec![0x80; 255], {
            let mut longer = vec![0; 512];
            longer[3] = 0x80;
            longer
        }];
        for bytes in bad {
            assert_eq!(unpad(Zeroizing::new(bytes)).err(), Some(EnvelopeError::Sealed));
        }
    }

    #[test]
    fn the_longest_text_fits_and_one_byte_more_does_not() {
        assert_eq!(pad(&vec![7; MAX_MESSAGE_BYTES], MAX_MESSAGE_BYTES).unwrap().len(), MAX_PADDED_BYTES);
        assert_eq!(
            pad(&vec![7; MAX_MESSAGE_BYTES + 1], MAX_MESSAGE_BYTES).err(),
            Some(EnvelopeError::TooLarge)
        );
    }
}
