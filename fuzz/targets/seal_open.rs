//! Fuzzes [`murmuration_fuzz::keys::seal_open`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::keys::seal_open);
