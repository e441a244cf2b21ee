//! Fuzzes [`murmuration_fuzz::data::cid`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::data::cid);
