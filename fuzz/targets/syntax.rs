//! Fuzzes [`murmuration_fuzz::syntax::all`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::syntax::all);
