use super::*;
use serde_json::json;
use std::io::Write;

const METADATA: &str = "apiVersion: v2\nname: orders\nversion: 0.1.0\nappVersion: \"1.2\"\n";

#[test]
fn the_digest_of_a_folder_follows_names_and_contents() {
    let directory = tempfile::tempdir().unwrap();
    let chart = directory.path().join("orders");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), METADATA).unwrap();
    fs::write(chart.join("templates/a.yaml"), "a").unwrap();
    let load = || Chart::read(chart.clone()).unwrap();
    let first = load();
    assert_eq!(
        (first.name.as_str(), first.app_version.as_deref()),
        ("orders", Some("1.2"))
    );
    assert_eq!(load().digest, first.digest);
    fs::rename(chart.join("templates/a.yaml"), chart.join("templates/b.yaml")).unwrap();
    assert_ne!(load().digest, first.digest);
}

fn spec(value: serde_json::Value) -> ChartSpec {
    serde_json::from_value(value).unwrap()
}

async fn keep(spec: &ChartSpec, base: &Path, folder: &RunFolder) -> Result<Chart, ChartError> {
    let no_helm = async || -> Result<Helm, HelmError> { panic!("helm is not needed") };
    Chart::keep(spec, base, folder, no_helm, &Interrupt::new()).await
}

#[tokio::test]
async fn a_kept_chart_stays_what_it_was_and_must_be_the_pinned_one() {
    let directory = tempfile::tempdir().unwrap();
    let chart = directory.path().join("orders");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), METADATA).unwrap();
    fs::write(chart.join("templates/a.yaml"), "a").unwrap();
    let folder = RunFolder::create().unwrap();
    let kept = keep(&spec(json!({"ref": "./orders"})), directory.path(), &folder)
        .await
        .unwrap();
    assert_eq!(kept.digest, Chart::read(chart.clone()).unwrap().digest);
    fs::write(chart.join("templates/a.yaml"), "b").unwrap();
    assert!(kept.path.starts_with(folder.path()));
    assert_eq!(
        fs::read_to_string(kept.path.join("templates/a.yaml")).unwrap(),
        "a"
    );
    let pinned = spec(json!({"ref": "orders", "digest": format!("sha256:{}", kept.digest)}));
    let folder = RunFolder::create().unwrap();
    assert!(matches!(
        keep(&pinned, directory.path(), &folder).await,
        Err(ChartError::Digest { .. })
    ));
    fs::write(chart.join("templates/a.yaml"), "a").unwrap();
    let folder = RunFolder::create().unwrap();
    assert!(keep(&pinned, directory.path(), &folder).await.is_ok());
}

#[test]
fn what_is_no_path_is_pulled() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("orders")).unwrap();
    let of = |value| Origin::of(&spec(value), directory.path());
    assert_eq!(
        of(json!({"ref": "orders"})).unwrap(),
        Origin::Local(directory.path().join("orders"))
    );
    for (value, expected) in [
        (json!({"ref": "acme/orders"}), "pull acme/orders"),
        (
            json!({"ref": "orders", "repo": "https://charts.example", "version": "1.2.3"}),
            "pull orders --repo https://charts.example --version 1.2.3",
        ),
        (
            json!({"ref": "oci://r.example/orders", "version": "^1", "pullArgs": ["--plain-http"]}),
            "pull oci://r.example/orders --version ^1 --plain-http",
        ),
        (
            json!({"ref": "https://x.example/a.tgz"}),
            "pull https://x.example/a.tgz",
        ),
    ] {
        let Origin::Pulled(arguments) = of(value).unwrap() else {
            panic!("{expected}")
        };
        assert_eq!(arguments.join(" "), expected);
    }
    for absent in ["absent", "./absent", "a/b/c", "../no-such-chart"] {
        assert!(of(json!({"ref": absent})).is_err(), "{absent}");
    }
}

#[test]
fn a_package_tells_its_metadata() {
    let mut header = [0_u8; 512];
    header[..17].copy_from_slice(b"orders/Chart.yaml");
    header[124..135].copy_from_slice(format!("{:011o}", METADATA.len()).as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(METADATA.as_bytes());
    archive.resize(512 * 4, 0);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&archive).unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("orders-0.1.0.tgz"),
        encoder.finish().unwrap(),
    )
    .unwrap();
    let chart = Chart::read(directory.path().join("orders-0.1.0.tgz")).unwrap();
    assert_eq!((chart.name.as_str(), chart.version.as_str()), ("orders", "0.1.0"));
}

#[test]
fn what_is_no_chart_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("x.tgz"), "not gzip").unwrap();
    assert!(matches!(
        Chart::read(directory.path().join("x.tgz")),
        Err(ChartError::Read { .. })
    ));
}
