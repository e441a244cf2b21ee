//! A model from its file: what it says of texts, and what it refuses.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions)]

use murmuration_embedding::{EmbeddingError, Model, ModelTable, Vector};

/// Four words and a piece, in 64 dimensions: two groups.
fn table() -> ModelTable {
    let row = |seed: u32| -> Vec<f32> {
        let mut state = seed;
        (0..64)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect()
    };
    let pieces = [("deploy", 1), ("friday", 2), ("##s", 3), ("on", 4), ("cat", 5)];
    ModelTable {
        name: "small".to_owned(),
        dims: 64,
        pieces: pieces.map(|(piece, seed)| (piece.to_owned(), row(seed))).to_vec(),
    }
}

fn model() -> Model {
    Model::read(table().to_bytes().unwrap()).unwrap()
}

#[test]
fn a_text_is_the_sum_of_its_pieces() {
    let table = table();
    let mut sum = vec![0.0_f32; 64];
    for (piece, times) in [("deploy", 1.0), ("##s", 1.0), ("friday", 2.0_f32.sqrt())] {
        let row = &table.pieces.iter().find(|(known, _)| known == piece).unwrap().1;
        sum.iter_mut().zip(row).for_each(|(sum, coordinate)| *sum += coordinate * times);
    }
    let exact = Vector::from_f32(&sum).unwrap();
    let likeness = model().embed("Friday, deploys: FRIDAY").unwrap().cosine(&exact);
    assert!(likeness > 0.99, "{likeness}");
}

#[test]
fn the_order_of_words_and_their_case_do_not_count() {
    let model = model();
    assert_eq!(model.embed("deploy on Friday"), model.embed("Friday deploy ON"));
    assert_ne!(model.embed("deploy on Friday"), model.embed("cat on Friday"));
}

#[test]
fn a_vector_has_length_one() {
    let length: f32 = model().coordinates("deploy the cat").iter().map(|c| c * c).sum();
    assert!((length - 1.0).abs() < 1e-5);
}

#[test]
fn a_text_that_the_model_knows_nothing_of_has_no_vector() {
    for text in ["", "   ", "zzz qqq", "??!", "\u{0}"] {
        assert_eq!(model().embed(text), None);
    }
}

#[test]
fn only_the_beginning_of_a_very_long_text_is_read() {
    let long = format!("{}{}", "é".repeat(40_000), " cat");
    assert_eq!(model().embed(&long), None);
}

#[test]
fn the_id_says_which_file_it_was() {
    let other = ModelTable { name: "small".to_owned(), ..table() };
    assert_eq!(Model::read(other.to_bytes().unwrap()).unwrap().id(), model().id());
    let mut changed = table();
    changed.pieces[0].1[0] = 0.4;
    let changed = Model::read(changed.to_bytes().unwrap()).unwrap();
    assert_ne!(changed.id(), model().id());
    assert!(changed.id().starts_with("small:"));
}

#[test]
fn refuses_a_file_that_was_cut_or_goes_on() {
    let file = table().to_bytes().unwrap();
    for length in 0..file.len() {
        assert!(Model::read(&file[..length]).is_err(), "{length} bytes of {}", file.len());
    }
    let mut longer = file.clone();
    longer.push(0);
    assert_eq!(Model::read(longer).unwrap_err(), EmbeddingError::Model("there is something after its end"));
}

#[test]
fn a_changed_byte_is_refused_or_gives_a_model_that_still_answers() {
    let file = table().to_bytes().unwrap();
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 0x81;
        let Ok(model) = Model::read(changed) else { continue };
        let coordinates = model.coordinates("deploys on friday, cat");
        assert!(coordinates.iter().all(|c| c.is_finite()) || model.embed("deploys on friday, cat").is_none());
    }
}

#[test]
fn refuses_pieces_that_are_out_of_order() {
    let file = table().to_bytes().unwrap();
    let at = file.windows(3).position(|window| window == b"cat").unwrap();
    let mut changed = file.clone();
    changed[at] = b'z';
    assert_eq!(Model::read(changed).unwrap_err(), EmbeddingError::Model("its pieces are not texts in order"));
}
