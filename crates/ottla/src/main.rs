//! Placeholder entry point until the first command lands.
fn main() {}
