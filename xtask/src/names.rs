//! The names of functions in a Wasm module: a tenth of it, and a panic says its file and line without them.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// Takes the names out of the module at `path`.
///
/// # Errors
/// When the file cannot be read or written, or is no Wasm module.
pub(crate) fn strip(path: &Path) -> Result<()> {
    let wasm = fs::read(path).map_err(Error::at(path))?;
    let stripped = without_names(&wasm)
        .ok_or_else(|| Error::Project(format!("{} is not a Wasm module", path.display())))?;
    fs::write(path, stripped).map_err(Error::at(path))
}

/// The module without its custom section `name`. `None` if it is not one section behind the other.
/// <https://webassembly.github.io/spec/core/binary/modules.html>
fn without_names(wasm: &[u8]) -> Option<Vec<u8>> {
    let (header, mut rest) = wasm.split_at_checked(HEADER.len())?;
    let mut kept = header.to_vec();
    if header != HEADER {
        return None;
    }
    while let Some((id, behind)) = rest.split_first() {
        let (size, contents) = number(behind)?;
        let (section, next) = contents.split_at_checked(size)?;
        let is_names = *id == CUSTOM
            && number(section).is_some_and(|(length, name)| name.get(..length) == Some(b"name".as_slice()));
        if !is_names {
            kept.extend_from_slice(rest.get(..rest.len() - next.len())?);
        }
        rest = next;
    }
    Some(kept)
}

/// An unsigned number in LEB128, and what is behind it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().enumerate().take(MAX_NUMBER_BYTES) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// The magic number and the version.
const HEADER: &[u8] = b"\0asm\x01\0\0\0";
/// The id of a custom section.
const CUSTOM: u8 = 0;
/// Bytes of the longest number of 32 bits.
const MAX_NUMBER_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_go_and_everything_else_stays() {
        let types = [1, 1, 0];
        let names = [&[0, 7, 4][..], b"name", &[1, 2]].concat();
        let other = [&[0, 6, 5][..], b"names"].concat();
        let whole = [HEADER, &types, &names, &other].concat();
        assert_eq!(without_names(&whole), Some([HEADER, &types, &other].concat()));
        assert_eq!(without_names(&whole[..whole.len() - 1]), None);
        assert_eq!(without_names(b"\0asm\x02\0\0\0"), None);
        assert_eq!(without_names(b"junk"), None);
    }
}
