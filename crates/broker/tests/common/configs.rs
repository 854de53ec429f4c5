//! Configurations of topics and brokers, read and changed over a connection.

use ottla_types::ErrorCode;
use ottla_wire::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_wire::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::{Client, error};

/// `ConfigResource.Type`'s numbers.
pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;

/// `ConfigSource`'s numbers.
pub(crate) const ON_TOPIC: i8 = 1;
pub(crate) const ON_BROKER: i8 = 2;
pub(crate) const ON_CLUSTER: i8 = 3;
pub(crate) const IN_FILE: i8 = 4;
pub(crate) const BY_DEFAULT: i8 = 5;

/// `AlterConfigOp.OpType`'s numbers.
pub(crate) const SET: i8 = 0;
pub(crate) const DELETE: i8 = 1;
pub(crate) const APPEND: i8 = 2;
pub(crate) const SUBTRACT: i8 = 3;

/// A change of one key.
pub(crate) fn change(operation: i8, name: &str, value: Option<&str>) -> AlterableConfig {
    AlterableConfig {
        name: name.into(),
        config_operation: operation,
        value: value.map(Into::into),
        ..AlterableConfig::default()
    }
}

/// Changes of one resource.
pub(crate) fn changes(kind: i8, name: &str, configs: Vec<AlterableConfig>) -> AlterConfigsResource {
    AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs,
        ..AlterConfigsResource::default()
    }
}

impl Client {
    /// Sets one key of a topic or broker.
    pub(crate) async fn configure(&mut self, kind: i8, name: &str, key: &str, value: &str) {
        let resources = vec![changes(kind, name, vec![change(SET, key, Some(value))])];
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        let answer = self.call(1, request).await.responses.remove(0);
        assert_eq!(error(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    }

    /// The value of a key, and where it comes from.
    pub(crate) async fn config(&mut self, kind: i8, name: &str, key: &str) -> Option<(String, i8)> {
        let resource = DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: Some(vec![key.into()]),
            ..DescribeConfigsResource::default()
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let mut result = self.call(4, request).await.results.remove(0);
        assert_eq!(error(result.error_code), ErrorCode::None, "{:?}", result.error_message);
        let config = result.configs.pop()?;
        assert_eq!((config.name.as_str(), result.configs.len()), (key, 0));
        Some((config.value.unwrap().into(), config.config_source))
    }
}
