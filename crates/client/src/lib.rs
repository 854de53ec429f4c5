//! Connections, pipelining and metadata routing.
