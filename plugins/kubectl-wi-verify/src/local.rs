//! The exchange from here, with tokens that the API server issues: no pod runs.

use crate::facts::{self, DryRun, Facts, Known, OtherAccount};
use crate::proof::REQUEST_SECONDS;
use aks_shared::azure::Cloud;
use aks_shared::cluster::Cluster;
use aks_shared::identity::{Audience, ServiceAccountRef};
use aks_shared::labels::DEFAULT_AUDIENCE;
use aks_shared::trust::TrustedRoots;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::ListParams;
use std::pin::Pin;
use std::time::Duration;
use wi_probe::record::Environment;
use wi_probe::{ProbeInput, ProbeRecord, TokenSource, probe};

/// The account that every namespace has.
const DEFAULT_ACCOUNT: &str = "default";

/// What a try from here needs.
#[derive(Clone, Copy)]
pub(crate) struct Local<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) facts: &'a Facts,
    pub(crate) cloud: &'a Cloud,
    pub(crate) roots: &'a TrustedRoots,
    pub(crate) input: &'a ProbeInput,
}

impl Local<'_> {
    /// What a pod of the account would do, tried from here.
    pub(crate) async fn probe(&self) -> Known<ProbeRecord> {
        self.probe_as(&self.facts.account, self.input).await
    }

    /// Whether another account of the namespace can become the identity.
    pub(crate) async fn other_account(&self) -> Known<OtherAccount> {
        let name = match self.other().await {
            Ok(Some(name)) => name,
            Ok(None) => return Known::Unknown("the namespace has no other service account".to_owned()),
            Err(error) => return Known::Unknown(facts::one_line(&error)),
        };
        let other = ServiceAccountRef {
            namespace: self.facts.account.namespace.clone(),
            name: name.clone(),
        };
        let exchange_only = ProbeInput::new(&self.input.scope);
        match self.probe_as(&other, &exchange_only).await {
            Known::Known(record) => Known::Known(OtherAccount {
                name,
                exchange: record.exchange,
            }),
            Known::Unknown(why) => Known::Unknown(why),
        }
    }

    async fn other(&self) -> Result<Option<String>, kube::Error> {
        let account = &self.facts.account;
        if account.name != DEFAULT_ACCOUNT {
            return Ok(Some(DEFAULT_ACCOUNT.to_owned()));
        }
        let accounts = Api::<ServiceAccount>::namespaced(self.cluster.client.clone(), &account.namespace);
        let names = accounts.list(&ListParams::default()).await?.items.into_iter();
        Ok(names
            .filter_map(|found| found.metadata.name)
            .find(|name| *name != account.name))
    }

    async fn probe_as(&self, account: &ServiceAccountRef, input: &ProbeInput) -> Known<ProbeRecord> {
        let (environment, audience) = self.environment();
        let token = match self.cluster.account_token(account, &audience).await {
            Ok(token) => token,
            Err(error) => return Known::Unknown(facts::one_line(&error)),
        };
        let http = match self.roots.http_client(Duration::from_secs(REQUEST_SECONDS)) {
            Ok(http) => http,
            Err(error) => return Known::Unknown(facts::one_line(&error)),
        };
        // A long wait outlasts the token: Kubernetes may give one of ten minutes.
        let renew = || -> Pin<Box<dyn Future<Output = Option<String>> + Send + '_>> {
            Box::pin(async {
                let fresh = self.cluster.account_token(account, &audience).await;
                fresh.ok().map(|token| token.expose().to_owned())
            })
        };
        let source = TokenSource::Given {
            token: token.expose().to_owned(),
            renew: &renew,
        };
        Known::Known(probe(&http, input, &environment, Some(source)).await)
    }

    /// Who a pod of the account would be, and the audience of its token.
    fn environment(&self) -> (Environment, Audience) {
        let account = self.facts.account_facts();
        let injected = match self.facts.cluster.dry_run.known() {
            Some(DryRun::Admitted(injection)) => injection.clone(),
            Some(DryRun::Refused { .. }) | None => facts::Injection::default(),
        };
        let environment = Environment {
            client_id: injected.client_id.or_else(|| account?.client_id.clone()),
            tenant_id: injected
                .tenant_id
                .or_else(|| account?.tenant_id.clone())
                .or_else(|| Some(self.facts.identity()?.tenant_id.clone())),
            authority: injected
                .authority
                .or_else(|| Some(self.cloud.authority.to_string())),
            token_file: None,
        };
        let audience = injected.audience.unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned());
        (environment, Audience(audience))
    }
}
