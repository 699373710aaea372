//! What the store's Redis knows of jobs: who runs which, and how far it is.

use std::sync::Arc;

use fred::types::Value;

use super::redis::{
    AttachedTiers, Claimed, JobClaim, JobEnd, JobProgress, JobQuestion, JobRecord, Renewed,
    read_records,
};

/// Jobs as Redis has them for the fleet. Each question returns `None` where there is no Redis, or it cannot be asked now.
pub struct FleetJobs {
    pub(super) redis: Option<Arc<AttachedTiers>>,
}

impl FleetJobs {
    /// Redis's time in milliseconds, and what it knows of each job. `known`: the last slot that is known to be taken of each,
    /// should Redis have lost it.
    pub async fn look(&self, known: Vec<(String, u64)>) -> Option<(u64, Vec<(String, JobRecord)>)> {
        let (now, fields) = self.ask(JobQuestion::Look(known)).await?;
        Some((now, read_records(fields)))
    }

    /// Takes the lease of a job.
    pub async fn claim(&self, claim: JobClaim) -> Option<Claimed> {
        let (now, answer) = self.ask(JobQuestion::Take(claim)).await?;
        Some(match answer.as_u64() {
            Some(token) => Claimed::Ours(token, now),
            None if answer.as_string().as_deref() == Some("held") => Claimed::Held,
            None => Claimed::Past,
        })
    }

    /// Keeps the lease of `claim`, and says how far its run is.
    pub async fn renew(&self, run: JobProgress, claim: JobClaim) -> Option<Renewed> {
        let (_, answer) = self.ask(JobQuestion::Renew(run, claim)).await?;
        Some(match answer.as_string().as_deref() {
            Some("ok") => Renewed::Ours,
            Some("cancel") => Renewed::Cancel,
            _ => Renewed::Lost,
        })
    }

    /// Gives the lease back; returns Redis's time.
    pub async fn finish(&self, end: JobEnd) -> Option<u64> {
        let (now, _) = self.ask(JobQuestion::Finish(end)).await?;
        Some(now)
    }

    /// Has the holder of run `id` end it. Returns whether it is under way.
    pub async fn cancel(&self, name: &str, id: &str) -> Option<bool> {
        let question = JobQuestion::Cancel(name.to_owned(), id.to_owned());
        let (_, answer) = self.ask(question).await?;
        Some(answer.as_string().as_deref() == Some("ok"))
    }

    /// Has Redis keep this list of hot keys for those that start later.
    pub async fn tell_hot(&self, now: u64, list: Vec<u8>) {
        let Some(redis) = &self.redis else {
            return;
        };
        if let Err(error) = redis.first().tell_hot(now, list).await {
            tracing::debug!(%error, "hot keys in Redis");
        }
    }

    /// The lists that sidecars have told of late.
    pub async fn hot_lists(&self, now: u64) -> Vec<Vec<u8>> {
        let Some(redis) = &self.redis else {
            return Vec::new();
        };
        redis.first().hot_lists(now).await.unwrap_or_default()
    }

    async fn ask(&self, question: JobQuestion) -> Option<(u64, Value)> {
        let redis = self.redis.as_ref()?;
        let answer = redis.first().ask_of_jobs(question).await;
        let refused = answer.inspect_err(|error| tracing::debug!(%error, "jobs in Redis"));
        refused.ok()
    }
}
