//! Cold keys: all connections ask for the same new object at once.

use clap::Args;
use http::Method;
use pannier::clock::monotonic;
use tokio::task::JoinSet;

use super::Target;
use super::client::Client;
use super::histogram::Histogram;
use super::paths::Objects;

/// Many requests at once for a key nobody asked for before.
#[derive(Debug, Args)]
pub(crate) struct Burst {
    #[arg(long)]
    to: Target,
    /// Requests at once.
    #[arg(long, default_value_t = 100)]
    connections: usize,
    #[command(flatten)]
    objects: Objects,
}

impl Burst {
    pub(crate) async fn run(self) -> anyhow::Result<String> {
        let mut clients = Vec::new();
        for _ in 0..self.connections {
            let mut client = Client::new(self.to);
            client.connect().await?;
            clients.push(client);
        }
        let (mut seen, mut failed) = (Histogram::default(), 0u64);
        for number in 0..self.objects.keys() {
            let path = self.objects.path(number);
            let mut asked = JoinSet::new();
            for mut client in clients.drain(..) {
                let path = path.clone();
                asked.spawn(async move {
                    let begun = monotonic();
                    let ok = client.ask(&Method::GET, &path).await.is_ok();
                    (client, ok.then(|| monotonic().duration_since(begun)))
                });
            }
            while let Some(answered) = asked.join_next().await {
                let (client, took) = answered?;
                clients.push(client);
                match took {
                    Some(took) => seen.add(took),
                    None => failed += 1,
                }
            }
        }
        let done = seen.total();
        Ok(format!(
            "{{\"reads\":{done},\"failed\":{failed},{}}}",
            seen.members()
        ))
    }
}
