//! What is always refused, tried before the table; and the domains whose hosts only the table may vouch for.

/// A group of hosts that nothing is ever sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedHosts {
    /// Short name of the group.
    pub name: &'static str,
    /// The hosts, some with free labels.
    pub patterns: &'static [&'static str],
    /// Why, a fragment without full stop.
    pub reason: &'static str,
}

/// The groups.
pub(crate) const REFUSED: &[RefusedHosts] = &[
    RefusedHosts {
        name: "cloudflare-r2",
        patterns: &[
            "{acct}.r2.cloudflarestorage.com",
            "{acct}.eu.r2.cloudflarestorage.com",
            "{acct}.fedramp.r2.cloudflarestorage.com",
            "{acct}.us.r2.cloudflarestorage.com",
            "{bucket}.{acct}.r2.cloudflarestorage.com",
        ],
        reason: "the operator offers no jurisdiction in Canada, and its location hints bind nobody",
    },
    RefusedHosts {
        name: "aws-global-and-special",
        patterns: &[
            "s3.amazonaws.com",
            "{bucket}.s3.amazonaws.com",
            "s3-external-1.amazonaws.com",
            "{bucket}.s3-external-1.amazonaws.com",
            "{bucket}.s3-accelerate.amazonaws.com",
            "{bucket}.s3-accelerate.dualstack.amazonaws.com",
            "s3-accelerate.amazonaws.com",
            "{acct}.accesspoint.s3-global.amazonaws.com",
        ],
        reason: "the global host is in us-east-1 and redirects, acceleration enters at the nearest edge, and a multi-region \
                 access point leads anywhere",
    },
    RefusedHosts {
        name: "aws-indirect",
        patterns: &[
            "{acct}.s3-object-lambda.ca-central-1.amazonaws.com",
            "{acct}.s3-object-lambda.ca-west-1.amazonaws.com",
        ],
        reason: "an Object Lambda access point runs code on the way",
    },
    RefusedHosts {
        name: "wasabi-global",
        patterns: &["s3.wasabisys.com", "{bucket}.s3.wasabisys.com"],
        reason: "the global host is in us-east-1 (Virginia)",
    },
    RefusedHosts {
        name: "ibm-cross-region",
        patterns: &[
            "s3.us.cloud-object-storage.appdomain.cloud",
            "s3.private.us.cloud-object-storage.appdomain.cloud",
            "s3.direct.us.cloud-object-storage.appdomain.cloud",
            "s3.tor01.cloud-object-storage.appdomain.cloud",
        ],
        reason: "the cross-region endpoints spread data over the United States, and tor01 is no longer in the operator's list",
    },
    RefusedHosts {
        name: "digitalocean-cdn",
        patterns: &["tor1.cdn.digitaloceanspaces.com", "{bucket}.tor1.cdn.digitaloceanspaces.com"],
        reason: "a content delivery network with points of presence world-wide",
    },
    RefusedHosts {
        name: "storj",
        patterns: &["gateway.storjshare.io", "{bucket}.gateway.storjshare.io"],
        reason: "a global gateway to nodes anywhere",
    },
    RefusedHosts {
        name: "tigris",
        patterns: &[
            "fly.storage.tigris.dev",
            "{bucket}.fly.storage.tigris.dev",
            "t3.storage.dev",
            "{bucket}.t3.storage.dev",
        ],
        reason: "distributed over the world by design",
    },
    RefusedHosts {
        name: "tencent-cos",
        patterns: &["cos.na-toronto.myqcloud.com", "{bucket}.cos.na-toronto.myqcloud.com"],
        reason: "a region in Toronto is listed, but the operator answers to the law of the People's Republic of China",
    },
    RefusedHosts {
        name: "coreweave",
        patterns: &["cwobject.com", "{bucket}.cwobject.com"],
        reason: "one host for the whole world: the place cannot be read off it",
    },
    RefusedHosts {
        name: "azure-blob",
        patterns: &["{acct}.blob.core.windows.net"],
        reason: "not S3, and the host carries no region",
    },
    RefusedHosts {
        name: "linode-akamai",
        patterns: &["{bucket}.linodeobjects.com"],
        reason: "the operator lists no object storage in Canada",
    },
];

/// Domains of operators with places in several countries. At or below them a host counts only if it stands in the table: nobody can
/// declare `s3.us-east-1.amazonaws.com` to be in Canada. Matching by suffix is right here because it only refuses.
pub(crate) const OPERATOR_DOMAINS: &[&str] = &[
    "amazonaws.com",
    "amazonaws.com.cn",
    "api.aws",
    "on.aws",
    "cloudfront.net",
    "wasabisys.com",
    "backblazeb2.com",
    "backblaze.com",
    "cloud.ovh.net",
    "cloud.ovh.us",
    "googleapis.com",
    "digitaloceanspaces.com",
    "appdomain.cloud",
    "softlayer.net",
    "oraclecloud.com",
    "customer-oci.com",
    "cloudflarestorage.com",
    "r2.dev",
    "storjshare.io",
    "tigris.dev",
    "storage.dev",
    "myqcloud.com",
    "cwobject.com",
    "core.windows.net",
    "linodeobjects.com",
    "megas4.com",
    "myqnapcloud.io",
    "nexgencloud.io",
];
