//! AlterConfigs: sets all of a resource's configuration; what is not named goes back to its default (KIP-133).

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::configs::Replacement;
use ottla_types::BrokerId;
use ottla_wire::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
    AlterableConfig,
};

use super::config_changes::{Repeated, answer, check_keys};
use super::each::decide_each;
use crate::broker::Core;
use crate::context::RequestContext;

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let validate_only = request.validate_only;
    let asked = (!context.is_forwarded).then_some(core.node_id);
    let checked = check(asked, &request.resources);
    let outcomes = decide_each(core, checked, |controller, replacements| {
        controller.alter_configs(&replacements, validate_only)
    })
    .await;
    AlterConfigsResponse {
        responses: request
            .resources
            .into_iter()
            .zip(outcomes)
            .map(|(resource, outcome)| response(resource, outcome))
            .collect(),
        ..AlterConfigsResponse::default()
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
    request: &AlterConfigsRequest,
) -> (AlterConfigsRequest, Vec<Option<AlterConfigsResourceResponse>>) {
    let mut rest = AlterConfigsRequest { resources: Vec::new(), ..request.clone() };
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

fn check(asked: Option<BrokerId>, resources: &[AlterConfigsResource]) -> Vec<Result<Replacement, Refused>> {
    let repeated = Repeated::among(resources.iter().map(|r| (r.resource_type, r.resource_name.clone())));
    resources.iter().map(|resource| replacement(asked, &repeated, resource)).collect()
}

fn replacement(
    asked: Option<BrokerId>,
    repeated: &Repeated,
    wanted: &AlterConfigsResource,
) -> Result<Replacement, Refused> {
    let resource = repeated.resource(asked, wanted.resource_type, &wanted.resource_name)?;
    let configs = &wanted.configs;
    let null = configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str());
    check_keys(configs.iter().map(|config| config.name.as_str()), null)?;
    let pair =
        |config: &AlterableConfig| (config.name.clone().into(), config.value.clone().map(String::from));
    let configs = configs.iter().map(pair).collect();
    Ok(Replacement { resource, configs })
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::ConfigResource;

    use super::*;

    fn resource(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsResource {
        let config = |(name, value): &(&str, Option<&str>)| AlterableConfig {
            name: (*name).into(),
            value: value.map(Into::into),
            ..AlterableConfig::default()
        };
        AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: configs.iter().map(config).collect(),
            ..AlterConfigsResource::default()
        }
    }

    #[test]
    fn each_resource_is_refused_or_replaced_for_itself() {
        let resources = [
            resource(4, "", &[("log.retention.ms", Some("1000"))]),
            resource(2, "a", &[("retention.ms", None)]),
            resource(2, "b", &[("anything", Some("at all"))]),
        ];
        let checked = check(Some(BrokerId(1)), &resources);
        let replaced = checked[0].as_ref().unwrap();
        assert_eq!(replaced.resource, ConfigResource::ClusterDefault);
        assert_eq!(replaced.configs, [("log.retention.ms".to_owned(), Some("1000".to_owned()))]);
        assert_eq!(checked[1].as_ref().unwrap_err().message, "Null value not supported for : retention.ms");
        assert!(checked[2].is_ok(), "which keys there are is the controller's to say");
    }
}
