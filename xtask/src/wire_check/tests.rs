//! The comparison finds a difference wherever a schema and a definition differ, and none where they do not. The
//! definitions here are small and inline, so that this runs without Maven.

use ottla_wire::schema::{self, FieldSchema, FieldType, MessageSchema, Versions};

use super::{Definitions, compare_all, message::Message, ours, parse};

const FROM_0: Versions = Versions { first: 0, last: i16::MAX };
const FROM_2: Versions = Versions { first: 2, last: i16::MAX };

const fn plain(name: &'static str, ty: FieldType) -> FieldSchema {
    FieldSchema {
        name,
        ty,
        versions: FROM_0,
        nullable: Versions::NONE,
        tag: None,
        ignorable: false,
        default: "",
    }
}

const ITEM: FieldType = FieldType::Struct {
    name: "Item",
    fields: &[plain("Id", FieldType::Uuid), plain("Count", FieldType::Int16)],
};

const REQUEST: MessageSchema = MessageSchema {
    name: "SampleRequest",
    api_key: 900,
    direction: schema::Direction::Request,
    versions: Versions { first: 0, last: 3 },
    flexible: FROM_2,
    fields: &[
        FieldSchema { nullable: FROM_0, default: "null", ..plain("Name", FieldType::String) },
        FieldSchema { default: "0x7fffffff", ignorable: true, ..plain("MaxBytes", FieldType::Int32) },
        FieldSchema { versions: Versions { first: 1, last: 2 }, ..plain("Old", FieldType::Bool) },
        plain("Items", FieldType::Array(&ITEM)),
        FieldSchema { versions: FROM_2, tag: Some(0), ..plain("Hint", FieldType::Int64) },
    ],
};

const RESPONSE: MessageSchema = MessageSchema {
    name: "SampleResponse",
    direction: schema::Direction::Response,
    fields: &[plain("ErrorCode", FieldType::Int16)],
    ..REQUEST
};

const REQUEST_JSON: &str = r#"// A licence.
{
  "apiKey": 900, "type": "request", "listeners": ["broker"], "name": "SampleRequest",
  // Version 2 is flexible, see https://example.org.
  "validVersions": "0-3", "flexibleVersions": "2+",
  "commonStructs": [
    { "name": "Item", "versions": "0+", "fields": [
      { "name": "Id", "type": "uuid", "versions": "0+", "about": "With // inside." },
      { "name": "Count", "type": "int16", "versions": "0+" } ]}
  ],
  "fields": [
    { "name": "Name", "type": "string", "versions": "0+", "nullableVersions": "0+", "default": "null" },
    { "name": "MaxBytes", "type": "int32", "versions": "0+", "default": "2147483647", "ignorable": true },
    { "name": "Old", "type": "bool", "versions": "1-2", "default": "false" },
    { "name": "Items", "type": "[]Item", "versions": "0+" },
    { "name": "Hint", "type": "int64", "versions": "2+", "tag": 0, "taggedVersions": "2+" }
  ]
}"#;

const RESPONSE_JSON: &str = r#"{ "apiKey": 900, "type": "response", "name": "SampleResponse", "validVersions": "0-3",
  "flexibleVersions": "2+", "fields": [ { "name": "ErrorCode", "type": "int16", "versions": "0+" } ] }"#;

fn ours() -> Vec<Message> {
    vec![ours::message(&REQUEST), ours::message(&RESPONSE)]
}

