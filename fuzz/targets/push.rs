//! Fuzzes [`murmuration_fuzz::stream::push`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::stream::push);
