//! Ranges of versions as the attributes write them: `"3"`, `"3..=7"`, `"3.."` and `"none"`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::LitStr;

/// An inclusive range of versions, and where it was written.
#[derive(Clone, Copy)]
pub(crate) struct Versions {
    pub(crate) first: i16,
    pub(crate) last: i16,
    pub(crate) span: Span,
}

impl Versions {
    /// Every version there is: what a field without an attribute has.
    pub(crate) fn all(span: Span) -> Self {
        Self { first: 0, last: i16::MAX, span }
    }

    /// No version.
    pub(crate) fn none(span: Span) -> Self {
        Self { first: 0, last: -1, span }
    }

    pub(crate) fn parse(literal: &LitStr) -> syn::Result<Self> {
        let text = literal.value();
        let text = text.trim();
        let span = literal.span();
        if text == "none" {
            return Ok(Self::none(span));
        }
        let bad = || {
            syn::Error::new(
                span,
                format!("`{text}` is no range of versions: expected \"3\", \"3..=7\", \"3..\" or \"none\""),
            )
        };
        let number = |part: &str| part.parse::<i16>().ok().filter(|n| *n >= 0).ok_or_else(bad);
        let (first, last) = match text.split_once("..") {
            None => (number(text)?, number(text)?),
            Some((first, "")) => (number(first)?, i16::MAX),
            Some((first, rest)) => (number(first)?, number(rest.strip_prefix('=').ok_or_else(bad)?)?),
        };
        if first > last {
            return Err(syn::Error::new(
                span,
                format!("the range `{text}` is empty: write \"none\" for no version"),
            ));
        }
        Ok(Self { first, last, span })
    }

    pub(crate) fn is_none(self) -> bool {
        self.first > self.last
    }

    /// Whether the range leaves no version out.
    pub(crate) fn is_all(self) -> bool {
        self.first == 0 && self.last == i16::MAX
    }

    /// Whether every version of `inner` lies in this range.
    pub(crate) fn covers(self, inner: Self) -> bool {
        inner.is_none() || (self.first <= inner.first && inner.last <= self.last)
    }

    /// The range as a value of the schema's type.
    pub(crate) fn schema(self) -> TokenStream {
        let Self { first, last, .. } = self;
        quote!(::ottla_wire::schema::Versions { first: #first, last: #last })
    }

    /// A boolean expression: whether the `version` in scope lies in the range.
    pub(crate) fn test(self) -> TokenStream {
        let Self { first, last, .. } = self;
        if self.is_none() {
            return quote!(false);
        }
        match (first > 0, last < i16::MAX) {
            (false, false) => quote!(true),
            (true, false) => quote!((version.number >= #first)),
            (false, true) => quote!((version.number <= #last)),
            (true, true) => quote!((version.number >= #first && version.number <= #last)),
        }
    }
}
