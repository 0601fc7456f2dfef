//! What verification says: findings with stable codes. The catalogue of codes stands here and nowhere else.

use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is as it should be.
    Pass,
    /// It was not looked at, because it does not matter any more.
    Skipped,
    /// It could not be told.
    Unknown,
    /// It works, and yet somebody should look.
    Warn,
    /// It is wrong.
    Fail,
}

impl Verdict {
    /// The word that documents and tables show.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// The part of the chain that a finding is about, in the order in which a token travels it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The cluster's issuer.
    Cluster,
    /// The service account.
    Account,
    /// The webhook and what it injects.
    Webhook,
    /// The managed identity.
    Identity,
    /// Its federated credentials.
    Federation,
    /// What the issuer publishes.
    Discovery,
    /// The exchange, tried.
    Exchange,
    /// The secrets, read.
    Secrets,
}

macro_rules! catalogue {
    ($($variant:ident $name:literal $phase:ident $meaning:literal;)*) => {
        /// What a finding is about. Codes are stable; documents and tests name them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum FindingCode {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
        }

        impl FindingCode {
            /// Every code, in the order of the chain.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable kebab-case name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The part of the chain that it belongs to.
            pub const fn phase(self) -> Phase {
                match self { $(Self::$variant => Phase::$phase,)* }
            }

            /// What it means, one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

catalogue! {
    IssuerOk "issuer-ok" Cluster "The API server and Azure name the same issuer.";
    IssuerUnknown "issuer-unknown" Cluster "The API server's issuer discovery could not be read.";
    ClusterUnknown "cluster-unknown" Cluster "No AKS cluster that can be read has this issuer or this address.";
    ClusterIssuerDiffers "cluster-issuer-differs" Cluster "The API server names another issuer than Azure does for this cluster.";
    IssuerDisabled "issuer-disabled" Cluster "The cluster's OIDC issuer is not enabled.";
    WorkloadIdentityDisabled "workload-identity-disabled" Cluster "Workload identity is not enabled on the cluster.";
    AzureUnknown "azure-unknown" Cluster "Without a sign-in to Azure its side of the chain could not be looked at.";
    AccountOk "account-ok" Account "The service account exists and names an identity.";
    AccountMissing "account-missing" Account "The service account does not exist.";
    AccountUnknown "account-unknown" Account "The service account could not be read.";
    ClientIdMissing "client-id-missing" Account "The service account has no client id annotation.";
    ClientIdDiffers "client-id-differs" Account "The service account names another identity than the expected one.";
    LabelOnAccount "label-on-account" Account "The use label stands on the service account, where it does nothing.";
    InjectionOk "injection-ok" Webhook "The webhook injects token and settings into labelled pods.";
    WebhookMissing "webhook-missing" Webhook "No workload identity webhook is installed.";
    WebhookDuplicate "webhook-duplicate" Webhook "More than one workload identity webhook is installed.";
    WebhookRefuses "webhook-refuses" Webhook "Labelled pods are refused at admission.";
    InjectionMissing "injection-missing" Webhook "The webhook is installed and yet leaves labelled pods as they are.";
    InjectionIncomplete "injection-incomplete" Webhook "The webhook injects other settings than the service account asks for.";
    InjectionUnknown "injection-unknown" Webhook "What the webhook injects could not be read.";
    IdentityOk "identity-ok" Identity "The managed identity with this client id exists.";
    ClientIdUnknown "client-id-unknown" Identity "No managed identity that can be read has this client id.";
    ClientIdIsPrincipal "client-id-is-principal" Identity "The annotation holds the identity's principal id instead of its client id.";
    IdentityUnknown "identity-unknown" Identity "The managed identities could not be read.";
    TenantMismatch "tenant-mismatch" Identity "The pod signs in to another tenant than the identity's.";
    CredentialOk "credential-ok" Federation "A federated credential trusts exactly this cluster, account and audience.";
    NoFederatedCredential "no-federated-credential" Federation "The identity has no federated credential for this account.";
    IssuerMismatch "issuer-mismatch" Federation "The federated credential trusts another issuer.";
    SubjectMismatch "subject-mismatch" Federation "The federated credential trusts another subject.";
    AudienceMismatch "audience-mismatch" Federation "The federated credential expects another audience.";
    CredentialsUnknown "credentials-unknown" Federation "The identity's federated credentials could not be read.";
    DiscoveryOk "discovery-ok" Discovery "The issuer publishes its document and the key of the token.";
    DiscoveryUnreachable "discovery-unreachable" Discovery "The issuer's discovery document or keys could not be fetched.";
    DiscoveryIssuerDiffers "discovery-issuer-differs" Discovery "The discovery document names another issuer than the token.";
    KeyNotPublished "key-not-published" Discovery "The key that signed the token is not among the published ones.";
    ProbePodUnavailable "probe-pod-unavailable" Exchange "The probe could not run in a pod; it was tried from here instead.";
    ProbeFailed "probe-failed" Exchange "The probe gave no record, so nothing was proven.";
    TokenMissing "token-missing" Exchange "The pod has no service account token for Entra.";
    ExchangeOk "exchange-ok" Exchange "Entra exchanged the service account token for an access token.";
    ExchangeNotTried "exchange-not-tried" Exchange "The exchange could not be tried, because something that it needs is missing.";
    ExchangeRefused "exchange-refused" Exchange "Entra refused the exchange.";
    ExchangeUnreachable "exchange-unreachable" Exchange "Entra could not be reached.";
    SecretOk "secret-ok" Secrets "The secret was read.";
    SecretForbidden "secret-forbidden" Secrets "The identity may not read the secret.";
    SecretMissing "secret-missing" Secrets "The vault has no such secret.";
    SecretDisabled "secret-disabled" Secrets "The secret is disabled or outside its validity.";
    VaultFirewall "vault-firewall" Secrets "The vault's network rules refuse the place that the request came from.";
    VaultUnreachable "vault-unreachable" Secrets "The vault could not be reached.";
    VaultUnauthorized "vault-unauthorized" Secrets "The vault does not accept the access token.";
    VaultUnknown "vault-unknown" Secrets "The vault was not found.";
    SecretUnreadable "secret-unreadable" Secrets "The vault's answer is none that a vault gives.";
    SecretNotTried "secret-not-tried" Secrets "The secret was not read, because there was no access token.";
}

impl std::fmt::Display for FindingCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The field or question.
    pub what: String,
    /// What it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it is; none when it is absent.
    pub found: Option<String>,
    /// Where it was found.
    pub source: String,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is about.
    pub code: FindingCode,
    /// How the check ended.
    pub verdict: Verdict,
    /// The object it is about.
    pub subject: String,
    /// The finding in a sentence.
    pub message: String,
    /// What was compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Commands or sentences that mend it, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<String>,
    /// The finding that explains this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because_of: Option<FindingCode>,
}

impl Finding {
    /// A finding without evidence and fixes.
    pub fn new(
        code: FindingCode,
        verdict: Verdict,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            verdict,
            subject: subject.into(),
            message: message.into(),
            evidence: Vec::new(),
            fixes: Vec::new(),
            because_of: None,
        }
    }

    /// Adds a comparison.
    #[must_use]
    pub fn compared(
        mut self,
        what: &str,
        expected: Option<&str>,
        found: Option<&str>,
        source: impl Into<String>,
    ) -> Self {
        self.evidence.push(Evidence {
            what: what.to_owned(),
            expected: expected.map(str::to_owned),
            found: found.map(str::to_owned),
            source: source.into(),
        });
        self
    }

    /// Adds a fix.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fixes.push(fix.into());
        self
    }

    /// Says which finding explains this one, if any.
    #[must_use]
    pub const fn because(mut self, code: Option<FindingCode>) -> Self {
        self.because_of = code;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case_distinct_and_ordered_by_phase() {
        let mut phase = Phase::Cluster;
        for (index, code) in FindingCode::ALL.iter().enumerate() {
            assert!(
                code.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{code}"
            );
            assert!(
                FindingCode::ALL[index + 1..]
                    .iter()
                    .all(|other| other.name() != code.name()),
                "{code}"
            );
            assert!(
                code.phase() >= phase,
                "{code} stands before a code of an earlier phase"
            );
            assert!(code.meaning().ends_with('.'), "{code}");
            phase = code.phase();
        }
    }

    #[test]
    fn a_code_is_written_as_its_name() {
        for code in FindingCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
