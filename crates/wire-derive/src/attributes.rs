//! What the `#[wire(...)]` attributes of a struct and of its fields say, checked for sense.

use proc_macro2::Span;
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Expr, Fields, GenericArgument, Ident, Lit, LitInt, LitStr, PathArguments,
    Token, Type, UnOp,
};

use crate::versions::Versions;

/// A struct that can be written: a whole message, or a structure in one.
pub(crate) struct Struct {
    pub(crate) ident: Ident,
    /// Kafka's name of it.
    pub(crate) name: String,
    /// Set for a whole message.
    pub(crate) message: Option<Message>,
    pub(crate) fields: Vec<Field>,
    /// The field that keeps the tagged fields nobody knows.
    pub(crate) unknown_tags: Ident,
}

/// What only a whole message has.
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) versions: Versions,
    pub(crate) flexible: Versions,
}

/// What a whole message is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The request of an API, by its key.
    Request(i16),
    /// The response of an API, by its key.
    Response(i16),
    /// What bytes in other messages hold.
    Data,
}

/// A field that is on the wire.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    /// Kafka's name of it.
    pub(crate) name: String,
    /// Its type, without the `Option` of a nullable one.
    pub(crate) ty: Type,
    pub(crate) versions: Versions,
    /// Set when the Rust type is an `Option`.
    pub(crate) nullable: Option<Versions>,
    pub(crate) tag: Option<u32>,
    pub(crate) ignorable: bool,
    pub(crate) default: Default,
}

/// The value of a field that a message does not carry.
pub(crate) enum Default {
    /// The type's own.
    Own,
    Null,
    Bool(bool),
    /// A number, or a string, as an expression, and as Kafka's definition writes it.
    Number(Expr, String),
    Text(LitStr),
}

impl Default {
    /// The default as the schema names it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Own => String::new(),
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(_, text) => text.clone(),
            Self::Text(text) => text.value(),
        }
    }

    fn parse(expr: Expr) -> syn::Result<Self> {
        match &expr {
            Expr::Path(path) if path.path.is_ident("null") => return Ok(Self::Null),
            Expr::Lit(literal) => match &literal.lit {
                Lit::Bool(value) => return Ok(Self::Bool(value.value)),
                Lit::Str(text) => return Ok(Self::Text(text.clone())),
                Lit::Int(_) | Lit::Float(_) => return Ok(Self::number(expr)),
                _ => {}
            },
            Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => return Ok(Self::number(expr)),
            _ => {}
        }
        Err(syn::Error::new(expr.span(), "a default is `null`, `true`, `false`, a number or a string"))
    }

    fn number(expr: Expr) -> Self {
        let text = expr.to_token_stream().to_string().replace([' ', '_'], "");
        Self::Number(expr, text)
    }
}

impl Struct {
    pub(crate) fn parse(input: DeriveInput) -> syn::Result<Self> {
        if !input.generics.params.is_empty() {
            return Err(syn::Error::new(input.generics.span(), "a message has no generic parameters"));
        }
        let Data::Struct(data) = input.data else {
            return Err(syn::Error::new(input.ident.span(), "only a struct can be a message"));
        };
        let Fields::Named(named) = data.fields else {
            return Err(syn::Error::new(input.ident.span(), "the fields of a message have names"));
        };
        let attributes = StructAttributes::parse(&input.attrs, &input.ident)?;
        let mut fields = Vec::new();
        let mut unknown_tags = None;
        for field in named.named {
            let ident =
                field.ident.clone().ok_or_else(|| syn::Error::new(field.span(), "a field has a name"))?;
            if last_segment_is(&field.ty, "UnknownTags") {
                unknown_tags = Some(ident);
            } else {
                fields.push(Field::parse(ident, field.ty, &field.attrs)?);
            }
        }
        let unknown_tags = unknown_tags.ok_or_else(|| {
            syn::Error::new(
                input.ident.span(),
                "a message keeps the tagged fields that it does not know: add `pub unknown_tags: UnknownTags`",
            )
        })?;
        let parsed = attributes.into_struct(input.ident, fields, unknown_tags)?;
        parsed.check_tags()?;
        Ok(parsed)
    }

