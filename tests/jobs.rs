//! Jobs: what is fetched without a client, when, by which sidecar, and what operators do with it.

mod fleet;
mod hot;
mod orders;
mod warming;

use std::time::Duration;

use serde_json::Value;

use crate::support::client::Reply;
use crate::support::eventually;
use crate::support::sidecar::{Sidecar, TOKEN};

/// What does not happen by then does not happen.
const LONG: Duration = Duration::from_secs(30);

/// A route for all that the jobs of these tests fetch.
const ROUTE: &str =
    "[[route]]\nname = \"api\"\npath = \"/api/{*rest}\"\nkey = \"{path.rest}\"\nany_host = true\n";

/// With the token, without a body.
async fn order(sidecar: &Sidecar, method: &str, path: &str) -> Reply {
    let request = sidecar.admin().request(method, path);
    let token = format!("Bearer {TOKEN}");
    request.header("authorization", &token).send().await
}

/// The last run of a job.
async fn last(sidecar: &Sidecar, name: &str) -> Value {
    sidecar.admin().get(&format!("/jobs/{name}")).await.value()
}

/// Its last run, once that is this sidecar's own and in this state.
async fn becomes(sidecar: &Sidecar, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), LONG, || async {
        let run = last(sidecar, name).await;
        run["state"] == state && run["holder"].is_null()
    })
    .await;
    last(sidecar, name).await
}
