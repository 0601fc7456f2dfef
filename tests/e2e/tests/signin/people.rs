//! People, and nobody: who is used when several could be, and what is said when none can.

use crate::support::{CONTEXT, install, install_cli, is_signed_in, look, reader, signed_out, uninstall};
use e2e::application::uuid;
use serde_json::json;
use std::fs;

#[test]
fn a_person_signs_in_through_the_cli() {
    let mut world = signed_out();
    let person = reader(&world, &json!({}));
    for (program, link) in [("az", "azure-cli"), ("azd", "azd")] {
        install_cli(&mut world, program, &person);
        is_signed_in(&world, "", link, &person.object);
        uninstall(&world, program);
    }

    // A login that has expired, and one of another tenant.
    install(
        &mut world,
        "az",
        "echo 'ERROR: AADSTS700082: The refresh token has expired due to inactivity.' >&2; exit 1",
    );
    look(&world, "")
        .expect(8)
        .says("azure-cli: ERROR: AADSTS700082")
        .says("hint: sign in again: az login");
    install_cli(&mut world, "az", &person);
    let other = uuid();
    look(&world, &format!("--auth azure-cli --tenant {other}"))
        .expect(8)
        .says(&format!("tenant {other} is asked for"));
}

#[test]
fn nobody_is_signed_in_by_accident() {
    let mut world = signed_out();
    let nobody = look(&world, "").expect(8);
    for link in [
        "environment",
        "federated-file",
        "azure-pipelines",
        "github",
        "workload-identity",
        "managed-identity",
    ] {
        assert!(nobody.stderr.contains(&format!("{link}: ")), "{}", nobody.stderr);
    }
    let nobody = nobody
        .says("`azd` is not on the PATH")
        .says("hint: sign in: az login");
    assert_eq!(nobody.json()["exitName"], "refused");

    // A tenant that does not exist, and a secret that is wrong, end the chain: a person's login is not taken instead.
    let (application, person) = (reader(&world, &json!({})), reader(&world, &json!({})));
    install_cli(&mut world, "az", &person);
    application.sign_in(&mut world);
    look(&world, &format!("--tenant {}", uuid()))
        .expect(8)
        .says("AADSTS90002")
        .says("az account show --query tenantId");
    world.set("AZURE_CLIENT_SECRET", "wrong");
    look(&world, "")
        .expect(8)
        .says("AADSTS7000215")
        .says("not its id");

    // At a terminal the first one is used, and it is told who that is; in CI two principals are refused until one is
    // chosen, and the same one twice is not two.
    application.sign_in(&mut world);
    is_signed_in(&world, "", "environment", &application.object);
    world.set("CI", "true");
    look(&world, "")
        .expect(8)
        .says(&format!("{} of tenant", application.client))
        .says(&format!("{} of tenant", person.client))
        .says("--auth environment or --auth azure-cli");
    is_signed_in(&world, "--auth azure-cli", "azure-cli", &person.object);
    install_cli(&mut world, "az", &application);
    is_signed_in(&world, "", "environment", &application.object);
}

#[test]
fn a_credential_plugin_that_needs_a_person_or_is_missing_is_told() {
    let mut world = signed_out();
    let application = reader(&world, &json!({}));
    application.sign_in(&mut world);
    let copy = world.folder().join("kubeconfig");
    fs::copy(world.variable("KUBECONFIG"), &copy).expect("the kubeconfig can be copied");
    world.set("KUBECONFIG", &copy.to_string_lossy());
    let clusters = world
        .run(&format!(
            "kubectl config view -o jsonpath={{.contexts[?(@.name==\"{CONTEXT}\")].context.cluster}}"
        ))
        .expect(0);
    world
        .run(&format!(
            "kubectl config set-context person --cluster {} --user person",
            clusters.stdout
        ))
        .expect(0);
    let with_mode = |mode: &str| {
        world
            .run(&format!(
                "kubectl config set-credentials person --exec-command kubelogin --exec-interactive-mode {mode} \
                 --exec-api-version client.authentication.k8s.io/v1"
            ))
            .expect(0);
        world
            .run("kubectl wi setup --context person -n default --service-account nobody --dry-run")
            .expect(8)
    };
    with_mode("Never")
        .says("the credential plugin kubelogin is not installed")
        .says("az aks install-cli");
    with_mode("Always")
        .says("standard input is no terminal")
        .says("kubelogin convert-kubeconfig -l");
}
