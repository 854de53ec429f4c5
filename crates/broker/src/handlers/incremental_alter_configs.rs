//! IncrementalAlterConfigs: changes single keys of resources; the others stay (KIP-339).

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::configs::{Changes, ConfigOp};
use ottla_types::BrokerId;
use ottla_wire::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::config_changes::{Repeated, answer, check_keys};
use super::each::{decide_each, invalid_request};
use crate::broker::Core;
use crate::context::RequestContext;

/// `AlterConfigOp.OpType`'s numbers.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let validate_only = request.validate_only;
    let asked = (!context.is_forwarded).then_some(core.node_id);
    let checked = check(asked, &request.resources);
    let outcomes = decide_each(core, checked, |controller, changes| {
        controller.incremental_alter_configs(&changes, validate_only)
    })
    .await;
    IncrementalAlterConfigsResponse {
        responses: request
            .resources
            .into_iter()
            .zip(outcomes)
            .map(|(resource, outcome)| response(resource, outcome))
            .collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}

fn response(resource: AlterConfigsResource, outcome: Result<(), Refused>) -> AlterConfigsResourceResponse {
    let (error_code, error_message) = answer(outcome);
    AlterConfigsResourceResponse {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        ..AlterConfigsResourceResponse::default()
    }
}

/// What this broker leaves to the active controller, and in the place of everything else what it refuses itself.
pub(super) fn split(
    this: BrokerId,
    request: &IncrementalAlterConfigsRequest,
) -> (IncrementalAlterConfigsRequest, Vec<Option<AlterConfigsResourceResponse>>) {
    let mut rest = IncrementalAlterConfigsRequest { resources: Vec::new(), ..request.clone() };
    let place = |(checked, resource): (Result<_, Refused>, &AlterConfigsResource)| match checked {
        Ok(_) => {
            rest.resources.push(resource.clone());
            None
        }
        Err(refused) => Some(response(resource.clone(), Err(refused))),
    };
    let checked = check(Some(this), &request.resources);
    let refused = checked.into_iter().zip(&request.resources).map(place).collect();
    (rest, refused)
}

fn check(asked: Option<BrokerId>, resources: &[AlterConfigsResource]) -> Vec<Result<Changes, Refused>> {
    let repeated = Repeated::among(resources.iter().map(|r| (r.resource_type, r.resource_name.clone())));
    resources.iter().map(|resource| changes(asked, &repeated, resource)).collect()
}

fn changes(
    asked: Option<BrokerId>,
    repeated: &Repeated,
    wanted: &AlterConfigsResource,
) -> Result<Changes, Refused> {
    let resource = repeated.resource(asked, wanted.resource_type, &wanted.resource_name)?;
    let null = wanted
        .configs
        .iter()
        .filter(|config| config.value.is_none() && config.config_operation != DELETE)
        .map(|config| config.name.as_str());
    check_keys(wanted.configs.iter().map(|config| config.name.as_str()), null)?;
    let ops = wanted
        .configs
        .iter()
        .map(|config| Ok((config.name.clone().into(), op(config)?)))
        .collect::<Result<_, Refused>>()?;
    Ok(Changes { resource, ops })
}

fn op(config: &AlterableConfig) -> Result<ConfigOp, Refused> {
    let value = || config.value.clone().unwrap_or_default().into();
    match config.config_operation {
        SET => Ok(ConfigOp::Set(value())),
        DELETE => Ok(ConfigOp::Delete),
        APPEND => Ok(ConfigOp::Append(value())),
        SUBTRACT => Ok(ConfigOp::Subtract(value())),
        unknown => Err(invalid_request(format!("Unknown operations type {unknown}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, operation: i8, value: Option<&str>) -> AlterableConfig {
        AlterableConfig {
            name: name.into(),
            config_operation: operation,
            value: value.map(Into::into),
            ..AlterableConfig::default()
        }
    }

    fn ops(kind: i8, name: &str, configs: Vec<AlterableConfig>) -> Result<Vec<(String, ConfigOp)>, String> {
        let resource = AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs,
            ..AlterConfigsResource::default()
        };
        check(Some(BrokerId(1)), &[resource])
            .remove(0)
            .map(|changes| changes.ops)
            .map_err(|refused| refused.message)
    }

    #[test]
    fn the_four_operations_go_to_the_controller() {
        let configs = vec![
            config("a", SET, Some("1")),
            config("b", DELETE, None),
            config("c", APPEND, Some("x")),
            config("d", SUBTRACT, Some("y")),
        ];
        let expected = vec![
            ("a".to_owned(), ConfigOp::Set("1".to_owned())),
            ("b".to_owned(), ConfigOp::Delete),
            ("c".to_owned(), ConfigOp::Append("x".to_owned())),
            ("d".to_owned(), ConfigOp::Subtract("y".to_owned())),
        ];
        assert_eq!(ops(2, "topic", configs), Ok(expected));
    }

    #[test]
    fn an_operation_that_kafka_does_not_have_is_refused() {
        let refused = ops(2, "topic", vec![config("a", 4, Some("1"))]);
        assert_eq!(refused, Err("Unknown operations type 4".to_owned()));
    }

    #[test]
    fn only_a_deletion_needs_no_value() {
        let refused = ops(2, "topic", vec![config("a", SET, None), config("b", DELETE, None)]);
        assert_eq!(refused, Err("Null value not supported for : a".to_owned()));
    }
}
