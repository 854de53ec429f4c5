//! Who answers `/metrics` and `/health`: the broker, once it has started, and until then what there is of it.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ottla_log::DirInfo;
use ottla_types::config::broker::metrics::METRICS_MAX_PARTITIONS;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::families;
use super::groups::{self, GroupsObserved};
use super::health::Health;
use super::page::Page;
use crate::broker::Core;

/// What is known of the broker.
#[derive(Default)]
pub(crate) struct Monitor {
    core: OnceLock<Arc<Core>>,
}

/// What one scrape reads.
pub(super) struct Scrape {
    /// `None` while the broker starts.
    pub(super) broker: Option<Observed>,
}

/// A broker that has started.
pub(super) struct Observed {
    pub(super) core: Arc<Core>,
    pub(super) dirs: Vec<Dir>,
    pub(super) groups: GroupsObserved,
    /// How many topics, partitions or committed offsets are shown one by one.
    pub(super) limit: usize,
}

/// One of `log.dirs`.
pub(super) struct Dir {
    pub(super) path: String,
    /// Why it is offline, if it is.
    pub(super) failure: Option<String>,
    /// What is known of one that could be used at the start.
    pub(super) info: Option<DirInfo>,
}

impl Monitor {
    /// From now on there is a broker to ask.
    pub(crate) fn started(&self, core: Arc<Core>) {
        // It is called once; a second broker would not be this one's.
        let _known = self.core.set(core);
    }

    /// Whether the broker works.
    pub(super) async fn health(&self) -> Health {
        match self.core.get() {
            None => Health::starting(),
            Some(core) => Health::of(&dirs(core).await, core.metadata.failure()),
        }
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// A text cannot be written, or the runtime ends.
    pub(super) async fn metrics(&self) -> Result<String, String> {
        let broker = match self.core.get() {
            Some(core) => Some(Observed::of(core).await),
            None => None,
        };
        let scrape = Scrape { broker };
        // Ten thousand partitions are a few megabytes of text: requests must not wait for that on this thread.
        let written = tokio::task::spawn_blocking(move || {
            let mut registry = Registry::default();
            registry.register_collector(Box::new(scrape));
            let mut text = String::new();
            encode(&mut text, &registry).map(|()| text)
        });
        match written.await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Observed {
    async fn of(core: &Arc<Core>) -> Self {
        let limit = usize::try_from(core.settings.get(&METRICS_MAX_PARTITIONS)).unwrap_or(0);
        Self {
            dirs: dirs(core).await,
            groups: groups::observe(&core.groups, limit).await,
            limit,
            core: Arc::clone(core),
        }
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::encode(&mut Page::new(encoder), self)
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("started", &self.broker.is_some()).finish_non_exhaustive()
    }
}

/// All of `log.dirs`, those that could not be used at the start included.
async fn dirs(core: &Core) -> Vec<Dir> {
    let used = core.logs.dirs().await;
    // A controller alone has that of the metadata log, and no other.
    let all = if core.role.is_broker() { core.settings.log_dirs() } else { Vec::new() };
    let unused = all.into_iter().filter(|path| !used.iter().any(|dir| dir.path == Path::new(path)));
    let unused = unused.map(|path| Dir {
        path,
        failure: Some("it could not be used at the start, and takes no part".to_owned()),
        info: None,
    });
    let mut dirs: Vec<Dir> = unused.collect();
    dirs.extend(used.into_iter().map(|info| Dir {
        path: info.path.display().to_string(),
        failure: info.failure.as_ref().map(ToString::to_string),
        info: Some(info),
    }));
    dirs.sort_by(|one, other| one.path.cmp(&other.path));
    dirs
}
