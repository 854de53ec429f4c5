//! Whether the broker works, as `/health` tells it: a status code for machines, and the reasons for people.

use std::sync::Arc;

use serde_json::json;

use super::monitor::Dir;

/// What is wrong with a broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Health {
    status: &'static str,
    problems: Vec<String>,
}

impl Health {
    /// It has not started yet: it may be recovering its logs.
    pub(super) fn starting() -> Self {
        Self { status: "starting", problems: vec!["the broker has not opened its logs yet".to_owned()] }
    }

    /// It has started, over these directories.
    pub(super) fn of(dirs: &[Dir], metadata: Option<Arc<str>>) -> Self {
        let offline = dirs.iter().filter_map(|dir| {
            let failure = dir.failure.as_ref()?;
            Some(format!("the log directory {} is offline: {failure}", dir.path))
        });
        let mut problems: Vec<String> = offline.collect();
        problems.extend(metadata.map(|reason| format!("the metadata log takes no changes: {reason}")));
        let status = if problems.is_empty() { "ok" } else { "unhealthy" };
        Self { status, problems }
    }

    /// Whether nothing is wrong.
    pub(super) fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// As JSON.
    pub(super) fn body(&self) -> String {
        let mut body = json!({ "status": self.status, "problems": self.problems }).to_string();
        body.push('\n');
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(path: &str, failure: Option<&str>) -> Dir {
        Dir { path: path.to_owned(), failure: failure.map(ToOwned::to_owned), info: None }
    }

    #[test]
    fn a_broker_is_well_when_it_has_started_and_everything_works() {
        assert!(!Health::starting().is_ok());
        let health = Health::of(&[dir("/a", None)], None);
        assert!(health.is_ok());
        assert_eq!(health.body(), "{\"problems\":[],\"status\":\"ok\"}\n");
    }

    #[test]
    fn each_problem_is_named() {
        let dirs = [dir("/a", None), dir("/b", Some("disk on fire"))];
        let health = Health::of(&dirs, Some("an append failed".into()));
        assert!(!health.is_ok());
        let body = health.body();
        assert!(body.contains("the log directory /b is offline: disk on fire"), "{body}");
        assert!(body.contains("the metadata log takes no changes: an append failed"), "{body}");
        assert!(body.contains("\"status\":\"unhealthy\""), "{body}");
    }
}
