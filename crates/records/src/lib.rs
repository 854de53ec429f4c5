//! Record batch v2: a borrowed view, validation, building, compression.
