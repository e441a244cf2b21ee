//! Writing CARs.

use murmuration_data::cbor::Writer;
use murmuration_data::{CID_BYTES, Cid};

/// The header of a CAR with one root.
#[must_use]
pub fn header(root: &Cid) -> Vec<u8> {
    header_of(&[*root])
}

/// The header of a CAR whose blocks do not hang together.
#[must_use]
pub fn header_without_roots() -> Vec<u8> {
    header_of(&[])
}

/// Appends a block to a CAR. The CID must be the block's own.
pub fn block(out: &mut Vec<u8>, cid: &Cid, block: &[u8]) {
    let cid = cid.to_bytes();
    varint(out, cid.len() + block.len());
    out.extend_from_slice(&cid);
    out.extend_from_slice(block);
}

/// How many bytes [`block()`] appends for a block of so many bytes.
#[must_use]
pub const fn block_len(bytes: usize) -> usize {
    let section = CID_BYTES + bytes;
    let mut length = 1;
    let mut rest = section >> 7;
    while rest > 0 {
        length += 1;
        rest >>= 7;
    }
    length + section
}

fn header_of(roots: &[Cid]) -> Vec<u8> {
    let mut header = Writer::with_capacity(64);
    header.map(2).text("roots").array(roots.len());
    for root in roots {
        header.link(root);
    }
    header.text("version").uint(1);
    let mut out = Vec::with_capacity(64);
    varint(&mut out, header.as_bytes().len());
    out.extend_from_slice(header.as_bytes());
    out
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}
