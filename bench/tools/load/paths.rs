//! Which object a request is for.

use clap::Args;

/// The objects asked for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Objects {
    /// The body's length.
    #[arg(long, default_value_t = 936)]
    bytes: usize,
    /// How many objects; 0: each request is for a new one.
    #[arg(long, default_value_t = 1)]
    keys: usize,
    /// Exponent of Zipf's law; 0: all objects alike.
    #[arg(long, default_value_t = 0.0)]
    zipf: f64,
    /// Put before each object's number, to tell runs apart.
    #[arg(long, default_value = "k")]
    prefix: String,
}

impl Objects {
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    pub(crate) fn path(&self, number: usize) -> String {
        format!("/b/{}/{}{number}", self.bytes, self.prefix)
    }

    /// The same sequence in every run.
    pub(crate) fn sequence(&self) -> Sequence {
        let mut sum = 0.0;
        let weights = (1..=self.keys).map(|rank| (rank as f64).powf(-self.zipf));
        let sums: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        Sequence {
            sums,
            random: fastrand::Rng::with_seed(7),
            next: 0,
        }
    }
}

/// An endless sequence of objects' numbers.
pub(crate) struct Sequence {
    /// Of the weights of all objects up to each; empty: all are new.
    sums: Vec<f64>,
    random: fastrand::Rng,
    next: usize,
}

impl Sequence {
    pub(crate) fn draw(&mut self) -> usize {
        let Some(total) = self.sums.last() else {
            self.next += 1;
            return self.next;
        };
        let point = self.random.f64() * total;
        self.sums.partition_point(|sum| *sum <= point)
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.random.f64() < probability
    }
}
