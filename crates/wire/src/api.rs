//! What follows from the list of APIs in [`crate::messages`]: their keys, their version tables, and the enums of all requests
//! and all responses. The list itself is there; this file holds only what is made of it.

use bytes::Bytes;

use crate::error::Error;
use crate::reader::Reader;
use crate::schema::MessageSchema;
use crate::value::Message;
use crate::writer::Writer;

/// A message without its type: for tests and fuzzers that go over all of them.
#[derive(Debug, Clone, Copy)]
pub struct Codec {
    /// What the message looks like.
    pub schema: &'static MessageSchema,
    /// Decodes bytes of a version, and drops the message.
    pub decode: fn(i16, Bytes) -> Result<(), Error>,
    /// Decodes bytes of a version, and encodes the message again.
    pub recode: fn(i16, Bytes) -> Result<Vec<u8>, Error>,
    /// Encodes the message with every field at its default.
    pub encode_default: fn(i16) -> Result<Vec<u8>, Error>,
}

impl Codec {
    /// The codec of a message.
    #[must_use]
    pub const fn of<M: Message + 'static>() -> Self {
        Self {
            schema: &M::SCHEMA,
            decode: decode::<M>,
            recode: recode::<M>,
            encode_default: encode_default::<M>,
        }
    }
}

fn decode<M: Message>(version: i16, bytes: Bytes) -> Result<(), Error> {
    M::decode(&mut Reader::new(bytes), version).map(drop)
}

fn recode<M: Message>(version: i16, bytes: Bytes) -> Result<Vec<u8>, Error> {
    encode(version, &M::decode(&mut Reader::new(bytes), version)?)
}

fn encode_default<M: Message>(version: i16) -> Result<Vec<u8>, Error> {
    encode(version, &M::default())
}

fn encode<M: Message>(version: i16, message: &M) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.into_chunks().concat())
}

/// Who may ask for an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Whoever connects to a broker.
    Clients,
    /// The nodes of the cluster, on the listeners that are theirs.
    Nodes,
    /// Nobody yet: it has messages and no handler.
    Nobody,
}

/// A request, and the response that answers it.
pub trait ApiRequest: Message {
    /// The API's key.
    const API: crate::messages::ApiKey;
    /// What answers it.
    type Response: Message;
}

