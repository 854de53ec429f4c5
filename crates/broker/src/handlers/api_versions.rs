//! ApiVersions: what this broker serves, and at which levels the cluster works. The first request of nearly every client
//! (KIP-35, KIP-511, KIP-584).

use ottla_types::ErrorCode;
use ottla_wire::ApiKey;
use ottla_wire::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};

use crate::broker::Core;
use crate::context::RequestContext;
use crate::features;

pub(crate) fn handle(
    core: &Core,
    context: &RequestContext,
    request: &ApiVersionsRequest,
) -> ApiVersionsResponse {
    let named = |text: &str| is_software_name(text);
    if context.version >= 3
        && !(named(&request.client_software_name) && named(&request.client_software_version))
    {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ApiVersionsResponse::default()
        };
    }
    let mut response = ApiVersionsResponse { api_keys: served(), ..ApiVersionsResponse::default() };
    features::tell(&mut response, context.version, &core.metadata.image());
    response
}

/// The answer to a version of ApiVersions that is not known here.
pub(crate) fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: served(),
        ..ApiVersionsResponse::default()
    }
}

fn served() -> Vec<ApiVersion> {
    let mut keys: Vec<ApiVersion> = ApiKey::ALL
        .iter()
        .filter(|api| !api.advertised().is_empty())
        .map(|api| ApiVersion {
            api_key: api.code(),
            min_version: api.advertised().first,
            max_version: api.advertised().last,
            ..ApiVersion::default()
        })
        .collect();
    keys.sort_by_key(|key| key.api_key);
    keys
}

/// KIP-511 allows letters and digits, and `.` and `-` between them.
fn is_software_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_letters_and_digits_with_dots_and_dashes_between() {
        for good in ["apache-kafka-java", "librdkafka", "2.10.0", "a"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "ä"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }

    #[test]
    fn produce_is_advertised_from_version_0_for_old_librdkafka() {
        let produce = served().into_iter().find(|key| key.api_key == 0).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
    }
}
