//! One file per API: from the wire's terms to the broker's, a question to whoever decides, and back.

pub(crate) mod api_versions;
pub(crate) mod authorized;
pub(crate) mod fetch;
pub(crate) mod metadata;
pub(crate) mod produce;
pub(crate) mod produce_old;
