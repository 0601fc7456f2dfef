//! `helm fleet init`: a fleet file to start from.

use crate::cli::InitArgs;
use crate::inputs::namespace;
use crate::report::API_VERSION;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{ExitStatus, Failure, Session};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};

/// Writes the file.
pub(crate) fn run(args: &InitArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let kubeconfig = Kubeconfig::load(args.kube.kubeconfig.as_deref(), &session.env)?;
    let contexts = if args.kube.context.is_empty() {
        kubeconfig.contexts()
    } else {
        kubeconfig.select(&args.kube.context)?
    };
    let namespace = namespace(args.namespace.as_ref(), &session.env);
    let text = starter(
        &args.release,
        &namespace,
        &reference(&args.chart, &args.file),
        &contexts,
    );
    let file = args.file.display();
    let opened = OpenOptions::new().write(true).create_new(true).open(&args.file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::usage(format!("{file} exists already and is left alone")).hint("name another with -f")
        }
        _ => Failure::usage(format!("cannot write {file}")).caused_by(&error),
    })?;
    let written = json!({"file": args.file, "clusters": contexts});
    session
        .ui
        .document(&ExitStatus::Ok.document(API_VERSION, "FleetFile", written))?;
    session
        .ui
        .status(&format!("wrote {file}; next: helm fleet validate -f {file}"));
    Ok(ExitStatus::Ok)
}

/// The chart as the file names it: a path that was given from here starts there at the file's folder.
fn reference(chart: &str, file: &Path) -> String {
    let folder = file.parent().unwrap_or(Path::new(""));
    let is_path = Path::new(chart).is_relative() && Path::new(chart).exists();
    if !is_path || folder == Path::new("") {
        return chart.to_owned();
    }
    let is_below = folder
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let from_there = if is_below {
        folder.components().map(|_| "..").collect::<PathBuf>().join(chart)
    } else {
        std::path::absolute(chart).unwrap_or_else(|_| PathBuf::from(chart))
    };
    from_there.display().to_string()
}

/// The file: what is known is filled in, and what most fleets need next stands there as a comment.
fn starter(release: &str, namespace: &str, chart: &str, contexts: &[String]) -> String {
    // A JSON string is a YAML string, whatever is in it.
    let quoted = |text: &str| json!(text).to_string();
    let mut clusters = String::new();
    for (index, context) in contexts.iter().enumerate() {
        // The first one goes first; which one that should be, only the user knows.
        let ring = usize::from(index > 0);
        let context = quoted(context);
        // Writing to a String cannot fail.
        let _ = writeln!(
            clusters,
            "  - {{name: {context}, context: {context}, labels: {{ring: \"{ring}\"}}}}"
        );
    }
    let clusters = if clusters.is_empty() {
        "clusters: []\n".to_owned()
    } else {
        format!("clusters:\n{clusters}")
    };
    let (release, namespace, chart) = (quoted(release), quoted(namespace), quoted(chart));
    format!(
        r#"# One Helm release on many clusters. All keys: helm fleet validate --print-schema
apiVersion: helmfleet/v1alpha1
kind: Fleet
release: {{name: {release}, namespace: {namespace}, createNamespace: true}}
chart: {{ref: {chart}}}                  # a path, REPOSITORY/CHART or oci://…; version and digest pin it
helm: {{timeout: 10m, wait: true}}

# Values files for every cluster, in order; later ones win.
# values:
#   - values/base.yaml
#   - {{file: "values/{{{{ cluster.name }}}}.yaml", optional: true}}

# One managed identity per cluster, for one service account, limited to the named secrets.
# identities:
#   app: {{serviceAccount: app, secrets: [VAULT/SECRET]}}

# Values merged last, where the chart takes the identity.
# overrides:
#   serviceAccount:
#     name: app
#     annotations: {{azure.workload.identity/client-id: "{{{{ identities.app.clientId }}}}"}}

# With an id a cluster is pinned, and needs no context:
#   - {{name: neu-1, id: /subscriptions/…/managedClusters/aks-neu-1, labels: {{ring: "1"}}}}
{clusters}
# In which order. Without it all clusters go at once.
rollout:
  unreachable: fail                     # fail | skip | defer
  onFailure: {{strategy: pause}}          # pause | rollback-failed | rollback-stage | rollback-all
  stages:
    - {{name: canary, selector: "ring=0", maxConcurrency: 1}}        # gates: [{{bake: 10m}}, {{approval: true}}]
    - {{name: rest, selector: "ring!=0", maxConcurrency: 25%}}

report: {{dir: fleet-report}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Fleet;
    use crate::targets;
    use aks_shared::format;

    #[test]
    fn what_is_written_is_a_fleet_with_every_cluster_in_one_stage() {
        let contexts = [
            "aks-weu-1".to_owned(),
            "odd: \"name\" #1".to_owned(),
            "no".to_owned(),
        ];
        let text = starter("orders", "shop", "./charts/orders", &contexts);
        let fleet: Fleet = format::from_yaml(&text).unwrap();
        assert_eq!(fleet.problems(), Vec::<String>::new());
        let named: Vec<&String> = fleet.clusters.iter().map(|cluster| &cluster.context).collect();
        assert_eq!(named, contexts.iter().collect::<Vec<_>>());
        let stages = targets::stages(&fleet.clusters, fleet.rollout.as_ref()).unwrap();
        assert_eq!(
            stages.iter().map(|stage| stage.targets.len()).collect::<Vec<_>>(),
            [1, 2]
        );
    }

    #[test]
    fn a_chart_is_found_from_where_the_file_is() {
        // Tests run in the folder of their package.
        let of = |chart, file| reference(chart, Path::new(file));
        assert_eq!(of("src", "helm-fleet.yaml"), "src");
        assert_eq!(of("src", "deploy/prod/helm-fleet.yaml"), "../../src");
        assert!(of("src", "/deploy/helm-fleet.yaml").starts_with('/'));
        assert_eq!(of("stable/orders", "deploy/helm-fleet.yaml"), "stable/orders");
    }

    #[test]
    fn what_stands_there_as_a_comment_is_right_as_well() {
        let text = starter("orders", "shop", "x", &[]).replace("\n# ", "\n");
        let comment =
            |line: &&str| !line.starts_with(char::is_uppercase) && !line.starts_with("  - {name: neu-1");
        let text: Vec<&str> = text.lines().filter(comment).collect();
        let fleet: Fleet = format::from_yaml(&text.join("\n")).unwrap();
        assert_eq!(fleet.identities.len(), 1);
        assert_eq!(fleet.values.len(), 2);
        assert!(fleet.overrides.contains_key("serviceAccount"));
    }
}
