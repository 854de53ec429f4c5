//! What a configuration key is.
//!
//! Parsing follows `org.apache.kafka.common.config.ConfigDef`: values are trimmed, booleans ignore case, lists are
//! split at commas.

use std::fmt;
use std::marker::PhantomData;

/// The type of a key's value. The numbers are those of DescribeConfigs (KIP-569).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    String = 2,
    /// 32 bits, signed.
    Int = 3,
    /// 16 bits, signed.
    Short = 4,
    /// 64 bits, signed.
    Long = 5,
    /// 64 bits, floating.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// Text that is never shown.
    Password = 9,
}

impl Kind {
    /// The number in DescribeConfigs.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// Kafka's name of the type, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
    }
}

/// Which values of its type a key allows.
#[derive(Debug, Clone, Copy)]
pub enum Valid {
    /// All of them.
    Any,
    /// Numbers from the first to the second.
    Range(i64, i64),
    /// One number by itself, or a range: a compression level where -1 means the codec's own.
    RangeOr(i64, i64, i64),
    /// Floating numbers from the first to the second.
    Between(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of these texts; one that comes again counts once.
    ListOf(&'static [&'static str]),
    /// A text or list with a form of its own: what it is, and the test.
    Form(&'static str, fn(&str) -> bool),
}

/// Numbers from `min` up.
pub(super) const fn at_least(min: i64) -> Valid {
    Valid::Range(min, i64::MAX)
}

/// Whether and where a value may be changed while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dynamic {
    /// Only in the properties file, with a restart.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker, or for all of them at once.
    ClusterWide,
}

/// How likely an operator needs the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "three degrees")]
pub enum Importance {
    High,
    Medium,
    Low,
}

/// Everything about a key but its Rust type.
#[derive(Debug)]
pub struct Definition {
    /// The name that users write.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The value where none is set; `None` for null, which most often means "see another key".
    pub default: Option<&'static str>,
    /// Which values of the type are allowed.
    pub valid: Valid,
    /// How likely an operator needs it.
    pub importance: Importance,
    /// Whether it can be changed while the broker runs. Topic keys always can.
    pub dynamic: Dynamic,
    /// Why nothing reads it, where that is so.
    pub unused: Option<Unused>,
    pub(super) doc: &'static str,
}

/// A key that is known, and checked, and does nothing here, at least not yet. A broker that is told to set it says so,
/// unless the value is one that asks for nothing: the default, or what a file for a single node usually has.
#[derive(Debug, Clone, Copy)]
pub struct Unused {
    /// The reason, to follow "has no effect:".
    pub why: &'static str,
    pub(super) is_usual: fn(&str) -> bool,
}

impl Unused {
    /// Any value but the default is worth a warning.
    pub(super) const fn because(why: &'static str) -> Self {
        Self { why, is_usual: |_| false }
    }

    /// So is any value but the default and these.
    pub(super) const fn unless(self, is_usual: fn(&str) -> bool) -> Self {
        Self { is_usual, ..self }
    }
}

/// A key whose values have the Rust type `T`.
#[derive(Debug)]
pub struct Key<T> {
    /// What the table says of the key.
    pub definition: Definition,
    pub(super) value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The name that users write.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.definition.name
    }
}

/// Why a text is not a value of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {value} for configuration {key}: expected {expected}")]
pub struct InvalidValue {
    /// The key's name.
    pub key: String,
    /// The text; hidden for a password.
    pub value: String,
    /// What would have been allowed.
    pub expected: String,
}

