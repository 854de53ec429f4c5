//! A topic's rules, and what is said to be a record batch. See `batches` for what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| -> libfuzzer_sys::Corpus { ottla_fuzz::batches::check(data) });