    /// Tags number from 0 without a gap (KIP-482), and only flexible versions can carry one.
    fn check_tags(&self) -> syn::Result<()> {
        let mut tags: Vec<(u32, Span)> =
            self.fields.iter().filter_map(|field| Some((field.tag?, field.ident.span()))).collect();
        tags.sort_by_key(|(tag, _)| *tag);
        for (expected, (tag, span)) in (0u32..).zip(&tags) {
            if *tag != expected {
                return Err(syn::Error::new(
                    *span,
                    format!("tags are 0, 1, 2 and so on, each once: expected {expected}, found {tag}"),
                ));
            }
        }
        let Some(message) = &self.message else { return Ok(()) };
        for field in &self.fields {
            if field.tag.is_some() && !message.flexible.covers(field.versions) {
                return Err(syn::Error::new(
                    field.versions.span,
                    "a tagged field exists in flexible versions only: give it `since` or `versions`",
                ));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct StructAttributes {
    api: Option<LitInt>,
    data: Option<Span>,
    is_request: Option<bool>,
    versions: Option<Versions>,
    flexible: Option<Versions>,
    name: Option<String>,
}

impl StructAttributes {
    fn parse(attributes: &[Attribute], ident: &Ident) -> syn::Result<Self> {
        let mut parsed = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("wire")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("api") {
                    once(&mut parsed.api, meta.value()?.parse()?, &meta)
                } else if meta.path.is_ident("data") {
                    once(&mut parsed.data, meta.path.span(), &meta)
                } else if meta.path.is_ident("versions") {
                    once(&mut parsed.versions, Versions::parse(&meta.value()?.parse()?)?, &meta)
                } else if meta.path.is_ident("flexible") {
                    once(&mut parsed.flexible, Versions::parse(&meta.value()?.parse()?)?, &meta)
                } else if meta.path.is_ident("name") {
                    once(&mut parsed.name, meta.value()?.parse::<LitStr>()?.value(), &meta)
                } else if meta.path.is_ident("direction") {
                    let direction: Ident = meta.value()?.parse()?;
                    let is_request = match direction.to_string().as_str() {
                        "request" => true,
                        "response" => false,
                        _ => {
                            return Err(syn::Error::new(
                                direction.span(),
                                "expected `request` or `response`",
                            ));
                        }
                    };
                    once(&mut parsed.is_request, is_request, &meta)
                } else {
                    Err(meta.error("expected `api`, `data`, `direction`, `versions`, `flexible` or `name`"))
                }
            })?;
        }
        if parsed.api.is_some() && parsed.is_request.is_none() {
            let name = ident.to_string();
            if !name.ends_with("Request") && !name.ends_with("Response") {
                return Err(syn::Error::new(
                    ident.span(),
                    "the name ends in neither Request nor Response: say `direction = request` or `direction = response`",
                ));
            }
            parsed.is_request = Some(name.ends_with("Request"));
        }
        Ok(parsed)
    }

    /// What kind of message the struct is, and where it says so; `None` for a structure in one.
    fn kind(&self, ident: &Ident) -> syn::Result<Option<(Kind, Span)>> {
        match (&self.api, self.data) {
            (None, None) => Ok(None),
            (None, Some(span)) if self.is_request.is_none() => Ok(Some((Kind::Data, span))),
            (Some(api), None) => {
                let key = api.base10_parse()?;
                let is_request = self.is_request.unwrap_or_default();
                Ok(Some((if is_request { Kind::Request(key) } else { Kind::Response(key) }, api.span())))
            }
            (_, Some(_)) => Err(syn::Error::new(ident.span(), "`data` is of no API and has no direction")),
        }
    }

    fn into_struct(self, ident: Ident, fields: Vec<Field>, unknown_tags: Ident) -> syn::Result<Struct> {
        let message = match self.kind(&ident)? {
            None => {
                if self.flexible.is_some() || self.is_request.is_some() || self.versions.is_some() {
                    return Err(syn::Error::new(
                        ident.span(),
                        "`versions`, `flexible` and `direction` belong to a whole message: give it an `api` or `data`, or leave them out",
                    ));
                }
                None
            }
            Some((kind, span)) => Some(Message {
                kind,
                versions: self.versions.ok_or_else(|| {
                    syn::Error::new(span, "say which versions there are: `versions = \"0..=3\"`")
                })?,
                flexible: self.flexible.ok_or_else(|| {
                    syn::Error::new(span, "say which versions are flexible: `flexible = \"2..\"` or \"none\"")
                })?,
            }),
        };
        Ok(Struct {
            name: self.name.unwrap_or_else(|| ident.to_string()),
            ident,
            message,
            fields,
            unknown_tags,
        })
    }
}

#[derive(Default)]
struct FieldAttributes {
    since: Option<LitInt>,
    until: Option<LitInt>,
    versions: Option<Versions>,
    nullable: Option<Versions>,
    tag: Option<u32>,
    ignorable: Option<()>,
    default: Option<Expr>,
    name: Option<String>,
}

impl FieldAttributes {
    fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut parsed = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("wire")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("since") {
                    once(&mut parsed.since, meta.value()?.parse()?, &meta)
                } else if meta.path.is_ident("until") {
                    once(&mut parsed.until, meta.value()?.parse()?, &meta)
                } else if meta.path.is_ident("versions") {
                    once(&mut parsed.versions, Versions::parse(&meta.value()?.parse()?)?, &meta)
                } else if meta.path.is_ident("nullable") {
                    let versions = if meta.input.peek(Token![=]) {
                        Versions::parse(&meta.value()?.parse()?)?
                    } else {
                        Versions::all(meta.path.span())
                    };
                    once(&mut parsed.nullable, versions, &meta)
                } else if meta.path.is_ident("tag") {
                    once(&mut parsed.tag, meta.value()?.parse::<LitInt>()?.base10_parse()?, &meta)
                } else if meta.path.is_ident("ignorable") {
                    once(&mut parsed.ignorable, (), &meta)
                } else if meta.path.is_ident("default") {
                    once(&mut parsed.default, meta.value()?.parse()?, &meta)
                } else if meta.path.is_ident("name") {
                    once(&mut parsed.name, meta.value()?.parse::<LitStr>()?.value(), &meta)
                } else {
                    Err(meta.error(
                        "expected `since`, `until`, `versions`, `nullable`, `tag`, `ignorable`, `default` or `name`",
                    ))
                }
            })?;
        }
        Ok(parsed)
    }

    fn versions(&self, span: Span) -> syn::Result<Versions> {
        if let Some(versions) = self.versions {
            if self.since.is_some() || self.until.is_some() {
                return Err(syn::Error::new(
                    versions.span,
                    "`versions` says what `since` and `until` say: use one",
                ));
            }
            return Ok(versions);
        }
        let mut versions = Versions::all(span);
        if let Some(since) = &self.since {
            versions.first = since.base10_parse()?;
            versions.span = since.span();
        }
        if let Some(until) = &self.until {
            versions.last = until.base10_parse()?;
            versions.span = until.span();
        }
        if versions.is_none() {
            return Err(syn::Error::new(
                versions.span,
                "no version has this field: `until` is below `since`",
            ));
        }
        Ok(versions)
    }
}

