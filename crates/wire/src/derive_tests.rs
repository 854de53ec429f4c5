//! What the derive makes of small structs: versions, nulls, tags and defaults, one claim at a time.

use bytes::Bytes;

use crate::error::Fault;
use crate::schema::{FieldType, Versions};
use crate::{Codec, Error, Message, Reader, Records, Str, UnknownTags, Uuid, Value, Writer};

#[derive(Debug, Clone, PartialEq, Message)]
#[wire(api = 1, versions = "1..=5", flexible = "3..")]
struct TestRequest {
    always: i32,
    #[wire(since = 2)]
    later: i16,
    #[wire(until = 2, default = 7, ignorable)]
    earlier: i64,
    #[wire(nullable = "2..", default = null)]
    name: Option<Str>,
    #[wire(since = 4, nullable)]
    list: Option<Vec<Part>>,
    #[wire(since = 4, nullable, default = null)]
    part: Option<Part>,
    #[wire(since = 3, tag = 0, default = "abc")]
    first_tag: Str,
    #[wire(since = 4, tag = 1, ignorable)]
    second_tag: Part,
    parts: Vec<Part>,
    unknown_tags: UnknownTags,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[wire(name = "OtherName")]
struct Part {
    #[wire(name = "ID")]
    id: Uuid,
    #[wire(since = 5, default = -1.5)]
    weight: f64,
    unknown_tags: UnknownTags,
}

#[derive(Debug, Clone, PartialEq, Message)]
#[wire(api = 1, direction = response, versions = "0..=1", flexible = "1..")]
struct EveryType {
    a: bool,
    b: i8,
    c: i16,
    d: u16,
    e: i32,
    f: u32,
    g: i64,
    h: f64,
    i: Uuid,
    j: Str,
    k: Bytes,
    #[wire(nullable)]
    l: Option<Records>,
    m: Vec<Vec<i32>>,
    n: Part,
    unknown_tags: UnknownTags,
}

fn encode<M: Message>(message: &M, version: i16) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.into_chunks().concat())
}

fn decode<M: Message>(bytes: &[u8], version: i16) -> Result<M, Error> {
    M::decode(&mut Reader::new(Bytes::copy_from_slice(bytes)), version)
}

fn part(byte: u8) -> Part {
    Part { id: Uuid([byte; 16]), ..Part::default() }
}

#[test]
fn defaults_are_those_of_the_attributes() {
    let message = TestRequest::default();
    assert_eq!((message.always, message.earlier), (0, 7));
    assert_eq!(message.name, None);
    assert_eq!(message.list, Some(Vec::new()), "without `default = null` a nullable field starts empty");
    assert_eq!(message.first_tag, "abc");
    assert_eq!(message.second_tag.weight, -1.5);
    assert_eq!(EveryType::default().l, None, "records start at null");
}

#[test]
fn each_version_has_its_own_fields_and_lengths() {
    let message = TestRequest { always: 1, ..TestRequest::default() };
    let with_name = TestRequest { name: Some("n".into()), ..message.clone() };
    assert_eq!(encode(&with_name, 1).unwrap(), b"\0\0\0\x01\0\0\0\0\0\0\0\x07\0\x01n\0\0\0\0");
    assert_eq!(encode(&message, 2).unwrap(), b"\0\0\0\x01\0\0\0\0\0\0\0\0\0\x07\xff\xff\0\0\0\0");
    assert_eq!(encode(&message, 3).unwrap(), b"\0\0\0\x01\0\0\0\x01\0");
    assert_eq!(encode(&message, 4).unwrap(), b"\0\0\0\x01\0\0\0\x01\xff\x01\0");
}

#[test]
fn a_message_comes_back_in_every_version() {
    for version in 1..=5 {
        let mut message = TestRequest { always: 9, name: Some("name".into()), ..TestRequest::default() };
        message.parts = vec![part(1), part(2)];
        if version >= 4 {
            message.list = if version == 4 { None } else { Some(vec![part(3)]) };
            message.part = Some(part(4));
            message.second_tag = part(5);
        }
        if version >= 3 {
            message.first_tag = "".into();
            message.unknown_tags.push(9, Bytes::from_static(b"later")).unwrap();
        }
        let bytes = encode(&message, version).unwrap();
        assert_eq!(decode::<TestRequest>(&bytes, version).unwrap(), message, "v{version}");
    }
}

