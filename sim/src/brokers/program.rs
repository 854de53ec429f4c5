//! What the machines run: brokers as production starts them, and clients.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker::Broker;
use ottla_client::{Address, Client, ClientOptions, NewTopic};
use ottla_env::Env;
use ottla_types::config::Settings;
use ottla_types::{ErrorCode, TopicPartition};
use tokio::sync::oneshot;

use crate::world::{Program, World};

/// Where a broker keeps its data.
const DATA: &str = "/data/logs";

/// How long a client waits before it looks for its cluster again.
const AGAIN: Duration = Duration::from_millis(200);

/// The settings that some properties are.
pub(crate) fn settings(properties: &str) -> Settings {
    match Settings::parse("simulated.properties", properties) {
        Ok((settings, _)) => settings,
        Err(problems) => panic!("the simulated broker's properties: {problems}"),
    }
}

/// A broker, as `ottla serve` runs it, with more properties than its own.
pub(super) fn broker(properties: &str) -> Program {
    let text = format!("node.id=1\nlog.dirs={DATA}\nlisteners=PLAINTEXT://:9092\n{properties}");
    Arc::new(move |mut started| {
        let text = text.clone();
        Box::pin(async move {
            let Ok(broker) = Broker::start(started.env.clone(), settings(&text)).await else { return };
            tokio::select! {
                biased;
                () = started.stopped() => {}
                _ = broker.failed() => {}
            }
            // A log that could not be closed is recovered by the next start.
            drop(broker.stop().await);
        })
    })
}

/// Runs something on a machine of its own, and waits for what it returns.
pub(crate) fn in_process<T, F>(
    world: &World,
    name: &str,
    run: impl FnOnce(Env) -> F + Send + 'static,
) -> Pin<Box<dyn Future<Output = T> + Send>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let once = std::sync::Mutex::new(Some((run, sender)));
    let program: Program = Arc::new(move |started| {
        let once = once.lock().ok().and_then(|mut once| once.take());
        Box::pin(async move {
            if let Some((run, sender)) = once {
                // Nobody waits any more when the world ends.
                drop(sender.send(run(started.env).await));
            }
        })
    });
    let node = world.add_node(name, program);
    world.start(node);
    Box::pin(async move {
        match receiver.await {
            Ok(value) => value,
            // Its process panicked, which is told elsewhere.
            Err(_) => std::future::pending().await,
        }
    })
}

/// Where brokers can be asked first.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub(crate) addresses: Vec<Address>,
    /// How long a call may take.
    pub(crate) patience: Duration,
}

impl Servers {
    /// The only broker, and as much patience as clients have.
    pub(super) fn one() -> Self {
        Self { addresses: vec![Address::new("broker-1", 9092)], patience: Duration::from_secs(60) }
    }
}

/// A client that has found its cluster.
pub(crate) async fn client(env: Env, servers: &Servers) -> Client {
    loop {
        let mut options = ClientOptions::new(servers.addresses.clone());
        options.api_timeout = servers.patience;
        options.connection.connect_timeout = Duration::from_secs(3);
        options.connection.request_timeout = Duration::from_secs(5);
        match Client::connect(env.clone(), options).await {
            Ok(client) => return client,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Creates the topic of these partitions.
pub(crate) async fn create_topic(
    env: Env,
    servers: &Servers,
    partitions: &[TopicPartition],
    is_durable: bool,
) {
    let Some(first) = partitions.first() else { return };
    let client = client(env, servers).await;
    let mut topic = NewTopic::new(first.topic.clone());
    topic.replication_factor = Some(1);
    topic.partitions = i32::try_from(partitions.len()).ok();
    if is_durable {
        topic.configs.push(("flush.messages".to_owned(), "1".to_owned()));
    }
    while let Err(error) = client.create_topic(&topic).await {
        if error.code() == Some(ErrorCode::TopicAlreadyExists) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
