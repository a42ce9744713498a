//! Credentials: from the environment, a profile, a web identity, a container or an instance, asked for only at the
//! machine's own metadata addresses and at the Canadian endpoints of AWS's token service.
//!
//! No setting of the environment or of a profile chooses a place. A request that one has pointed elsewhere
//! (`AWS_ENDPOINT_URL_STS`, a metadata endpoint) goes where it belongs all the same, if it is not signed. A signature covers
//! the host, so a signed one, which is what assumes a role with the credentials of another, is stopped here, before a
//! connection is made, and the error says why.

use crate::residency::ReachableEndpoint;
use crate::storage::s3::error::{Attempt, Cause, Failure};
use crate::storage::s3::guard::GuardStop;
use crate::storage::s3::options::CredentialSource;
use crate::storage::s3::tls;
use crate::storage::s3::traffic::TrafficLog;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the first credentials may take, all sources together.
const PATIENCE: Duration = Duration::from_secs(60);

/// Metadata services of instances and containers, over plain HTTP on this machine's own link.
const METADATA: [&str; 5] = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "[fd00:ec2::254]", "[fd00:ec2::23]"];
/// The token service of AWS in its Canadian regions.
const TOKEN_SERVICES: [&str; 2] = ["sts.ca-central-1.amazonaws.com", "sts.ca-west-1.amazonaws.com"];
/// The regions of these.
const REGIONS: [&str; 2] = ["ca-central-1", "ca-west-1"];

/// Settings of the environment that credentials are really taken from. Every other `AWS_…` is without effect.
const USED: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_ACCOUNT_ID",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_V1_DISABLED",
    "AWS_EXECUTION_ENV",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];
/// A variable that the libraries below read and that nothing can keep them from: a file with other places for regions. If
/// the file is not there or not to their liking they panic, so whoever opens a store has to refuse while it is set.
pub const CANNOT_BE_IGNORED: &str = "SMITHY_CLIENT_SDK_CUSTOM_PARTITION";
/// Settings of other software that would choose a way.
const PROXIES: [&str; 4] = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];
/// Settings of a profile that would choose a place or a way.
const PROFILE_KEYS: [&str; 8] = [
    "ca_bundle",
    "ec2_metadata_service_endpoint",
    "endpoint_url",
    "region",
    "services",
    "sts_regional_endpoints",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
];

/// Names of settings that are set and never choose anything here, sorted: of the environment (`AWS_REGION`), and of the
/// profiles in the text of `~/.aws/config` (`profile work: endpoint_url`). Values are not repeated, they may be secret.
pub fn ignored_settings(environment: impl IntoIterator<Item = String>, config: &str) -> Vec<String> {
    let is_ignored = |name: &String| {
        let upper = name.to_ascii_uppercase();
        (name.starts_with("AWS_") && !USED.contains(&name.as_str())) || PROXIES.contains(&upper.as_str())
    };
    let mut found: Vec<String> = environment.into_iter().filter(is_ignored).collect();
    let mut section = "";
    for line in config.lines() {
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim();
        } else if let Some((key, _)) = line.split_once('=')
            && PROFILE_KEYS.contains(&key.trim().to_ascii_lowercase().as_str())
        {
            found.push(format!("{section}: {}", key.trim()));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Gets the first credentials, so that their lack is noticed before anything else, and returns where later ones come from.
pub(super) async fn load(
    source: &CredentialSource,
    endpoint: &ReachableEndpoint,
    traffic: &TrafficLog,
) -> Attempt<SharedCredentialsProvider> {
    let profile = match source {
        CredentialSource::Key(key) => {
            let keys = Credentials::new(&key.id, &key.secret, key.token.clone(), None, "settings");
            return Ok(SharedCredentialsProvider::new(keys));
        }
        CredentialSource::Chain { profile } => profile,
    };
    let region = token_region(endpoint);
    let config = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
        .with_http_client(AllowedOnly { traffic: traffic.clone(), region })
        .with_use_fips(Some(false))
        .with_use_dual_stack(Some(false));
    let region = Region::new(region);
    let chain = match profile {
        // Whoever names a profile means that one, whatever the environment says.
        Some(profile) => SharedCredentialsProvider::new(
            ProfileFileCredentialsProvider::builder()
                .configure(&config.with_region(Some(region)))
                .profile_name(profile)
                .build(),
        ),
        None => SharedCredentialsProvider::new(
            DefaultCredentialsChain::builder().configure(config).region(region).build().await,
        ),
    };
    let first = tokio::time::timeout(PATIENCE, chain.provide_credentials())
        .await
        .map_err(|_| Failure::new(Cause::Credentials, "no source of credentials answered within a minute"))?;
    let first = first.map_err(|error| Failure::credentials(&error))?;
    Ok(SharedCredentialsProvider::new(Primed { first: Mutex::new(Some(first)), rest: chain }))
}

/// The region whose token service is asked: the site's own if it is AWS's, else Montréal.
fn token_region(endpoint: &ReachableEndpoint) -> &'static str {
    let is_aws = endpoint.origin().host().ends_with(".amazonaws.com");
    let own = REGIONS.into_iter().find(|region| is_aws && *region == endpoint.signing_region());
    own.unwrap_or(REGIONS[0])
}

/// Hands out what was loaded already, once.
#[derive(Debug)]
struct Primed {
    first: Mutex<Option<Credentials>>,
    rest: SharedCredentialsProvider,
}

impl ProvideCredentials for Primed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(first) => future::ProvideCredentials::ready(Ok(first)),
            None => self.rest.provide_credentials(),
        }
    }
}