#[test]
fn every_type_comes_back() {
    for version in [0, 1] {
        let message = EveryType {
            a: true,
            b: -1,
            c: -2,
            d: u16::MAX,
            e: -3,
            f: u32::MAX,
            g: i64::MIN,
            h: 0.5,
            i: Uuid([6; 16]),
            j: "text \u{1f980}".into(),
            k: Bytes::from_static(b"bytes"),
            l: Some(Bytes::from_static(b"records").into()),
            m: vec![vec![], vec![1, -2]],
            n: part(1),
            ..EveryType::default()
        };
        let bytes = encode(&message, version).unwrap();
        assert_eq!(decode::<EveryType>(&bytes, version).unwrap(), message);
        let nulled = EveryType { l: None, ..message };
        let bytes = encode(&nulled, version).unwrap();
        assert_eq!(decode::<EveryType>(&bytes, version).unwrap(), nulled);
    }
}

#[test]
fn a_value_that_the_version_lacks_is_an_error_unless_it_is_ignorable() {
    let later = TestRequest { later: 1, name: Some("".into()), ..TestRequest::default() };
    let error = encode(&later, 1).unwrap_err();
    assert_eq!(error.to_string(), "TestRequest v1: later: is set, and this version does not have the field");
    assert!(encode(&TestRequest { earlier: 8, ..TestRequest::default() }, 3).is_ok());
    assert!(encode(&TestRequest { second_tag: part(1), ..TestRequest::default() }, 3).is_ok());
    assert!(encode(&TestRequest { first_tag: "set".into(), ..TestRequest::default() }, 2).is_err());
    let mut nested = TestRequest { parts: vec![part(0), part(1)], ..TestRequest::default() };
    nested.parts[1].weight = 2.0;
    let error = encode(&nested, 4).unwrap_err();
    assert_eq!(error.path(), "parts[1].weight");
}

#[test]
fn null_is_an_error_where_the_version_has_none_both_ways() {
    let message = TestRequest::default();
    let error = encode(&message, 1).unwrap_err();
    assert_eq!(error.to_string(), "TestRequest v1: name: is null, which this version does not allow");
    let error = decode::<TestRequest>(b"\0\0\0\x01\0\0\0\0\0\0\0\x07\xff\xff\0\0\0\0", 1).unwrap_err();
    assert_eq!(error.to_string(), "TestRequest v1: name: is null, which this version does not allow");
    let error =
        decode::<TestRequest>(b"\0\0\0\x01\0\0\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\xff\xff", 2).unwrap_err();
    assert_eq!(error.path(), "parts");
}

#[test]
fn tagged_fields_are_written_only_when_set_and_merge_with_unknown_ones_by_tag() {
    let mut message = TestRequest { first_tag: "x".into(), ..TestRequest::default() };
    message.unknown_tags.push(1, Bytes::from_static(b"u")).unwrap();
    message.unknown_tags.push(300, Bytes::new()).unwrap();
    let bytes = encode(&message, 3).unwrap();
    assert!(bytes.ends_with(b"\x03\x00\x02\x02x\x01\x01u\xac\x02\x00"), "{bytes:?}");
    assert_eq!(decode::<TestRequest>(&bytes, 3).unwrap(), message);
}

#[test]
fn an_unknown_tag_that_the_version_knows_by_another_name_is_refused() {
    let mut message = TestRequest { second_tag: part(1), ..TestRequest::default() };
    message.unknown_tags.push(1, Bytes::from_static(b"u")).unwrap();
    assert_eq!(encode(&message, 4).unwrap_err().fault(), &Fault::TagOrder { tag: 1, previous: 1 });
}

#[test]
fn unknown_tags_cannot_go_where_versions_have_none() {
    let mut message = TestRequest { name: Some("".into()), ..TestRequest::default() };
    message.unknown_tags.push(5, Bytes::new()).unwrap();
    let error = encode(&message, 2).unwrap_err();
    assert_eq!(error.to_string(), "TestRequest v2: has tagged fields, which this version cannot carry");
}

#[test]
fn a_known_tag_that_takes_fewer_bytes_than_it_says_is_refused() {
    let error = decode::<TestRequest>(b"\0\0\0\x01\0\0\0\x01\x01\x00\x03\x02xx", 3).unwrap_err();
    assert_eq!(error.fault(), &Fault::TagSize { tag: 0, size: 3, left: 1 });
    let error = decode::<TestRequest>(b"\0\0\0\x01\0\0\0\x01\x01\x00\x02\x04xxx", 3).unwrap_err();
    assert_eq!(error.to_string(), "TestRequest v3: first_tag: needs 3 bytes, and 1 are left");
}

