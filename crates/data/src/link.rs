//! Content identifiers: what a block's bytes are called.
//!
//! The model takes one form of CID only: version 1, DAG-CBOR or raw bytes, SHA-256. In binary it has 36 bytes, in text
//! 59 characters of lower case base 32 that start with `bafyrei` or `bafkrei`.

use ::cid::{Cid, Version};
use data_encoding::BASE32_NOPAD;
use multihash::Multihash;
use sha2::{Digest, Sha256};

use crate::DataError;

/// The CID of a block of DAG-CBOR.
#[must_use]
pub fn cid_of_cbor(block: &[u8]) -> Cid {
    cid_of_digest(DAG_CBOR, &Sha256::digest(block).into())
}

/// The CID of raw bytes: a blob.
#[must_use]
pub fn cid_of_raw(bytes: &[u8]) -> Cid {
    cid_of_digest(RAW, &Sha256::digest(bytes).into())
}

/// The CID of a SHA-256 digest that was computed elsewhere. The codec is [`DAG_CBOR`] or [`RAW`].
#[must_use]
pub fn cid_of_digest(codec: u64, digest: &[u8; 32]) -> Cid {
    // INVARIANT: a multihash of this type holds 64 bytes, and a digest has 32.
    #[expect(clippy::expect_used, reason = "the invariant above")]
    let hash = Multihash::wrap(SHA2_256, digest).expect("32 bytes fit 64");
    Cid::new_v1(codec, hash)
}

/// Reads the binary form of a CID.
///
/// # Errors
/// When it is not exactly the 36 bytes of a CID that the model takes.
pub fn cid_from_bytes(bytes: &[u8]) -> Result<Cid, DataError> {
    let [1, codec, 0x12, 0x20, digest @ ..] = bytes else { return Err(DataError::Cid) };
    let codec = u64::from(*codec);
    if codec != DAG_CBOR && codec != RAW {
        return Err(DataError::Cid);
    }
    let digest: &[u8; 32] = digest.try_into().map_err(|_| DataError::Cid)?;
    Ok(cid_of_digest(codec, digest))
}

/// The text of a CID that the model takes, as its `Display` writes it, in a third of the time.
#[must_use]
pub fn cid_to_text(cid: &Cid) -> String {
    let mut text = String::with_capacity(CID_CHARS);
    write_cid(&mut text, cid);
    text
}

/// Appends the text of a CID, as [`cid_to_text`] has it.
pub fn write_cid(text: &mut String, cid: &Cid) {
    match cid_to_bytes(cid) {
        Ok(bytes) => {
            text.push(MULTIBASE_BASE32);
            let start = text.len();
            BASE32_NOPAD.encode_append(&bytes, text);
            // The library's alphabet is the upper case one.
            if let Some(digits) = text.get_mut(start..) {
                digits.make_ascii_lowercase();
            }
        }
        Err(_) => text.push_str(&cid.to_string()),
    }
}

/// The binary form of a CID that the model takes.
///
/// # Errors
/// When it is another kind of CID.
pub fn cid_to_bytes(cid: &Cid) -> Result<[u8; CID_BYTES], DataError> {
    let codec = u8::try_from(cid.codec()).map_err(|_| DataError::Cid)?;
    if !is_blessed(cid) {
        return Err(DataError::Cid);
    }
    let mut bytes = [0; CID_BYTES];
    let (head, digest) = bytes.split_at_mut(4);
    head.copy_from_slice(&[1, codec, 0x12, 0x20]);
    digest.copy_from_slice(cid.hash().digest());
    Ok(bytes)
}

/// Reads the text of a CID.
///
/// # Errors
/// When it is not exactly the 59 characters of a CID that the model takes.
pub fn parse_cid(text: &str) -> Result<Cid, DataError> {
    // The library also takes upper case inside, which would give a CID a second text.
    let lower = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
    if text.len() != CID_CHARS || !text.starts_with('b') || !lower {
        return Err(DataError::Cid);
    }
    let cid = Cid::try_from(text).map_err(|_| DataError::Cid)?;
    if is_blessed(&cid) { Ok(cid) } else { Err(DataError::Cid) }
}

/// Whether a CID is of the kind that the model takes.
#[must_use]
pub fn is_blessed(cid: &Cid) -> bool {
    cid.version() == Version::V1
        && matches!(cid.codec(), DAG_CBOR | RAW)
        && cid.hash().code() == SHA2_256
        && cid.hash().size() == 32
}

/// The codec of blocks of DAG-CBOR (<https://github.com/multiformats/multicodec>).
pub const DAG_CBOR: u64 = 0x71;

/// The codec of raw bytes.
pub const RAW: u64 = 0x55;

/// Bytes of a CID.
pub const CID_BYTES: usize = 36;

/// Characters of a CID: one for the base, and 36 bytes in base 32.
const CID_CHARS: usize = 59;

const SHA2_256: u64 = 0x12;
/// What multibase puts before lower case base 32 (<https://github.com/multiformats/multibase>).
const MULTIBASE_BASE32: char = 'b';

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";

    #[test]
    fn a_cid_reads_back_from_text_and_bytes() {
        let cid = parse_cid(TEXT).unwrap();
        assert_eq!(cid.to_string(), TEXT);
        assert_eq!(cid_to_text(&cid), TEXT);
        let bytes = cid_to_bytes(&cid).unwrap();
        assert_eq!(cid.to_bytes(), bytes);
        assert_eq!(cid_from_bytes(&bytes).unwrap(), cid);
        assert_eq!(
            cid_of_raw(b"").to_string(),
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        );
    }

    #[test]
    fn rejects_other_kinds_of_cid() {
        let upper = TEXT.to_uppercase();
        let mixed = TEXT.replacen("fay", "fAy", 1);
        let v0 = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR";
        let dag_pb = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
        // The last character carries bits that no byte has.
        let loose = format!("{}b", &TEXT[..58]);
        for text in ["", ".", upper.as_str(), &mixed, v0, dag_pb, &loose, &TEXT[..58], &format!("{TEXT}a")] {
            assert_eq!(parse_cid(text), Err(DataError::Cid), "{text}");
        }
        let good = cid_to_bytes(&parse_cid(TEXT).unwrap()).unwrap();
        assert!(cid_from_bytes(&good[..35]).is_err());
        assert!(cid_from_bytes(&[&good[..], &[0]].concat()).is_err());
        for at in 0..4 {
            let mut bad = good;
            bad[at] ^= 1;
            assert!(cid_from_bytes(&bad).is_err());
        }
    }
}
