//! Configuration: every key with its type, range, default and meaning, and the rules that turn text into values.
//!
//! - [`key`]: what a key is: [`Definition`], and the typed [`Key`] by which code asks for its value.
//! - [`broker`] and [`topic`]: the tables. One entry per key; nothing else in the project states a default or a range.
//! - [`ignored`]: keys of Kafka that mean nothing here, with the reason.
//! - [`properties`]: Java's `.properties` syntax.
//! - [`environment`]: settings from environment variables.
//! - [`settings`]: a node's static settings from file, environment and command line, checked as a whole.
//! - [`listeners`]: the keys that name addresses, taken apart.
//! - [`layers`]: what overrides what, for values and for DescribeConfigs (KIP-226, KIP-569).
//! - [`topic_config`]: the settings of one topic, resolved.
//! - [`dynamic`]: which values of a broker may be set at run time.
//!
//! What is not here: reading files or the environment, and storing dynamic values (the metadata image does).

pub mod broker;
pub mod dynamic;
pub mod environment;
pub mod ignored;
pub mod key;
pub mod layers;
pub mod listeners;
pub mod properties;
pub mod settings;
pub mod throttled;
pub mod topic;
pub mod topic_config;
mod voters;

pub use key::{Definition, Dynamic, Importance, InvalidValue, Key, Kind, Password, Unused, Valid};
pub use layers::{Described, Layers, Overrides, Source, Synonym};
pub use settings::{Assignment, Origin, Problem, Problems, Settings, Warning};
pub use throttled::ThrottledReplicas;
pub use topic_config::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
