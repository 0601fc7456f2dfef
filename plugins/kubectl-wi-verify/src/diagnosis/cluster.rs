//! The cluster's issuer, as the API server and Azure name it.

use super::small_difference;
use crate::facts::{AksFacts, Facts, Known};
use crate::finding::{Finding, FindingCode, Verdict};

const API_SERVER: &str = "API server";

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Known::Unknown(why) = &facts.azure {
        findings.push(
            Finding::new(
                FindingCode::AzureUnknown,
                Verdict::Unknown,
                "Azure",
                format!("identity, federated credentials and roles were not looked at: {why}"),
            )
            .fix("az login"),
        );
    }
    // Without the right to read the discovery document, a token's own issuer tells as much.
    let issuer = match (&facts.cluster.issuer, super::issuer(facts)) {
        (Known::Known(issuer), _) => issuer.clone(),
        (Known::Unknown(_), Some(issuer)) => issuer,
        (Known::Unknown(why), None) => {
            findings.push(Finding::new(
                FindingCode::IssuerUnknown,
                Verdict::Unknown,
                &facts.context,
                format!("the issuer discovery of the API server could not be read: {why}"),
            ));
            return findings;
        }
    };
    match facts.azure.known().map(|azure| &azure.cluster) {
        None => findings.push(
            Finding::new(
                FindingCode::IssuerOk,
                Verdict::Pass,
                &facts.context,
                format!("the API server issues tokens as {issuer}"),
            )
            .compared("issuer", None, Some(&issuer), API_SERVER),
        ),
        Some(Known::Unknown(why)) => findings.push(Finding::new(
            FindingCode::ClusterUnknown,
            Verdict::Unknown,
            &facts.context,
            format!("the AKS cluster could not be looked up: {why}"),
        )),
        Some(Known::Known(None)) => findings.push(
            Finding::new(
                FindingCode::ClusterUnknown,
                Verdict::Unknown,
                &facts.context,
                "no AKS cluster that you can read has this address or issuer",
            )
            .compared("address", None, Some(&facts.cluster.server), "kubeconfig")
            .compared("issuer", None, Some(&issuer), API_SERVER),
        ),
        Some(Known::Known(Some(cluster))) => findings.extend(against_azure(&issuer, cluster)),
    }
    findings
}

fn against_azure(issuer: &str, cluster: &AksFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let update = format!("az aks update -g {} -n {}", cluster.group, cluster.name);
    if !cluster.issuer_enabled {
        findings.push(
            Finding::new(
                FindingCode::IssuerDisabled,
                Verdict::Fail,
                &cluster.id,
                "the OIDC issuer is not enabled on the cluster, so Entra cannot check its tokens",
            )
            .compared(
                "oidcIssuerProfile.enabled",
                Some("true"),
                Some("false"),
                "Azure, managed cluster",
            )
            .fix(format!(
                "{update} --enable-oidc-issuer  # restarts the API server and cannot be undone"
            )),
        );
    } else if let Some(named) = &cluster.issuer {
        if named == issuer {
            findings.push(
                Finding::new(
                    FindingCode::IssuerOk,
                    Verdict::Pass,
                    &cluster.name,
                    format!("API server and Azure name the issuer {issuer}"),
                )
                .compared("issuer", Some(named), Some(issuer), API_SERVER),
            );
        } else {
            let how = small_difference(named, issuer)
                .map_or_else(String::new, |difference| format!(" ({difference})"));
            findings.push(
                Finding::new(
                    FindingCode::ClusterIssuerDiffers,
                    Verdict::Warn,
                    &cluster.id,
                    format!(
                        "the API server names another issuer than Azure does for {}{how}",
                        cluster.name
                    ),
                )
                .compared("issuer", Some(named), Some(issuer), API_SERVER)
                .fix(format!(
                    "az aks get-credentials -g {} -n {} --overwrite-existing  # when it was built anew; then kubectl wi setup",
                    cluster.group, cluster.name
                )),
            );
        }
    }
    if !cluster.workload_identity_enabled {
        findings.push(
            Finding::new(
                FindingCode::WorkloadIdentityDisabled,
                Verdict::Warn,
                &cluster.id,
                "workload identity is not enabled on the cluster; a webhook of your own may stand in for it",
            )
            .compared(
                "securityProfile.workloadIdentity.enabled",
                Some("true"),
                Some("false"),
                "Azure, managed cluster",
            )
            .fix(format!("{update} --enable-workload-identity")),
        );
    }
    findings
}
