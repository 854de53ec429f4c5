//! The operating system's file systems.