/// The HTTP client of the credential chain: the addresses above and no other.
#[derive(Debug)]
struct AllowedOnly {
    traffic: TrafficLog,
    /// Whose token service is asked.
    region: &'static str,
}

impl HttpClient for AllowedOnly {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(AllowedConnector {
            traffic: self.traffic.clone(),
            region: self.region,
            settings: settings.clone(),
            components: components.clone(),
        })
    }
}

#[derive(Debug)]
struct AllowedConnector {
    traffic: TrafficLog,
    region: &'static str,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for AllowedConnector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let failed = |error: ConnectorError| HttpConnectorFuture::ready(Err(error));
        if let Some(uri) = home_of(&request, self.region) {
            request.headers_mut().remove("host");
            if let Err(error) = request.set_uri(uri) {
                return failed(ConnectorError::user(error.into()));
            }
        }
        let (scheme, authority) = match allowed(request.method(), request.uri(), request.headers().get("host")) {
            Ok(place) => place,
            Err(stop) => return failed(ConnectorError::user(stop.into())),
        };
        // Made for each request: there are few, and most machines never need the TLS one.
        let client: SharedHttpClient = match scheme {
            "http" => tls::plain(),
            _ => match tls::encrypted("") {
                Ok(client) => client,
                Err(why) => return failed(ConnectorError::user(why.into())),
            },
        };
        let meter = self.traffic.request(authority);
        meter.sent(usize::try_from(request.body().content_length().unwrap_or(0)).unwrap_or(usize::MAX));
        let pending = client.http_connector(&self.settings, &self.components).call(request);
        HttpConnectorFuture::new(async move {
            let answer = pending.await?;
            let length = answer.headers().get("content-length").and_then(|text| text.parse().ok());
            meter.received(length.unwrap_or(0));
            Ok(answer)
        })
    }
}

/// Where a request without a signature belongs, if a setting has pointed it elsewhere.
fn home_of(request: &HttpRequest, region: &str) -> Option<String> {
    let (headers, uri) = (request.headers(), request.uri());
    let is_at_home = allowed(request.method(), uri, None).is_ok();
    let is_metadata = ["x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds"].map(|h| headers.get(h));
    if is_metadata.iter().any(Option::is_some) {
        let is_own = is_at_home && !uri.split('/').nth(2).is_some_and(is_loopback);
        // What the setting puts before the path is not the service's.
        let path = uri.find("/latest/").and_then(|at| uri.get(at..))?;
        return (!is_own).then(|| format!("http://{}{path}", METADATA[0]));
    }
    let body = request.body().bytes().unwrap_or_default();
    let is_token = request.method() == "POST" && body.starts_with(b"Action=AssumeRoleWithWebIdentity&");
    let is_elsewhere = is_token && !is_at_home && headers.get("authorization").is_none();
    is_elsewhere.then(|| format!("https://sts.{region}.amazonaws.com/"))
}

/// Scheme and authority of a request for credentials, if it may be made.
fn allowed<'a>(method: &str, uri: &'a str, host: Option<&str>) -> Result<(&'a str, &'a str), GuardStop> {
    let end = |rest: &str| rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let authority = &rest[..end(rest)];
    let is_named_so = host.is_none_or(|host| host == authority);
    let bare = authority.strip_suffix(":80").unwrap_or(authority);
    let is_metadata = scheme == "http" && METADATA.contains(&bare);
    let is_token_service = scheme == "https" && method == "POST" && TOKEN_SERVICES.contains(&authority);
    let is_local = ["http", "https"].contains(&scheme) && method == "GET" && is_loopback(authority);
    if is_named_so && (is_metadata || is_token_service || is_local) {
        return Ok((scheme, authority));
    }
    Err(GuardStop::ForeignHost {
        asked: format!("{scheme}://{authority}"),
        allowed: "metadata addresses of this machine and the Canadian token services of AWS".to_owned(),
    })
}

