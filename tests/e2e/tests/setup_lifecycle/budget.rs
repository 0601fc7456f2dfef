//! What runs ask for and persist, counted where it is asked: a run with nothing to do, and one that only looks.

use crate::support::{CONTEXT, SECRET};
use e2e::World;
use e2e::application::Application;
use e2e::azure::{log, subscription, text};
use e2e::user::kubeconfig_of;
use serde_json::{Value, json};
use std::fs;

/// How many requests a run in order may need on each cluster, and for each secret; what the clusters share apart.
const PER_CLUSTER: usize = 12;
const PER_SECRET: usize = 2;

const CONTEXTS: [&str; 2] = [CONTEXT, "aks-neu-1"];

/// Somebody whose requests are told apart in the logs: a principal of Azure, and a user of the clusters.
struct Watched {
    user: String,
    /// A kubeconfig in which that user acts.
    config: String,
    /// How many requests Azure's log held before.
    before: usize,
}

impl Watched {
    /// Signs somebody new in who may do everything.
    fn sign_in(world: &mut World, namespace: &str) -> Self {
        let scope = subscription(world);
        let shared = format!("{scope}/resourceGroups/rg-shared");
        let roles = [
            ("Contributor", scope.as_str()),
            ("Role Based Access Control Administrator", &shared),
        ];
        Application::new(world, &json!({}), &roles).sign_in(world);
        let user = format!("user-{namespace}");
        for context in CONTEXTS {
            let binding = format!("clusterrolebinding {user} --clusterrole cluster-admin --user {user}");
            world
                .run(&format!("kubectl --context {context} create {binding}"))
                .expect(0);
        }
        let config = kubeconfig_of(world, &user);
        let before = log(world).len();
        Self { user, config, before }
    }

    /// What the principal, and the identities with these client ids, have asked of Azure.
    fn asked_of_azure(&self, world: &World, clients: &[&str]) -> Vec<String> {
        let principal = world.variable("AZURE_CLIENT_ID");
        log(world)
            .iter()
            .skip(self.before)
            .filter(|entry| {
                entry["caller"] == principal || clients.iter().any(|client| entry["caller"] == *client)
            })
            .map(|entry| {
                let (method, path) = (text(entry, "method"), text(entry, "path"));
                format!("{} {method} {path}", text(entry, "service"))
            })
            .collect()
    }

    /// What the user has asked of the clusters.
    fn asked_of_clusters(&self, world: &World) -> Vec<(String, String)> {
        let logs = world.state().join("logs");
        let mut asked = Vec::new();
        for context in CONTEXTS {
            let log = fs::read_to_string(logs.join(format!("{context}-requests.ndjson")))
                .expect("requests are logged");
            for line in log.lines().filter(|line| line.contains(&self.user)) {
                let event: Value = serde_json::from_str(line).expect("an event is JSON");
                if event["impersonatedUser"]["username"] == self.user.as_str() {
                    asked.push((
                        text(&event, "verb").to_owned(),
                        text(&event, "requestURI").to_owned(),
                    ));
                }
            }
        }
        assert!(!asked.is_empty(), "no request of {} was logged", self.user);
        asked
    }

    /// Takes the user's rights away.
    fn sign_out(&self, world: &World) {
        for context in CONTEXTS {
            let line = format!(
                "kubectl --context {context} delete clusterrolebinding {}",
                self.user
            );
            world.run(&line).expect(0);
        }
    }
}

/// Demands that nothing was asked for that persists; sign-ins, queries, dry runs and tokens do not.
fn persists_nothing(of_azure: &[String], of_clusters: &[(String, String)]) {
    assert!(
        of_azure.iter().any(|line| line.starts_with("arm ")),
        "{of_azure:?}"
    );
    let writes: Vec<&String> = of_azure
        .iter()
        .filter(|line| line.starts_with("arm ") && !line.contains(" GET ") && !line.contains("ResourceGraph"))
        .collect();
    assert_eq!(writes, Vec::<&String>::new());
    for (verb, uri) in of_clusters {
        let persists = !["get", "list"].contains(&verb.as_str())
            && !uri.contains("dryRun=All")
            && !uri.contains("/token")
            && !uri.contains("/selfsubjectaccessreviews");
        assert!(!persists, "{verb} {uri}");
    }
}

fn setup(namespace: &str) -> String {
    format!(
        "kubectl wi setup --context {} --context {} -n {namespace} --service-account orders --secret {SECRET} \
         --secret kv-central/api-key --service-account-owner setup -o json",
        CONTEXTS[0], CONTEXTS[1]
    )
}

#[test]
fn a_run_with_nothing_to_do_persists_nothing_and_asks_little() {
    let mut world = World::join();
    let namespace = world.namespace("budget");
    let setup = format!("{} --yes", setup(&namespace));
    let made = world.run(&format!("{setup} --wait none")).expect(0).json();
    let clients: Vec<&str> = made["items"]
        .as_array()
        .expect("there are two")
        .iter()
        .map(|item| text(item, "clientId"))
        .collect();
    let watched = Watched::sign_in(&mut world, &namespace);
    let again = world
        .run(&format!("{setup} --kubeconfig {}", watched.config))
        .expect(0)
        .json();
    for item in again["items"].as_array().expect("there are two") {
        assert_eq!(item["changes"], json!([]));
    }
    let of_azure = watched.asked_of_azure(&world, &clients);
    let of_clusters = watched.asked_of_clusters(&world);
    watched.sign_out(&world);
    persists_nothing(&of_azure, &of_clusters);
    let allowed = CONTEXTS.len() * (PER_CLUSTER + 2 * PER_SECRET);
    let all = of_azure.len() + of_clusters.len();
    assert!(
        all <= allowed,
        "{all} requests, and {allowed} are allowed:\n{}\n{of_clusters:?}",
        of_azure.join("\n")
    );
}

#[test]
fn a_run_that_only_looks_persists_nothing_though_everything_is_to_be_done() {
    let mut world = World::join();
    let namespace = world.namespace("look");
    let watched = Watched::sign_in(&mut world, &namespace);
    let line = format!("{} --dry-run --detailed-exitcode", setup(&namespace));
    let plan = world
        .run(&format!("{line} --kubeconfig {}", watched.config))
        .expect(2)
        .json();
    assert_eq!(plan["items"][1]["identity"]["action"], "create");
    let of_azure = watched.asked_of_azure(&world, &[]);
    let of_clusters = watched.asked_of_clusters(&world);
    watched.sign_out(&world);
    persists_nothing(&of_azure, &of_clusters);
}
