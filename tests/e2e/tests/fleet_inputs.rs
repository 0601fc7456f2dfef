//! Where a fleet's parts come from: clusters without a kubeconfig, charts from a repository and a registry, a fleet
//! without a file.

use e2e::azure::cluster_id;
use e2e::helm::deployed;
use e2e::plain::{CANARY, PROD, Plain};
use e2e::registry::{Registry, serve_files};
use e2e::{World, script, until};
use serde_json::{Value, json};
use std::fs;

/// The only cluster of a preflight document that has problems: they.
fn problems(document: &Value, cluster: &str) -> String {
    let rows = document["clusters"].as_array().expect("it lists clusters");
    let row = rows.iter().find(|row| row["cluster"] == cluster);
    row.expect("the cluster is listed")["problems"].to_string()
}

#[test]
fn clusters_of_azure_need_no_kubeconfig() {
    let mut world = World::with_helm("helm4");
    let kubeconfig = world.variable("KUBECONFIG").to_owned();
    let namespace = world.namespace("azure");
    world.set("KUBECONFIG", "/dev/null");
    {
        let mut plain = Plain::new(&world, &namespace);
        plain.change(|fleet| {
            // One by its id, the others by their tags; none twice.
            fleet["clusters"] =
                json!([{"name": "weu-1", "id": cluster_id(&world, CANARY), "labels": {"ring": "0"}}]);
            fleet["discover"] = json!({"azure": {"tags": {"fleet": "shop"}}, "exclude": ["aks-sdc-*"],
                "labelsFrom": {"tags": true}});
            fleet["rollout"]["stages"][1]["selector"] = json!("fleet=shop,region,ring!=0");
        });
        plain.fleet("upgrade").expect(0);
        assert_eq!(plain.statuses(), ["installed", "installed"]);
        let contexts: Vec<Value> = plain.report()["targets"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|target| target["context"].clone())
            .collect();
        assert_eq!(contexts, ["azure/rg-fleet/aks-weu-1", "azure/rg-fleet/aks-neu-1"]);
        plain.fleet("upgrade").expect(0).says("nothing to do");
    }
    world.set("KUBECONFIG", &kubeconfig);
    for context in [CANARY, PROD] {
        let line = format!(
            "kubectl --context {context} -n {namespace} get configmap plain -o jsonpath={{.data.text}}"
        );
        assert_eq!(world.run(&line).expect(0).stdout, "one", "{context}");
    }
}

#[test]
fn a_plugin_that_nobody_has_is_not_needed_and_a_wrong_or_stopped_cluster_is_told() {
    let mut world = World::with_helm("helm3");
    let namespace = world.namespace("places");
    let text = fs::read_to_string(world.variable("KUBECONFIG")).expect("the kubeconfig can be read");
    let mut kubeconfig: Value = serde_json::from_str(&text).expect("the sandbox writes JSON");
    for user in kubeconfig["users"].as_array_mut().expect("it has users") {
        user["user"] = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1",
            "command": "kubelogin-that-nobody-has", "interactiveMode": "Never"}});
    }
    let own = |kind: &str, value: Value| (kind.to_owned(), value);
    for (kind, value) in [
        own(
            "clusters",
            json!({"name": "dead", "cluster": {"server": "https://127.0.0.1:1"}}),
        ),
        own(
            "contexts",
            json!({"name": "dead", "context": {"cluster": "dead", "user": ""}}),
        ),
    ] {
        kubeconfig[kind].as_array_mut().expect("it is a list").push(value);
    }
    let path = world.folder().join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).expect("the folder can be written to");
    world.set("KUBECONFIG", &path.display().to_string());
    let stopped = json!({"clusters": [{"resourceGroup": "rg-fleet", "name": "aks-stopped", "location": "westeurope",
        "fqdn": "stopped.example", "issuerUrl": "https://stopped.example/", "powerState": "Stopped"}]});
    world.sandbox(&["azure", "add", &stopped.to_string()]).expect(0);

    let mut plain = Plain::new(&world, &namespace);
    plain.fleet("upgrade").expect(8).says("kubelogin-that-nobody-has");
    plain.fleet("upgrade --kube-auth azure").expect(0);
    plain.change(|fleet| {
        fleet["clusters"][0]["id"] = json!(cluster_id(&world, PROD));
        let dead = json!({"name": "old-1", "context": "dead", "id": cluster_id(&world, "aks-stopped"),
            "labels": {"ring": "2"}});
        fleet["clusters"].as_array_mut().expect("it is a list").push(dead);
    });
    let file = plain.folder().join("helm-fleet.yaml");
    let line = format!(
        "helm-fleet preflight --kube-auth azure -o json -f {}",
        file.display()
    );
    let document = world.run(&line).expect(8).json();
    assert!(
        problems(&document, "weu-1").contains("the context leads to the issuer"),
        "{document:#}"
    );
    assert_eq!(problems(&document, "neu-1"), "[]");
    assert!(
        problems(&document, "old-1").contains("cluster aks-stopped is stopped"),
        "{document:#}"
    );
    world
        .sandbox(&["azure", "remove", &cluster_id(&world, "aks-stopped")])
        .expect(0);
}

