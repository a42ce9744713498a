//! What a store said about one bucket in this run. Filled in by whoever asks; judged in `verdict`.

/// An answer, or why there is none. Only [`Observed::Stated`] is ever evidence of anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Observed<T> {
    /// The store stated this.
    Stated(T),
    /// The store does not answer this question (501, 405), or answers with nothing or with something unreadable.
    NotOffered(String),
    /// The store refused the question to these credentials.
    Denied(String),
    /// No answer after bounded retries.
    Failed(String),
    /// Nobody asked.
    #[default]
    NotAsked,
}

/// A bucket that copies or logs go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The bucket, as the store names it.
    pub bucket: String,
    /// Its region, if the store stated one.
    pub region: Observed<String>,
}

/// What a store stated about a bucket. The default is that nobody asked anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observations {
    /// Header `x-amz-bucket-region` of HeadBucket.
    pub region_header: Observed<String>,
    /// GetBucketLocation, as answered: an empty constraint is `Stated("")`, an empty document is `NotOffered`.
    pub location: Observed<String>,
    /// Whether the bucket belongs to the expected account.
    pub owner: Observed<bool>,
    /// Where replication rules copy to; no rule is `Stated` of nothing.
    pub replication: Observed<Vec<Destination>>,
    /// Whether transfer acceleration is on.
    pub acceleration: Observed<bool>,
    /// Lifecycle rules that move or delete objects, in words, one each.
    pub lifecycle: Observed<Vec<String>>,
    /// Whether one of these rules deletes current objects. Only meaningful if `lifecycle` was stated; `None` is unknown.
    pub expiration: Option<bool>,
    /// Where access logs go; `Stated(None)` if nowhere.
    pub logging: Observed<Option<Destination>>,
    /// Redirects, region hints and foreign hosts that any answer of this run contained, in words, one each.
    pub hints: Vec<String>,
}
