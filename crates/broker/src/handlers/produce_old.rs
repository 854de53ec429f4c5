//! Produce below version 3: advertised, since librdkafka would not compress otherwise (KAFKA-18659), but refused.
//!
//! Those versions carry message formats that Kafka 4 has dropped (KIP-896). The request is read only as far as it
//! takes to answer UNSUPPORTED_VERSION for each of its partitions, so that the client says why it failed instead of
//! meeting a closed connection.

use bytes::{BufMut, BytesMut};

use ottla_types::ErrorCode;
use ottla_wire::{Error, Reader, RequestHeader};

use crate::server::Handled;

pub(crate) fn refuse(header: &RequestHeader, body: &mut Reader) -> Handled {
    match refusal(header, body) {
        Ok(Some(frame)) => Handled::Now(vec![frame.freeze()]),
        Ok(None) => Handled::Close(format!("Produce v{} with acks=0 is not served", header.api_version)),
        Err(error) => Handled::Close(error.to_string()),
    }
}

/// The response, with its length prefix; `None` where `acks=0` forbids one.
fn refusal(header: &RequestHeader, body: &mut Reader) -> Result<Option<BytesMut>, Error> {
    let acks = body.read_i16()?;
    let _timeout_ms = body.read_i32()?;
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_i32(header.correlation_id);
    let topics = body.read_i32()?.max(0);
    frame.put_i32(topics);
    for _ in 0..topics {
        let name_len = body.read_i16()?;
        let name = body.take(usize::try_from(name_len).unwrap_or(0))?;
        frame.put_i16(name_len.max(0));
        frame.put_slice(&name);
        let partitions = body.read_i32()?.max(0);
        frame.put_i32(partitions);
        for _ in 0..partitions {
            frame.put_i32(body.read_i32()?);
            let records_len = body.read_i32()?;
            body.take(usize::try_from(records_len).unwrap_or(0))?;
            frame.put_i16(ErrorCode::UnsupportedVersion.code());
            frame.put_i64(-1);
            if header.api_version >= 2 {
                frame.put_i64(-1);
            }
        }
    }
    if header.api_version >= 1 {
        frame.put_i32(0);
    }
    let length = i32::try_from(frame.len() - 4).unwrap_or(i32::MAX);
    if let Some(prefix) = frame.first_chunk_mut::<4>() {
        *prefix = length.to_be_bytes();
    }
    Ok((acks != 0).then_some(frame))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ottla_wire::ApiKey;

    use super::*;

    fn request(acks: i16) -> Reader {
        let mut body = BytesMut::new();
        body.put_i16(acks);
        body.put_i32(1000);
        body.put_i32(1);
        body.put_i16(1);
        body.put_slice(b"t");
        body.put_i32(1);
        body.put_i32(7);
        body.put_i32(3);
        body.put_slice(b"abc");
        Reader::new(body.freeze())
    }

    #[test]
    fn each_partition_is_told_that_the_version_is_not_supported() {
        let header = RequestHeader::new(ApiKey::Produce, 0, 5);
        let frame = refusal(&header, &mut request(1)).unwrap().unwrap().freeze();
        let mut expected = BytesMut::new();
        expected.put_i32(4 + 4 + 3 + 4 + 4 + 2 + 8);
        expected.put_i32(5);
        expected.put_i32(1);
        expected.put_i16(1);
        expected.put_slice(b"t");
        expected.put_i32(1);
        expected.put_i32(7);
        expected.put_i16(35);
        expected.put_i64(-1);
        assert_eq!(frame, expected.freeze());
    }

    #[test]
    fn nothing_is_sent_to_a_client_that_expects_nothing() {
        let header = RequestHeader::new(ApiKey::Produce, 2, 5);
        assert!(refusal(&header, &mut request(0)).unwrap().is_none());
    }

    #[test]
    fn a_body_that_ends_early_or_claims_too_much_is_an_error() {
        let header = RequestHeader::new(ApiKey::Produce, 1, 5);
        assert!(refusal(&header, &mut Reader::new(Bytes::from_static(&[0, 1, 0, 0]))).is_err());
        let claims = [0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert!(refusal(&header, &mut Reader::new(Bytes::copy_from_slice(&claims))).is_err());
    }
}
