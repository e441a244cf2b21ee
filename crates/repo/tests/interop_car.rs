//! CARs against the fixtures of bluesky-social/atproto, packages/repo.

use data_encoding::BASE64_NOPAD;
use murmuration_repo::RepoError;
use murmuration_repo::car::{self, Car, Limits, Reader};

use crate::common::{cid, interop_json};

fn fixtures() -> Vec<serde_json::Value> {
    interop_json("repo/car-file-fixtures.json").map_or_else(Vec::new, |all| all.as_array().unwrap().clone())
}

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    BASE64_NOPAD.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

#[test]
fn interop_cars_are_read_and_written_as_published() {
    for fixture in fixtures() {
        let root = cid(fixture["root"].as_str().unwrap());
        let file = bytes(&fixture["car"]);
        let read = Car::read(&file, Limits::EVENT).unwrap();
        assert_eq!(read.root().unwrap(), root);

        let mut written = car::header(&root);
        for block in fixture["blocks"].as_array().unwrap() {
            let (cid, block) = (cid(block["cid"].as_str().unwrap()), bytes(&block["bytes"]));
            assert_eq!(read.blocks[&cid].as_ref(), block);
            let before = written.len();
            car::block(&mut written, &cid, &block);
            assert_eq!(written.len() - before, car::block_len(block.len()));
        }
        assert_eq!(written, file);
        assert_eq!(read.blocks.len(), fixture["blocks"].as_array().unwrap().len());
    }
}

#[test]
fn interop_cars_may_come_in_pieces_of_any_size() {
    for fixture in fixtures() {
        let file = bytes(&fixture["car"]);
        for size in [1, 2, 3, 7, 36, 64, 1000] {
            let mut count = 0;
            let mut reader = Reader::new(Limits::EVENT);
            for piece in file.chunks(size) {
                let found = &mut |_, _: &[u8]| {
                    count += 1;
                    Ok(())
                };
                reader.push(piece, found).unwrap();
            }
            assert_eq!(reader.finish().unwrap(), [cid(fixture["root"].as_str().unwrap())]);
            assert_eq!(count, fixture["blocks"].as_array().unwrap().len());
        }
    }
}

#[test]
fn interop_cars_that_are_cut_are_refused_or_lack_blocks() {
    for fixture in fixtures() {
        let file = bytes(&fixture["car"]);
        let whole = fixture["blocks"].as_array().unwrap().len();
        for end in 0..file.len() {
            match Car::read(&file[..end], Limits::EVENT) {
                Ok(read) => assert!(read.blocks.len() < whole),
                Err(error) => assert!(matches!(error, RepoError::Malformed { .. }), "{error}"),
            }
        }
    }
}
