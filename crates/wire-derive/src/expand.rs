//! The code that the derive emits.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Ident};

use crate::attributes::{Default, Field, Kind, Message, Struct};

/// Everything that `#[derive(Message)]` adds to the struct.
pub(crate) fn expand(input: DeriveInput) -> syn::Result<TokenStream> {
    let parsed = Struct::parse(input)?;
    let default = default_impl(&parsed);
    let value = value_impl(&parsed);
    let nullable = nullable_impl(&parsed);
    let message = parsed.message.as_ref().map(|message| message_impl(&parsed, message));
    Ok(quote!(#default #value #nullable #message))
}

fn default_impl(parsed: &Struct) -> TokenStream {
    let ident = &parsed.ident;
    let unknown_tags = &parsed.unknown_tags;
    let names = parsed.fields.iter().map(|field| &field.ident);
    let values = parsed.fields.iter().map(default_value);
    quote! {
        #[automatically_derived]
        impl ::core::default::Default for #ident {
            fn default() -> Self {
                Self {
                    #(#names: #values,)*
                    #unknown_tags: ::core::default::Default::default(),
                }
            }
        }
    }
}

/// The field's default, as an expression of its Rust type.
fn default_value(field: &Field) -> TokenStream {
    let ty = &field.ty;
    let own = quote_spanned!(ty.span()=> <#ty as ::ottla_wire::Value>::absent());
    let given = match &field.default {
        Default::Null => return quote!(::core::option::Option::None),
        Default::Own if field.nullable.is_some() => {
            return quote_spanned!(ty.span()=> <#ty as ::ottla_wire::Nullable>::absent_nullable());
        }
        Default::Own => own,
        Default::Bool(value) => quote!(#value),
        Default::Number(number, _) => quote!(#number),
        Default::Text(text) => quote!(::ottla_wire::Str::from_static(#text)),
    };
    if field.nullable.is_some() { quote!(::core::option::Option::Some(#given)) } else { given }
}

fn value_impl(parsed: &Struct) -> TokenStream {
    let ident = &parsed.ident;
    let name = &parsed.name;
    let schemas = parsed.fields.iter().map(field_schema);
    let min_size = min_size(parsed);
    let read = read_body(parsed);
    let write = write_body(parsed);
    let visits = parsed.fields.iter().map(visit_field);
    quote! {
        #[automatically_derived]
        impl ::ottla_wire::Value for #ident {
            const TYPE: ::ottla_wire::schema::FieldType = ::ottla_wire::schema::FieldType::Struct {
                name: #name,
                fields: &[#(#schemas),*],
            };

            fn absent() -> Self {
                ::core::default::Default::default()
            }

            #[inline]
            fn min_size(version: ::ottla_wire::Version) -> usize {
                #min_size
            }

            fn read(
                reader: &mut ::ottla_wire::Reader,
                version: ::ottla_wire::Version,
            ) -> ::core::result::Result<Self, ::ottla_wire::Error> {
                #read
            }

            fn write(
                &self,
                writer: &mut ::ottla_wire::Writer,
                version: ::ottla_wire::Version,
            ) -> ::core::result::Result<(), ::ottla_wire::Error> {
                #write
            }

            fn visit_errors(
                &self,
                version: ::ottla_wire::Version,
                visit: &mut dyn ::core::ops::FnMut(i16),
            ) {
                #(#visits)*
            }
        }
    }
}

/// The field that holds an error code, wherever a message has one.
const ERROR_CODE: &str = "error_code";

/// A statement that shows the error codes in the field to whoever visits them.
fn visit_field(field: &Field) -> TokenStream {
    let Field { ident, ty, .. } = field;
    let visit = match field.nullable {
        None if ident == ERROR_CODE => quote!(visit(self.#ident);),
        None => quote_spanned! {ty.span()=>
            <#ty as ::ottla_wire::Value>::visit_errors(&self.#ident, version, visit);
        },
        Some(_) => quote_spanned! {ty.span()=>
            if let ::core::option::Option::Some(value) = &self.#ident {
                <#ty as ::ottla_wire::Value>::visit_errors(value, version, visit);
            }
        },
    };
    if field.versions.is_all() {
        return visit;
    }
    let has_field = field.versions.test();
    quote!(if #has_field { #visit })
}

/// A structure that may be null is preceded by a byte: -1 for null, 1 for a value.
fn nullable_impl(parsed: &Struct) -> TokenStream {
    let ident = &parsed.ident;
    quote! {
        #[automatically_derived]
        impl ::ottla_wire::Nullable for #ident {
            fn absent_nullable() -> ::core::option::Option<Self> {
                ::core::option::Option::Some(::core::default::Default::default())
            }

            fn min_nullable_size(_: ::ottla_wire::Version) -> usize {
                1
            }

            fn read_nullable(
                reader: &mut ::ottla_wire::Reader,
                version: ::ottla_wire::Version,
            ) -> ::core::result::Result<::core::option::Option<Self>, ::ottla_wire::Error> {
                if reader.read_presence()? {
                    <Self as ::ottla_wire::Value>::read(reader, version).map(::core::option::Option::Some)
                } else {
                    ::core::result::Result::Ok(::core::option::Option::None)
                }
            }

            fn write_nullable(
                value: ::core::option::Option<&Self>,
                writer: &mut ::ottla_wire::Writer,
                version: ::ottla_wire::Version,
            ) -> ::core::result::Result<(), ::ottla_wire::Error> {
                writer.write_presence(value.is_some());
                match value {
                    ::core::option::Option::Some(value) => ::ottla_wire::Value::write(value, writer, version),
                    ::core::option::Option::None => ::core::result::Result::Ok(()),
                }
            }
        }
    }
}

fn message_impl(parsed: &Struct, message: &Message) -> TokenStream {
    let ident = &parsed.ident;
    let name = &parsed.name;
    let Message { kind, versions, flexible } = message;
    let (direction, api) = match kind {
        Kind::Request(api) => (quote!(Request), *api),
        Kind::Response(api) => (quote!(Response), *api),
        Kind::Data => (quote!(Neither), -1),
    };
    let versions = versions.schema();
    let flexible = flexible.schema();
    quote! {
        #[automatically_derived]
        impl ::ottla_wire::Message for #ident {
            const SCHEMA: ::ottla_wire::schema::MessageSchema = ::ottla_wire::schema::MessageSchema {
                name: #name,
                api_key: #api,
                direction: ::ottla_wire::schema::Direction::#direction,
                versions: #versions,
                flexible: #flexible,
                fields: match <Self as ::ottla_wire::Value>::TYPE {
                    ::ottla_wire::schema::FieldType::Struct { fields, .. } => fields,
                    _ => &[],
                },
            };
        }
    }
}

fn field_schema(field: &Field) -> TokenStream {
    let Field { name, ty, ignorable, .. } = field;
    let versions = field.versions.schema();
    let nullable = field
        .nullable
        .map_or_else(|| quote!(::ottla_wire::schema::Versions::NONE), |nullable| nullable.schema());
    let tag = match field.tag {
        Some(tag) => quote!(::core::option::Option::Some(#tag)),
        None => quote!(::core::option::Option::None),
    };
    let default = field.default.text();
    quote_spanned! {ty.span()=>
        ::ottla_wire::schema::FieldSchema {
            name: #name,
            ty: <#ty as ::ottla_wire::Value>::TYPE,
            versions: #versions,
            nullable: #nullable,
            tag: #tag,
            ignorable: #ignorable,
            default: #default,
        }
    }
}

/// The fewest bytes that a value takes: what the untagged fields of the version take, and the count of tagged ones.
fn min_size(parsed: &Struct) -> TokenStream {
    let untagged = parsed.fields.iter().filter(|field| field.tag.is_none()).map(|field| {
        let ty = &field.ty;
        let size = match field.nullable {
            Some(_) => {
                quote_spanned!(ty.span()=> <#ty as ::ottla_wire::Nullable>::min_nullable_size(version))
            }
            None => quote_spanned!(ty.span()=> <#ty as ::ottla_wire::Value>::min_size(version)),
        };
        if field.versions.is_all() {
            return quote!(size += #size;);
        }
        let has_field = field.versions.test();
        quote!(if #has_field { size += #size; })
    });
    quote! {
        let mut size = usize::from(version.flexible);
        #(#untagged)*
        size
    }
}

fn read_body(parsed: &Struct) -> TokenStream {
    let unknown_tags = &parsed.unknown_tags;
    let names: Vec<&Ident> = parsed.fields.iter().map(|field| &field.ident).collect();
    let reads = parsed.fields.iter().map(|field| {
        let Field { ident, .. } = field;
        let default = default_value(field);
        if field.tag.is_some() {
            return quote!(let mut #ident = #default;);
        }
        let read = read_field(field);
        if field.versions.is_all() {
            return quote!(let #ident = #read;);
        }
        let has_field = field.versions.test();
        quote!(let #ident = if #has_field { #read } else { #default };)
    });
    let tagged = parsed.fields.iter().filter_map(|field| {
        let tag = field.tag?;
        let ident = &field.ident;
        let has_field = field.versions.test();
        let read = read_field(field);
        Some(quote! {
            #tag if #has_field => {
                let section = reader.enter_tag(tag, size)?;
                #ident = #read;
                reader.leave_tag(tag, section)?;
            }
        })
    });
    quote! {
        #(#reads)*
        let mut unknown_tags = ::ottla_wire::UnknownTags::default();
        if version.flexible {
            let mut tags = reader.read_tags()?;
            while let ::core::option::Option::Some((tag, size)) = tags.next(reader)? {
                match tag {
                    #(#tagged)*
                    _ => unknown_tags.read_one(reader, tag, size)?,
                }
            }
        }
        ::core::result::Result::Ok(Self { #(#names,)* #unknown_tags: unknown_tags })
    }
}

/// An expression that reads the field, and names it in an error.
fn read_field(field: &Field) -> TokenStream {
    let ty = &field.ty;
    let label = field.ident.to_string();
    let plain = quote_spanned!(ty.span()=> <#ty as ::ottla_wire::Value>::read(reader, version));
    let nullable =
        quote_spanned!(ty.span()=> <#ty as ::ottla_wire::Nullable>::read_nullable(reader, version));
    let read = match field.nullable {
        None => plain,
        Some(versions) if versions.covers(field.versions) => nullable,
        Some(versions) => {
            let may_be_null = versions.test();
            quote!(if #may_be_null { #nullable } else { #plain.map(::core::option::Option::Some) })
        }
    };
    quote!((#read).map_err(|error| error.in_field(#label))?)
}

fn write_body(parsed: &Struct) -> TokenStream {
    let unknown_tags = &parsed.unknown_tags;
    let untagged = parsed.fields.iter().filter(|field| field.tag.is_none()).map(|field| {
        let write = write_field(field);
        if field.versions.is_all() {
            return write;
        }
        let has_field = field.versions.test();
        let otherwise = reject_value(field);
        quote!(if #has_field { #write } #otherwise)
    });
    let mut tagged: Vec<&Field> = parsed.fields.iter().filter(|field| field.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.tag);
    let flags: Vec<Ident> = tagged.iter().map(|field| format_ident!("has_{}", field.ident)).collect();
    let decisions = tagged.iter().zip(&flags).map(|(field, flag)| {
        let ident = &field.ident;
        let has_field = field.versions.test();
        let default = default_value(field);
        let otherwise = reject_value(field);
        quote! {
            let mut #flag = false;
            if version.flexible && #has_field { #flag = self.#ident != #default; } #otherwise
        }
    });
    let writes = tagged.iter().zip(&flags).map(|(field, flag)| {
        let tag = field.tag;
        let write = write_field(field);
        quote! {
            if #flag {
                unknown.write_below(writer, #tag)?;
                let section = writer.begin_tag(#tag);
                #write
                writer.end_tag(section);
            }
        }
    });
    quote! {
        #(#untagged)*
        #(#decisions)*
        if version.flexible {
            writer.write_uvarint(self.#unknown_tags.count() #(+ u32::from(#flags))*);
            let mut unknown = self.#unknown_tags.writing();
            #(#writes)*
            unknown.write_rest(writer);
        } else {
            self.#unknown_tags.reject()?;
        }
        ::core::result::Result::Ok(())
    }
}

/// What follows `if the version has the field { .. }`: a value that cannot be written, and matters, is an error.
fn reject_value(field: &Field) -> TokenStream {
    if field.ignorable {
        return TokenStream::new();
    }
    let ident = &field.ident;
    let label = ident.to_string();
    let default = default_value(field);
    quote! {
        else if self.#ident != #default {
            return ::core::result::Result::Err(::ottla_wire::Error::not_in_version().in_field(#label));
        }
    }
}

/// A statement that writes the field, and names it in an error.
fn write_field(field: &Field) -> TokenStream {
    let Field { ident, ty, .. } = field;
    let label = ident.to_string();
    let plain =
        quote_spanned!(ty.span()=> <#ty as ::ottla_wire::Value>::write(&self.#ident, writer, version));
    let nullable = quote_spanned! {ty.span()=>
        <#ty as ::ottla_wire::Nullable>::write_nullable(self.#ident.as_ref(), writer, version)
    };
    let never_null = quote_spanned! {ty.span()=>
        match &self.#ident {
            ::core::option::Option::Some(value) => <#ty as ::ottla_wire::Value>::write(value, writer, version),
            ::core::option::Option::None => ::core::result::Result::Err(::ottla_wire::Error::null_in_version()),
        }
    };
    let write = match field.nullable {
        None => plain,
        Some(versions) if versions.covers(field.versions) => nullable,
        Some(versions) => {
            let may_be_null = versions.test();
            quote!(if #may_be_null { #nullable } else { #never_null })
        }
    };
    quote!((#write).map_err(|error| error.in_field(#label))?;)
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    /// What the compiler would say.
    fn complaint(input: DeriveInput) -> String {
        match expand(input) {
            Ok(_) => panic!("the derive accepts it"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_message_says_its_versions_and_which_are_flexible() {
        let said = complaint(parse_quote! {
            #[wire(api = 1, flexible = "2..")]
            struct PingRequest { unknown_tags: UnknownTags }
        });
        assert_eq!(said, "say which versions there are: `versions = \"0..=3\"`");
        let said = complaint(parse_quote! {
            #[wire(api = 1, versions = "0..=3")]
            struct PingRequest { unknown_tags: UnknownTags }
        });
        assert_eq!(said, "say which versions are flexible: `flexible = \"2..\"` or \"none\"");
    }

    #[test]
    fn a_message_is_a_request_or_a_response() {
        let said = complaint(parse_quote! {
            #[wire(api = 1, versions = "0", flexible = "none")]
            struct Ping { unknown_tags: UnknownTags }
        });
        assert!(said.starts_with("the name ends in neither Request nor Response"), "{said}");
    }

    #[test]
    fn what_belongs_to_a_message_is_refused_on_a_structure() {
        let said = complaint(parse_quote! {
            #[wire(versions = "3..")]
            struct Part { unknown_tags: UnknownTags }
        });
        assert!(said.contains("belong to a whole message"), "{said}");
    }

    #[test]
    fn a_struct_must_keep_unknown_tags() {
        let said = complaint(parse_quote! { struct Part { a: i32 } });
        assert!(said.contains("add `pub unknown_tags: UnknownTags`"), "{said}");
    }

    #[test]
    fn null_and_option_go_together() {
        let said = complaint(parse_quote! {
            struct Part { a: Option<Str>, unknown_tags: UnknownTags }
        });
        assert!(said.contains("say in which versions"), "{said}");
        let said = complaint(parse_quote! {
            struct Part { #[wire(nullable)] a: Str, unknown_tags: UnknownTags }
        });
        assert_eq!(said, "a nullable field is an `Option`");
        let said = complaint(parse_quote! {
            struct Part { #[wire(default = null)] a: Str, unknown_tags: UnknownTags }
        });
        assert!(said.starts_with("the default is null"), "{said}");
    }

    #[test]
    fn tags_have_no_gap_and_exist_in_flexible_versions_only() {
        let said = complaint(parse_quote! {
            struct Part { #[wire(tag = 1)] a: i32, unknown_tags: UnknownTags }
        });
        assert_eq!(said, "tags are 0, 1, 2 and so on, each once: expected 0, found 1");
        let said = complaint(parse_quote! {
            #[wire(api = 1, versions = "0..=3", flexible = "2..")]
            struct PingRequest { #[wire(since = 1, tag = 0)] a: i32, unknown_tags: UnknownTags }
        });
        assert!(said.starts_with("a tagged field exists in flexible versions only"), "{said}");
    }

    #[test]
    fn ranges_of_versions_make_sense() {
        for (range, expected) in [
            ("3-4", "is no range of versions"),
            ("-1..", "is no range of versions"),
            ("4..3", "is no range of versions"),
            ("4..=3", "is empty"),
        ] {
            let said = complaint(parse_quote! {
                struct Part { #[wire(versions = #range)] a: i32, unknown_tags: UnknownTags }
            });
            assert!(said.contains(expected), "{said}");
        }
        let said = complaint(parse_quote! {
            struct Part { #[wire(since = 4, until = 3)] a: i32, unknown_tags: UnknownTags }
        });
        assert_eq!(said, "no version has this field: `until` is below `since`");
        let said = complaint(parse_quote! {
            struct Part { #[wire(since = 4, versions = "4..")] a: i32, unknown_tags: UnknownTags }
        });
        assert_eq!(said, "`versions` says what `since` and `until` say: use one");
    }

    #[test]
    fn a_misspelt_or_repeated_attribute_is_refused() {
        let said = complaint(parse_quote! {
            struct Part { #[wire(sinse = 4)] a: i32, unknown_tags: UnknownTags }
        });
        assert!(said.starts_with("expected `since`, `until`"), "{said}");
        let said = complaint(parse_quote! {
            struct Part { #[wire(since = 4, since = 5)] a: i32, unknown_tags: UnknownTags }
        });
        assert_eq!(said, "said twice");
        let said = complaint(parse_quote! {
            struct Part { #[wire(default = f())] a: i32, unknown_tags: UnknownTags }
        });
        assert_eq!(said, "a default is `null`, `true`, `false`, a number or a string");
    }

    #[test]
    fn only_a_plain_struct_with_named_fields_is_a_message() {
        assert!(complaint(parse_quote! { enum Part { A } }).contains("only a struct"));
        assert!(complaint(parse_quote! { struct Part(i32); }).contains("have names"));
        assert!(complaint(parse_quote! { struct Part<T> { a: T } }).contains("generic"));
    }
}
