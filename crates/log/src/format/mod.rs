//! Kafka's formats on disk: names, bytes and lines. Nothing here opens a file, except [`atomic`], which replaces one.

pub(crate) mod atomic;
pub(crate) mod checkpoint;
pub(crate) mod index;
pub(crate) mod names;
pub(crate) mod properties;
pub(crate) mod running;
