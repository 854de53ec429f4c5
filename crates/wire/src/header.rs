//! What precedes the body of a request and of a response.
//!
//! A header's version follows from the API and version of its body: flexible bodies have headers with tagged fields,
//! version 2 for requests and 1 for responses. Two exceptions are Kafka's own. The client id keeps its 16 bit length in
//! version 2, so that a broker can read it before it knows the version of the body. The answer to ApiVersions always
//! has header version 0, since the client does not know yet what the broker understands (KIP-511).

use bytes::Bytes;

use crate::error::{Error, Fault};
use crate::messages::ApiKey;
use crate::reader::Reader;
use crate::string::Str;
use crate::tags::UnknownTags;
use crate::value::{Nullable as _, Version};
use crate::writer::Writer;

/// Lengths as headers have them in every version.
const NOT_COMPACT: Version = Version { number: 0, flexible: false };

/// What a client says before a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API it asks for.
    pub api: ApiKey,
    /// In which version of it the body is, and the answer is to be; not necessarily one that is served.
    pub api_version: i16,
    /// What the answer repeats, so that the client knows to what it belongs.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Str>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What a broker says before a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    /// What the request had.
    pub correlation_id: i32,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

impl RequestHeader {
    /// A header without client id.
    #[must_use]
    pub fn new(api: ApiKey, api_version: i16, correlation_id: i32) -> Self {
        Self { api, api_version, correlation_id, client_id: None, unknown_tags: UnknownTags::default() }
    }

    /// The header's version for a body of `api_version`, which need not be one that is served: an ApiVersions request
    /// of a version yet unknown must be answered.
    #[must_use]
    pub fn version(api: ApiKey, api_version: i16) -> i16 {
        if is_flexible(api, api_version) { 2 } else { 1 }
    }

    /// Reads the header; the body follows. Fails if the API is not known.
    pub fn read(reader: &mut Reader) -> Result<Self, Error> {
        let named =
            |field: &'static str| move |error: Error| error.in_field(field).in_message("RequestHeader", 1);
        let key = reader.read_i16().map_err(named("request_api_key"))?;
        let api_version = reader.read_i16().map_err(named("request_api_version"))?;
        let correlation_id = reader.read_i32().map_err(named("correlation_id"))?;
        let api = ApiKey::from_code(key)
            .ok_or_else(|| Error::new(Fault::UnknownApi(key)))
            .map_err(named("request_api_key"))?;
        let version = Self::version(api, api_version);
        let named = |error: Error| error.in_message("RequestHeader", version);
        let client_id =
            Str::read_nullable(reader, NOT_COMPACT).map_err(|error| named(error.in_field("client_id")))?;
        let unknown_tags = read_tags(reader, version >= 2).map_err(named)?;
        Ok(Self { api, api_version, correlation_id, client_id, unknown_tags })
    }

    /// Writes the header; the body is to follow.
    pub fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        let version = Self::version(self.api, self.api_version);
        let named = |error: Error| error.in_message("RequestHeader", version);
        writer.write_i16(self.api.code());
        writer.write_i16(self.api_version);
        writer.write_i32(self.correlation_id);
        Str::write_nullable(self.client_id.as_ref(), writer, NOT_COMPACT)
            .map_err(|error| named(error.in_field("client_id")))?;
        write_tags(&self.unknown_tags, writer, version >= 2).map_err(named)
    }
}

impl ResponseHeader {
    /// The header's version for a body of `api_version`.
    #[must_use]
    pub fn version(api: ApiKey, api_version: i16) -> i16 {
        i16::from(api != ApiKey::ApiVersions && is_flexible(api, api_version))
    }

    /// Reads the header before an answer of that API and version; the body follows.
    pub fn read(reader: &mut Reader, api: ApiKey, api_version: i16) -> Result<Self, Error> {
        let version = Self::version(api, api_version);
        let named = |error: Error| error.in_message("ResponseHeader", version);
        let correlation_id = reader.read_i32().map_err(|error| named(error.in_field("correlation_id")))?;
        let unknown_tags = read_tags(reader, version >= 1).map_err(named)?;
        Ok(Self { correlation_id, unknown_tags })
    }