#[test]
fn charts_are_pulled_once_and_pinned() {
    for helm in ["helm3", "helm4"] {
        let world = World::with_helm(helm);
        let mut plain = Plain::new(&world, &world.namespace("charts"));
        let folder = world.folder().join("repository");
        fs::create_dir(&folder).expect("the folder can be made");
        let chart = plain.folder().join("chart");
        for version in ["0.1.0", "0.2.0"] {
            let line = format!(
                "helm package {} --version {version} -d {}",
                chart.display(),
                folder.display()
            );
            world.run(&line).expect(0);
        }
        let url = serve_files(&folder);
        world
            .run(&format!("helm repo index {} --url {url}", folder.display()))
            .expect(0);
        plain.change(|fleet| fleet["chart"] = json!({"ref": "plain", "repo": url, "version": "0.1.0"}));
        plain.fleet("upgrade").expect(0);
        let chart = plain.report()["release"]["chart"].clone();
        assert_eq!(chart["version"], "0.1.0", "{chart}");

        // The package has one digest, wherever it lies.
        let registry = Registry::start(&world, json!({}), json!({}));
        let charts = format!("oci://{}/charts", registry.address());
        for version in ["0.1.0", "0.2.0"] {
            let package = folder.join(format!("plain-{version}.tgz"));
            world
                .run(&format!("helm push {} {charts} --plain-http", package.display()))
                .expect(0);
        }
        let digest = format!(
            "sha256:{}",
            chart["digest"].as_str().expect("a chart has a digest")
        );
        plain.change(|fleet| {
            fleet["chart"] = json!({"ref": format!("{charts}/plain"), "version": "0.1.0", "digest": digest,
                "pullArgs": ["--plain-http"]});
        });
        plain.fleet("upgrade").expect(0).says("nothing to do");
        plain.change(|fleet| fleet["chart"]["version"] = json!("0.2.0"));
        plain.fleet("upgrade").expect(8).says("is pinned");
        plain.change(|fleet| fleet["chart"]["digest"] = Value::Null);
        plain.fleet("upgrade").expect(0);
        assert_eq!(plain.statuses(), ["upgraded", "upgraded"], "{helm}");

        // A package on this machine is the same chart.
        let package = folder.join("plain-0.2.0.tgz");
        plain.change(|fleet| fleet["chart"] = json!({"ref": package}));
        plain.fleet("upgrade").expect(0).says("nothing to do");
    }
}

/// What helm-secrets does: helm reads the file through a plugin, and nobody else sees what it says.
fn reads_secrets(world: &mut World) {
    let plugin = world.folder().join("plugins/secrets");
    fs::create_dir_all(&plugin).expect("the folder can be made");
    let manifest = "name: secrets\nversion: 0.1.0\nusage: reads\ndescription: reads\n\
        downloaders: [{command: read.sh, protocols: [secrets]}]\n";
    fs::write(plugin.join("plugin.yaml"), manifest).expect("it can be written");
    script(&plugin.join("read.sh"), "exec cat \"${4#secrets:/}\"");
    let plugins = world.folder().join("plugins").display().to_string();
    world.set("HELM_PLUGINS", &plugins);
}

#[test]
fn values_that_only_helm_can_read_are_compared_and_never_told() {
    const HIDDEN: &str = "canary-4711-hidden";
    for helm in ["helm3", "helm4"] {
        let mut world = World::with_helm(helm);
        reads_secrets(&mut world);
        let mut plain = Plain::new(&world, &world.namespace("secrets"));
        let hidden = plain.folder().join("hidden.yaml");
        let address = format!("secrets:/{}", hidden.display());
        let leak = "{{- if .Values.leak }}{{ fail (printf \"it is %s\" .Values.text) }}{{ end }}\n";
        fs::write(plain.folder().join("chart/templates/leak.yaml"), leak).expect("it can be written");
        plain.change(|fleet| fleet["values"] = json!([address, "all.yaml"]));
        plain.values("all", &json!({"leak": true}));
        plain.values("hidden", &json!({"text": HIDDEN}));
        let told = plain.fleet("upgrade").expect(8).says("it is [redacted]");
        assert!(!format!("{}{}", told.stdout, told.stderr).contains(HIDDEN));
        plain.values("all", &json!({}));
        plain.fleet("upgrade").expect(0);
        assert_eq!(plain.text(CANARY).as_deref(), Some(HIDDEN));
        assert!(!plain.report().to_string().contains(HIDDEN));
        plain.fleet("upgrade").expect(0).says("nothing to do");
        plain.values("hidden", &json!({"text": "another"}));
        plain.fleet("upgrade").expect(0);
        assert_eq!(plain.statuses(), ["upgraded", "upgraded"], "{helm}");
    }
}

