//! The cluster image, its records, and the controller that decides them.
