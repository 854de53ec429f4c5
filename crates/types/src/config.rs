//! Configuration keys: type, range, default and meaning of each, in one table.
