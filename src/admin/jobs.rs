//! `GET /jobs`, `GET` and `DELETE /jobs/{id}`, `POST /jobs/{name}/run`.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::answer::{Answer, answer_json};
use super::refusal::Refusal;
use super::{Admin, authorize};
use crate::jobs::OrderError;

pub(super) fn list(admin: &Admin) -> Answer {
    answer_json(StatusCode::OK, &admin.controls.jobs.list())
}

/// A run by its id, or the last one of a job by its name.
pub(super) fn show(admin: &Admin, request: &Request<Incoming>) -> Result<Answer, Refusal> {
    let id = segment(request);
    let found = admin.controls.jobs.find(id);
    let found = found.ok_or_else(|| OrderError::Unknown(id.to_owned()))?;
    Ok(answer_json(StatusCode::OK, &found))
}

pub(super) async fn cancel(admin: &Admin, request: Request<Incoming>) -> Result<Answer, Refusal> {
    authorize(admin, request.headers())?;
    let id = segment(&request);
    let job = admin.controls.jobs.cancel(id, &admin.store).await?;
    tracing::info!(job, id, "admin: job cancelled");
    let answer = json!({ "cancelled": id, "job": job });
    Ok(answer_json(StatusCode::OK, &answer))
}

pub(super) fn run(admin: &Admin, request: Request<Incoming>) -> Result<Answer, Refusal> {
    authorize(admin, request.headers())?;
    let name = segment(&request);
    let id = admin.controls.jobs.order(name)?;
    tracing::info!(job = name, id, "admin: job ordered");
    let answer = json!({ "id": id, "job": name });
    Ok(answer_json(StatusCode::OK, &answer))
}

/// What stands behind `/jobs/`; names and ids have nothing that is encoded.
fn segment(request: &Request<Incoming>) -> &str {
    let mut segments = request.uri().path().split('/').skip(2);
    segments.next().unwrap_or_default()
}
