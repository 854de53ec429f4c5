//! A place for a connection, which is opened when it is needed, and again when it has ended.

use tokio::sync::Mutex;

use ottla_client::{Address, Connection, ConnectionOptions};
use ottla_env::Net;

/// The place.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<Open>>);

/// A connection, and where to.
struct Open {
    address: Address,
    connection: Connection,
}

impl Slot {
    /// The connection to an address. Who comes while it is being opened waits for that.
    ///
    /// # Errors
    /// None can be opened.
    pub(crate) async fn connection(
        &self,
        net: &dyn Net,
        address: &Address,
        options: &ConnectionOptions,
    ) -> Result<Connection, ottla_client::Error> {
        let mut slot = self.0.lock().await;
        let is_usable = |open: &&Open| open.address == *address && !open.connection.is_closed();
        if let Some(open) = slot.as_ref().filter(is_usable) {
            return Ok(open.connection.clone());
        }
        *slot = None;
        let connection = Connection::open(net, address, options).await?;
        *slot = Some(Open { address: address.clone(), connection: connection.clone() });
        Ok(connection)
    }
}