impl Field {
    fn parse(ident: Ident, ty: Type, attributes: &[Attribute]) -> syn::Result<Self> {
        let attributes = FieldAttributes::parse(attributes)?;
        let span = ident.span();
        let versions = attributes.versions(span)?;
        let (ty, nullable) = match (option_argument(&ty), attributes.nullable) {
            (Some(inner), Some(nullable)) => (inner, Some(nullable)),
            (Some(_), None) => {
                return Err(syn::Error::new(
                    ty.span(),
                    "an `Option` is a nullable field: say in which versions, `nullable = \"1..\"`",
                ));
            }
            (None, Some(nullable)) => {
                return Err(syn::Error::new(nullable.span, "a nullable field is an `Option`"));
            }
            (None, None) => (ty, None),
        };
        let default = attributes.default.map_or(Ok(Default::Own), Default::parse)?;
        if matches!(default, Default::Null) && nullable.is_none() {
            return Err(syn::Error::new(
                span,
                "the default is null, so the field is nullable: say in which versions",
            ));
        }
        Ok(Self {
            name: attributes.name.unwrap_or_else(|| upper_camel(&ident.to_string())),
            ident,
            ty,
            versions,
            nullable,
            tag: attributes.tag,
            ignorable: attributes.ignorable.is_some(),
            default,
        })
    }
}

/// Stores what an attribute says, once.
fn once<T>(slot: &mut Option<T>, value: T, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
    if slot.is_some() {
        return Err(meta.error("said twice"));
    }
    *slot = Some(value);
    Ok(())
}

fn last_segment_is(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == name))
}

/// The `T` of an `Option<T>`.
fn option_argument(ty: &Type) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    let arguments: &Punctuated<GenericArgument, Token![,]> = &arguments.args;
    match arguments.first()? {
        GenericArgument::Type(inner) => Some(inner.clone()),
        _ => None,
    }
}

/// Kafka's spelling of a field's name.
fn upper_camel(snake: &str) -> String {
    snake
        .trim_start_matches("r#")
        .split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}