/// Whether `HOST[:PORT]` is this machine: a container's helper that hands out credentials.
fn is_loopback(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let is_v4 = host.parse::<core::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    is_port && (is_v4 || host == "[::1]" || host == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_asked_for_at_a_few_places_only() {
        for (method, uri) in [
            ("PUT", "http://169.254.169.254/latest/api/token"),
            ("GET", "http://169.254.169.254:80/latest/meta-data/"),
            ("GET", "http://169.254.170.2/v2/credentials/x?a=b"),
            ("GET", "http://169.254.170.23/v1/credentials"),
            ("GET", "http://[fd00:ec2::254]/latest/meta-data/"),
            ("GET", "http://127.0.0.1:1338/creds"),
            ("GET", "http://[::1]:1338/creds"),
            ("GET", "http://localhost/creds"),
            ("POST", "https://sts.ca-central-1.amazonaws.com/"),
            ("POST", "https://sts.ca-west-1.amazonaws.com"),
        ] {
            assert!(allowed(method, uri, None).is_ok(), "{uri}");
        }
        for (method, uri) in [
            ("POST", "https://sts.us-east-1.amazonaws.com/"),
            ("POST", "https://sts.amazonaws.com/"),
            ("POST", "http://sts.ca-central-1.amazonaws.com/"),
            ("POST", "https://sts.ca-central-1.amazonaws.com:8443/"),
            ("POST", "https://sts.ca-central-1.amazonaws.com.evil.example/"),
            ("POST", "https://sts.ca-central-1.amazonaws.com@evil.example/"),
            ("POST", "http://127.0.0.1:9000/"),
            ("GET", "http://127.0.0.1.evil.example/"),
            ("GET", "http://127.0.0.1:80@evil.example/"),
            ("GET", "http://169.254.169.254.evil.example/"),
            ("GET", "http://169.254.169.254@evil.example/"),
            ("GET", "http://169.254.169.253/"),
            ("GET", "https://169.254.169.254/"),
            ("GET", "http://10.0.0.1/"),
            ("GET", "https://creds.example/"),
            ("GET", "ftp://localhost/"),
            ("GET", "localhost"),
            ("GET", ""),
        ] {
            assert!(allowed(method, uri, None).is_err(), "{uri}");
        }
        assert!(allowed("GET", "http://169.254.170.2/x", Some("evil.example")).is_err());
        assert!(allowed("GET", "http://169.254.170.2/x", Some("169.254.170.2")).is_ok());
    }

    #[test]
    fn what_is_not_signed_goes_home() {
        let request = |method: &str, uri: &str, headers: &[(&'static str, &'static str)], body: &'static str| {
            let mut request = HttpRequest::new(aws_smithy_types::body::SdkBody::from(body));
            request.set_method(method).expect("a method");
            request.set_uri(uri.to_owned()).expect("a URI");
            headers.iter().for_each(|(name, value)| drop(request.headers_mut().insert(*name, *value)));
            home_of(&request, "ca-west-1")
        };
        let metadata = [("x-aws-ec2-metadata-token", "t")];
        let wanted = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")];
        let token = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=r";
        let (signed, service) = ([("authorization", "AWS4-HMAC-SHA256 x")], "https://sts.ca-west-1.amazonaws.com/");
        for (method, uri, headers, body, home) in [
            ("PUT", "http://e.example/latest/api/token", &wanted[..], "", "http://169.254.169.254/latest/api/token"),
            ("PUT", "http://127.0.0.1:9/latest/api/token", &wanted, "", "http://169.254.169.254/latest/api/token"),
            (
                "GET",
                "http://127.0.0.1:9/latest/meta-data/?a=b",
                &metadata,
                "",
                "http://169.254.169.254/latest/meta-data/?a=b",
            ),
            ("GET", "https://e.example/x/latest/meta-data/", &metadata, "", "http://169.254.169.254/latest/meta-data/"),
            ("POST", "http://127.0.0.1:9/", &[], token, service),
            ("POST", "https://sts.us-east-1.amazonaws.com/", &[], token, service),
        ] {
            assert_eq!(request(method, uri, headers, body).as_deref(), Some(home), "{uri}");
        }
        for (method, uri, headers, body) in [
            ("PUT", "http://169.254.169.254/latest/api/token", &wanted[..], ""),
            ("GET", "http://[fd00:ec2::254]/latest/meta-data/", &metadata, ""),
            ("POST", "https://sts.ca-central-1.amazonaws.com/", &[], token),
            ("POST", "https://e.example/", &signed, token),
            ("POST", "https://e.example/", &signed, "Action=AssumeRole&Version=2011-06-15"),
            ("GET", "http://e.example/creds", &[], ""),
            ("PUT", "http://e.example/other", &wanted, ""),
        ] {
            assert_eq!(request(method, uri, headers, body), None, "{uri}");
        }
    }

    #[test]
    fn settings_that_would_choose_a_place_are_named() {
        let set = [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "AWS_REGION",
            "AWS_PROFILE",
            "https_proxy",
            "NO_PROXY",
            "AWS_SOMETHING_NEW",
            "HOME",
        ];
        let config = "[default]\nregion = us-east-1\noutput=json\n[profile work]\n role_arn = x\n endpoint_url=http://e\n\
                      [services s]\ns3 =\n  endpoint_url = http://e\n";
        assert_eq!(
            ignored_settings(set.map(str::to_owned), config),
            [
                "AWS_ENDPOINT_URL",
                "AWS_ENDPOINT_URL_S3",
                "AWS_REGION",
                "AWS_SOMETHING_NEW",
                "NO_PROXY",
                "default: region",
                "https_proxy",
                "profile work: endpoint_url",
                "services s: endpoint_url",
            ]
        );
        assert!(ignored_settings([], "").is_empty());
    }
}