/// Makes the enums and tables of the APIs listed.
///
/// A line is `Name = key, module::{Request, Response};`. It ends in `advertised from N` where the versions told to clients
/// begin below those that are served, and in `for Nodes` or `for Nobody` where the API is not one for clients.
macro_rules! apis {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $module:ident::{$request:ident, $response:ident}
        $(, advertised from $first:literal)? $(, for $audience:ident)?;)*) => {
        /// An API, by its key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[non_exhaustive]
        pub enum ApiKey {
            $($(#[$doc])* $name = $key,)*
        }

        /// The places of the APIs in the list.
        enum Place {
            $($name,)*
        }

        impl ApiKey {
            /// Every API there is, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The API's place in [`Self::ALL`].
            #[must_use]
            pub const fn place(self) -> usize {
                match self {
                    $(Self::$name => Place::$name as usize,)*
                }
            }

            /// The API of a key; `None` where it has no messages here.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The API's key.
            #[must_use]
            pub const fn code(self) -> i16 {
                self as i16
            }

            /// Kafka's name of the API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What its request looks like.
            #[must_use]
            pub const fn request_schema(self) -> &'static MessageSchema {
                match self {
                    $(Self::$name => &<$module::$request as Message>::SCHEMA,)*
                }
            }

            /// What its response looks like.
            #[must_use]
            pub const fn response_schema(self) -> &'static MessageSchema {
                match self {
                    $(Self::$name => &<$module::$response as Message>::SCHEMA,)*
                }
            }

            /// The versions whose messages can be written and read.
            #[must_use]
            pub const fn versions(self) -> Versions {
                self.request_schema().versions
            }

            /// Who may ask for it.
            #[must_use]
            pub const fn audience(self) -> Audience {
                match self {
                    $($(Self::$name => Audience::$audience,)?)*
                    _ => Audience::Clients,
                }
            }

            /// The versions that are served to those who may ask; none where that is nobody.
            #[must_use]
            pub const fn served(self) -> Versions {
                match self.audience() {
                    Audience::Nobody => Versions::NONE,
                    Audience::Clients | Audience::Nodes => self.versions(),
                }
            }

            /// The versions that ApiVersions tells clients: those that are served to them, except where a client insists on
            /// older ones that it will not use.
            #[must_use]
            pub const fn advertised(self) -> Versions {
                match (self, self.audience()) {
                    (_, Audience::Nodes | Audience::Nobody) => Versions::NONE,
                    $($((Self::$name, _) => Versions { first: $first, last: self.served().last },)?)*
                    _ => self.served(),
                }
            }
        }

        impl std::fmt::Display for ApiKey {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        /// A request of any API.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Request {
            $($(#[$doc])* $name($module::$request),)*
        }

        impl Request {
            /// Which API it asks for.
            #[must_use]
            pub const fn api(&self) -> ApiKey {
                match self {
                    $(Self::$name(_) => ApiKey::$name,)*
                }
            }

            /// Reads the body of a request.
            pub fn decode(api: ApiKey, version: i16, reader: &mut Reader) -> Result<Self, Error> {
                match api {
                    $(ApiKey::$name => $module::$request::decode(reader, version).map(Self::$name),)*
                }
            }

            /// Writes the body.
            pub fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), Error> {
                match self {
                    $(Self::$name(request) => request.encode(writer, version),)*
                }
            }
        }

        /// A response of any API.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Response {
            $($(#[$doc])* $name($module::$response),)*
        }

        impl Response {
            /// Which API it answers.
            #[must_use]
            pub const fn api(&self) -> ApiKey {
                match self {
                    $(Self::$name(_) => ApiKey::$name,)*
                }
            }

            /// Reads the body of a response.
            pub fn decode(api: ApiKey, version: i16, reader: &mut Reader) -> Result<Self, Error> {
                match api {
                    $(ApiKey::$name => $module::$response::decode(reader, version).map(Self::$name),)*
                }
            }

            /// Writes the body.
            pub fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), Error> {
                match self {
                    $(Self::$name(response) => response.encode(writer, version),)*
                }
            }

            /// Shows `visit` every error code that the response has in a version.
            pub fn error_codes(&self, version: i16, visit: &mut dyn FnMut(i16)) {
                match self {
                    $(Self::$name(response) => response.error_codes(version, visit),)*
                }
            }
        }

        $(
            impl From<$module::$request> for Request {
                fn from(request: $module::$request) -> Self {
                    Self::$name(request)
                }
            }

            impl From<$module::$response> for Response {
                fn from(response: $module::$response) -> Self {
                    Self::$name(response)
                }
            }

            impl ApiRequest for $module::$request {
                const API: ApiKey = ApiKey::$name;
                type Response = $module::$response;
            }

            const _: () = {
                let (request, response) =
                    (ApiKey::$name.request_schema(), ApiKey::$name.response_schema());
                assert!(request.api_key == $key && response.api_key == $key);
                assert!(matches!(request.direction, Direction::Request));
                assert!(matches!(response.direction, Direction::Response));
                assert!(request.versions.first == response.versions.first);
                assert!(request.versions.last == response.versions.last);
                assert!(request.flexible.first == response.flexible.first);
            };
        )*

        /// Every request, without its type.
        pub static REQUESTS: &[Codec] = &[$(Codec::of::<$module::$request>()),*];

        /// Every response, without its type.
        pub static RESPONSES: &[Codec] = &[$(Codec::of::<$module::$response>()),*];
    };
}

