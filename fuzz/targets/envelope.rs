//! Fuzzes [`murmuration_fuzz::envelope::envelope`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::envelope::envelope);
