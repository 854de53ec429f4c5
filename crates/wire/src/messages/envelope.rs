//! Envelope (key 58): a broker hands a client's request on to the active controller, with who asked (KIP-590).

use bytes::Bytes;
use ottla_types::Offset;

use crate::error::Error;
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{Message, Str, UnknownTags};

/// Hands a request on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 58, versions = "0", flexible = "0..")]
pub struct EnvelopeRequest {
    /// The request with its header, as the client wrote it.
    pub request_data: Bytes,
    /// Who asked: a [`DefaultPrincipalData`] with its version before it.
    #[wire(nullable)]
    pub request_principal: Option<Bytes>,
    /// The address that the client has, in 4 or 16 bytes.
    pub client_host_address: Bytes,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The answer to hand back.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 58, versions = "0", flexible = "0..")]
pub struct EnvelopeResponse {
    /// The response with its header, as the client is to get it; null where there is an error.
    #[wire(nullable, default = null)]
    pub response_data: Option<Bytes>,
    /// The error's code, or 0: one of handing on, and not of the request itself.
    pub error_code: i16,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// The tag of the one field that this cluster's nodes add to Kafka's.
const METADATA_END_TAG: u32 = 16_001;

impl EnvelopeResponse {
    /// Says below which offset of the metadata log all lies that the answer tells of: who has replayed so much
    /// shows it to clients. Kafka's definition has no place for it; it is a tagged field that others pass
    /// over.
    #[must_use]
    pub fn with_metadata_end(mut self, end: Offset) -> Self {
        let mut tags = UnknownTags::default();
        // It is the only one, so that its tag cannot be out of order.
        if tags.push(METADATA_END_TAG, Bytes::copy_from_slice(&end.0.to_be_bytes())).is_ok() {
            self.unknown_tags = tags;
        }
        self
    }

    /// The offset that was said, if one was.
    #[must_use]
    pub fn metadata_end(&self) -> Option<Offset> {
        let (_, value) = self.unknown_tags.fields().iter().find(|(tag, _)| *tag == METADATA_END_TAG)?;
        Some(Offset(i64::from_be_bytes(<[u8; 8]>::try_from(&**value).ok()?)))
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(data, versions = "0", flexible = "0..")]
pub struct DefaultPrincipalData {
    /// What kind of principal it is: `User`.
    #[wire(name = "Type")]
    pub kind: Str,
    /// Its name.
    pub name: Str,
    /// Whether a delegation token proved it.
    pub token_authenticated: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

impl DefaultPrincipalData {
    /// Reads a principal with its version before it.
    ///
    /// # Errors
    /// If the bytes are none, or of a version that is not known.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let named = |error: Error| error.in_field("version").in_message("DefaultPrincipalData", 0);
        let version = reader.read_i16().map_err(named)?;
        Self::decode(&mut reader, version)
    }

    /// The principal with its version before it.
    ///
    /// # Errors
    /// If a name is too long to be written.
    pub fn to_bytes(&self) -> Result<Bytes, Error> {
        let mut writer = Writer::new();
        writer.write_i16(Self::SCHEMA.versions.last);
        self.encode(&mut writer, Self::SCHEMA.versions.last)?;
        Ok(writer.into_chunks().concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_its_version_kind_name_and_proof() {
        let principal = DefaultPrincipalData {
            kind: "User".into(),
            name: "me".into(),
            ..DefaultPrincipalData::default()
        };
        let bytes = principal.to_bytes().unwrap();
        assert_eq!(bytes, &b"\0\0\x05User\x03me\0\0"[..]);
        assert_eq!(DefaultPrincipalData::from_bytes(bytes).unwrap(), principal);
    }

    #[test]
    fn an_answer_says_how_far_the_metadata_log_goes_that_it_tells_of() {
        let response =
            EnvelopeResponse { response_data: Some(Bytes::from_static(b"answer")), ..Default::default() };
        assert_eq!(response.metadata_end(), None);
        let mut writer = Writer::new();
        response.with_metadata_end(Offset(i64::MAX)).encode(&mut writer, 0).unwrap();
        let mut reader = Reader::new(writer.into_chunks().concat().into());
        let told = EnvelopeResponse::decode(&mut reader, 0).unwrap();
        assert_eq!(told.metadata_end(), Some(Offset(i64::MAX)));
        assert_eq!(told.response_data.as_deref(), Some(&b"answer"[..]));
    }

    #[test]
    fn an_end_that_is_no_offset_is_none() {
        let mut response = EnvelopeResponse::default();
        response.unknown_tags.push(METADATA_END_TAG, Bytes::from_static(b"seven b")).unwrap();
        assert_eq!(response.metadata_end(), None);
    }

    #[test]
    fn a_principal_that_is_cut_off_or_of_another_version_is_refused_by_name() {
        for bytes in [&b""[..], b"\0", b"\0\0\x05Us", b"\0\x01\x05User\x03me\0\0"] {
            let error = DefaultPrincipalData::from_bytes(Bytes::from_static(bytes)).unwrap_err();
            assert!(error.to_string().starts_with("DefaultPrincipalData v"), "{error}");
        }
    }
}