    /// Writes the header before an answer of that API and version; the body is to follow.
    pub fn write(&self, writer: &mut Writer, api: ApiKey, api_version: i16) -> Result<(), Error> {
        let version = Self::version(api, api_version);
        writer.write_i32(self.correlation_id);
        write_tags(&self.unknown_tags, writer, version >= 1)
            .map_err(|error| error.in_message("ResponseHeader", version))
    }
}

fn is_flexible(api: ApiKey, api_version: i16) -> bool {
    api.request_schema().flexible.contains(api_version)
}

fn read_tags(reader: &mut Reader, flexible: bool) -> Result<UnknownTags, Error> {
    let mut unknown = UnknownTags::default();
    if flexible {
        let mut tags = reader.read_tags()?;
        while let Some((tag, size)) = tags.next(reader)? {
            unknown.read_one(reader, tag, size)?;
        }
    }
    Ok(unknown)
}

fn write_tags(unknown: &UnknownTags, writer: &mut Writer, flexible: bool) -> Result<(), Error> {
    if !flexible {
        return unknown.reject();
    }
    writer.write_uvarint(unknown.count());
    unknown.writing().write_rest(writer);
    Ok(())
}

/// The header of the request in `frame`, and a reader at the start of its body.
pub fn parse_request(frame: Bytes) -> Result<(RequestHeader, Reader), Error> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::read(&mut reader)?;
    Ok((header, reader))
}

/// The header of the response in `frame`, and a reader at the start of its body.
pub fn parse_response(
    frame: Bytes,
    api: ApiKey,
    api_version: i16,
) -> Result<(ResponseHeader, Reader), Error> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::read(&mut reader, api, api_version)?;
    Ok((header, reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_header(bytes: &[u8]) -> Result<(RequestHeader, Reader), Error> {
        parse_request(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn a_flexible_request_has_a_client_id_of_16_bit_length_and_tags() {
        let (header, body) = request_header(b"\0\x01\0\x0c\0\0\0\x07\0\x03cli\x01\x05\x02xyBODY").unwrap();
        assert_eq!((header.api, header.api_version, header.correlation_id), (ApiKey::Fetch, 12, 7));
        assert_eq!(header.client_id.as_deref(), Some("cli"));
        assert_eq!(header.unknown_tags.fields(), [(5, Bytes::from_static(b"xy"))]);
        assert_eq!(body.into_rest(), "BODY");
    }

    #[test]
    fn a_request_that_is_not_flexible_has_no_tags() {
        let (header, body) = request_header(b"\0\x01\0\x04\0\0\0\x07\xff\xffBODY").unwrap();
        assert_eq!(header.client_id, None);
        assert_eq!(body.into_rest(), "BODY");
    }

    #[test]
    fn the_header_of_an_api_versions_request_of_a_coming_version_is_understood() {
        let (header, body) = request_header(b"\0\x12\0\x63\0\0\0\x07\0\x01c\0BODY").unwrap();
        assert_eq!((header.api, header.api_version), (ApiKey::ApiVersions, 99));
        assert!(!header.api.served().contains(header.api_version));
        assert_eq!(body.into_rest(), "BODY");
    }

    #[test]
    fn an_unknown_api_is_named() {
        let error = request_header(b"\x7f\xff\0\0\0\0\0\x07\xff\xff").unwrap_err();
        assert_eq!(error.to_string(), "RequestHeader v1: request_api_key: the API key 32767 is not known");
    }

    #[test]
    fn a_header_that_is_cut_off_anywhere_is_an_error() {
        let whole = b"\0\x01\0\x0c\0\0\0\x07\0\x03cli\x01\x05\x02xy";
        for end in 0..whole.len() {
            assert!(request_header(&whole[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn headers_come_back_in_every_version() {
        for version in [4, 12] {
            let mut header = RequestHeader::new(ApiKey::Fetch, version, -3);
            header.client_id = Some("client".into());
            let mut writer = Writer::new();
            header.write(&mut writer).unwrap();
            assert_eq!(request_header(&writer.into_chunks().concat()).unwrap().0, header);
        }
    }

    #[test]
    fn the_answer_to_api_versions_never_has_tags_in_its_header() {
        assert_eq!(ResponseHeader::version(ApiKey::ApiVersions, 4), 0);
        assert_eq!(ResponseHeader::version(ApiKey::Fetch, 11), 0);
        assert_eq!(ResponseHeader::version(ApiKey::Fetch, 12), 1);
    }
}
