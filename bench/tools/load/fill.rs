//! Every key once, so that what follows are hits.

use std::cell::Cell;
use std::rc::Rc;

use clap::Args;
use http::Method;
use tokio::task::LocalSet;

use super::Target;
use super::client::Client;
use super::paths::Objects;

/// Every key once, as fast as it goes.
#[derive(Debug, Args)]
pub(crate) struct Fill {
    #[arg(long)]
    to: Target,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[command(flatten)]
    objects: Objects,
}

impl Fill {
    pub(crate) async fn run(self) -> anyhow::Result<String> {
        let next = Rc::new(Cell::new(0));
        let failed = Rc::new(Cell::new(0));
        let tasks = LocalSet::new();
        for _ in 0..self.connections.min(self.objects.keys()) {
            let mut client = Client::new(self.to);
            let (next, failed, objects) = (next.clone(), failed.clone(), self.objects.clone());
            tasks.spawn_local(async move {
                while next.get() < objects.keys() {
                    let number = next.replace(next.get() + 1);
                    let answer = client.ask(&Method::GET, &objects.path(number)).await;
                    failed.set(failed.get() + u64::from(answer.is_err()));
                }
            });
        }
        tasks.await;
        let (asked, failed) = (self.objects.keys(), failed.get());
        Ok(format!("{{\"asked\":{asked},\"failed\":{failed}}}"))
    }
}
