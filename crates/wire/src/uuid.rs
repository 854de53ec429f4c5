//! The protocol's `uuid`: sixteen bytes that name a topic, a directory or something else.

use std::fmt;

use ottla_types::{DirectoryId, TopicId};

/// Sixteen bytes; all zero where there is no id.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Sixteen zero bytes: "no id".
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is [`Self::ZERO`].
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Kafka prints every uuid in the base64 of its topic ids.
        TopicId(self.0).fmt(f)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

macro_rules! convert {
    ($($id:ty),*) => {$(
        impl From<$id> for Uuid {
            fn from(id: $id) -> Self {
                Self(id.0)
            }
        }

        impl From<Uuid> for $id {
            fn from(uuid: Uuid) -> Self {
                Self(uuid.0)
            }
        }
    )*};
}

convert!(TopicId, DirectoryId);
