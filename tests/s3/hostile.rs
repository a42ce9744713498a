//! Settings of other programs that want the data, or the key to it, somewhere else: every one that the AWS libraries read,
//! in the environment and in their files, and every proxy. The command goes to the host that was verified or nowhere.

use crate::home::Home;
use crate::proxy::{Answer, Sink};
use crate::servers::Garage;
use crate::trace;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Variables with a place for data, requests or credentials.
const PLACES: &[&str] = &[
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_S3_CONTROL",
    "AWS_ENDPOINT_URL_SIGNIN",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_ENDPOINT_URL_SSO_OIDC",
    "AWS_ENDPOINT_URL_STS",
];
/// Proxies, in either case.
const PROXIES: &[&str] = &["ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY"];
/// Variables with something else that decides where requests go, what is trusted, or how it is asked.
const OTHERS: &[(&str, &str)] = &[
    ("AWS_ACCOUNT_ID", "999999999999"),
    ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "required"),
    ("AWS_AUTH_SCHEME_PREFERENCE", "sigv4a"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/creds"),
    ("AWS_DEFAULTS_MODE", "auto"),
    ("AWS_DEFAULT_PROFILE", "hostile"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_DISABLE_CLOCK_SKEW_CORRECTION", "false"),
    ("AWS_DISABLE_REQUEST_COMPRESSION", "false"),
    ("AWS_EC2_METADATA_DISABLED", "false"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6"),
    ("AWS_EC2_METADATA_V1_DISABLED", "false"),
    ("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13"),
    ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false"),
    ("AWS_LAMBDA_FUNCTION_NAME", "f"),
    ("AWS_MAX_ATTEMPTS", "1"),
    ("AWS_NEW_RETRIES_2026", "true"),
    ("AWS_PROFILE", "hostile"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_SUPPORTED"),
    ("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", "0"),
    ("AWS_RESPONSE_CHECKSUM_VALIDATION", "WHEN_SUPPORTED"),
    ("AWS_RETRY_MODE", "adaptive"),
    ("AWS_ROLE_ARN", "arn:aws:iam::999999999999:role/r"),
    ("AWS_ROLE_SESSION_NAME", "s"),
    ("AWS_S3_ADDRESSING_STYLE", "virtual"),
    ("AWS_S3_DISABLE_EXPRESS_SESSION_AUTH", "false"),
    ("AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS", "false"),
    ("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "legacy"),
    ("AWS_S3_USE_ARN_REGION", "true"),
    ("AWS_SDK_UA_APP_ID", "app"),
    ("AWS_SIGV4A_SIGNING_REGION_SET", "us-east-1"),
    ("AWS_STS_REGIONAL_ENDPOINTS", "legacy"),
    ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
    ("AWS_USE_FIPS_ENDPOINT", "true"),
    ("NO_PROXY", "nothing.example"),
    ("no_proxy", "nothing.example"),
];
/// Variables with a file, which is made.
const FILES: &[&str] = &[
    "AWS_CA_BUNDLE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_LOGIN_CACHE_DIRECTORY",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
];
/// What begins in the same way in the program and is no variable: storage classes, the key itself, and the two files, which
/// one of the runs sets.
const NO_SETTINGS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_BACKUP_",
    "AWS_CONFIG_FILE",
    "AWS_SDK_RUST_BUILD_UA_METADATA",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
];

/// The files of the AWS tools, with a profile that wants everything at `place`.
fn files(place: &str) -> [String; 2] {
    let settings = format!(
        "region = us-east-1\nendpoint_url = {place}\nservices = hostile\nca_bundle = /nowhere\nuse_fips_endpoint = true\n\
         use_dualstack_endpoint = true\nsts_regional_endpoints = legacy\nec2_metadata_service_endpoint = {place}\n\
         ec2_metadata_service_endpoint_mode = IPv6\ns3_us_east_1_regional_endpoint = legacy\ns3_use_arn_region = true\n\
         s3_disable_multiregion_access_points = false\ns3 =\n  addressing_style = virtual\n  \
         use_accelerate_endpoint = true\n  endpoint_url = {place}\nproxy = {place}\nhttps_proxy = {place}\n"
    );
    let services = ["s3", "sts", "sso", "sso_oidc", "s3_control", "signin"]
        .map(|service| format!("{service} =\n  endpoint_url = {place}\n"))
        .concat();
    let keys = format!(
        "aws_access_key_id = GKffffffffffffffffffffffff\naws_secret_access_key = stolen\nendpoint_url = {place}\n"
    );
    let process = "credential_process = /bin/false\n";
    [
        format!("[default]\n{settings}[profile hostile]\n{settings}{process}[services hostile]\n{services}"),
        format!("[default]\n{keys}[hostile]\n{keys}"),
    ]
}

/// Sets everything, and makes the files: in the home, or where two more variables say.
fn surround(home: &mut Home, sink: &Sink, is_in_home: bool) -> usize {
    let place = sink.endpoint();
    for name in PLACES {
        home.set(name, &place);
    }
    for name in PROXIES {
        home.set(name, &place);
        home.set(&name.to_ascii_lowercase(), &place);
    }
    for (name, value) in OTHERS {
        home.set(name, value);
    }
    for name in FILES {
        std::fs::write(home.path(name), "token").unwrap();
        home.set(name, home.path(name).to_str().unwrap());
    }
    let dir = home.path(if is_in_home { ".aws" } else { "elsewhere" });
    std::fs::create_dir_all(&dir).unwrap();
    for ((name, variable), text) in
        [("config", "AWS_CONFIG_FILE"), ("credentials", "AWS_SHARED_CREDENTIALS_FILE")].into_iter().zip(files(&place))
    {
        std::fs::write(dir.join(name), text).unwrap();
        if !is_in_home {
            home.set(variable, dir.join(name).to_str().unwrap());
        }
    }
    PLACES.len() + 2 * PROXIES.len() + OTHERS.len() + FILES.len() + if is_in_home { 0 } else { 2 }
}

#[test]
fn hostile_settings_lead_nowhere() {
    let (garage, sink) = (Garage::start("ca-central-1"), Sink::start());
    let verified = BTreeSet::from([garage.address()]);
    let (mut settings, mut commands) = (0, 0);
    for is_in_home in [true, false] {
        let repository = format!("s3://garage/{}/{}", garage.bucket(), if is_in_home { "home" } else { "elsewhere" });
        let mut home = Home::with_site(&garage, "garage");
        settings = settings.max(surround(&mut home, &sink, is_in_home));
        let target = home.path("back");
        let source = home.path("src");
        let (from, to) = (source.display(), target.display());
        for args in [
            format!("init --repo {repository}"),
            format!("backup --repo {repository} src"),
            format!("restore latest:{from} --repo {repository} --target {to}"),
            format!("check --read-data --repo {repository}"),
            format!("residency check --repo {repository}"),
        ] {
            let (ended, contacted) = trace::cairn(&home, &args);
            let ended = ended.expect(0);
            if args.starts_with("init") {
                // Said once, and by name only.
                let said = ended.says("AWS_ENDPOINT_URL_S3").says("https_proxy").says("profile hostile: endpoint_url");
                assert!(!said.err.contains(&sink.endpoint()), "{}", said.report());
            } else {
                assert_eq!(contacted, verified, "{}", ended.report());
            }
            assert_eq!(contacted, verified);
            commands += 1;
        }
        assert_eq!(crate::compare::differences(&source, &target), Vec::<String>::new());
    }
    assert_eq!((sink.connections(), sink.bytes()), (0, 0), "the second server got something");
    println!(
        "counts: hostile: {commands} commands among {settings} variables and 2 files each, 0 connections elsewhere"
    );
}

/// The positive control: a connection elsewhere is seen, of the command itself and of what it starts.
#[test]
fn a_connection_elsewhere_is_noticed() {
    let garage = Garage::start("ca-central-1");
    let sink = Sink::answering(|_| Answer::error(403, "AccessDenied"));
    let home = Home::with_site(&garage, "garage");
    home.declare_at(&sink.endpoint(), "ca-central-1", "sink", "QC").expect(0);
    let (ended, contacted) = trace::cairn(&home, "snapshots --repo s3://sink/bucket");
    assert_ne!(ended.code, Some(0), "{}", ended.report());
    assert_eq!(contacted, BTreeSet::from([sink.address()]), "{}", ended.report());
    assert!(sink.connections() > 0);
    let both = |port: SocketAddr| format!("exec 3<>/dev/tcp/{}/{}", port.ip(), port.port());
    let script = format!("({}); {}", both(garage.address()), both(sink.address()));
    let (ended, contacted) = trace::traced(&home, "bash", &["-c", &script]);
    ended.expect(0);
    assert_eq!(contacted, BTreeSet::from([garage.address(), sink.address()]));
}

/// Every variable that the program has in it is among the hostile ones: one that a newer library reads is missed here.
#[test]
fn no_variable_is_forgotten() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_cairn")).unwrap();
    let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    // As for the partition of one's own, which the last test is about.
    assert!(program.windows(34).any(|bytes| bytes == b"SMITHY_CLIENT_SDK_CUSTOM_PARTITION"), "it is read no more?");
    let known: Vec<&str> = OTHERS.iter().map(|(name, _)| *name).chain([PLACES, FILES, NO_SETTINGS].concat()).collect();
    let mut found = BTreeSet::new();
    for at in program.windows(4).enumerate().filter(|(_, bytes)| bytes == b"AWS_").map(|(at, _)| at) {
        let len = program[at..].iter().take_while(|byte| is_name(byte)).count();
        // Texts stand in it one after the other, so that more may follow; but a name is its beginning.
        let text = String::from_utf8_lossy(&program[at..at + len]).into_owned();
        let text = text.split_once("AWS_").and_then(|(_, rest)| Some(rest.split("AWS_").next()?.to_owned()));
        found.extend(text.map(|rest| format!("AWS_{rest}")));
    }
    assert!(found.iter().any(|name| name.starts_with("AWS_ENDPOINT_URL")), "nothing was found");
    // The beginning by itself is what such variables are known by, and some other text may follow it: which one is up to the
    // linker. Names of one word are few and known, so only longer ones are looked at.
    let is_name = |name: &&String| name["AWS_".len()..].contains('_');
    let is_known = |name: &&String| known.iter().any(|known| name.starts_with(known));
    let unknown: Vec<_> = found.iter().filter(is_name).filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "not in the lists of this file: {unknown:?}");
    println!("counts: hostile: {} texts of variables in the program", found.len());
}

/// The one setting that the libraries below cannot be kept from reading. They would take a region's place from its file, and
/// panic if there is none.
#[test]
fn a_partition_of_ones_own_is_refused() {
    let garage = Garage::start("ca-central-1");
    let mut home = Home::with_site(&garage, "garage");
    let repository = format!("s3://garage/{}", garage.bucket());
    home.cairn(&format!("init --repo {repository}")).expect(0);
    home.set("SMITHY_CLIENT_SDK_CUSTOM_PARTITION", "/nowhere");
    for args in ["backup src", "snapshots", "check", "residency check"] {
        let (ended, contacted) = trace::cairn(&home, &format!("{args} --repo {repository}"));
        ended.expect(2).says("SMITHY_CLIENT_SDK_CUSTOM_PARTITION is set").says("hint: unset it");
        assert_eq!(contacted, BTreeSet::new(), "{args}");
    }
    home.cairn("backup --init --repo local src").expect(0);
}

/// Credentials of a role are asked for where they belong, whatever says otherwise. Connections are noted and not made: they
/// would leave this machine.
#[test]
fn roles_are_asked_for_at_home() {
    let (garage, sink) = (Garage::start("ca-central-1"), Sink::start());
    let place = sink.endpoint();
    let ask = |variables: &[(&str, &str)], config: &str| {
        let mut home = Home::with_site(&garage, "garage");
        for (name, value) in [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_ENDPOINT_URL", &place)] {
            home.set(name, value);
        }
        variables.iter().for_each(|(name, value)| home.set(name, value));
        std::fs::write(home.path("token"), "a web identity").unwrap();
        home.set("AWS_WEB_IDENTITY_TOKEN_FILE", home.path("token").to_str().unwrap());
        std::fs::create_dir(home.path(".aws")).unwrap();
        std::fs::write(home.path(".aws/config"), config).unwrap();
        let command = format!("snapshots --repo s3://garage/{}", garage.bucket());
        let (ended, contacted) = trace::unconnected(&home, &command);
        (ended.expect(1).says("there are no credentials"), contacted)
    };
    let metadata = |port| BTreeSet::from([SocketAddr::from(([169, 254, 169, 254], port))]);

    // An instance's metadata.
    let (_, contacted) =
        ask(&[("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &place)], "");
    assert_eq!(contacted, metadata(80));
    let settings = format!("[default]\nec2_metadata_service_endpoint = {place}\n");
    let (_, contacted) = ask(&[("AWS_EC2_METADATA_DISABLED", "false")], &settings);
    assert_eq!(contacted, metadata(80));

    // A web identity, of the environment and of a profile: whoever resolves the name of the token service is a name server.
    let role = "arn:aws:iam::123456789012:role/r";
    for (variables, config) in [
        (&[("AWS_ROLE_ARN", role), ("AWS_ENDPOINT_URL_STS", &place)][..], String::new()),
        (
            &[("AWS_ROLE_ARN", role)],
            format!("[default]\nendpoint_url = {place}\nservices = s\n[services s]\nsts =\n  endpoint_url = {place}\n"),
        ),
    ] {
        let (ended, contacted) = ask(variables, &config);
        assert!(contacted.iter().all(|address| address.port() == 53), "{contacted:?}: {}", ended.report());
        assert!(!ended.err.contains("was stopped"), "{}", ended.report());
    }

    // A role that is assumed with a key: that request is signed for the wrong host, so it is not sent, and it is said why.
    let config = format!(
        "[default]\nrole_arn = {role}\nsource_profile = key\n[profile key]\naws_access_key_id = a\n\
         aws_secret_access_key = b\n"
    );
    let (ended, contacted) = ask(&[], &config);
    ended.says("was stopped").says("an endpoint set in the environment or a profile is not used for credentials");
    assert_eq!(contacted, BTreeSet::new());
    assert_eq!(sink.connections(), 0);
}

/// A container's helper on this machine hands out the key; where requests go is not its business.
#[test]
fn a_helper_hands_out_keys_and_no_places() {
    let (garage, sink) = (Garage::start("ca-central-1"), Sink::start());
    let key = garage.credentials();
    let handed_out = format!(
        r#"{{"AccessKeyId":"{}","SecretAccessKey":"{}","Token":"t","Expiration":"2099-01-01T00:00:00Z"}}"#,
        key.key_id, key.secret_key
    );
    let helper =
        Sink::answering(move |_| Answer::new(200).field("Content-Type", "application/json").body(handed_out.clone()));
    let mut home = Home::with_site(&garage, "garage");
    let (from_helper, place) = (format!("{}/creds", helper.endpoint()), sink.endpoint());
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &from_helper),
        ("AWS_ENDPOINT_URL", &place),
        ("AWS_ENDPOINT_URL_S3", &place),
        ("HTTP_PROXY", &place),
        ("http_proxy", &place),
    ] {
        home.set(name, value);
    }
    for args in ["init", "backup src", "check"] {
        let (ended, contacted) = trace::cairn(&home, &format!("{args} --repo s3://garage/{}", garage.bucket()));
        assert_eq!(contacted, BTreeSet::from([garage.address(), helper.address()]), "{}", ended.report());
        ended.expect(0);
    }
    assert_eq!(sink.connections(), 0);
}