#[test]
fn an_array_that_claims_more_than_there_is_names_its_path() {
    let error =
        decode::<TestRequest>(b"\0\0\0\x01\0\0\0\0\0\0\0\0\0\x07\xff\xff\x7f\xff\xff\xff", 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "TestRequest v2: parts: claims 2147483647 elements of at least 16 bytes each, and 0 bytes are left"
    );
}

#[test]
fn a_message_of_nothing_but_empty_values_cannot_fill_the_memory() {
    let parts = |count: u32| {
        let mut writer = Writer::new();
        writer.write_slice(b"\0\0");
        writer.write_uvarint(count + 1);
        // A list of lists: each empty one is a byte on the wire, and 24 in memory.
        writer.write_slice(&vec![1; count as usize]);
        writer.write_slice(b"\0");
        Bytes::from(writer.into_chunks().concat())
    };
    #[derive(Debug, PartialEq, Message)]
    #[wire(api = 1, versions = "0", flexible = "0..")]
    struct ListsRequest {
        first: i16,
        lists: Vec<Vec<i32>>,
        unknown_tags: UnknownTags,
    }
    let decode = |count| ListsRequest::decode(&mut Reader::new(parts(count)), 0);
    assert_eq!(decode(2_000).unwrap().lists.len(), 2_000);
    let error = decode(10_000_000).unwrap_err();
    assert_eq!(error.path(), "lists");
    assert!(matches!(error.fault(), Fault::TooMuchMemory { size: 240_000_000, .. }), "{error}");
}

#[test]
fn unknown_tagged_fields_cannot_fill_the_memory() {
    let count = 1_000_000;
    let mut writer = Writer::new();
    writer.write_slice(b"\0\0\0\x01\0\0\0\x01");
    writer.write_uvarint(count);
    for tag in 0..count {
        writer.write_uvarint(tag + 1);
        writer.write_uvarint(0);
    }
    let error = decode::<TestRequest>(&writer.into_chunks().concat(), 3).unwrap_err();
    assert!(matches!(error.fault(), Fault::TooMuchMemory { .. }), "{error}");
}

#[test]
fn a_structure_is_null_or_present_and_nothing_else() {
    let error = decode::<TestRequest>(b"\0\0\0\x01\0\0\0\x01\x02\x01\0", 4).unwrap_err();
    assert_eq!((error.path().as_str(), error.fault()), ("part", &Fault::BadPresence(2)));
}

#[test]
fn the_fewest_bytes_of_a_value_are_what_a_default_takes_without_text() {
    for version in 1..=5 {
        let version = TestRequest::version(version).unwrap();
        let mut writer = Writer::new();
        let message = TestRequest { name: Some(Str::default()), ..TestRequest::default() };
        message.write(&mut writer, version).unwrap();
        assert_eq!(TestRequest::min_size(version), writer.len(), "{version:?}");
    }
}

#[test]
fn the_schema_repeats_the_attributes() {
    let schema = TestRequest::SCHEMA;
    assert_eq!((schema.name, schema.api_key), ("TestRequest", 1));
    assert_eq!(schema.versions, Versions { first: 1, last: 5 });
    assert_eq!(schema.flexible, Versions { first: 3, last: i16::MAX });
    let names: Vec<_> = schema.fields.iter().map(|field| field.name).collect();
    assert_eq!(
        names,
        ["Always", "Later", "Earlier", "Name", "List", "Part", "FirstTag", "SecondTag", "Parts"]
    );
    let earlier = schema.fields[2];
    assert_eq!((earlier.default, earlier.ignorable), ("7", true));
    assert_eq!(earlier.versions, Versions { first: 0, last: 2 });
    assert_eq!(schema.fields[3].nullable, Versions { first: 2, last: i16::MAX });
    assert_eq!((schema.fields[6].tag, schema.fields[6].default), (Some(0), "abc"));
    let FieldType::Array(FieldType::Struct { name, fields }) = schema.fields[8].ty else {
        panic!("no array")
    };
    assert_eq!((*name, fields[0].name, fields[1].default), ("OtherName", "ID", "-1.5"));
}

#[test]
fn a_codec_without_type_does_what_the_message_does() {
    let codec = Codec::of::<TestRequest>();
    let bytes = encode(&TestRequest::default(), 5).unwrap();
    assert_eq!((codec.recode)(5, bytes.clone().into()), Ok(bytes));
}
