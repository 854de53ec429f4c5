//! An API key, a version, and what is said to be a response of it. See `messages` for what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| -> libfuzzer_sys::Corpus {
    ottla_fuzz::messages::check(ottla_wire::RESPONSES, data)
});