fn differences(request_json: &str, response_json: &str) -> Vec<String> {
    let definitions: Definitions =
        [("SampleRequest.json", request_json), ("SampleResponse.json", response_json)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into();
    compare_all(&ours(), &parse(&definitions).unwrap())
}

/// Asserts what is found once `from` is replaced by `to` in Kafka's request.
#[track_caller]
fn finds(from: &str, to: &str, expected: &[&str]) {
    assert_eq!(REQUEST_JSON.matches(from).count(), 1, "`{from}` should stand in the definition once");
    assert_eq!(differences(&REQUEST_JSON.replace(from, to), RESPONSE_JSON), expected);
}

#[test]
fn equal_messages_have_no_difference() {
    assert_eq!(differences(REQUEST_JSON, RESPONSE_JSON), Vec::<String>::new());
}

#[test]
fn a_wrong_type_is_found() {
    finds(
        r#""MaxBytes", "type": "int32""#,
        r#""MaxBytes", "type": "int64""#,
        &["SampleRequest 0-3 MaxBytes: type: ours int32, Kafka's int64"],
    );
}

#[test]
fn a_wrong_type_inside_a_common_structure_is_found() {
    finds(
        r#""Count", "type": "int16""#,
        r#""Count", "type": "int8""#,
        &["SampleRequest 0-3 Items.Count: type: ours int16, Kafka's int8"],
    );
}

#[test]
fn an_array_that_is_none_and_a_structure_of_another_name_are_found() {
    finds(
        r#""type": "[]Item""#,
        r#""type": "Item""#,
        &["SampleRequest 0-3 Items: type: ours []Item, Kafka's Item"],
    );
    let renamed = REQUEST_JSON.replace("\"Item\"", "\"Thing\"").replace("[]Item", "[]Thing");
    let expected = ["SampleRequest 0-3 Items: type: ours []Item, Kafka's []Thing"];
    assert_eq!(differences(&renamed, RESPONSE_JSON), expected);
}

#[test]
fn a_field_in_the_wrong_versions_is_found_in_each_of_them() {
    finds(
        r#""versions": "1-2""#,
        r#""versions": "2-3""#,
        &[
            "SampleRequest 1 Old: ours has it, Kafka's does not",
            "SampleRequest 3 Old: ours does not have it, Kafka's does",
        ],
    );
}

#[test]
fn a_missing_field_is_found() {
    finds(
        r#"{ "name": "Count","#,
        r#"{ "name": "Extra", "type": "int8", "versions": "1+" }, { "name": "Count","#,
        &["SampleRequest 1-3 Items.Extra: ours does not have it, Kafka's does"],
    );
}

#[test]
fn a_wrong_tag_and_a_tagged_field_that_is_none_are_found() {
    finds(r#""tag": 0"#, r#""tag": 1"#, &["SampleRequest 2-3 Hint: tag: ours 0, Kafka's 1"]);
    finds(
        r#""taggedVersions": "2+""#,
        r#""taggedVersions": "3+""#,
        &["SampleRequest 2 Hint: tag: ours 0, Kafka's none"],
    );
}

#[test]
fn a_wrong_default_is_found_and_another_spelling_of_the_same_is_not() {
    finds(
        r#""default": "2147483647""#,
        r#""default": "-1""#,
        &["SampleRequest 0-3 MaxBytes: default: ours `2147483647`, Kafka's `-1`"],
    );
    finds(r#""default": "2147483647""#, r#""default": 2147483647"#, &[]);
    finds(r#", "default": "null""#, "", &["SampleRequest 0-3 Name: default: ours `null`, Kafka's ``"]);
}

#[test]
fn a_wrong_order_is_found() {
    let order = "SampleRequest 0-3 Items: order: ours Id, Count, Kafka's Count, Id";
    let swapped =
        REQUEST_JSON.replace("\"Count\"", "\"A\"").replace("\"Id\"", "\"Count\"").replace("\"A\"", "\"Id\"");
    let found = differences(&swapped, RESPONSE_JSON);
    assert!(found.iter().any(|line| line == order), "{found:#?}");
}

#[test]
fn wrong_nullable_versions_are_found() {
    finds(
        r#""nullableVersions": "0+""#,
        r#""nullableVersions": "2+""#,
        &["SampleRequest 0-1 Name: nullable: ours true, Kafka's false"],
    );
}

#[test]
fn a_field_that_may_not_be_dropped_is_found() {
    finds(r#", "ignorable": true"#, "", &["SampleRequest 0-3 MaxBytes: ignorable: ours true, Kafka's false"]);
}

#[test]
fn wrong_versions_api_keys_and_flexible_versions_are_found() {
    finds(r#""0-3""#, r#""0-4""#, &["SampleRequest: versions: ours 0-3, Kafka's 0-4"]);
    finds(r#""apiKey": 900"#, r#""apiKey": 901"#, &["SampleRequest: API key: ours 900, Kafka's 901"]);
    finds(
        r#""flexibleVersions": "2+""#,
        r#""flexibleVersions": "1+""#,
        &["SampleRequest 1: flexible: ours false, Kafka's true"],
    );
}

#[test]
fn a_version_that_kafka_calls_unstable_is_not_expected_of_request_or_response() {
    let unstable = REQUEST_JSON.replace(r#""0-3","#, r#""0-4", "latestVersionUnstable": true,"#);
    assert_eq!(differences(&unstable, &RESPONSE_JSON.replace("0-3", "0-4")), Vec::<String>::new());
}

#[test]
fn a_message_that_kafka_does_not_define_is_found() {
    let header = RESPONSE_JSON.replace("\"response\"", "\"header\"");
    assert_eq!(differences(REQUEST_JSON, &header), ["SampleResponse: Kafka defines no such message"]);
}

#[test]
fn a_request_without_a_response_or_with_other_versions_is_found() {
    let definitions: Definitions = [("SampleRequest.json".to_owned(), REQUEST_JSON.to_owned())].into();
    let theirs = parse(&definitions).unwrap();
    let alone = [ours::message(&REQUEST)];
    assert_eq!(compare_all(&alone, &theirs), ["SampleRequest: has no response"]);

    let shorter = MessageSchema { versions: Versions { first: 0, last: 2 }, ..RESPONSE };
    let found = compare_all(&[ours::message(&REQUEST), ours::message(&shorter)], &theirs);
    assert!(
        found.contains(&"SampleRequest: versions: ours 0-3, but SampleResponse has 0-2".to_owned()),
        "{found:#?}"
    );
}

#[test]
fn a_key_that_the_definitions_did_not_have_before_is_an_error() {
    let unknown = REQUEST_JSON.replace(r#""listeners": ["broker"]"#, r#""encoding": "new""#);
    let definitions: Definitions = [("SampleRequest.json".to_owned(), unknown)].into();
    let error = format!("{:#}", parse(&definitions).unwrap_err());
    assert!(error.contains("SampleRequest.json") && error.contains("encoding"), "{error}");
}
