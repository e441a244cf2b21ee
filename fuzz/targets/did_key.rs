//! Fuzzes [`murmuration_fuzz::keys::did_key`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::keys::did_key);
