//! Many clusters in one run while Azure's budgets are enforced: nothing is refused for good, nothing is lost, nothing is
//! written twice. Every cluster is an API server of its own, in a sandbox that this test brings up.
//!
//! Ten of them by default; `AKS_E2E_SCALE=50` runs fifty (three minutes and 10 GB of memory on two cores).

use e2e::azure::log;
use e2e::own::Own;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Instant;

/// Writes of identities and their credentials that Azure takes in one subscription, per second and at once
/// (workload-identity-federation-considerations).
const WRITES_PER_SECOND: f64 = 2.0;
const WRITES_AT_ONCE: f64 = 2.0;
/// What setup writes in Azure for one cluster: an identity, its credential, its role at the secret.
const WRITES: usize = 3;

#[test]
fn many_clusters_are_set_up_within_azures_budgets() {
    let count: usize =
        std::env::var("AKS_E2E_SCALE").map_or(10, |text| text.parse().expect("a number of clusters"));
    let starting = Instant::now();
    let own = Own::up("scale", count);
    let started = starting.elapsed();
    let world = &own.world;
    world
        .sandbox(&["azure", "fault", r#"{"budgets": true}"#])
        .expect(0);

    let setup = "kubectl wi setup --context aks-* -n shop --service-account orders --secret kv-central/db-password \
                 --service-account-owner setup --yes -o json";
    let running = Instant::now();
    let made = world.run(setup).expect(0).json();
    let ran = running.elapsed();
    let items = made["items"].as_array().expect("one item for each cluster");
    assert_eq!(items.len(), count);
    assert!(items.iter().all(|item| item["exitName"] == "ok"), "{made}");
    let identities: BTreeSet<&str> = items
        .iter()
        .filter_map(|item| item["clientId"].as_str())
        .collect();
    assert_eq!(identities.len(), count, "each cluster has an identity of its own");

    // Azure's side of it: each thing written once, and nobody got in another's way.
    let log = log(world);
    let with = |status: u16| log.iter().filter(move |entry| entry["status"] == status);
    let created: Vec<&Value> = with(201).filter(|entry| entry["method"] == "PUT").collect();
    let paths: BTreeSet<&str> = created
        .iter()
        .filter_map(|entry| entry["path"].as_str())
        .collect();
    assert_eq!((created.len(), paths.len()), (WRITES * count, WRITES * count));
    assert_eq!(with(409).count(), 0, "two writes met");

    let again = world.run(setup).expect(0).json();
    for item in again["items"].as_array().into_iter().flatten() {
        assert_eq!(item["changes"], json!([]), "{}", item["context"]);
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of clusters")]
    let alone = ((2 * count) as f64 - WRITES_AT_ONCE) / WRITES_PER_SECOND;
    let told = format!(
        "{count} clusters, each a real API server (started in {:.0} s): set up in {:.1} s; the budget of writes alone needs {alone:.1} s; \
         {} requests of Azure were throttled",
        started.as_secs_f64(),
        ran.as_secs_f64(),
        with(429).count(),
    );
    writeln!(std::io::stderr(), "{told}").expect("standard error is open");
}
