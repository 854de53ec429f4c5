//! Newtypes for the numbers and ids that cross crate boundaries, so that an offset is never taken for an epoch.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

number! {
    /// The position of a record in a partition's log. The first record ever written has offset 0.
    Offset(i64)
}
number! {
    /// The number of a partition's leadership: raised by one at each election (KIP-101).
    LeaderEpoch(i32)
}
number! {
    /// A broker's `node.id`.
    BrokerId(i32)
}
number! {
    /// The number of a broker's registration: a restarted broker gets a higher one (KIP-380).
    BrokerEpoch(i64)
}
number! {
    /// The number of a partition's state: raised by one at each change of it (KIP-497).
    PartitionEpoch(i32)
}
number! {
    /// The number of a leadership over the metadata log: each that begins has a higher one than all before it. Kafka calls
    /// it the controller epoch (KIP-595).
    LeadershipEpoch(i64)
}
number! {
    /// Names an idempotent or transactional producer (KIP-98).
    ProducerId(i64)
}
number! {
    /// Raised when a producer id starts its sequence numbers anew (KIP-98, KIP-360).
    ProducerEpoch(i16)
}

impl Offset {
    /// The offset `n` records after this one, or `None` past the largest offset there is.
    #[must_use]
    pub fn checked_add(self, n: i64) -> Option<Self> {
        self.0.checked_add(n).map(Self)
    }
}

impl LeaderEpoch {
    /// "No epoch": what requests without one carry on the wire.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// "No producer id": a batch of a plain, not idempotent, producer.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// "No producer epoch": a batch of a plain, not idempotent, producer.
    pub const NONE: Self = Self(-1);
}

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id: expected 16 bytes in URL-safe base64, 22 characters")]
pub struct ParseIdError(String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Sixteen zero bytes: "no id" on the wire.
            pub const ZERO: Self = Self([0; 16]);

            /// Whether this is [`Self::ZERO`].
            #[must_use]
            pub fn is_zero(self) -> bool {
                self == Self::ZERO
            }

            /// An id from random bytes, with the version and variant bits of a random UUID (RFC 9562, version 4).
            #[must_use]
            pub fn from_random(mut bytes: [u8; 16]) -> Self {
                bytes[6] = bytes[6] & 0x0f | 0x40;
                bytes[8] = bytes[8] & 0x3f | 0x80;
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseIdError(text.to_owned()))?;
                bytes.try_into().map(Self).map_err(|_| ParseIdError(text.to_owned()))
            }
        }
    };
}

id! {
    /// Names one incarnation of a topic: a topic that is deleted and created again gets another one (KIP-516).
    TopicId
}
id! {
    /// Names one log directory of one broker (KIP-858).
    DirectoryId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_kafka_prints_them_and_parse_back() {
        let id = TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(id.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAQ".parse(), Ok(id));
    }

    #[test]
    fn a_text_of_the_wrong_length_is_no_id() {
        assert!("AAAA".parse::<TopicId>().is_err());
        assert!("not base64!".parse::<DirectoryId>().is_err());
    }

    #[test]
    fn random_ids_carry_the_version_and_variant_of_a_random_uuid() {
        let id = TopicId::from_random([0xff; 16]);
        assert_eq!(id.0[6] >> 4, 4);
        assert_eq!(id.0[8] >> 6, 0b10);
    }
}
