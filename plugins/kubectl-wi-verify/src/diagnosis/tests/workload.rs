//! What is particular to a workload and to what stands around its account.

use super::*;
use crate::facts::workload::{
    ContainerFacts, PodFacts, ProviderClassFacts, StoreFacts, Surroundings, WorkloadFacts,
};

fn workload() -> WorkloadFacts {
    WorkloadFacts {
        name: "deployment/orders".into(),
        account: "orders".into(),
        use_label: Some("true".into()),
        containers: vec![ContainerFacts {
            name: "main".into(),
            ..ContainerFacts::default()
        }],
        ..WorkloadFacts::default()
    }
}

fn surroundings() -> Surroundings {
    Surroundings {
        pods: Known::Known(vec![PodFacts {
            name: "orders-1".into(),
            asks: true,
            has_token: true,
            client_id: Some(CLIENT.into()),
        }]),
        provider_classes: Vec::new(),
        stores: Known::Known(Vec::new()),
        pod_identity: Known::Known(Vec::new()),
    }
}

/// The report on a healthy workload with something done to it and to what stands around.
fn with(change: impl FnOnce(&mut WorkloadFacts, &mut Surroundings)) -> Report {
    report(|facts| {
        let (mut workload, mut around) = (workload(), surroundings());
        change(&mut workload, &mut around);
        facts.workload = Some(workload);
        facts.surroundings = Some(around);
    })
}

fn preset(workload: &mut WorkloadFacts, name: &str, value: Option<&str>) {
    let value = value.map(str::to_owned);
    workload.containers[0].preset.insert(name.to_owned(), value);
}

#[test]
fn a_healthy_workload_passes() {
    let report = with(|_, _| ());
    assert!(report.has(FindingCode::WorkloadOk, Verdict::Pass));
    assert_eq!(report.verdict(), Verdict::Pass);
}

#[test]
fn a_missing_label_is_the_cause_and_its_fix_sets_it() {
    for found in [None, Some("True")] {
        let report = with(|workload, _| workload.use_label = found.map(str::to_owned));
        let (code, finding) = cause(&report);
        assert_eq!(code, FindingCode::LabelMissing);
        assert_eq!(
            finding.fixes[0],
            r#"kubectl --context aks-weu-1 -n shop patch deployment/orders --type merge -p '{"spec":{"template":{"metadata":{"labels":{"azure.workload.identity/use":"true"}}}}}'"#
        );
    }
    let mounted = with(|workload, _| {
        workload.use_label = None;
        workload.provider_classes = vec!["kv".into()];
    });
    assert!(mounted.has(FindingCode::LabelMissing, Verdict::Warn));
}

#[test]
fn what_a_container_sets_itself_matters_when_it_differs() {
    let same = with(|workload, _| preset(workload, "AZURE_CLIENT_ID", Some(CLIENT)));
    assert!(same.has(FindingCode::WorkloadOk, Verdict::Pass));
    let other = with(|workload, _| preset(workload, "AZURE_CLIENT_ID", Some(PRINCIPAL)));
    let (code, finding) = cause(&other);
    assert_eq!(code, FindingCode::PresetEnvironment);
    assert!(
        finding.fixes[0].contains("set env deployment/orders -c main AZURE_CLIENT_ID-"),
        "{:?}",
        finding.fixes
    );
    let elsewhere = with(|workload, _| preset(workload, "AZURE_TENANT_ID", None));
    assert!(elsewhere.has(FindingCode::PresetEnvironment, Verdict::Warn));
    let secret = with(|workload, _| preset(workload, "AZURE_CLIENT_SECRET", None));
    assert!(secret.has(FindingCode::ClientSecretPresent, Verdict::Warn));
    assert!(!secret.has(FindingCode::PresetEnvironment, Verdict::Warn));
}

