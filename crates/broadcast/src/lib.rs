//! The totally ordered log of metadata records, on one node.
