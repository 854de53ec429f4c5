//! DescribeLogDirs: the directories that a broker keeps logs in (KIP-113).

use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::ApiKey;
use ottla_wire::describe_log_dirs::DescribeLogDirsRequest;

use crate::client::Client;
use crate::error::{Error, check};

/// A directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Its path there.
    pub path: String,
    /// Why it is not used, if it is not; KAFKA_STORAGE_ERROR where it has failed.
    pub error: Option<ErrorCode>,
}

impl Client {
    /// The directories that a broker keeps logs in. It is asked once.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn log_dirs(&self, broker: BrokerId) -> Result<Vec<LogDir>, Error> {
        let connection = self.broker(broker).await?;
        // No topics: what lies in the directories is not asked for.
        let request =
            DescribeLogDirsRequest { topics: Some(Vec::new()), ..DescribeLogDirsRequest::default() };
        let response = connection.call(request).await?;
        check(connection.broker(), ApiKey::DescribeLogDirs, "", response.error_code, None)?;
        let dirs = response.results.into_iter().map(|dir| LogDir {
            path: dir.log_dir.into(),
            error: (dir.error_code != 0)
                .then(|| ErrorCode::from_code(dir.error_code).unwrap_or(ErrorCode::UnknownServerError)),
        });
        Ok(dirs.collect())
    }
}
