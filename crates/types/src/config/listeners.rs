//! The keys that name addresses, taken apart: listeners, and the voters of the metadata quorum.