impl Definition {
    /// What the key means, in a sentence or two.
    #[must_use]
    pub fn doc(&self) -> &'static str {
        self.doc.trim()
    }

    /// Whether its value must not be shown.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Whether it can be changed while the broker runs.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.dynamic != Dynamic::ReadOnly && self.unused.is_none()
    }

    /// What to tell whoever sets the key to this value, in canonical form, and expects something of it.
    #[must_use]
    pub fn no_effect(&self, canonical: &str) -> Option<String> {
        let unused = self.unused.as_ref()?;
        let asks_for_nothing = self.default == Some(canonical) || (unused.is_usual)(canonical);
        (!asks_for_nothing).then(|| no_effect(self.name, unused.why))
    }

    /// The values that are allowed, for messages and documentation: `an int of at least 1`.
    #[must_use]
    pub fn expected(&self) -> String {
        struct Expected<'a>(&'a Definition);
        impl fmt::Display for Expected<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let article = if self.0.kind == Kind::Int { "an" } else { "a" };
                let kind = self.0.kind.name();
                match self.0.valid {
                    Valid::Any if self.0.kind == Kind::Boolean => f.write_str("true or false"),
                    Valid::Any => write!(f, "{article} {kind}"),
                    Valid::Range(min, i64::MAX) => write!(f, "{article} {kind} of at least {min}"),
                    Valid::Range(min, max) => write!(f, "{article} {kind} from {min} to {max}"),
                    Valid::RangeOr(alone, min, max) => {
                        write!(f, "{article} {kind} from {min} to {max}, or {alone}")
                    }
                    Valid::Between(min, max) => write!(f, "{article} {kind} from {min} to {max}"),
                    Valid::OneOf(names) | Valid::OneOfAnyCase(names) => {
                        write!(f, "one of {}", names.join(", "))
                    }
                    Valid::ListOf(names) => {
                        write!(f, "a list of {} separated by commas", names.join(", "))
                    }
                    Valid::Form(form, _) => f.write_str(form),
                }
            }
        }
        Expected(self).to_string()
    }

    /// Checks a text, and writes it the one way that Kafka shows it: trimmed, lists without spaces.
    ///
    /// # Errors
    /// Says what would have been allowed.
    pub fn canonical(&self, text: &str) -> Result<String, InvalidValue> {
        self.parse_canonical(text.trim()).ok_or_else(|| InvalidValue {
            key: self.name.to_owned(),
            value: if self.is_sensitive() { "[hidden]".to_owned() } else { text.to_owned() },
            expected: self.expected(),
        })
    }

    /// Checks a text.
    ///
    /// # Errors
    /// Says what would have been allowed.
    pub fn check(&self, text: &str) -> Result<(), InvalidValue> {
        self.canonical(text).map(drop)
    }

    fn parse_canonical(&self, text: &str) -> Option<String> {
        let integer = |min: i64, max: i64| {
            let number = text.parse::<i64>().ok().filter(|n| (min..=max).contains(n))?;
            self.valid.allows_number(number, text).then(|| number.to_string())
        };
        match self.kind {
            Kind::Boolean => bool::from_text(text).map(|b| b.to_string()),
            Kind::Short => integer(i16::MIN.into(), i16::MAX.into()),
            Kind::Int => integer(i32::MIN.into(), i32::MAX.into()),
            Kind::Long => integer(i64::MIN, i64::MAX),
            Kind::Double => {
                let number = f64::from_text(text).filter(|number| number.is_finite())?;
                let allowed = match self.valid {
                    Valid::Between(min, max) => (min..=max).contains(&number),
                    _ => true,
                };
                allowed.then(|| text.to_owned())
            }
            Kind::List => {
                let mut items = Vec::<String>::from_text(text)?;
                let allowed = match self.valid {
                    Valid::ListOf(names) => items.iter().all(|item| names.contains(&item.as_str())),
                    Valid::Form(_, test) => test(text),
                    _ => !items.iter().any(String::is_empty),
                };
                if matches!(self.valid, Valid::ListOf(_)) {
                    let mut seen = std::collections::BTreeSet::new();
                    items.retain(|item| seen.insert(item.clone()));
                }
                allowed.then(|| items.join(","))
            }
            Kind::String | Kind::Class | Kind::Password => {
                let allowed = match self.valid {
                    Valid::OneOf(names) => names.contains(&text),
                    Valid::OneOfAnyCase(names) => names.iter().any(|name| name.eq_ignore_ascii_case(text)),
                    Valid::Form(_, test) => test(text),
                    _ => true,
                };
                allowed.then(|| text.to_owned())
            }
        }
    }
}

