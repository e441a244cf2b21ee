//! Fuzzes [`murmuration_fuzz::repo::mst_tree`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::repo::mst_tree);
