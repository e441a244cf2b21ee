//! Fuzzes [`murmuration_fuzz::stream::frame`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::stream::frame);
