//! Names of labels, annotations and field managers, written once.

/// Pods with this label set to `"true"` are mutated by the workload identity webhook.
pub const USE_LABEL: &str = "azure.workload.identity/use";
/// Annotation of a service account: client id of the identity its pods become.
pub const CLIENT_ID_ANNOTATION: &str = "azure.workload.identity/client-id";
/// Annotation of a service account: tenant of that identity.
pub const TENANT_ID_ANNOTATION: &str = "azure.workload.identity/tenant-id";
/// Label that Helm, and we, put on objects to say who made them.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`] on what Helm owns.
pub const MANAGED_BY_HELM: &str = "Helm";
/// Annotation by which Helm knows the release that owns an object.
pub const HELM_RELEASE_NAME_ANNOTATION: &str = "meta.helm.sh/release-name";
/// Annotation by which Helm knows the namespace of the release that owns an object.
pub const HELM_RELEASE_NAMESPACE_ANNOTATION: &str = "meta.helm.sh/release-namespace";
/// Field manager of our server-side applies, and value of [`MANAGED_BY_LABEL`] on what only we made.
pub const FIELD_MANAGER: &str = "kubectl-wi";
/// Tag on Azure resources that setup created.
pub const MANAGED_BY_TAG: &str = "managed-by";
/// Tag that names the cluster (its ARM id) an identity was made for.
pub const CLUSTER_TAG: &str = "kubectl-wi-cluster";
/// Tag that names the subject an identity was made for.
pub const SUBJECT_TAG: &str = "kubectl-wi-subject";
/// The audience that Azure documents for workload identity federation.
pub const DEFAULT_AUDIENCE: &str = "api://AzureADTokenExchange";
