//! The schemas that `wire`'s derive emits, in the form that is compared.

use ottla_wire::{
    DATA, REQUESTS, RESPONSES,
    schema::{self, FieldSchema, FieldType, MessageSchema},
};

use super::message::{Direction, Field, Message, Versions, default_of};

/// Every message that Kafka has too.
pub(super) fn messages() -> Vec<Message> {
    let schemas = REQUESTS.iter().chain(RESPONSES).chain(DATA).map(|erased| erased.schema);
    schemas.filter(|schema| !schema.is_private()).map(message).collect()
}

/// One message.
pub(super) fn message(schema: &MessageSchema) -> Message {
    Message {
        name: schema.name.to_owned(),
        api_key: schema.api_key,
        direction: match schema.direction {
            schema::Direction::Request => Direction::Request,
            schema::Direction::Response => Direction::Response,
            schema::Direction::Neither => Direction::Neither,
        },
        versions: versions(schema.versions),
        flexible: versions(schema.flexible),
        fields: schema.fields.iter().map(field).collect(),
    }
}

fn field(schema: &FieldSchema) -> Field {
    let ty = type_name(&schema.ty);
    Field {
        name: schema.name.to_owned(),
        versions: versions(schema.versions),
        nullable: versions(schema.nullable),
        tag: schema.tag,
        // A tagged field of ours is one in all its versions.
        tagged: if schema.tag.is_some() { versions(schema.versions) } else { Versions::NONE },
        ignorable: schema.ignorable,
        default: default_of(&ty, schema.default),
        fields: inner_fields(&schema.ty).iter().map(field).collect(),
        ty,
    }
}

fn versions(range: schema::Versions) -> Versions {
    Versions { first: range.first, last: range.last }
}

fn type_name(ty: &FieldType) -> String {
    match ty {
        FieldType::Bool => "bool".to_owned(),
        FieldType::Int8 => "int8".to_owned(),
        FieldType::Int16 => "int16".to_owned(),
        FieldType::Uint16 => "uint16".to_owned(),
        FieldType::Int32 => "int32".to_owned(),
        FieldType::Uint32 => "uint32".to_owned(),
        FieldType::Int64 => "int64".to_owned(),
        FieldType::Float64 => "float64".to_owned(),
        FieldType::Uuid => "uuid".to_owned(),
        FieldType::String => "string".to_owned(),
        FieldType::Bytes => "bytes".to_owned(),
        FieldType::Records => "records".to_owned(),
        FieldType::Struct { name, .. } => (*name).to_owned(),
        FieldType::Array(element) => format!("[]{}", type_name(element)),
    }
}

fn inner_fields(ty: &FieldType) -> &'static [FieldSchema] {
    match ty {
        FieldType::Struct { fields, .. } => fields,
        FieldType::Array(element) => inner_fields(element),
        _ => &[],
    }
}
