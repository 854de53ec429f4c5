//! What goes over a connection: a length of four bytes, a header and a body.
//!
//! A frame to send is a list of chunks, so that record batches need no copy. [`Inbox`](crate::Inbox) cuts the
//! bytes of a connection into frames.

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Fault};
use crate::header::{RequestHeader, ResponseHeader};
use crate::messages::{Request, Response};
use crate::writer::Writer;

/// The bytes before a frame that say how long it is.
pub const LENGTH_SIZE: usize = 4;

/// A request or response, ready to be sent: its length and what follows it.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    chunks: Vec<Bytes>,
    len: usize,
}

impl Frame {
    /// How many bytes are to be sent, the length before the frame included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes to send, in order; no chunk is empty.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The bytes to send, in order; no chunk is empty.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }

    /// The bytes to send in one piece, copied if there are several chunks.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if let [one] = self.chunks.as_slice() {
            return one.clone();
        }
        let mut whole = BytesMut::with_capacity(self.len);
        for chunk in &self.chunks {
            whole.extend_from_slice(chunk);
        }
        whole.freeze()
    }

    fn begin() -> Writer {
        let mut writer = Writer::new();
        writer.write_i32(0);
        writer
    }

    fn end(writer: Writer) -> Result<Self, Error> {
        let len = writer.len();
        let body = len - LENGTH_SIZE;
        let length = i32::try_from(body).map_err(|_| Error::new(Fault::TooMany(body)))?;
        Ok(Self { chunks: writer.into_frame(length), len })
    }
}

/// The frame that answers a request of `api_version`.
pub fn encode_response(correlation_id: i32, api_version: i16, response: &Response) -> Result<Frame, Error> {
    let mut writer = Frame::begin();
    let header = ResponseHeader { correlation_id, ..ResponseHeader::default() };
    header.write(&mut writer, response.api(), api_version)?;
    response.encode(&mut writer, api_version)?;
    Frame::end(writer)
}

/// The frame that asks for what `header` says.
pub fn encode_request(header: &RequestHeader, request: &Request) -> Result<Frame, Error> {
    let mut writer = Frame::begin();
    // The body decides what it is: a header that says otherwise would be a lie to the broker.
    debug_assert_eq!(header.api, request.api(), "the header and the body name different APIs");
    header.write(&mut writer)?;
    request.encode(&mut writer, header.api_version)?;
    Frame::end(writer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiKey;
    use crate::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    use crate::header::{parse_request, parse_response};

    fn fetched(records: Bytes) -> Response {
        let partition = PartitionData { records: Some(records.into()), ..Default::default() };
        let topic =
            FetchableTopicResponse { partitions: vec![partition.clone(), partition], ..Default::default() };
        FetchResponse { responses: vec![topic], ..Default::default() }.into()
    }

    #[test]
    fn records_go_into_a_frame_without_a_copy() {
        let records = Bytes::from(vec![7; 100]);
        let frame = encode_response(1, 12, &fetched(records.clone())).unwrap();
        let shared = frame.chunks().iter().filter(|chunk| chunk.as_ptr() == records.as_ptr()).count();
        assert_eq!((shared, frame.chunks().len()), (2, 5));
    }

    #[test]
    fn a_frame_says_how_long_it_is_and_comes_back() {
        let response = fetched(Bytes::from_static(b"records"));
        for version in [4, 12, 18] {
            let frame = encode_response(42, version, &response).unwrap();
            let len = frame.len();
            let mut bytes = frame.into_bytes();
            assert_eq!(bytes.len(), len);
            let length = bytes.split_to(LENGTH_SIZE);
            assert_eq!(length[..], u32::try_from(bytes.len()).unwrap().to_be_bytes());
            let (header, mut body) = parse_response(bytes, ApiKey::Fetch, version).unwrap();
            assert_eq!(header.correlation_id, 42);
            assert_eq!(Response::decode(ApiKey::Fetch, version, &mut body).unwrap(), response);
        }
    }

    #[test]
    fn the_answer_to_an_unknown_version_of_api_versions_is_that_of_version_0() {
        let mut header = RequestHeader::new(ApiKey::ApiVersions, 4, 5);
        header.client_id = Some("c".into());
        let request = Request::from(ApiVersionsRequest::default());
        let mut bytes = encode_request(&header, &request).unwrap().into_bytes();
        let (header, _) = parse_request(bytes.split_off(LENGTH_SIZE)).unwrap();
        let answer = ApiVersionsResponse { error_code: 35, ..Default::default() };
        let frame = encode_response(header.correlation_id, 0, &answer.into()).unwrap();
        assert_eq!(frame.into_bytes(), &b"\0\0\0\x0a\0\0\0\x05\0\x23\0\0\0\0"[..]);
    }
}
