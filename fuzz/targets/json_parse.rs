//! Fuzzes [`murmuration_fuzz::data::json_parse`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::data::json_parse);
