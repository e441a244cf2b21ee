//! Fuzzes [`murmuration_fuzz::repo::import_car`].
#![cfg_attr(fuzzing, no_main)]

murmuration_fuzz::entry!(murmuration_fuzz::repo::import_car);
