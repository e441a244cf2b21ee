//! Fuzzes [`murmuration_fuzz::data::cbor_decode`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::data::cbor_decode);
