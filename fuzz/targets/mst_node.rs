//! Fuzzes [`murmuration_fuzz::repo::mst_node`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::repo::mst_node);