/// A kind that one cluster has; it goes when this is dropped.
struct Kind<'a>(&'a World);

impl<'a> Kind<'a> {
    fn on_prod(world: &'a World) -> Self {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.inputs.example"},
            "spec": {"group": "inputs.example", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
        world.apply(PROD, "default", &definition);
        let listed =
            format!("kubectl --context {PROD} api-resources --api-group inputs.example --cached=false");
        until("a kind that is served", || {
            world.run(&listed).stdout.contains("things")
        });
        Self(world)
    }
}

impl Drop for Kind<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&format!(
            "kubectl --context {PROD} delete crd things.inputs.example"
        ));
    }
}

#[test]
fn preflight_lists_every_cluster_and_everything_that_is_wrong() {
    let world = World::with_helm("helm3");
    let namespace = world.namespace("preflight");
    let mut plain = Plain::new(&world, &namespace);
    plain.change(|fleet| {
        let gone = json!({"name": "gone-1", "context": PROD, "labels": {"ring": "2"}});
        fleet["clusters"].as_array_mut().expect("it is a list").push(gone);
    });
    let needs = "{{- if not (.Capabilities.APIVersions.Has \"inputs.example/v1/Thing\") }}{{ fail \"no Thing\" }}{{ end }}\n";
    fs::write(plain.folder().join("chart/templates/needs.yaml"), needs).expect("it can be written");
    let _kind = Kind::on_prod(&world);
    for line in [
        "create namespace",
        "-n NS create configmap plain --from-literal=text=mine -o name",
    ] {
        let line = match line.strip_prefix("-n NS ") {
            Some(rest) => format!("kubectl --context {PROD} -n {namespace} {rest}"),
            None => format!("kubectl --context {PROD} {line} {namespace}"),
        };
        world.run(&line).expect(0);
    }
    let file = plain.folder().join("helm-fleet.yaml");
    let preflight = format!("helm fleet preflight -o json -f {}", file.display());
    let document = world.run(&preflight).expect(8).json();
    assert!(problems(&document, "weu-1").contains("no Thing"), "{document:#}");
    let prod = problems(&document, "neu-1");
    assert!(prod.contains("one and the same cluster"), "{prod}");
    assert!(
        prod.contains("belongs to no release, so helm will not adopt it"),
        "{prod}"
    );
    assert!(!prod.contains("no Thing"), "{prod}");
    assert_eq!(plain.release(CANARY), None);
}

#[test]
fn a_fleet_begins_without_a_file() {
    let world = World::with_helm("helm3");
    let namespace = world.namespace("inline");
    let plain = Plain::new(&world, &namespace);
    let chart = plain.folder().join("chart");
    let line = format!(
        "helm fleet upgrade plain {} --context aks-*eu-1 --max-concurrency 1 --create-namespace -n {namespace} \
         --values {} --set text=two --yes",
        chart.display(),
        plain.folder().join("all.yaml").display()
    );
    world.run(&line).expect(0).says("1 at once");
    for context in [CANARY, PROD] {
        assert_eq!(plain.release(context), deployed(1));
        assert_eq!(plain.text(context).as_deref(), Some("two"));
    }
    world.run(&line).expect(0).says("nothing to do");

    let file = world.folder().join("started.yaml");
    let init = format!(
        "helm fleet init plain {} -n {namespace} --context aks-*eu-1 -f {}",
        chart.display(),
        file.display()
    );
    world.run(&init).expect(0);
    let started = fs::read_to_string(&file).expect("it was written");
    world.run(&init).expect(64).says("left alone");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), started);
    world
        .run(&format!("helm fleet validate -f {}", file.display()))
        .expect(0);
    // What was set by hand is none of the file's values.
    world
        .run(&format!("helm fleet preflight -f {}", file.display()))
        .expect(0);
    fs::write(&file, started.replace("maxConcurrency: 1", "maxConcurency: 1")).expect("it can be written");
    let place = format!("{}:", file.display());
    world
        .run(&format!("helm fleet validate -f {}", file.display()))
        .expect(64)
        .says(&place)
        .says("did you mean `maxConcurrency`?");
}