impl Valid {
    fn allows_number(&self, number: i64, text: &str) -> bool {
        match *self {
            Self::Range(min, max) => (min..=max).contains(&number),
            Self::RangeOr(alone, min, max) => number == alone || (min..=max).contains(&number),
            Self::Form(_, test) => test(text),
            _ => true,
        }
    }
}

/// The sentence about a key that does nothing here.
pub(super) fn no_effect(key: &str, why: &str) -> String {
    format!("{key} has no effect: {why}")
}

/// A Rust type that a key's values can have.
pub trait ConfigValue: Sized {
    /// The type in the table.
    const KIND: Kind;

    /// Reads the trimmed text. Ranges are the definition's to check.
    fn from_text(text: &str) -> Option<Self>;

    /// The value of a key without a value. `None` where the type has no room for that.
    fn null() -> Option<Self> {
        None
    }
}

/// A secret: its `Debug` and `Display` do not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

macro_rules! numbers {
    ($($ty:ty => $kind:ident)*) => {
        $(impl ConfigValue for $ty {
            const KIND: Kind = Kind::$kind;

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        })*
    };
}

numbers! { i16 => Short  i32 => Int  i64 => Long  f64 => Double }

impl ConfigValue for bool {
    const KIND: Kind = Kind::Boolean;

    fn from_text(text: &str) -> Option<Self> {
        match () {
            () if text.eq_ignore_ascii_case("true") => Some(true),
            () if text.eq_ignore_ascii_case("false") => Some(false),
            () => None,
        }
    }
}

impl ConfigValue for String {
    const KIND: Kind = Kind::String;

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl ConfigValue for Password {
    const KIND: Kind = Kind::Password;

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl ConfigValue for Vec<String> {
    const KIND: Kind = Kind::List;

    fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::new());
        }
        Some(text.split(',').map(|item| item.trim().to_owned()).collect())
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    const KIND: Kind = T::KIND;

    fn from_text(text: &str) -> Option<Self> {
        T::from_text(text).map(Some)
    }

    fn null() -> Option<Self> {
        Some(None)
    }
}

/// What is given, or nothing.
macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

pub(super) use optional;

/// Defines the keys of one area: a static [`Key`] each, and a table of their definitions.
///
/// An entry reads `NAME: type = "key", default, valid values, importance, dynamic mode;` under a comment that is both
/// its documentation here and what DescribeConfigs answers. A key that nothing reads has a last field, an [`Unused`]
/// with the reason; a test of the broker finds those that should have one.
macro_rules! keys {
    (
        $(#[$table_doc:meta])* $table:ident;
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $ty:ty = $key:literal, $default:expr, $valid:expr, $importance:ident, $dynamic:ident
            $(, $unused:expr)?;
        )*
    ) => {
        $(
            $(#[doc = $doc])+
            pub static $name: $crate::config::Key<$ty> = $crate::config::Key {
                definition: $crate::config::Definition {
                    name: $key,
                    kind: <$ty as $crate::config::key::ConfigValue>::KIND,
                    default: $default,
                    valid: $valid,
                    importance: $crate::config::Importance::$importance,
                    dynamic: $crate::config::Dynamic::$dynamic,
                    unused: $crate::config::key::optional!($($unused)?),
                    doc: concat!($($doc),+),
                },
                value: std::marker::PhantomData,
            };
        )*

        $(#[$table_doc])*
        pub static $table: &[&$crate::config::Definition] = &[$(&$name.definition),*];
    };
}

pub(super) use keys;
