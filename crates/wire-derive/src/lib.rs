//! The derive that turns a plain struct into a Kafka protocol message.
//!
//! `#[derive(Message)]` reads the struct and its `#[wire(...)]` attributes and writes the code that a person would
//! write by hand from the message's definition: the default value, decoding, encoding, and the schema as data. What the
//! code calls lives in the `wire` crate; nothing here runs after compilation.
//!
//! On a whole message: `api = 1`, `versions = "4..=18"`, `flexible = "12.."` (or `"none"`), and `direction = request` or
//! `response` where the name does not end in one. On what bytes in other messages hold: `data` instead of `api`. On any struct: `name = "..."` where Kafka's name differs. A struct
//! without `api` and `data` is a structure inside messages and takes their versions.
//!
//! On a field:
//!
//! - `since = 3`, `until = 12`, or `versions = "3..=12"`: the versions that have it; else all.
//! - `nullable = "1.."`, or bare for all: the versions in which it may be null. Its type is then an `Option`.
//! - `tag = 0`: it is a tagged field (KIP-482) in the versions that have it.
//! - `default = ...`: `null`, `true`, a number or a string; else the type's own: 0, false, empty, and for records null.
//! - `ignorable`: its value is dropped silently where the version written lacks it; else that is an error.
//! - `name = "..."`: Kafka's name, where it is not the field's own in upper camel case.
//!
//! Every struct also has a field of type `UnknownTags`, which keeps the tagged fields that a newer peer sent.

#![forbid(unsafe_code)]

mod attributes;
mod expand;
mod versions;

use proc_macro::TokenStream;

/// Makes a struct a message, or a structure in one: see the crate's documentation for the attributes.
#[proc_macro_derive(Message, attributes(wire))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(input).unwrap_or_else(syn::Error::into_compile_error).into()
}