#[test]
fn skipped_containers_are_named_and_grave_when_none_is_left() {
    let all = with(|workload, _| workload.containers[0].is_skipped = true);
    assert_eq!(cause(&all).0, FindingCode::ContainersSkipped);
    let some = with(|workload, _| {
        workload.containers.push(ContainerFacts {
            name: "mesh".into(),
            is_skipped: true,
            ..ContainerFacts::default()
        });
    });
    assert!(some.has(FindingCode::ContainersSkipped, Verdict::Warn));
}

#[test]
fn pods_older_than_the_annotation_are_named() {
    let pods = |around: &mut Surroundings, change: fn(&mut PodFacts)| {
        let Known::Known(pods) = &mut around.pods else {
            panic!("pods are known")
        };
        change(&mut pods[0]);
    };
    let stale = with(|_, around| pods(around, |pod| pod.client_id = Some(PRINCIPAL.into())));
    let (code, finding) = cause(&stale);
    assert_eq!(code, FindingCode::PodsOutdated);
    assert!(
        finding.fixes[0].ends_with("rollout restart deployment/orders"),
        "{:?}",
        finding.fixes
    );
    let bare = with(|_, around| pods(around, |pod| pod.has_token = false));
    assert_eq!(cause(&bare).0, FindingCode::PodsOutdated);
    let quiet = with(|_, around| {
        pods(around, |pod| {
            pod.asks = false;
            pod.has_token = false;
        });
    });
    assert_eq!(quiet.verdict(), Verdict::Pass);
}

#[test]
fn a_provider_class_that_points_elsewhere_is_named() {
    let class = ProviderClassFacts {
        name: "kv".into(),
        exists: true,
        provider: Some("azure".into()),
        client_id: Some(CLIENT.into()),
        tenant_id: Some("t".into()),
        vault: Some("kv-central".into()),
    };
    let with_class = |class: ProviderClassFacts| with(|_, around| around.provider_classes = vec![class]);
    assert_eq!(with_class(class.clone()).verdict(), Verdict::Pass);
    for broken in [
        ProviderClassFacts {
            client_id: Some(PRINCIPAL.into()),
            ..class.clone()
        },
        ProviderClassFacts {
            tenant_id: None,
            ..class.clone()
        },
        ProviderClassFacts {
            exists: false,
            ..class.clone()
        },
    ] {
        let report = with_class(broken);
        assert_eq!(cause(&report).0, FindingCode::SecretProviderClassDiffers);
    }
    let other_vault = with_class(ProviderClassFacts {
        vault: Some("kv-other".into()),
        ..class
    });
    assert!(other_vault.has(FindingCode::SecretProviderClassDiffers, Verdict::Warn));
}

#[test]
fn a_store_that_cannot_work_is_named() {
    let store = StoreFacts {
        name: "secretstore/kv".into(),
        auth_type: Some("WorkloadIdentity".into()),
        ..StoreFacts::default()
    };
    let with_store = |store: StoreFacts| with(|_, around| around.stores = Known::Known(vec![store]));
    assert_eq!(with_store(store.clone()).verdict(), Verdict::Pass);
    let other_tenant = with_store(StoreFacts {
        tenant_id: Some("another".into()),
        ..store.clone()
    });
    assert_eq!(cause(&other_tenant).0, FindingCode::SecretStoreDiffers);
    let other_way = with_store(StoreFacts {
        auth_type: Some("ManagedIdentity".into()),
        ..store.clone()
    });
    assert!(other_way.has(FindingCode::SecretStoreDiffers, Verdict::Warn));
    let at = |url: &str| {
        let vault_url = Some(url.to_owned());
        with_store(StoreFacts {
            vault_url,
            ..store.clone()
        })
    };
    assert!(at("https://kv-other.vault.azure.net").has(FindingCode::SecretStoreDiffers, Verdict::Warn));
    assert_eq!(at("https://KV-Central.vault.azure.net/").verdict(), Verdict::Pass);
}

#[test]
fn what_is_left_of_pod_identity_is_named() {
    let report = with(|workload, around| {
        workload.pod_identity = Some("old".into());
        around.pod_identity = Known::Known(vec!["azureidentity/old".into()]);
    });
    assert!(report.has(FindingCode::PodIdentityLeftover, Verdict::Warn));
}
