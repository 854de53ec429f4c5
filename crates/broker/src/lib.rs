//! Listeners, sessions and one handler per API.