pub(crate) use apis;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{ApiKey, REQUESTS, RESPONSES, Response};
    use crate::schema::Versions;

    #[test]
    fn every_message_comes_back_from_its_defaults_in_every_version() {
        for codec in REQUESTS.iter().chain(RESPONSES) {
            for version in codec.schema.versions.first..=codec.schema.versions.last {
                let name = codec.schema.name;
                let bytes = (codec.encode_default)(version).unwrap_or_else(|error| panic!("{error}"));
                let again = (codec.recode)(version, bytes.clone().into());
                assert_eq!(again.as_ref(), Ok(&bytes), "{name} v{version}");
                assert!((codec.decode)(version, bytes.into()).is_ok());
            }
        }
    }

    #[test]
    fn a_version_that_is_not_served_is_refused_by_name() {
        let error = (REQUESTS[0].encode_default)(2).unwrap_err();
        assert_eq!(error.to_string(), "ProduceRequest v2: this version is not supported: expected 3 to 13");
        for codec in REQUESTS.iter().chain(RESPONSES) {
            for version in [-1, codec.schema.versions.last + 1, i16::MAX, i16::MIN] {
                assert!((codec.encode_default)(version).is_err());
                assert!((codec.decode)(version, Bytes::from_static(&[0; 64])).is_err());
            }
        }
    }

    #[test]
    fn bytes_after_a_message_are_passed_over() {
        for codec in REQUESTS.iter().chain(RESPONSES) {
            let version = codec.schema.versions.last;
            let mut bytes = (codec.encode_default)(version).unwrap();
            let message = bytes.clone();
            bytes.extend([0, 1, 2]);
            assert_eq!((codec.recode)(version, bytes.into()).unwrap(), message, "{}", codec.schema.name);
        }
    }

    #[test]
    fn a_message_that_is_cut_off_anywhere_is_refused() {
        for codec in REQUESTS.iter().chain(RESPONSES) {
            let version = codec.schema.versions.last;
            let bytes = Bytes::from((codec.encode_default)(version).unwrap());
            for end in 0..bytes.len() {
                assert!((codec.decode)(version, bytes.slice(..end)).is_err(), "{}", codec.schema.name);
            }
        }
    }

    #[test]
    fn keys_and_apis_name_each_other() {
        for (place, api) in ApiKey::ALL.iter().enumerate() {
            assert_eq!(ApiKey::from_code(api.code()), Some(*api));
            assert_eq!(api.place(), place);
            assert_eq!(format!("{api}Request"), api.request_schema().name);
            assert_eq!(format!("{api}Response"), api.response_schema().name);
        }
        assert_eq!(ApiKey::from_code(-1), None);
    }

    #[test]
    fn every_error_code_is_shown_that_the_version_has() {
        use crate::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
        let partition = |error_code| PartitionData { error_code, ..PartitionData::default() };
        let topic = |codes: &[i16]| FetchableTopicResponse {
            partitions: codes.iter().copied().map(partition).collect(),
            ..FetchableTopicResponse::default()
        };
        let responses = vec![topic(&[0, 3]), topic(&[6])];
        let response =
            Response::from(FetchResponse { error_code: 71, responses, ..FetchResponse::default() });
        let shown = |version| {
            let mut codes = Vec::new();
            response.error_codes(version, &mut |code| codes.push(code));
            codes
        };
        assert_eq!(shown(12), [71, 0, 3, 6]);
        assert_eq!(shown(4), [0, 3, 6], "the whole has an error code since version 7");
        assert!(shown(-1).is_empty());
    }

    #[test]
    fn produce_is_advertised_from_0_and_served_from_3() {
        assert_eq!(ApiKey::Produce.served(), Versions { first: 3, last: 13 });
        assert_eq!(ApiKey::Produce.advertised(), Versions { first: 0, last: 13 });
        assert_eq!(ApiKey::Fetch.advertised(), ApiKey::Fetch.served());
    }

    #[test]
    fn what_is_not_for_clients_is_not_advertised_and_what_is_for_nobody_not_served() {
        let of = |audience| ApiKey::ALL.iter().filter(move |api| api.audience() == audience);
        for api in of(Audience::Nodes).chain(of(Audience::Nobody)) {
            assert!(api.advertised().is_empty(), "{api}");
        }
        for api in of(Audience::Nobody) {
            assert!(api.served().is_empty() && !api.versions().is_empty(), "{api}");
        }
        for api in of(Audience::Clients) {
            assert!(!api.advertised().is_empty(), "{api}");
            let is_for_tools = *api == ApiKey::DescribeReplicas;
            assert_eq!(api.request_schema().is_private(), is_for_tools, "{api}");
        }
    }
}
