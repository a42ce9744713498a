//! A store behind TLS, with a certificate authority that only its owner trusts.

use crate::home::Home;
use crate::proxy::Tls;
use crate::servers::Garage;

fn write(home: &Home, name: &str, text: &str) -> String {
    std::fs::write(home.path(name), text).unwrap();
    home.path(name).display().to_string()
}

#[test]
fn an_authority_of_ones_own_has_to_be_named() {
    let garage = Garage::start("ca-central-1");
    let tls = Tls::in_front_of(garage.address(), "localhost");
    let stranger = Tls::in_front_of(garage.address(), "localhost");
    let home = Home::with_site(&garage, "plain");
    let (own, foreign) = (write(&home, "own.pem", tls.ca_pem()), write(&home, "foreign.pem", stranger.ca_pem()));
    home.declare_at(&tls.endpoint(), garage.region(), "tls", "QC").expect(0);
    let repository = format!("s3://tls/{}", garage.bucket());
    let refused = |args: &str| {
        let ended = home.cairn(&format!("{args} --repo {repository}"));
        assert!(matches!(ended.code, Some(1 | 23)), "{}", ended.report());
        ended.says("TLS").says("--cacert");
    };
    refused("init");
    refused(&format!("init --cacert {foreign}"));
    assert_eq!(tls.handshakes(), 0, "something was said to a server that is not trusted");

    home.cairn(&format!("init --cacert {own} --repo {repository}")).expect(0);
    home.cairn(&format!("backup --cacert {own} --repo {repository} src")).expect(0);
    let target = home.path("back");
    let (from, to) = (home.path("src").display().to_string(), target.display().to_string());
    let restore = format!("restore latest:{from} --target {to}");
    refused(&restore);
    refused(&format!("{restore} --cacert {foreign}"));
    refused(&format!("backup --cacert {foreign} src"));
    home.cairn(&format!("{restore} --cacert {own} --repo {repository}")).expect(0);
    assert_eq!(crate::compare::differences(&home.path("src"), &target), Vec::<String>::new());
    let before = tls.handshakes();
    assert!(before > 0);

    // An authority that is declared needs no flag. It is trusted for its own site only.
    home.declare_at(&format!("{} --cacert {own}", tls.endpoint()), garage.region(), "tls", "QC").expect(0);
    home.cairn(&format!("backup --repo {repository} src")).expect(0);
    assert!(tls.handshakes() > before);
    home.declare_at(&stranger.endpoint(), garage.region(), "other", "QC").expect(0);
    let other = home.cairn(&format!("snapshots --repo s3://other/{}", garage.bucket()));
    assert_ne!(other.code, Some(0), "{}", other.report());
    other.says("TLS");
    assert_eq!(stranger.handshakes(), 0);
}
