//! What must hold for any bytes, apart from libFuzzer: one file for messages, one for record batches.
//!
//! Inputs begin with a few bytes that choose what the rest is taken for; `cargo xtask fuzz --seeds` writes such inputs from
//! real encodings into `corpus/`.

pub mod batches;
pub mod messages;

/// Runs `work` and panics if it holds more than `allowed` bytes at once. What C libraries allocate is not counted; for
/// that there is libFuzzer's limit of the resident size.
pub(crate) fn bounded<T>(allowed: usize, work: impl FnOnce() -> T) -> T {
    let mut outcome = None;
    let allocated = allocation_counter::measure(|| outcome = Some(work()));
    assert!(allocated.bytes_max <= allowed as u64, "held {} bytes, {allowed} allowed", allocated.bytes_max);
    outcome.expect("the work has run")
}
